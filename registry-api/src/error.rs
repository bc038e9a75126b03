//! The one table of errors: code, HTTP status, whether a retry can help, hint.

use registry_core::engine::{RegistryError, WatchEnd};
use registry_core::{ErrorKind, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

/// What went wrong, in the form that every face sends.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// Name of the error in the table.
    pub code: ErrorCode,
    /// What, which key, expected and found.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// When it happened.
    pub ts: Timestamp,
    /// The request's id, where it could be read.
    pub request_id: Option<String>,
}

macro_rules! error_table {
    ($($(#[$doc:meta])* $code:ident = $status:literal, $retryable:literal, $hint:literal;)*) => {
        /// Names of errors. A name never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// The HTTP status.
            pub fn http_status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// Whether the same request can succeed later.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$code => $retryable,)* }
            }

            /// What to do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$code => $hint,)* }
            }
        }
    };
}

error_table! {
    /// The request cannot be read or breaks a rule of the model.
    BadRequest = 400, false, "correct the field that the message names";
    /// There is no such action.
    UnknownAction = 400, false, "see docs/protocol.md for the actions";
    /// A token is required, or the one given is not known.
    Unauthorized = 401, false, "send a known token";
    /// The token does not allow this.
    Forbidden = 403, false, "use a token with write access";
    /// Nothing has that name.
    NotFound = 404, false, "list the services to see the names there are";
    /// The instance has no lease: it never registered, or it expired, or it was deregistered.
    NoLease = 404, false, "register the instance again";
    /// There is no such path.
    UnknownRoute = 404, false, "see docs/http.md or /openapi.json for the routes";
    /// The path is there, and does not take this method.
    MethodNotAllowed = 405, false, "use a method of the header allow";
    /// The request did not arrive in time.
    RequestTimeout = 408, true, "send the request faster";
    /// Something has that name already.
    AlreadyExists = 409, false, "read it, or register without asking that it be absent";
    /// It is at another revision than expected.
    StaleRevision = 409, false, "read it again and decide again";
    /// A later start of the instance registered, or this one was deregistered.
    StaleIncarnation = 409, false, "a new start of the instance takes a higher incarnation than the one told";
    /// Other writers kept committing first.
    Contended = 409, true, "send it again";
    /// The snapshot that a cursor belongs to is no longer kept.
    CursorExpired = 410, true, "start the list again without a cursor";
    /// The log no longer goes back that far.
    Compacted = 410, false, "take a snapshot and go on from its revision";
    /// A named limit was exceeded.
    LimitExceeded = 413, false, "send less at a time";
    /// The body is no JSON, as its content-type says.
    UnsupportedMediaType = 415, false, "send JSON with content-type: application/json";
    /// The path takes WebSocket connections alone.
    UpgradeRequired = 426, false, "open a WebSocket, or see docs/http.md for the routes";
    /// Requests come faster than allowed.
    RateLimited = 429, true, "wait a second";
    /// A newer program wrote what this one was to change.
    SchemaTooNew = 409, false, "upgrade this daemon, or change it with the newer one";
    /// This build or backend does not do that.
    Unsupported = 501, false, "see the message for what does";
    /// The store cannot be reached or refuses writes; reads go on.
    StoreUnavailable = 503, true, "wait for the store, and see the daemon's log";
    /// What is stored is damaged.
    StoreDamaged = 500, false, "run `harness registry verify` on the store";
    /// The write may or may not have been applied.
    OutcomeUnknown = 503, true, "read, or send it again with the same idempotency_key";
    /// As much is under way as the daemon takes at a time.
    Overloaded = 503, true, "wait a second";
    /// The daemon is about to end.
    ShuttingDown = 503, true, "connect again";
    /// A bug.
    Internal = 500, false, "report it with the daemon's log";
}

impl ErrorInfo {
    /// An error of the table.
    pub fn new(code: ErrorCode, message: impl Into<String>, ts: Timestamp) -> Self {
        Self {
            code,
            message: message.into(),
            hint: code.hint().to_owned(),
            retryable: code.is_retryable(),
            ts,
            request_id: None,
        }
    }

