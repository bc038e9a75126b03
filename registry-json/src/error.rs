//! What goes wrong with the files, in the words of the store.

use std::path::Path;

use registry_core::{CodecError, ErrorKind, StoreError};

use crate::store::BACKEND;

/// What is in a file is damaged.
pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Corrupted, BACKEND, detail).at_path(path)
}

/// A line of a file could not be read.
pub(crate) fn codec(path: &Path, detail: impl Into<String>, error: CodecError) -> StoreError {
    let kind = match &error {
        CodecError::SchemaTooNew { found } => ErrorKind::SchemaTooNew { found: *found },
        _ => ErrorKind::Corrupted,
    };
    StoreError::new(kind, BACKEND, detail)
        .at_path(path)
        .caused_by(error)
}

/// The system refused an operation on a file.
pub(crate) fn io<'a>(
    detail: &'a str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> StoreError + 'a {
    move |error| StoreError::io(BACKEND, detail, path, error)
}

/// A file of the store that must be there could not be read.
pub(crate) fn missing(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    move |error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(path, "a file of the store is missing"),
        _ => StoreError::io(BACKEND, "read the file", path, error),
    }
}
