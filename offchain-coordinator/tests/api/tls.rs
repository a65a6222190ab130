//! The same port over TLS: everything works, slow and wrong clients are bounded, certificates are renewed.

use crate::harness::*;
use cuckoo_coordinator_api::{
	rpc::TaskRpcClient,
	task::{TaskState, TaskStatus},
};
use jsonrpsee::{
	core::client::{Subscription, SubscriptionClientT},
	http_client::{HttpClient, HttpClientBuilder},
	rpc_params,
	ws_client::WsClientBuilder,
};
use offchain_coordinator::tls::{Files, Tls, TlsError};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use rustls::{
	crypto::ring,
	pki_types::{CertificateDer, ServerName},
	ClientConfig, RootCertStore,
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::TcpStream,
	time::timeout,
};
use tokio_rustls::{client::TlsStream, TlsConnector};

/// Longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(60);

/// A certificate for localhost that vouches for itself.
fn certificate() -> CertifiedKey<KeyPair> {
	let signing_key = KeyPair::generate().unwrap();
	let cert = CertificateParams::new(vec!["localhost".into()])
		.unwrap()
		.self_signed(&signing_key)
		.unwrap();
	CertifiedKey { cert, signing_key }
}

fn write(directory: &Path, certified: &CertifiedKey<KeyPair>) -> Files {
	let files = Files {
		certificate: directory.join("cert.pem"),
		key: directory.join("key.pem"),
	};
	std::fs::write(&files.certificate, certified.cert.pem()).unwrap();
	std::fs::write(&files.key, certified.signing_key.serialize_pem()).unwrap();
	files
}

/// A client that trusts this certificate and no other.
fn trusting(certified: &CertifiedKey<KeyPair>) -> ClientConfig {
	let mut roots = RootCertStore::empty();
	roots.add(certified.cert.der().clone()).unwrap();
	ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
		.with_safe_default_protocol_versions()
		.unwrap()
		.with_root_certificates(roots)
		.with_no_client_auth()
}

