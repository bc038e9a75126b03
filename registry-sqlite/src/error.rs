//! What SQLite and the rows say, as errors of a store.

use std::path::Path;

use registry_core::{CodecError, ErrorKind, Key, SchemaVersion, StoreError};
use rusqlite::ErrorCode;

use crate::BACKEND;

/// A failure inside the backend, before it is known which file it belongs to.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite's own.
    Engine(rusqlite::Error),
    /// A row is not what was written.
    Damaged { place: String, problem: String },
    /// A newer program wrote it.
    TooNew(SchemaVersion),
    /// Complete already.
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// A row that is not what was written.
    pub(crate) fn damaged(place: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self::Damaged {
            place: place.into(),
            problem: format!("{problem}"),
        }
    }

    /// A value that the codec refuses.
    pub(crate) fn codec(place: impl Into<String>, error: &CodecError) -> Self {
        match error {
            CodecError::SchemaTooNew { found } => Self::TooNew(*found),
            _ => Self::damaged(place, error),
        }
    }

    /// A record that is of another kind than its table.
    pub(crate) fn misplaced(key: &Key, table: &str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("keep {key} in {table}"))
    }

    /// A failure of the request or of its moment.
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::Store(StoreError::new(kind, BACKEND, detail))
    }

    /// Whether the disk failed, so that nobody knows what it kept.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Engine(error)
            if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    /// What is wrong, in words for a finding.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Engine(error) => error.to_string(),
            Self::Damaged { problem, .. } => problem.clone(),
            Self::TooNew(found) => format!("schema {found} is newer"),
            Self::Store(error) => error.to_string(),
        }
    }

    /// The error of a store in that file. `detail` reads after "failed to".
    pub(crate) fn at(self, path: &Path, detail: &str) -> StoreError {
        let new = |kind, detail: String| StoreError::new(kind, BACKEND, detail).at_path(path);
        match self {
            Self::Engine(error) => new(kind_of(&error), detail.to_owned()).caused_by(error),
            Self::Damaged { place, problem } => new(
                ErrorKind::Corrupted,
                format!("{detail}: {place}: {problem}"),
            ),
            Self::TooNew(found) => new(ErrorKind::SchemaTooNew { found }, detail.to_owned()),
            Self::Store(error) if error.path().is_none() => error.at_path(path),
            Self::Store(error) => error,
        }
    }
}

fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => ErrorKind::Invalid,
        // Constraints and types are the schema's: a file that breaks them was changed by somebody else. An error
        // without a code is a column of another type.
        Some(
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown,
        )
        | None => ErrorKind::Corrupted,
        Some(_) => ErrorKind::Unavailable,
    }
}
