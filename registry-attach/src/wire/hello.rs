//! The first frame of each side. Its form never changes: fields are added, none is removed or read otherwise.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Failure, PROTOCOL, decode};
use crate::config::Claim;
use crate::limits::HELLO_BYTES_MAX;

const MAGIC: &str = "harness-attach";

/// A process that has a store open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
}

impl Peer {
    /// This process.
    pub(crate) fn this(version: &str) -> Self {
        Self {
            pid: std::process::id(),
            version: version.to_owned(),
        }
    }
}

/// Who shares a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Who owns it.
    pub owner: Peer,
    /// Where the owner serves it; none where it cannot.
    pub socket: Option<PathBuf>,
    /// Who is attached, in the order in which they came. Who asks is among them.
    pub attached: Vec<Peer>,
}

/// What an opener says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    magic: String,
    protocol: u32,
    pub(crate) peer: Peer,
    pub(crate) claim: Claim,
}

impl Hello {
    pub(crate) fn new(peer: Peer, claim: Claim) -> Self {
        Self {
            magic: MAGIC.to_owned(),
            protocol: PROTOCOL,
            peer,
            claim,
        }
    }

    /// What does not fit, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.magic != MAGIC {
            return Err("this is no opener of a store".to_owned());
        }
        if self.protocol == PROTOCOL {
            return Ok(());
        }
        let found = self.protocol;
        Err(format!(
            "expected protocol {PROTOCOL}, found {found}: run the same version on both sides"
        ))
    }
}

/// What an owner answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Welcome {
    /// The store can be used.
    Attached {
        owner: Peer,
        group_transactions_max: usize,
        record_bytes_max: usize,
    },
    /// The owner hands the store over: the lock is free in a moment.
    Yielding,
    Refused(Failure),
}

/// Whether bytes are a hello that an owner takes.
pub fn read_hello(content: &[u8]) -> bool {
    content.len() <= HELLO_BYTES_MAX
        && decode::<Hello>(content).is_ok_and(|hello| hello.check().is_ok())
}

/// Whether bytes are an owner's answer to a hello.
pub fn read_welcome(content: &[u8]) -> bool {
    content.len() <= HELLO_BYTES_MAX && decode::<Welcome>(content).is_ok()
}
