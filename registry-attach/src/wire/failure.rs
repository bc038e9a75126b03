//! A failure of the owner's store, told to who asked.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use registry_core::{ErrorKind, Key, StoreError};
use serde::{Deserialize, Serialize};

/// Causes that are told; there are two or three.
const CAUSES_MAX: usize = 8;

/// What a [`StoreError`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    kind: ErrorKind,
    detail: String,
    key: Option<Key>,
    path: Option<String>,
    causes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            key: None,
            path: None,
            causes: Vec::new(),
        }
    }

    pub(crate) fn into_error(self, backend: &'static str) -> StoreError {
        let mut error = StoreError::new(self.kind, backend, self.detail);
        if let Some(key) = &self.key {
            error = error.at_key(key);
        }
        if let Some(path) = self.path {
            error = error.at_path(&PathBuf::from(path));
        }
        let causes = self.causes.into_iter().rev();
        let cause = causes.fold(None, |cause, text| Some(Box::new(Cause { text, cause })));
        match cause {
            Some(cause) => error.caused_by(cause as Box<dyn Error + Send + Sync>),
            None => error,
        }
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let causes = std::iter::successors(error.source(), |cause: &&dyn Error| (*cause).source());
        Self {
            kind: error.kind().clone(),
            detail: error.detail().to_owned(),
            key: error.key().cloned(),
            path: error.path().map(|path| path.display().to_string()),
            causes: causes.take(CAUSES_MAX).map(ToString::to_string).collect(),
        }
    }
}

/// A cause at the owner, in its own words.
#[derive(Debug)]
struct Cause {
    text: String,
    cause: Option<Box<Cause>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn an_error_arrives_as_it_was_sent() {
        let cause = std::io::Error::other("the disk");
        let sent = StoreError::limit("redb", "name_bytes_max", 255, 300)
            .at_path(Path::new("/a/b"))
            .at_key(&Key::service("api").unwrap())
            .caused_by(cause);
        let text = serde_json::to_string(&Failure::from(&sent)).unwrap();
        let received: Failure = serde_json::from_str(&text).unwrap();
        let received = received.into_error("redb");
        assert_eq!(received.to_string(), sent.to_string());
        assert_eq!(received.kind(), sent.kind());
        assert_eq!(received.source().unwrap().to_string(), "the disk");
    }
}
