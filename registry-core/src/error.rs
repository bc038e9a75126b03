//! Errors of stores and of the codec. Those of the domain are in [`crate::engine`].

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codec::CodecId;
use crate::hash::Hash;
use crate::key::Key;
use crate::model::ModelError;
use crate::revision::Revision;
use crate::schema::{SCHEMA, SchemaVersion};

/// Why stored bytes are not a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes do not begin as a stored value does.
    #[error("not a stored value: {0}")]
    Header(&'static str),
    /// The checksum is not that of the key, the revisions and the record.
    #[error("expected checksum {expected:08x}, found {found:08x}")]
    Checksum {
        /// What the header says.
        expected: u32,
        /// What the content adds up to.
        found: u32,
    },
    /// The hash is not that of the record.
    #[error("expected record hash {expected}, found {found}")]
    Hash {
        /// What is stored.
        expected: Hash,
        /// What the record yields.
        found: Hash,
    },
    /// A limit of the decoder was met before decoding.
    #[error("the value has {found} {unit}, more than {max}")]
    Limit {
        /// What was counted.
        unit: &'static str,
        /// The limit.
        max: usize,
        /// What was found.
        found: usize,
    },
    /// The major version is not ours.
    #[error("schema {found} is newer than {SCHEMA}")]
    SchemaTooNew {
        /// The version found.
        found: SchemaVersion,
    },
    /// The codec could not read the body.
    #[error("{codec} cannot read the body: {detail}")]
    Body {
        /// The codec.
        codec: CodecId,
        /// Its own words.
        detail: String,
    },
    /// A backend's own fact has another form.
    #[error("cannot read the fact: {0}")]
    Fact(String),
    /// The value was read and breaks a rule of the model.
    #[error("the value breaks a rule: {0}")]
    Model(#[from] ModelError),
}

/// Who holds a path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Holder {
    /// Process id, where it could be read.
    pub pid: Option<u32>,
    /// Version of the program, where it could be read.
    pub version: Option<String>,
    /// Where it serves the store to others, where it does.
    pub socket: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => f.write_str("another process")?,
        }
        match &self.version {
            Some(version) => write!(f, " (version {version})"),
            None => Ok(()),
        }
    }
}

/// The kind of a store's failure: what a caller can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no store at the path.
    NotFound,
    /// The log was compacted beyond the revision asked for; the oldest one to resume after is told.
    Compacted {
        /// Ask for changes after this revision or a later one.
        oldest: Revision,
    },
    /// Somebody else holds the path.
    Locked(Holder),
    /// This backend does not do that.
    Unsupported,
    /// A named limit was exceeded.
    LimitExceeded {
        /// Name of the limit.
        limit: Cow<'static, str>,
        /// Its value.
        max: u64,
        /// What was asked.
        found: u64,
    },
    /// The request makes no sense in this state of the store.
    Invalid,
    /// What is stored is damaged.
    Corrupted,
    /// What is stored was written by a newer program.
    SchemaTooNew {
        /// The version found.
        found: SchemaVersion,
    },
    /// The store cannot be reached or the system refused; nothing was applied.
    Unavailable,
    /// The commit may or may not have been applied; sending it again with the same ids tells.
    MaybeApplied,
    /// An earlier write could not be made durable. The store refuses writes until it is reopened.
    Poisoned,
    /// Another writer committed first; nothing was applied.
    Conflict,
    /// The store was closed.
    Closed,
}

impl ErrorKind {
    /// Whether the same request can succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Locked(_) | Self::Unavailable | Self::MaybeApplied | Self::Conflict
        )
    }
}

/// A store's failure: what was tried, where, on which key, and why.
#[derive(Debug)]
pub struct StoreError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    backend: &'static str,
    detail: String,
    key: Option<Key>,
    path: Option<PathBuf>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// A failure of a backend. `detail` reads after "failed to", or tells expected and found.
    pub fn new(kind: ErrorKind, backend: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            backend,
            detail: detail.into(),
            key: None,
            path: None,
            source: None,
        }))
    }

    /// Names the key.
    #[must_use]
    pub fn at_key(mut self, key: &Key) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// Names the file or folder.
    #[must_use]
    pub fn at_path(mut self, path: &Path) -> Self {
        self.0.path = Some(path.to_path_buf());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The system refused an operation on a path.
    pub fn io(
        backend: &'static str,
        detail: impl Into<String>,
        path: &Path,
        error: std::io::Error,
    ) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Unavailable,
        };
        Self::new(kind, backend, detail)
            .at_path(path)
            .caused_by(error)
    }

    /// Stored bytes at a key are not a value.
    pub fn codec(backend: &'static str, key: &Key, error: CodecError) -> Self {
        let kind = match &error {
            CodecError::SchemaTooNew { found } => ErrorKind::SchemaTooNew { found: *found },
            _ => ErrorKind::Corrupted,
        };
        Self::new(kind, backend, "read the stored value")
            .at_key(key)
            .caused_by(error)
    }

    /// A named limit was exceeded.
    pub fn limit(backend: &'static str, limit: &'static str, max: usize, found: usize) -> Self {
        let kind = ErrorKind::LimitExceeded {
            limit: limit.into(),
            max: max as u64,
            found: found as u64,
        };
        Self::new(kind, backend, format!("{limit} is {max}, found {found}"))
    }

    /// What a caller can act on.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Name of the backend.
    pub fn backend(&self) -> &'static str {
        self.0.backend
    }

    /// The key, where one is known.
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// The file or folder, where one is known.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// What went wrong, without paths: fit for a client.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether the same request can succeed later without a change by the caller.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            backend,
            detail,
            key,
            path,
            ..
        } = &*self.0;
        write!(f, "{backend} store: ")?;
        match kind {
            ErrorKind::Locked(holder) => write!(f, "held by {holder}: ")?,
            ErrorKind::Compacted { oldest } => write!(f, "compacted through revision {oldest}: ")?,
            ErrorKind::SchemaTooNew { found } => {
                write!(f, "schema {found} is newer than {SCHEMA}: ")?;
            }
            ErrorKind::Corrupted => f.write_str("damaged: ")?,
            ErrorKind::Poisoned => f.write_str("refuses writes until it is reopened: ")?,
            ErrorKind::MaybeApplied => f.write_str("the outcome is unknown: ")?,
            _ => {}
        }
        f.write_str(detail)?;
        if let Some(key) = key {
            write!(f, ", at {key}")?;
        }
        match path {
            Some(path) => write!(f, ", in {}", path.display()),
            None => Ok(()),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
