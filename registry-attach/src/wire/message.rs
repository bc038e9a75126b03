//! Requests and answers.

use registry_core::{
    ChangePage, ChangesRequest, Committed, Head, Key, Note, Outcome, RangePage, RangeRequest,
    RestorePage, Revision, Transaction, TransactionId, VerifyReport, Versioned,
};
use serde::{Deserialize, Serialize};

use super::{Failure, Sharing, decode, encode, form};

/// A call of the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Head,
    Get(Key),
    Range(RangeRequest),
    Commit(#[serde(with = "form")] Vec<Transaction>),
    Find(TransactionId),
    Changes(ChangesRequest),
    Note(Note),
    Notes,
    Compact(Revision),
    Restore(#[serde(with = "form")] RestorePage),
    Verify,
    Sharing,
}

impl Request {
    /// Whether it changes the store.
    pub(crate) fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Commit(_) | Self::Note(_) | Self::Compact(_) | Self::Restore(_)
        )
    }

    /// Whether sending it twice comes to the same as sending it once.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Restore(_))
    }
}

/// What a call came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Head(Head),
    Record(#[serde(with = "form")] Option<Versioned>),
    Range(#[serde(with = "form")] RangePage),
    Outcomes(Vec<Outcome>),
    Found(Option<Committed>),
    Changes(#[serde(with = "form")] ChangePage),
    Notes(Vec<Note>),
    Report(VerifyReport),
    Sharing(Sharing),
    Done,
}

/// What an attached opener sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromPeer<R = Request> {
    /// A request, and the number that its answer carries.
    Ask { id: u64, request: R },
    /// Asks for a sign of life.
    Ping,
}

/// What an owner sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromOwner {
    Answer {
        id: u64,
        answer: Result<Answer, Failure>,
    },
    /// The last commit is that one.
    Moved(Revision),
    /// A restore has begun that is not sealed yet: there is no last commit to wait for.
    Restoring,
    Pong,
    /// The store is handed over to a newer version: leave it alone for a while.
    Yielding,
}

/// Whether the content of a frame is a message of an attached opener. One that is can be written and read again.
pub fn read_from_peer(content: &[u8]) -> bool {
    reads_back(decode::<FromPeer>(content).ok(), |content| {
        decode::<FromPeer>(content).is_ok()
    })
}

/// Whether the content of a frame is a message of an owner. One that is can be written and read again.
pub fn read_from_owner(content: &[u8]) -> bool {
    reads_back(decode::<FromOwner>(content).ok(), |content| {
        decode::<FromOwner>(content).is_ok()
    })
}

fn reads_back<T: Serialize>(message: Option<T>, is_readable: impl Fn(&[u8]) -> bool) -> bool {
    let Some(message) = message else {
        return false;
    };
    if let Ok(frame) = encode(&message) {
        assert!(
            is_readable(&frame[4..]),
            "a message that was read is written as one"
        );
    }
    true
}