async fn connect(
	address: SocketAddr,
	config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
	let stream = TcpStream::connect(address).await?;
	let name = ServerName::try_from("localhost").unwrap();
	TlsConnector::from(Arc::new(config))
		.connect(name, stream)
		.await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
	stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Sends a request and reads the whole answer.
async fn ask(
	stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
	head: &str,
	body: &[u8],
) -> String {
	let length = body.len();
	let head = format!(
		"{head}\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
	);
	stream.write_all(head.as_bytes()).await.unwrap();
	stream.write_all(body).await.unwrap();
	let mut answer = Vec::new();
	timeout(LONG, stream.read_to_end(&mut answer))
		.await
		.expect("an answer")
		.unwrap();
	String::from_utf8(answer).unwrap()
}

fn client(address: SocketAddr, config: ClientConfig) -> HttpClient {
	HttpClientBuilder::default()
		.with_custom_cert_store(config)
		.build(format!("https://localhost:{}", address.port()))
		.unwrap()
}

#[tokio::test]
async fn calls_subscriptions_uploads_and_pictures_go_over_tls() {
	let directory = tempfile::tempdir().unwrap();
	let mut server = Server::start(directory.path()).await;
	let certified = certificate();
	let tls = Tls::open(write(directory.path(), &certified)).unwrap();
	let address = server.serve_tls(tls, 100).await;
	let trust = trusting(&certified);
	let rpc = client(address, trust.clone());

	let alice = TestMiner {
		client: rpc.clone(),
		..TestMiner::connect(&server, "alice").await
	};
	let task = rpc.task_submit(request("one"), None).await.unwrap();
	let socket = WsClientBuilder::default()
		.with_custom_cert_store(trust.clone())
		.build(format!("wss://localhost:{}", address.port()))
		.await
		.unwrap();
	let mut events: Subscription<TaskStatus> = socket
		.subscribe("task_subscribe", rpc_params![task.id], "task_unsubscribe")
		.await
		.unwrap();

	let work = alice.work().await;
	let picture = png(work.spec.width.into(), work.spec.height.into(), 7);
	let name = hash(&picture);
	let mut stream = connect(address, trust.clone()).await.unwrap();
	let head = format!(
		"PUT /artifacts/{name:?} HTTP/1.1\r\nauthorization: Bearer {:?}",
		alice.session.token
	);
	let answer = ask(&mut stream, &head, &picture).await;
	assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
	assert!(
		alice
			.submit(&work, alice.commitment(&work, name))
			.await
			.unwrap()
			.accepted
	);
	loop {
		let event = timeout(LONG, events.next())
			.await
			.unwrap()
			.unwrap()
			.unwrap();
		if event.state == TaskState::Done {
			break;
		}
	}

	// The addresses of pictures are those under which the client has come.
	let miner = mine(&server, "bob").await;
	let mut stream = connect(address, trust.clone()).await.unwrap();
	let generate = "POST /v1/images/generations HTTP/1.1\r\ncontent-type: application/json";
	let answer = ask(&mut stream, generate, br#"{"prompt": "two"}"#).await;
	assert!(
		answer.contains(r#""url":"https://localhost/artifacts/0x"#),
		"{answer}"
	);
	miner.abort();

	assert!(connect(address, trusting(&certificate())).await.is_err());
	let strange = client(address, trusting(&certificate()));
	assert!(strange.coordinator_info().await.is_err());
	server.stop().await;
}

#[tokio::test]
async fn who_speaks_plain_http_to_tls_is_told_so() {
	let directory = tempfile::tempdir().unwrap();
	let mut server = Server::start(directory.path()).await;
	let tls = Tls::open(write(directory.path(), &certificate())).unwrap();
	let address = server.serve_tls(tls, 100).await;
	let mut plain = TcpStream::connect(address).await.unwrap();
	let answer = ask(&mut plain, "GET /healthz HTTP/1.1", b"").await;
	assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
	assert!(answer.contains("use https://"), "{answer}");

	let mut garbage = TcpStream::connect(address).await.unwrap();
	garbage.write_all(&[0xff; 100]).await.unwrap();
	let mut answer = Vec::new();
	// Cut off, orderly or not.
	let _ = timeout(LONG, garbage.read_to_end(&mut answer))
		.await
		.unwrap();
	assert!(answer.is_empty(), "{answer:?}");
	server.stop().await;
}

#[tokio::test]
async fn handshakes_that_never_end_are_connections_and_are_cut_off() {
	let directory = tempfile::tempdir().unwrap();
	let mut server = Server::start(directory.path()).await;
	let certified = certificate();
	let tls = Tls::open(write(directory.path(), &certified)).unwrap();
	let address = server.serve_tls(tls, 2).await;
	let mut silent = TcpStream::connect(address).await.unwrap();
	let mut slow = TcpStream::connect(address).await.unwrap();
	// The beginning of a handshake.
	slow.write_all(&[0x16, 0x03, 0x01]).await.unwrap();

	let good = connect(address, trusting(&certified));
	tokio::pin!(good);
	let soon = timeout(Duration::from_millis(500), &mut good).await;
	assert!(soon.is_err(), "both places are taken");
	let mut good = timeout(LONG, good).await.expect("a place is free").unwrap();
	let answer = ask(&mut good, "GET /healthz HTTP/1.1", b"").await;
	assert!(answer.ends_with("ok"), "{answer}");
	for stalled in [&mut silent, &mut slow] {
		let mut rest = Vec::new();
		let _ = timeout(LONG, stalled.read_to_end(&mut rest))
			.await
			.expect("cut off");
	}
	server.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_once_both_files_are_there() {
	let directory = tempfile::tempdir().unwrap();
	let mut server = Server::start(directory.path()).await;
	let (old, new) = (certificate(), certificate());
	let files = write(directory.path(), &old);
	let tls = Tls::open(files.clone()).unwrap();
	let address = server.serve_tls(tls.clone(), 100).await;
	let mut before = connect(address, trusting(&old)).await.unwrap();
	assert!(!tls.reload().unwrap(), "nothing is new");

	std::fs::write(&files.certificate, new.cert.pem()).unwrap();
	assert!(matches!(tls.reload(), Err(TlsError::Unusable(..))));
	assert!(!tls.reload().unwrap(), "told once");
	let still = connect(address, trusting(&old)).await.unwrap();
	assert_eq!(shown(&still), *old.cert.der());

	std::fs::write(&files.key, new.signing_key.serialize_pem()).unwrap();
	assert!(tls.reload().unwrap());
	let after = connect(address, trusting(&new)).await.unwrap();
	assert_eq!(shown(&after), *new.cert.der());
	assert!(connect(address, trusting(&old)).await.is_err());
	let answer = ask(&mut before, "GET /healthz HTTP/1.1", b"").await;
	assert!(answer.ends_with("ok"), "open connections go on: {answer}");

	std::fs::remove_file(&files.key).unwrap();
	assert!(matches!(tls.reload(), Err(TlsError::File(..))));
	assert!(connect(address, trusting(&new)).await.is_ok());
	server.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
	let directory = tempfile::tempdir().unwrap();
	let files = write(directory.path(), &certificate());
	files.check().unwrap();
	let swapped = Files {
		certificate: files.key.clone(),
		key: files.certificate.clone(),
	};
	let error = swapped.check().unwrap_err().to_string();
	assert!(error.contains("key.pem holds no certificate"), "{error}");
	let no_key = Files {
		key: files.certificate.clone(),
		..files.clone()
	};
	let error = no_key.check().unwrap_err().to_string();
	assert!(error.contains("cert.pem holds no private key"), "{error}");
	std::fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
	let error = files.check().unwrap_err().to_string();
	assert!(error.contains("cannot be used"), "{error}");
	std::fs::remove_file(&files.certificate).unwrap();
	assert!(matches!(files.check(), Err(TlsError::File(..))));
}
