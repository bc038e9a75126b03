//! TLS by rustls, with a certificate that may change while the daemon runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's refusal.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: expected {expected} in PEM, found {found}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: &'static str,
        /// What it has instead.
        found: String,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate chain and its key in files, as they were read last.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// What was read last, usable or not, so that the same is not tried again.
    tried: Pair,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads a certificate chain and its key, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`] with the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let tried = files.read()?;
        let config = files.config(&tried)?;
        let current = Mutex::new(Current { config, tried });
        Ok(Self { files, current })
    }

    /// Agrees on TLS with the certificate in force.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current().config));
        acceptor.accept(stream).await
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current
            .lock()
            .expect("nothing panics while it holds the configuration")
    }

    /// Looks whether the files have changed, and answers whether another certificate is in force since.
    ///
    /// # Errors
    /// [`TlsError`]; the old certificate stays in force then.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let found = self.files.read()?;
        if self.current().tried == found {
            return Ok(false);
        }
        self.current().tried = found.clone();
        let config = self.files.config(&found)?;
        self.current().config = config;
        Ok(true)
    }

    /// Reloads now and then, for ever.
    pub async fn keep_fresh(&self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            match self.reload() {
                Ok(false) => {}
                Ok(true) => tracing::info!("another TLS certificate is in force"),
                Err(error) => {
                    tracing::warn!(%error, "the TLS certificate stays as it was");
                }
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<Pair, TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::Unreadable {
                path: path.clone(),
                source,
            })
        };
        Ok(Pair {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    fn config(&self, pair: &Pair) -> Result<Arc<ServerConfig>, TlsError> {
        let malformed = |path: &Path, expected, found: String| TlsError::Malformed {
            path: path.to_owned(),
            expected,
            found,
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pair.certificate).collect();
        let chain = chain
            .map_err(|error| malformed(&self.certificate, "certificates", error.to_string()))?;
        if chain.is_empty() {
            let found = "none".to_owned();
            return Err(malformed(&self.certificate, "certificates", found));
        }
        let key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|error| malformed(&self.key, "a private key", error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
