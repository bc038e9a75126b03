//! Errors of the domain. They know nothing of any wire.

use std::sync::Arc;

use crate::error::{ErrorKind, StoreError};
use crate::key::Key;
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
    /// No instance of that service has that id.
    #[error("there is no instance {instance_id:?} of service {service:?}")]
    UnknownInstance {
        /// The service.
        service: String,
        /// The instance's id.
        instance_id: String,
    },
    /// The instance is not known, or its lease ended. It must register.
    #[error("instance {instance_id:?} of service {service:?} has no lease: {reason}")]
    NoLease {
        /// The service.
        service: String,
        /// The instance's id.
        instance_id: String,
        /// What became of it.
        reason: &'static str,
    },
    /// A later start of the instance registered, or this one was deregistered.
    #[error(
        "instance {instance_id:?} of service {service:?} is at incarnation {found}, which {given} does not replace"
    )]
    StaleIncarnation {
        /// The service.
        service: String,
        /// The instance's id.
        instance_id: String,
        /// The incarnation that was given.
        given: u64,
        /// The incarnation that is known.
        found: u64,
    },
    /// The record was to be new.
    #[error("{key} exists since revision {created}")]
    AlreadyExists {
        /// The key.
        key: Key,
        /// The commit that created it.
        created: Revision,
    },
    /// The record was to be at another revision. Read it again and decide again.
    #[error("{key} is at revision {found}, expected {expected}")]
    StaleRevision {
        /// The key.
        key: Key,
        /// What the caller expected.
        expected: Revision,
        /// Where it is.
        found: Revision,
    },
    /// The input breaks a rule of the model.
    #[error("{0}")]
    Invalid(#[from] ModelError),
    /// The record was written by a newer program, which alone can change it without loss.
    #[error("{key} was written in schema {found}, which is newer than this program")]
    SchemaTooNew {
        /// The key.
        key: Key,
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
    #[error("other processes changed {key} {attempts} times while this was planned")]
    Contended {
        /// The key.
        key: Key,
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
