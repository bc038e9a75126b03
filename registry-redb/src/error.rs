//! What redb's errors mean to a caller of the store.

use std::path::Path;

use registry_core::{CodecError, ErrorKind, Holder, StoreError};

use crate::store::BACKEND;

/// An error of redb while it did what `detail` says.
pub(crate) fn engine(
    path: &Path,
    detail: impl Into<String>,
    error: impl Into<redb::Error>,
) -> StoreError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Io(cause) => match cause.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData => {
                ErrorKind::Corrupted
            }
            _ => ErrorKind::Unavailable,
        },
        redb::Error::PreviousIo => ErrorKind::Unavailable,
        redb::Error::DatabaseAlreadyOpen => ErrorKind::Locked(Holder::default()),
        redb::Error::DatabaseClosed => ErrorKind::Closed,
        redb::Error::UpgradeRequired(_) | redb::Error::TableDoesNotExist(_) => ErrorKind::Invalid,
        _ => ErrorKind::Corrupted,
    };
    StoreError::new(kind, BACKEND, detail)
        .at_path(path)
        .caused_by(error)
}

/// What is stored at `place` is damaged.
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
