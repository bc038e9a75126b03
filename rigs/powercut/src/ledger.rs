//! What must be found: everything that somebody was told of.

use std::collections::BTreeMap;

use registry_core::{Anchor, Hash, Revision};
use serde::{Deserialize, Serialize};

/// The part of a store's history that somebody was told of, and the state that it adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// The last commit that somebody was told of.
    pub(crate) last: Anchor,
    /// Records by key, with the revision that last changed them.
    pub(crate) records: BTreeMap<String, (Revision, Hash)>,
    /// Commits that were found beyond `last`: their callers had no answer yet.
    pub(crate) unanswered: u64,
}

impl Ledger {
    /// Does to the records what a commit did.
    pub(crate) fn apply(&mut self, revision: Revision, key: &str, record: Option<Hash>) {
        match record {
            Some(hash) => self.records.insert(key.to_owned(), (revision, hash)),
            None => self.records.remove(key),
        };
    }
}
