//! The store contract: an ordered log of commits plus the state they add up to.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::error::StoreError;
use crate::head::{Anchor, Head};
use crate::key::{Key, Kind};
use crate::log::LogEntry;
use crate::record::Versioned;
use crate::revision::Revision;
use crate::schema::SchemaVersion;
use crate::transaction::{Committed, Outcome, Transaction, TransactionId};

/// Result of a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A part of the state in key order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeRequest {
    /// The kind of the records.
    pub kind: Kind,
    /// Start after this key; none starts at the first.
    pub after: Option<Key>,
    /// Most records in the page, 1 to [`RANGE_PAGE_MAX`](crate::limits::RANGE_PAGE_MAX).
    pub limit: usize,
}

/// One page of the state, read at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePage {
    /// Records in key order.
    pub records: Vec<Versioned>,
    /// Where the next page starts after; none where this page reached the end.
    pub next: Option<Key>,
    /// The revision that the whole page reflects.
    pub revision: Revision,
}

/// A part of the log in revision order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRequest {
    /// Start after this revision.
    pub after: Revision,
    /// Only entries that changed this key.
    pub key: Option<Key>,
    /// Most entries in the page, 1 to [`CHANGES_PAGE_MAX`](crate::limits::CHANGES_PAGE_MAX).
    pub limit: usize,
}

/// One page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// Entries in revision order.
    pub entries: Vec<Arc<LogEntry>>,
    /// Every entry up to this revision was looked at: ask for the next page after it.
    pub through: Revision,
    /// The last commit of the store when the page was read.
    pub head: Revision,
}

/// A value beside the log: the latest of a name wins, and it may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which one; at most [`NAME_BYTES_MAX`](crate::limits::NAME_BYTES_MAX) bytes.
    pub name: String,
    /// Its content; at most [`NOTE_BYTES_MAX`](crate::limits::NOTE_BYTES_MAX) bytes, none deletes the note.
    pub content: Vec<u8>,
}

/// A part of another store's log and state, in the order: anchor, log entries, records, seal.
#[derive(Debug, Clone, Default)]
pub struct RestorePage {
    /// The other store's compaction anchor; only in the first page.
    pub anchor: Option<Anchor>,
    /// Log entries in revision order.
    pub entries: Vec<Arc<LogEntry>>,
    /// Records in key order within their kind.
    pub records: Vec<Versioned>,
    /// The end: what all of it adds up to.
    pub seal: Option<Seal>,
}

/// The end of a restore: the store opens for use only if what it holds adds up to this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The other store's head.
    pub head: Head,
    /// The schema stamp of the other store; a store keeps it and refuses to be opened where it is a newer major.
    pub schema: SchemaVersion,
}

/// One thing that is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The key, the revision or the file.
    pub place: String,
    /// Expected and found.
    pub problem: String,
}

/// What a verification read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Log entries read.
    pub entries: u64,
    /// Records read.
    pub records: u64,
    /// The head that was verified.
    pub head: Head,
    /// What is wrong, at most [`FINDINGS_MAX`](crate::limits::FINDINGS_MAX).
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds a finding, or counts it where the list is full.
    pub fn find(&mut self, place: impl fmt::Display, problem: impl Into<String>) {
        if self.findings.len() < crate::limits::FINDINGS_MAX {
            self.findings.push(Finding {
                place: place.to_string(),
                problem: problem.into(),
            });
        } else {
            self.findings_left_out += 1;
        }
    }
}

