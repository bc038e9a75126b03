//! The log: every commit, hash-chained.

use std::sync::Arc;

use crate::hash::{Hash, Hasher};
use crate::key::Key;
use crate::record::Image;
use crate::revision::Revision;
use crate::transaction::{Cause, TransactionId};

/// What one commit did to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What was there before; none where the commit created it.
    pub before: Option<Arc<Image>>,
    /// What is there since; none where the commit deleted it.
    pub after: Option<Arc<Image>>,
}

/// One commit: what was done, why and when. Events are a pure function of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its number.
    pub revision: Revision,
    /// The transaction's id.
    pub id: TransactionId,
    /// Why and when.
    pub cause: Arc<Cause>,
    /// What changed, in the order of the transaction's mutations.
    pub changes: Vec<Change>,
}

/// A commit with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub commit: Commit,
    /// Hash of the entry before it; zero for the first.
    pub previous: Hash,
    /// Hash over `previous` and the commit.
    pub hash: Hash,
}

impl LogEntry {
    /// Appends a commit to the chain.
    pub fn chain(previous: Hash, commit: Commit) -> Self {
        let hash = chain_hash(&previous, &commit);
        Self {
            commit,
            previous,
            hash,
        }
    }

    /// Size of the records in it, in bytes of their canonical form.
    pub fn body_bytes(&self) -> usize {
        let images = self.commit.changes.iter();
        images
            .flat_map(|change| change.before.iter().chain(&change.after))
            .map(|image| image.body_bytes())
            .sum()
    }

    /// Whether it changed a key.
    pub fn touches(&self, key: &Key) -> bool {
        self.commit.changes.iter().any(|change| change.key == *key)
    }

    /// Whether the hash is that of its content.
    pub fn is_intact(&self) -> bool {
        self.hash == chain_hash(&self.previous, &self.commit)
    }
}

/// Covers the records by their own hashes, so that it does not depend on how a backend encodes them.
fn chain_hash(previous: &Hash, commit: &Commit) -> Hash {
    let cause = &commit.cause;
    let mut hasher = Hasher::new("harness.log.1")
        .hash(previous)
        .number(commit.revision.0)
        .bytes(&commit.id.0)
        .number(cause.time.as_nanos().cast_unsigned())
        .bytes(cause.actor.as_bytes())
        .bytes(cause.action.as_bytes());
    hasher = match &cause.reason {
        Some(reason) => hasher.number(1).bytes(reason.as_bytes()),
        None => hasher.number(0),
    };
    hasher = hasher.number(commit.changes.len() as u64);
    for change in &commit.changes {
        let before = change.before.as_deref().map(Image::hash);
        let after = change.after.as_deref().map(Image::hash);
        hasher = hasher.key(&change.key).maybe(before).maybe(after);
    }
    hasher.finish()
}
