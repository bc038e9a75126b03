//! The store in memory: the contract in its simplest form, against which every other backend is tested.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::capability::{Capabilities, Durability, Writers};
use crate::commit::{
    Evaluation, Recent, Restoration, Tip, Verification, check_changes, check_compact, check_group,
    check_note, check_range, evaluate,
};
use crate::error::{ErrorKind, StoreError};
use crate::head::{Anchor, Head};
use crate::key::Key;
use crate::limits::{GROUP_TRANSACTIONS_MAX, PAGE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::log::LogEntry;
use crate::record::Versioned;
use crate::revision::Revision;
use crate::store::{
    ChangePage, ChangesRequest, Note, RangePage, RangeRequest, RegistryStore, RestorePage, Result,
    VerifyReport,
};
use crate::transaction::{Committed, Outcome, Transaction, TransactionId};

const BACKEND: &str = "memory";

/// A store that ends with the process.
#[derive(Debug)]
pub struct MemoryStore {
    capabilities: Capabilities,
    tip: Tip,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Key, Versioned>,
    log: VecDeque<Arc<LogEntry>>,
    head: Head,
    recent: Recent,
    notes: BTreeMap<String, Vec<u8>>,
    restoration: Option<Restoration>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        let capabilities = Capabilities {
            backend: BACKEND,
            durability: Durability::Volatile,
            writers: Writers::One,
            is_persistent: false,
            group_transactions_max: GROUP_TRANSACTIONS_MAX,
            record_bytes_max: RECORD_BYTES_MAX,
        };
        Self {
            capabilities,
            tip: Tip::new(BACKEND, Head::default()),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no call panics while it holds the state")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl RegistryStore for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        Some(self.tip.head().revision())
    }

    async fn head(&self) -> Result<Head> {
        self.tip.check_readable()?;
        Ok(Head::clone(&self.tip.head()))
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        self.tip.check_readable()?;
        Ok(self.state().records.get(key).cloned())
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.tip.check_readable()?;
        check_range(BACKEND, &request)?;
        Ok(self.state().range(&request))
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.tip.check_writable()?;
        check_group(BACKEND, &group)?;
        let mut state = self.state();
        let State {
            records,
            head,
            recent,
            ..
        } = &*state;
        let evaluation = evaluate(head, recent, group, &mut |key, seen| match seen {
            Some(seen) => Ok(seen.record.clone()),
            None => Ok(records.get(key).cloned()),
        })?;
        let outcomes = state.apply(evaluation);
        self.tip.publish(state.head.clone());
        Ok(outcomes)
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.tip.check_readable()?;
        Ok(self.state().recent.find(id))
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        self.tip.check_readable()?;
        let state = self.state();
        check_changes(BACKEND, &request, &state.head)?;
        Ok(state.changes(&request))
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.tip.wait(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.tip.check_writable()?;
        let mut state = self.state();
        let count = state.notes.len() + usize::from(!state.notes.contains_key(&note.name));
        check_note(BACKEND, &note, count)?;
        if note.content.is_empty() {
            state.notes.remove(&note.name);
        } else {
            state.notes.insert(note.name, note.content);
        }
        Ok(())
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.tip.check_readable()?;
        let state = self.state();
        let notes = state.notes.iter();
        Ok(notes
            .map(|(name, content)| Note {
                name: name.clone(),
                content: content.clone(),
            })
            .collect())
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.tip.check_writable()?;
        let mut state = self.state();
        check_compact(BACKEND, through, &state.head)?;
        let count = state
            .log
            .partition_point(|entry| entry.commit.revision <= through);
        let last = state.log.drain(..count).next_back();
        if let Some(last) = last {
            state.head.compacted = Anchor {
                revision: last.commit.revision,
                hash: last.hash,
            };
        }
        self.tip.publish(state.head.clone());
        Ok(())
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.tip.check_open()?;
        let mut state = self.state();
        if !state.head.is_empty() {
            let detail = format!(
                "expected an empty store, found revision {}",
                state.head.revision()
            );
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail));
        }
        let seal = state
            .restoration
            .get_or_insert_default()
            .accept(BACKEND, &page)?;
        self.tip.set_restoring(seal.is_none());
        state
            .recent
            .extend(page.entries.iter().map(|entry| &**entry));
        state.log.extend(page.entries);
        state.records.extend(
            page.records
                .into_iter()
                .map(|record| (record.key().clone(), record)),
        );
        if let Some(seal) = seal {
            state.restoration = None;
            state.head = seal.head;
            self.tip.publish(state.head.clone());
        }
        Ok(())
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.tip.check_readable()?;
        let state = self.state();
        let mut verification = Verification::new(state.head.clone());
        state.log.iter().for_each(|entry| verification.entry(entry));
        state
            .records
            .values()
            .for_each(|record| verification.record(record));
        Ok(verification.finish())
    }

    async fn close(&self) -> Result<()> {
        self.tip.close();
        Ok(())
    }
}

impl State {
    fn range(&self, request: &RangeRequest) -> RangePage {
        let start = request
            .after
            .as_ref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = self
            .records
            .range((start, Bound::Unbounded))
            .skip_while(|(key, _)| key.kind() < request.kind)
            .take_while(|(key, _)| key.kind() == request.kind)
            .map(|(_, record)| record);
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < request.limit && bytes < PAGE_BYTES_MAX {
            let Some(record) = found.next() else { break };
            bytes += record.image.body_bytes();
            records.push(record.clone());
        }
        let next = found
            .next()
            .and_then(|_| records.last())
            .map(|record| record.key().clone());
        RangePage {
            records,
            next,
            revision: self.head.revision(),
        }
    }

    fn changes(&self, request: &ChangesRequest) -> ChangePage {
        let touches = |entry: &LogEntry| match &request.key {
            Some(key) => entry.commit.changes.iter().any(|change| change.key == *key),
            None => true,
        };
        let start = self
            .log
            .partition_point(|entry| entry.commit.revision <= request.after);
        let head = self.head.revision();
        let found = self.log.range(start..).filter(|entry| touches(entry));
        let entries: Vec<_> = found.take(request.limit).cloned().collect();
        let through = match entries.last() {
            Some(last) if entries.len() == request.limit => last.commit.revision,
            _ => head.max(request.after),
        };
        ChangePage {
            entries,
            through,
            head,
        }
    }

    fn apply(&mut self, evaluation: Evaluation) -> Vec<Outcome> {
        let Evaluation {
            outcomes,
            entries,
            writes,
            head,
        } = evaluation;
        for (key, write) in writes {
            match write {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
        self.recent.extend(entries.iter().map(|entry| &**entry));
        self.log.extend(entries);
        self.head = head;
        outcomes
    }
}
