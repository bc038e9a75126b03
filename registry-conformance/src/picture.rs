//! Everything that a store answers, to be compared with what another answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use registry_core::limits::CHANGES_PAGE_MAX;
use registry_core::{Head, Key, LogEntry, Result, Revision, Versioned};

use crate::handle::Handle;

/// Everything that a store answers but its notes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) head: Head,
    pub(crate) records: Vec<Versioned>,
    pub(crate) log: Vec<Arc<LogEntry>>,
    /// Revisions in the log by key, as the key filter answers them.
    pub(crate) by_key: BTreeMap<Key, Vec<Revision>>,
}

impl Picture {
    /// Asks a store for everything.
    pub(crate) fn of(store: &Handle) -> Result<Self> {
        let log = store.log()?;
        let changes = log.iter().flat_map(|entry| &entry.commit.changes);
        let mut by_key: BTreeMap<Key, Vec<Revision>> = changes
            .map(|change| (change.key.clone(), Vec::new()))
            .collect();
        for (key, revisions) in &mut by_key {
            let found = store.log_of(Some(key), CHANGES_PAGE_MAX)?;
            revisions.extend(found.iter().map(|entry| entry.commit.revision));
        }
        Ok(Self {
            head: store.head()?,
            records: store.records()?,
            log,
            by_key,
        })
    }

    /// Fails with the first part that differs.
    pub(crate) fn assert_is(&self, expected: &Self) {
        assert_eq!(self.head, expected.head, "the head differs");
        assert_eq!(self.records, expected.records, "the records differ");
        assert_eq!(self.log, expected.log, "the log differs");
        assert_eq!(
            self.by_key, expected.by_key,
            "the log by key differs from the log"
        );
    }
}
