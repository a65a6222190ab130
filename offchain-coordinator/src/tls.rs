//! TLS on the public port, by rustls: a certificate and its key from PEM files, which are looked at again
//! while it runs, so that a renewed certificate needs no restart.

use rustls::{
	crypto::{ring, CryptoProvider},
	pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer},
	server::{ClientHello, ResolvesServerCert},
	sign::CertifiedKey,
	ServerConfig,
};
use std::{
	path::{Path, PathBuf},
	sync::{Arc, PoisonError, RwLock},
	time::Duration,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What is spoken over TLS: a connection serves one request after the other, which the limits of
/// connections rely on, so there is no HTTP/2.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
	/// A file cannot be read.
	#[error("{0} cannot be read: {1}")]
	File(PathBuf, std::io::Error),
	/// A file has no such thing in it.
	#[error("{0} holds no {1} in PEM: {2}")]
	Pem(PathBuf, &'static str, rustls::pki_types::pem::Error),
	/// The two cannot be used together.
	#[error("the certificate in {0} and the key in {1} cannot be used: {2}")]
	Unusable(PathBuf, PathBuf, rustls::Error),
	/// TLS itself.
	#[error("TLS cannot be set up: {0}")]
	Setup(rustls::Error),
}

/// Where certificate and key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
	/// The certificate, with those between it and the root after it.
	pub certificate: PathBuf,
	/// Its private key.
	pub key: PathBuf,
}

/// The files as they are read together.
struct Contents {
	certificate: Vec<u8>,
	key: Vec<u8>,
}

impl Files {
	/// Reads both and checks that they belong together.
	pub fn check(&self) -> Result<(), TlsError> {
		self.certified(&self.read()?).map(drop)
	}

	fn read(&self) -> Result<Contents, TlsError> {
		let read = |path: &Path| {
			std::fs::read(path).map_err(|error| TlsError::File(path.to_owned(), error))
		};
		Ok(Contents {
			certificate: read(&self.certificate)?,
			key: read(&self.key)?,
		})
	}

	fn certified(&self, contents: &Contents) -> Result<CertifiedKey, TlsError> {
		let chain = CertificateDer::pem_slice_iter(&contents.certificate)
			.collect::<Result<Vec<_>, _>>()
			.and_then(|chain| match chain.is_empty() {
				true => Err(rustls::pki_types::pem::Error::NoItemsFound),
				false => Ok(chain),
			})
			.map_err(|error| TlsError::Pem(self.certificate.clone(), "certificate", error))?;
		let key = PrivateKeyDer::from_pem_slice(&contents.key)
			.map_err(|error| TlsError::Pem(self.key.clone(), "private key", error))?;
		CertifiedKey::from_der(chain, key, &ring::default_provider())
			.map_err(|error| TlsError::Unusable(self.certificate.clone(), self.key.clone(), error))
	}
}

/// The certificate in use.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
	fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
		let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
		Some(current.clone())
	}
}

/// The server's side of TLS.
pub struct Tls {
	files: Files,
	/// BLAKE3 of what was read last, usable or not.
	seen: RwLock<Option<blake3::Hash>>,
	current: Arc<Current>,
	acceptor: TlsAcceptor,
}

impl Tls {
	/// With what is in the files now.
	pub fn open(files: Files) -> Result<Arc<Self>, TlsError> {
		let contents = files.read()?;
		let certified = files.certified(&contents)?;
		let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
		let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
		let mut config = ServerConfig::builder_with_provider(provider)
			.with_safe_default_protocol_versions()
			.map_err(TlsError::Setup)?
			.with_no_client_auth()
			.with_cert_resolver(current.clone());
		config.alpn_protocols = vec![PROTOCOL.to_vec()];
		Ok(Arc::new(Self {
			files,
			seen: RwLock::new(Some(hash(&contents))),
			current,
			acceptor: TlsAcceptor::from(Arc::new(config)),
		}))
	}

	pub(crate) fn acceptor(&self) -> TlsAcceptor {
		self.acceptor.clone()
	}

	/// Takes what is in the files now, if it is new; says whether it was. What cannot be used leaves
	/// everything as it is, and is told once.
	pub fn reload(&self) -> Result<bool, TlsError> {
		let contents = self.files.read();
		let now = contents.as_ref().ok().map(hash);
		{
			let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
			if *seen == now {
				return Ok(false);
			}
			*seen = now;
		}
		let certified = self.files.certified(&contents?)?;
		let mut current = self
			.current
			.0
			.write()
			.unwrap_or_else(PoisonError::into_inner);
		*current = Arc::new(certified);
		Ok(true)
	}

	/// Looks for renewed files until `stop`.
	pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
		loop {
			tokio::select! {
				() = stop.cancelled() => return,
				() = tokio::time::sleep(LOOK_EVERY) => {},
			}
			match self.reload() {
				Ok(true) => tracing::info!("the TLS certificate was renewed"),
				Ok(false) => {},
				// Often only the first of the two files is new yet.
				Err(error) => tracing::warn!(%error, "the TLS certificate stays the old one"),
			}
		}
	}
}

fn hash(contents: &Contents) -> blake3::Hash {
	let mut hasher = blake3::Hasher::new();
	hasher.update(&(contents.certificate.len() as u64).to_le_bytes());
	hasher.update(&contents.certificate);
	hasher.update(&contents.key);
	hasher.finalize()
}
