//! What a store is asked to commit, and what it answers.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hash::Hasher;
use crate::key::Key;
use crate::model::ModelError;
use crate::record::{Image, Versioned};
use crate::revision::Revision;
use crate::schema::SchemaVersion;
use crate::time::Timestamp;

/// Identifies a transaction for ever: a store that knows the id answers the first outcome and applies nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 16]);

thread_local! {
    /// Seeded by the system once a thread: asking it for each id costs a system call.
    static RANDOM: RefCell<fastrand::Rng> = {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        RefCell::new(fastrand::Rng::with_seed(high ^ low))
    };
}

impl TransactionId {
    /// A fresh id (UUID v7).
    pub fn fresh() -> Self {
        let (seconds, nanos) = uuid::Timestamp::now(uuid::NoContext).to_unix();
        let millis = seconds * 1000 + u64::from(nanos / 1_000_000);
        let random = RANDOM.with_borrow_mut(|random| random.u128(..).to_le_bytes());
        let random = random.first_chunk().expect("10 bytes are fewer than 16");
        let id = uuid::Builder::from_unix_timestamp_millis(millis, random);
        Self(id.into_uuid().into_bytes())
    }

    /// The id of the commit that `actor` names `key`: the same key of the same actor is the same transaction.
    pub fn from_idempotency_key(actor: &str, key: &str) -> Self {
        let hash = Hasher::new("harness.idempotency.1")
            .bytes(actor.as_bytes())
            .bytes(key.as_bytes())
            .finish();
        let mut id = [0; 16];
        id.copy_from_slice(&hash.0[..16]);
        Self(id)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TransactionId {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let id = uuid::Uuid::parse_str(text);
        id.map(|id| Self(id.into_bytes()))
            .map_err(|_| ModelError::new("id", "a UUID", format!("{text:?}")))
    }
}

impl Serialize for TransactionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TransactionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a commit happens: it goes into the log and is the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Who asked, such as a token's name or `local`.
    pub actor: String,
    /// What was asked, such as `register_service`.
    pub action: Cow<'static, str>,
    /// The asker's own words.
    #[serde(default)]
    pub reason: Option<String>,
    /// The wall clock when it was planned.
    pub time: Timestamp,
}

/// What must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Precondition {
    /// Nothing is at the key.
    Absent(Key),
    /// Something is at the key.
    Present(Key),
    /// The record at the key was last changed by that commit. Revision 0 means that nothing is there.
    ModifiedAt(Key, Revision),
    /// At the key is what was seen there: as [`ModifiedAt`](Self::ModifiedAt) its last commit, but that a store need not
    /// read what nobody can have changed. Goes to no other process: there it is `ModifiedAt`.
    #[serde(skip)]
    AsSeen(Seen),
    /// The record at the key was last changed by the transaction with that index in the same group.
    ModifiedBy(Key, u32),
    /// The last commit of the store is that one, those before it in the group included.
    HeadIs(Revision),
}

/// What was at a key at a revision. Whoever says so has read it from the same store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The key.
    pub key: Key,
    /// The record; none where nothing was there.
    pub record: Option<Versioned>,
    /// The last commit of the store when it was so.
    pub at: Revision,
}

impl Seen {
    /// The last commit of the record; 0 where nothing was there.
    pub fn modified(&self) -> Revision {
        let record = self.record.as_ref();
        record.map_or(Revision::ZERO, |record| record.modified)
    }
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Puts a record, whether or not there is one.
    Put(Arc<Image>),
    /// Deletes the record that must be there.
    Delete(Key),
}

impl Mutation {
    /// The key it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(image) => image.key(),
            Self::Delete(key) => key,
        }
    }
}

/// Preconditions and mutations that are applied together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub id: TransactionId,
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// At least one, at most one a key.
    pub mutations: Vec<Mutation>,
    /// Why. It goes into the log as it is, so that the two share it.
    pub cause: Arc<Cause>,
}

/// A transaction that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its number.
    pub revision: Revision,
}

/// What became of one transaction of a group.
pub type Outcome = Result<Committed, Rejection>;

/// Why a transaction changed nothing. Its neighbours in the group are not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// A precondition did not hold.
    #[error("precondition {index} did not hold: {key:?} was last modified at {}", show(.found.as_ref()))]
    Precondition {
        /// Index of the precondition; for a delete of nothing the number of preconditions.
        index: usize,
        /// The key that was looked at; none for the head.
        key: Option<Key>,
        /// The revision found: that of the record at the key, or of the head. None where nothing is at the key.
        found: Option<Revision>,
    },
    /// The record there was written by a newer schema, so that changing it here would lose what was appended.
    #[error("{key} was written in schema {found}, which is newer than this program")]
    SchemaTooNew {
        /// The key.
        key: Key,
        /// The schema found.
        found: SchemaVersion,
    },
    /// The transaction itself is not legal: empty, too long, two mutations of one key.
    #[error("the transaction is not legal: {0}")]
    Invalid(ModelError),
}

fn show(revision: Option<&Revision>) -> String {
    revision.map_or_else(
        || "no revision".to_owned(),
        |revision| format!("revision {revision}"),
    )
}
