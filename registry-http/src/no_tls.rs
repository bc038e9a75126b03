//! A build without TLS, which needs no C compiler: asking for TLS is refused.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This build has no TLS.
    #[error("this build has none; build it with the feature `tls`")]
    NotBuilt,
}

/// There is none.
#[derive(Debug)]
pub enum Tls {}

impl Tls {
    /// Refuses.
    ///
    /// # Errors
    /// [`TlsError::NotBuilt`].
    pub fn load(_certificate: &Path, _key: &Path) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Never called.
    ///
    /// # Errors
    /// None.
    pub fn reload(&self) -> Result<bool, TlsError> {
        match *self {}
    }

    /// Never called.
    #[expect(clippy::unused_async, reason = "as in a build with TLS")]
    pub async fn keep_fresh(&self, _interval: Duration) {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "as in a build with TLS")]
    pub(crate) async fn accept<S>(&self, _stream: S) -> io::Result<S> {
        match *self {}
    }
}