/// A backend: an ordered log of commits plus the state they add up to.
///
/// What holds for every method of every backend:
///
/// - **Atomic.** A transaction is applied whole or not at all, also across a crash at any point.
/// - **Durable, then visible.** No method shows a commit that is not as durable as [`Capabilities::durability`] says.
/// - **One order.** Each commit has the revision after the one before it: 1, 2, 3, without gaps, for ever.
/// - **Refuse rather than guess.** Damage is [`Corrupted`](crate::ErrorKind::Corrupted) with the key or the file, never
///   a wrong answer and never an empty one. A limit is [`LimitExceeded`](crate::ErrorKind::LimitExceeded) by name.
/// - **Poison.** After a write that could not be made durable, writes answer
///   [`Poisoned`](crate::ErrorKind::Poisoned) until the store is reopened; reads go on.
/// - **Cancellation.** Dropping the future of a write may or may not have applied it; sending it again tells.
///
/// `registry-conformance` proves each sentence for each backend.
#[async_trait]
pub trait RegistryStore: fmt::Debug + Send + Sync + 'static {
    /// What this store can do. Constant and free.
    fn capabilities(&self) -> &Capabilities;

    /// The last commit's number, where it can be told at once that nobody has committed since: no I/O, no waiting.
    ///
    /// None on a store that other processes may have written meanwhile; [`head`](Self::head) asks then.
    fn latest(&self) -> Option<Revision>;

    /// Where the log ends and what the state adds up to. No I/O on a store with one writer.
    async fn head(&self) -> Result<Head>;

    /// The record at a key, or none. One point read.
    async fn get(&self, key: &Key) -> Result<Option<Versioned>>;

    /// A page of the state in key order. A page ends early once it holds
    /// [`PAGE_BYTES_MAX`](crate::limits::PAGE_BYTES_MAX); only [`RangePage::next`] says whether there is more.
    ///
    /// # Errors
    /// `LimitExceeded` for a limit of 0 or above the maximum.
    async fn range(&self, request: RangeRequest) -> Result<RangePage>;

    /// Applies transactions in order, each atomic and with its own outcome, and makes the group durable with one flush.
    ///
    /// A transaction that fails changes nothing and takes no revision. One that names an earlier one of the group by
    /// [`Precondition::ModifiedBy`](crate::Precondition::ModifiedBy) fails with it. One whose id is among the last
    /// [`RECENT_COMMITS_MAX`](crate::limits::RECENT_COMMITS_MAX) commits answers the first outcome and is not applied
    /// again. Compaction takes nothing from that window while the store is open; at opening it is rebuilt from
    /// the log, so that compacting and then reopening forgets the ids of the compacted commits.
    ///
    /// # Errors
    /// `MaybeApplied` where it cannot be told whether the group was made durable; `LimitExceeded` for a group over
    /// its limits, which changes nothing; `Poisoned`.
    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>>;

    /// The commit that has this id, where it is among the last
    /// [`RECENT_COMMITS_MAX`](crate::limits::RECENT_COMMITS_MAX). No I/O on a store with one writer.
    ///
    /// None, too, for a commit that was compacted before the store was last opened: its id went with its log entry.
    async fn find(&self, id: TransactionId) -> Result<Option<Committed>>;

    /// A page of the log in revision order. After the head it is empty.
    ///
    /// # Errors
    /// `Compacted` where entries after [`ChangesRequest::after`] were compacted.
    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage>;

    /// Waits until the head is after a revision, and answers the head's. Never answers early; a store with many
    /// writers notices the commits of others, too.
    ///
    /// # Errors
    /// `Closed` when the store is closed.
    async fn wait_for_change(&self, after: Revision) -> Result<Revision>;

    /// Keeps a value beside the log: no revision, no event, not synced. The latest of a name wins.
    async fn note(&self, note: Note) -> Result<()>;

    /// Every note, by name.
    async fn notes(&self) -> Result<Vec<Note>>;

    /// Removes log entries up to and with a revision, and leaves an anchor in the same commit. State stays.
    ///
    /// # Errors
    /// `Invalid` for a revision after the head. One that is compacted already is no error.
    async fn compact(&self, through: Revision) -> Result<()>;

    /// Takes a part of another store into this one, which must be empty. The page with the seal opens it for use.
    ///
    /// Until then every other method but [`close`](Self::close) answers `Invalid`, and reopening answers `Corrupted`:
    /// half a restore is no store.
    ///
    /// # Errors
    /// `Invalid` where the store is not empty, where the chain does not hold, or where the seal does not fit.
    async fn restore(&self, page: RestorePage) -> Result<()>;

    /// Reads everything: every checksum, the chain, the log against the state, the digest. Changes nothing.
    async fn verify(&self) -> Result<VerifyReport>;

    /// Finishes what is under way and releases the store. Every later call answers `Closed`.
    async fn close(&self) -> Result<()>;
}
