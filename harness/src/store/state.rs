//! The state of a store at one revision, also where others write to it while it is read.

use std::collections::BTreeMap;

use registry_core::{
    Anchor, Change, ErrorKind, Head, Key, LogEntry, LogPages, RecordPages, RegistryStore, Result,
    Revision, StoreError, Tally, Versioned,
};

/// Every record of a store at one revision, in memory.
#[derive(Debug)]
pub(super) struct State {
    /// The head at that revision.
    pub(super) head: Head,
    /// The records, in key order.
    pub(super) records: BTreeMap<Key, Versioned>,
}

impl State {
    /// Reads the records page by page, then what was committed meanwhile.
    ///
    /// # Errors
    /// Those of the store; `Corrupted` where the records do not add up to its head.
    pub(super) async fn read(store: &dyn RegistryStore) -> Result<Self> {
        let head = store.head().await?;
        let mut read = head.revision();
        let mut records = BTreeMap::new();
        let mut pages = RecordPages::new(store);
        while let Some(page) = pages.next().await? {
            read = read.max(page.revision);
            let keyed = page.records.into_iter();
            records.extend(keyed.map(|record| (record.key().clone(), record)));
        }
        let mut state = Self { head, records };
        if state.head.revision() == read {
            return state.checked(store);
        }
        state.catch_up(store, read).await?;
        Ok(state)
    }

    fn checked(self, store: &dyn RegistryStore) -> Result<Self> {
        let found = tally(&self.records);
        match found.compare(&self.head.tally) {
            Ok(()) => Ok(self),
            Err(problem) => {
                let backend = store.capabilities().backend;
                Err(StoreError::new(ErrorKind::Corrupted, backend, problem))
            }
        }
    }

    /// Brings records that were read at several revisions, none after `read`, to that one.
    async fn catch_up(&mut self, store: &dyn RegistryStore, read: Revision) -> Result<()> {
        let mut log = LogPages::new(store, self.head.revision(), read);
        while let Some(page) = log.next().await? {
            page.entries.iter().for_each(|entry| self.apply(entry));
        }
        self.head.tally = tally(&self.records);
        Ok(())
    }

    fn apply(&mut self, entry: &LogEntry) {
        let revision = entry.commit.revision;
        for change in &entry.commit.changes {
            self.change(revision, change);
        }
        self.head.last = Anchor {
            revision,
            hash: entry.hash,
        };
    }

    fn change(&mut self, revision: Revision, change: &Change) {
        let known = self.records.get(&change.key);
        // Read after that commit: the record has it, or a later one, already.
        if known.is_some_and(|known| known.modified >= revision) {
            return;
        }
        match &change.after {
            Some(image) => {
                let record = Versioned {
                    image: image.clone(),
                    created: known.map_or(revision, |known| known.created),
                    modified: revision,
                };
                self.records.insert(change.key.clone(), record);
            }
            None => drop(self.records.remove(&change.key)),
        }
    }
}

fn tally(records: &BTreeMap<Key, Versioned>) -> Tally {
    let mut tally = Tally::default();
    for record in records.values() {
        tally.add(record);
    }
    tally
}
