//! What sled's errors mean to a caller of the store.

use std::path::Path;

use registry_core::{CodecError, ErrorKind, StoreError};

use crate::store::BACKEND;

/// An error of sled while it did what `detail` says.
pub(crate) fn engine(path: &Path, detail: impl Into<String>, error: sled::Error) -> StoreError {
    let kind = match &error {
        sled::Error::Io(cause) => match cause.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
                ErrorKind::Corrupted
            }
            _ => ErrorKind::Unavailable,
        },
        sled::Error::Unsupported(_) => ErrorKind::Invalid,
        _ => ErrorKind::Corrupted,
    };
    StoreError::new(kind, BACKEND, detail)
        .at_path(path)
        .caused_by(error)
}

/// What is stored is damaged.
pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupted, BACKEND, detail).at_path(path)
}

/// Stored bytes that belong to no key could not be read.
pub(crate) fn codec(path: &Path, detail: impl Into<String>, error: CodecError) -> StoreError {
    let kind = match &error {
        CodecError::SchemaTooNew { found } => ErrorKind::SchemaTooNew { found: *found },
        _ => ErrorKind::Corrupted,
    };
    StoreError::new(kind, BACKEND, detail)
        .at_path(path)
        .caused_by(error)
}
