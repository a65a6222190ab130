//! Whom the miner believes to be who they say when it speaks TLS.

use rustls::{
	crypto::ring,
	pki_types::{pem::PemObject, CertificateDer},
	ClientConfig,
};
use rustls_platform_verifier::Verifier;
use std::{
	path::{Path, PathBuf},
	sync::Arc,
};

/// The roots that count: the system's, and perhaps some of a file.
#[derive(Clone, Debug)]
pub struct Trust(ClientConfig);

/// A file of roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
	/// It holds none.
	#[error("{0} holds no certificate in PEM: {1}")]
	File(PathBuf, rustls::pki_types::pem::Error),
	/// One of them is none.
	#[error("a certificate in {0} cannot be used: {1}")]
	Certificate(PathBuf, rustls::Error),
	/// TLS itself.
	#[error("TLS cannot be set up: {0}")]
	Setup(rustls::Error),
}

impl Trust {
	/// In the system's roots alone.
	pub fn system() -> Result<Self, TrustError> {
		Self::with(Verifier::new())
	}

	/// In the system's roots and in those of a PEM file, if one is named.
	pub fn and(file: Option<&Path>) -> Result<Self, TrustError> {
		let Some(file) = file else {
			return Self::system();
		};
		let unread = |error| TrustError::File(file.to_owned(), error);
		let roots = CertificateDer::pem_file_iter(file)
			.and_then(Iterator::collect::<Result<Vec<_>, _>>)
			.map_err(unread)?;
		if roots.is_empty() {
			return Err(unread(rustls::pki_types::pem::Error::NoItemsFound));
		}
		let refused = |error| TrustError::Certificate(file.to_owned(), error);
		// The verifier passes over what it cannot use: whoever named the file is told instead.
		let mut store = rustls::RootCertStore::empty();
		for root in &roots {
			store.add(root.clone()).map_err(refused)?;
		}
		Self::with(Verifier::new_with_extra_roots(roots).map_err(refused)?)
	}

	fn with(verifier: Verifier) -> Result<Self, TrustError> {
		let provider = Arc::new(ring::default_provider());
		let verifier = verifier.with_provider(provider.clone());
		let config = ClientConfig::builder_with_provider(provider)
			.with_safe_default_protocol_versions()
			.map_err(TrustError::Setup)?
			.dangerous()
			.with_custom_certificate_verifier(Arc::new(verifier))
			.with_no_client_auth();
		Ok(Self(config))
	}

	/// The client's side of TLS.
	pub fn config(&self) -> ClientConfig {
		self.0.clone()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_file_without_a_root_is_refused() {
		let folder = tempfile::tempdir().unwrap();
		let file = folder.path().join("ca.pem");
		assert!(matches!(Trust::and(Some(&file)), Err(TrustError::File(..))));
		std::fs::write(&file, "no certificate").unwrap();
		assert!(matches!(Trust::and(Some(&file)), Err(TrustError::File(..))));
		let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
		std::fs::write(&file, empty).unwrap();
		assert!(matches!(
			Trust::and(Some(&file)),
			Err(TrustError::Certificate(..))
		));
		assert!(Trust::and(None).is_ok());
	}
}
