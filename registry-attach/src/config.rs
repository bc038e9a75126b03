//! What is shared, and with which claim.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use registry_core::{Clock, OpenMode, RegistryStore, Result, SystemClock};
use serde::{Deserialize, Serialize};

/// Opens the backend's own store at the path, or answers `Locked`. Called once for each time that it is owned; blocks.
pub type OpenStore = Arc<dyn Fn(OpenMode) -> Result<Arc<dyn RegistryStore>> + Send + Sync>;

/// What an opener wants of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Owns the store where nobody does, else attaches.
    Own,
    /// As [`Own`](Self::Own), and asks an owner of an older version to hand the store over.
    OwnNewer,
    /// Reads: attaches to the owner, or opens the store read-only where there is none. Never owns it.
    Read,
}

/// A path that is to be shared.
#[derive(Clone)]
pub struct AttachConfig {
    /// Name of the backend.
    pub backend: &'static str,
    /// The path of the store. `<path>.lock` and `<path>.sock` lie beside it.
    pub path: PathBuf,
    /// What is wanted of it.
    pub claim: Claim,
    /// How the store is opened the first time; later on it is there.
    pub mode: OpenMode,
    /// Opens the backend's own store.
    pub open: OpenStore,
    /// Version of this program, `major.minor.patch`: an owner hands over to a newer one that asks for it.
    pub version: String,
    /// Measures silence.
    pub clock: Arc<dyn Clock>,
}

impl AttachConfig {
    /// Owns the store or attaches to its owner, and makes the store where nothing is.
    pub fn new(backend: &'static str, path: impl Into<PathBuf>, open: OpenStore) -> Self {
        Self {
            backend,
            path: path.into(),
            claim: Claim::Own,
            mode: OpenMode::OpenOrCreate,
            open,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl fmt::Debug for AttachConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachConfig")
            .field("backend", &self.backend)
            .field("path", &self.path)
            .field("claim", &self.claim)
            .field("mode", &self.mode)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Whether a version is newer than another, by its numbers; a version that is none is never newer.
pub(crate) fn is_newer(version: &str, than: &str) -> bool {
    fn numbers(version: &str) -> Option<[u64; 3]> {
        let release = version.split(['-', '+']).next()?;
        let numbers: Result<Vec<u64>, _> = release.split('.').map(str::parse).collect();
        numbers.ok()?.try_into().ok()
    }
    match (numbers(version), numbers(than)) {
        (Some(version), Some(than)) => version > than,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_newer("0.10.0", "0.9.9"));
        assert!(is_newer("1.0.0", "0.9.9-rc.1"));
        for (version, than) in [
            ("0.1.0", "0.1.0"),
            ("0.1.0", "0.2.0"),
            ("x", "0.1.0"),
            ("1.0.0", "x"),
        ] {
            assert!(!is_newer(version, than), "{version} {than}");
        }
    }
}
