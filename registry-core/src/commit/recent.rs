//! The window of recent transaction ids, which makes a repeated commit harmless.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::limits::RECENT_COMMITS_MAX;
use crate::log::LogEntry;
use crate::revision::Revision;
use crate::transaction::{Committed, TransactionId};

/// The ids of the last [`RECENT_COMMITS_MAX`] commits. About 60 bytes each.
#[derive(Debug, Default)]
pub struct Recent {
    by_id: HashMap<TransactionId, Revision, RandomState>,
    order: VecDeque<TransactionId>,
}

impl Recent {
    /// The commit with this id, where it is in the window.
    pub fn find(&self, id: TransactionId) -> Option<Committed> {
        self.by_id.get(&id).map(|revision| Committed {
            revision: *revision,
        })
    }

    /// Adds a commit, which must be later than those added before. The oldest leaves a full window.
    pub fn add(&mut self, id: TransactionId, revision: Revision) {
        if self.order.len() == RECENT_COMMITS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        if let Entry::Vacant(vacant) = self.by_id.entry(id) {
            vacant.insert(revision);
            self.order.push_back(id);
        }
    }

    /// Adds the commits of new log entries.
    pub fn extend<'a>(&mut self, entries: impl IntoIterator<Item = &'a LogEntry>) {
        for entry in entries {
            self.add(entry.commit.id, entry.commit.revision);
        }
    }

    /// The revision after which the log must be read to fill the window of a store with this head.
    pub fn starts_after(head: Revision) -> Revision {
        Revision(head.0.saturating_sub(RECENT_COMMITS_MAX as u64))
    }
}
