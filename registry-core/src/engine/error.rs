//! Errors of the domain. They know nothing of any wire.

use std::sync::Arc;

use crate::error::{ErrorKind, StoreError};
use crate::model::ModelError;
use crate::revision::Revision;
use crate::schema::SchemaVersion;

/// Why the registry refused a command or a read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No service has that name.
    #[error("there is no service {name:?}")]
    UnknownService {
        /// The name.
        name: String,
    },
    /// The service was to be new.
    #[error("service {name:?} exists since revision {created}")]
    AlreadyExists {
        /// The name.
        name: String,
        /// The commit that created it.
        created: Revision,
    },
    /// The service was to be at another revision. Read it again and decide again.
    #[error("service {name:?} is at revision {found}, expected {expected}")]
    StaleRevision {
        /// The name.
        name: String,
        /// What the caller expected.
        expected: Revision,
        /// Where it is.
        found: Revision,
    },
    /// The input breaks a rule of the model.
    #[error("{0}")]
    Invalid(#[from] ModelError),
    /// The service was written by a newer program, which alone can change it without loss.
    #[error("service {name:?} was written in schema {found}, which is newer than this program")]
    SchemaTooNew {
        /// The name.
        name: String,
        /// The schema found.
        found: SchemaVersion,
    },
    /// The page's snapshot is no longer kept. Start the list again.
    #[error("the snapshot of revision {revision} that the cursor belongs to is no longer kept")]
    CursorExpired {
        /// The snapshot's revision.
        revision: Revision,
    },
    /// Other processes kept committing first. Nothing was applied.
    #[error("other processes changed service {name:?} {attempts} times while this was planned")]
    Contended {
        /// The name.
        name: String,
        /// How often it was planned.
        attempts: u32,
    },
    /// The store failed.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// The registry is closed. A command that was handed over may have been applied.
    #[error("the registry is closed")]
    Closed,
}

impl RegistryError {
    /// Whether the same call can succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended { .. } | Self::CursorExpired { .. } => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            ErrorKind::Closed => Self::Closed,
            _ => Self::Store(Arc::new(error)),
        }
    }
}
