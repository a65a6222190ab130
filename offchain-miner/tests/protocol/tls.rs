//! TLS in front of a coordinator, with a certificate of an authority of its own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
	crypto::ring,
	pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
	ServerConfig,
};
use std::{
	net::SocketAddr,
	sync::{
		atomic::{AtomicUsize, Ordering},
		Arc,
	},
	time::Duration,
};
use tokio::{
	net::{TcpListener, TcpStream},
	task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Passes on what comes over TLS; ends when dropped.
pub struct Front {
	address: SocketAddr,
	authority: String,
	refused: Arc<AtomicUsize>,
	task: JoinHandle<()>,
}

impl Drop for Front {
	fn drop(&mut self) {
		self.task.abort();
	}
}

impl Front {
	pub async fn of(server: SocketAddr) -> Self {
		let mut root = CertificateParams::new(vec![]).unwrap();
		root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
		let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
		let key = KeyPair::generate().unwrap();
		let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap();
		let leaf = leaf.signed_by(&key, &root).unwrap();
		let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
		let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
			.with_safe_default_protocol_versions()
			.unwrap()
			.with_no_client_auth()
			.with_single_cert(vec![leaf.der().clone()], key)
			.unwrap();
		let acceptor = TlsAcceptor::from(Arc::new(config));
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let address = listener.local_addr().unwrap();
		let refused = Arc::new(AtomicUsize::new(0));
		let counted = refused.clone();
		let task = tokio::spawn(async move {
			loop {
				let (client, _) = listener.accept().await.unwrap();
				let (acceptor, counted) = (acceptor.clone(), counted.clone());
				tokio::spawn(async move {
					let Ok(mut client) = acceptor.accept(client).await else {
						counted.fetch_add(1, Ordering::SeqCst);
						return;
					};
					let mut server = TcpStream::connect(server).await.unwrap();
					let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
				});
			}
		});
		Self {
			address,
			authority: root.pem(),
			refused,
			task,
		}
	}

	pub fn url(&self) -> String {
		format!("https://localhost:{}", self.address.port())
	}

	/// The authority's certificate in PEM.
	pub fn authority(&self) -> &str {
		&self.authority
	}

	/// Waits until clients have refused the certificate so often.
	pub async fn wait_for_refusals(&self, count: usize) {
		for _ in 0..1_000 {
			if self.refused.load(Ordering::SeqCst) >= count {
				return;
			}
			tokio::time::sleep(Duration::from_millis(20)).await;
		}
		panic!("the certificate is not refused");
	}
}
