//! What this opener is to the store at a moment.

use std::sync::Arc;

use registry_core::{ErrorKind, StoreError};

use crate::link::Link;
use crate::seat::Seat;

/// What this opener is to the store.
#[derive(Debug)]
pub(crate) enum Role {
    /// It holds the store.
    Owner(Arc<Seat>),
    /// It asks the owner.
    Attached(Arc<Link>),
    /// Between two roles: the owner is gone, and nobody is known to be the next.
    Seeking,
    /// The store cannot be used any more.
    Failed {
        kind: ErrorKind,
        detail: String,
    },
    Closed,
}

impl Role {
    pub(crate) fn failed(error: &StoreError) -> Self {
        Self::Failed {
            kind: error.kind().clone(),
            detail: error.detail().to_owned(),
        }
    }
}
