//! Why a registry did not do what it was asked.

use registry_api::{ErrorCode, ErrorInfo};

/// The status of an answer by a daemon that has no room.
const SERVICE_UNAVAILABLE: u16 = 503;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is none.
    #[error("url: expected ws://host:port/ws or unix:PATH, found {found:?}")]
    Address {
        /// The text.
        found: String,
    },
    /// The token has characters that no header may have.
    #[error("the token cannot be sent as a header")]
    Token,
    /// Nobody listens, or the connection ended.
    #[error("no daemon answers at {address}: {problem}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// The answer to the handshake was no upgrade, such as one that asks for a token.
    #[error("no daemon answers at {address}: {status} {body}")]
    TurnedAway {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What came with it.
        body: String,
    },
    /// The registry refused, by the table of errors.
    #[error("{}: {} ({})", .0.code.as_str(), .0.message, .0.hint)]
    Refused(Box<ErrorInfo>),
    /// What came is no message of the protocol.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// More events waited than are kept while an answer is waited for.
    #[error("more than {0} events came while an answer was waited for")]
    TooManyEvents(usize),
}

impl ClientError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(info) => Some(info.code),
            _ => None,
        }
    }

    /// Whether the daemon ended, ends, or cannot be reached now, so that another connection can succeed.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // It has as many connections as it takes.
            Self::TurnedAway { status, .. } => *status == SERVICE_UNAVAILABLE,
            Self::Refused(info) => info.code == ErrorCode::ShuttingDown,
            _ => false,
        }
    }
}

impl From<ErrorInfo> for ClientError {
    fn from(info: ErrorInfo) -> Self {
        Self::Refused(Box::new(info))
    }
}