    /// A domain error as the table has it. Paths stay in the daemon's log.
    pub fn of(error: &RegistryError, ts: Timestamp) -> Self {
        let (code, message) = match error {
            RegistryError::Store(store) => {
                tracing::warn!(error = %store, "the store failed");
                (store_code(store), store_message(store))
            }
            error => (domain_code(error), error.to_string()),
        };
        Self::new(code, message, ts)
    }

    /// The end of a watch as the table has it.
    pub fn of_watch(end: &WatchEnd, ts: Timestamp) -> Self {
        match end {
            WatchEnd::Failed(error) => Self::of(error, ts),
            WatchEnd::Compacted { .. } => Self::new(ErrorCode::Compacted, end.to_string(), ts),
            WatchEnd::Closed => Self::new(ErrorCode::ShuttingDown, end.to_string(), ts),
            _ => Self::new(ErrorCode::LimitExceeded, end.to_string(), ts),
        }
    }

    /// Names the request.
    #[must_use]
    pub fn for_request(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }
}

fn domain_code(error: &RegistryError) -> ErrorCode {
    match error {
        RegistryError::UnknownService { .. } | RegistryError::UnknownInstance { .. } => {
            ErrorCode::NotFound
        }
        RegistryError::NoLease { .. } => ErrorCode::NoLease,
        RegistryError::StaleIncarnation { .. } => ErrorCode::StaleIncarnation,
        RegistryError::AlreadyExists { .. } => ErrorCode::AlreadyExists,
        RegistryError::StaleRevision { .. } => ErrorCode::StaleRevision,
        RegistryError::Invalid(_) => ErrorCode::BadRequest,
        RegistryError::SchemaTooNew { .. } => ErrorCode::SchemaTooNew,
        RegistryError::CursorExpired { .. } => ErrorCode::CursorExpired,
        RegistryError::Contended { .. } => ErrorCode::Contended,
        RegistryError::Store(error) => store_code(error),
        RegistryError::Closed => ErrorCode::ShuttingDown,
        _ => ErrorCode::Internal,
    }
}

fn store_code(error: &StoreError) -> ErrorCode {
    match error.kind() {
        ErrorKind::Compacted { .. } => ErrorCode::Compacted,
        ErrorKind::LimitExceeded { .. } => ErrorCode::LimitExceeded,
        ErrorKind::Invalid => ErrorCode::BadRequest,
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::Corrupted => ErrorCode::StoreDamaged,
        ErrorKind::SchemaTooNew { .. } => ErrorCode::SchemaTooNew,
        ErrorKind::MaybeApplied => ErrorCode::OutcomeUnknown,
        ErrorKind::Conflict => ErrorCode::Contended,
        ErrorKind::Closed => ErrorCode::ShuttingDown,
        _ => ErrorCode::StoreUnavailable,
    }
}

fn store_message(error: &StoreError) -> String {
    match error.kind() {
        ErrorKind::Compacted { oldest } => {
            format!("the log is compacted through revision {oldest}")
        }
        _ => match error.key() {
            Some(key) => format!("the store failed at {key}: {}", error.detail()),
            None => format!("the store failed: {}", error.detail()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_a_hint() {
        for code in ErrorCode::ALL {
            assert!(
                (400..=599).contains(&code.http_status()),
                "{}",
                code.as_str()
            );
            assert!(!code.hint().is_empty(), "{}", code.as_str());
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn messages_of_store_errors_carry_no_path() {
        let path = std::path::Path::new("/secret/place");
        let error = StoreError::new(ErrorKind::Corrupted, "redb", "read a page").at_path(path);
        let info = ErrorInfo::of(&error.into(), Timestamp::default());
        assert_eq!(info.code, ErrorCode::StoreDamaged);
        assert!(!info.message.contains("secret"), "{}", info.message);
    }
}
