//! A store of which somebody edited the files: it is refused, or what it answers was stored.
//!
//! The first bit of an input chooses a store that was closed or the files of one that was not, as a kill leaves them; the
//! rest edits the files. What an engine panics with must come back as an error; that of our own code is a finding.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_lite::future::block_on;
use harness::backends::{Backend, OpenOptions, open};
use registry_core::model::{ServiceEntry, ServiceState};
use registry_core::{
    Cause, ErrorKind, Head, Image, Key, LogEntry, LogPages, Mutation, Note, OpenMode, Record,
    RecordPages, RegistryStore, Result, Revision, StoreError, Timestamp, Transaction,
    TransactionId, Versioned,
};
use tempfile::TempDir;

use crate::edits::edit;
use crate::files::{Files, read_files, write_files};

/// Room for an engine's cache, in bytes: the stores are small.
const CACHE_BYTES: usize = 1024 * 1024;
/// Services that are registered again and again.
const NAMES: [&str; 5] = ["api", "cache", "collector", "queue", "worker"];
/// Commits of the sample.
const COMMITS: u8 = 24;
/// The commit after which the sample's log is compacted.
const COMPACTED: u64 = 8;

/// Everything that a store can have by key.
type State = BTreeMap<Key, Versioned>;

/// A small store, and everything that was ever in it.
pub(crate) struct Sample {
    backend: Backend,
    /// Its files after it was closed.
    closed: Files,
    /// Its files before that.
    open: Files,
    /// What it held after each commit.
    states: BTreeMap<Revision, State>,
    entries: BTreeMap<Revision, Arc<LogEntry>>,
    head: Head,
}

impl Sample {
    /// Makes the store.
    pub(crate) fn new(backend: Backend) -> Self {
        let folder = folder();
        let path = store_in(folder.path(), backend);
        let store = open_at(&path, backend, OpenMode::Create).expect("a fresh store is made");
        let mut states = BTreeMap::from([(Revision::ZERO, State::new())]);
        let mut entries = BTreeMap::new();
        for number in 1..=COMMITS {
            write(&*store, number).expect("a fresh store takes commits");
            let read = records(&*store).expect("a fresh store is readable");
            states.insert(Revision(number.into()), read);
            let log = log(&*store).expect("a fresh store is readable");
            entries.extend(log.into_iter().map(|entry| (entry.commit.revision, entry)));
            if u64::from(number) == COMPACTED + 4 {
                block_on(store.compact(Revision(COMPACTED))).expect("there is a log to compact");
            }
        }
        let note = Note {
            name: "last_seen".to_owned(),
            content: b"api-1".to_vec(),
        };
        block_on(store.note(note)).expect("a fresh store takes notes");
        let head = block_on(store.head()).expect("a fresh store has a head");
        let open = read_files(folder.path());
        block_on(store.close()).expect("a fresh store closes");
        drop(store);
        let closed = read_files(folder.path());
        Self {
            backend,
            closed,
            open,
            states,
            entries,
            head,
        }
    }

    /// Edits the files as the input says, opens them, and checks what comes.
    pub(crate) fn check(&self, input: &[u8]) {
        let Some((state, edits)) = input.split_first() else {
            return;
        };
        let is_closed = state % 2 == 0;
        let mut files = if is_closed { &self.closed } else { &self.open }.clone();
        edit(&mut files, edits);
        let folder = folder();
        write_files(folder.path(), &files);
        let path = store_in(folder.path(), self.backend);
        match open_at(&path, self.backend, OpenMode::Open) {
            Err(error) => check_kind(&error),
            Ok(store) => self.check_answers(store, &path, is_closed),
        }
    }

    fn check_answers(&self, store: Arc<dyn RegistryStore>, path: &Path, is_closed: bool) {
        let head = told(block_on(store.head()));
        let records = told(records(&*store));
        for record in records.iter().flat_map(BTreeMap::values) {
            self.check_record(record);
        }
        for key in self.keys() {
            if let Some(record) = told(block_on(store.get(&key))).flatten() {
                self.check_record(&record);
            }
        }
        for entry in told(log(&*store)).into_iter().flatten() {
            let stored = self.entries.get(&entry.commit.revision);
            assert_eq!(stored, Some(&entry), "a log entry that nobody wrote");
        }
        told(block_on(store.notes()));
        let report = told(block_on(store.verify()));
        let is_clean = report.is_some_and(|report| report.is_clean());
        if let (true, Some(head), Some(records)) = (is_clean, head, records) {
            assert!(!is_closed || head == self.head, "{head:?} after a close");
            let state = self.states.get(&head.revision());
            assert_eq!(state, Some(&records), "clean, and another state");
            self.check_goes_on(store, path, &head);
        } else {
            // A damaged store may say so once more.
            told(block_on(store.close()));
        }
    }

    fn check_record(&self, record: &Versioned) {
        let mut states = self.states.values();
        let is_stored = states.any(|state| state.get(record.key()) == Some(record));
        assert!(is_stored, "a record that nobody wrote: {record:?}");
    }

    fn keys(&self) -> BTreeSet<Key> {
        let states = self.states.values();
        states.flat_map(BTreeMap::keys).cloned().collect()
    }

    /// Checks that a clean store takes a commit, and keeps it where it is known that it ended at a revision.
    fn check_goes_on(&self, store: Arc<dyn RegistryStore>, path: &Path, before: &Head) {
        let committed = told(write(&*store, COMMITS + 1)).is_some();
        told(block_on(store.close()));
        drop(store);
        if !committed {
            return;
        }
        let store = open_at(path, self.backend, OpenMode::Open).expect("a clean store goes on");
        let after = block_on(store.head()).expect("it is open").revision();
        assert_eq!(after, before.revision().next(), "an acknowledged commit");
        let report = block_on(store.verify()).expect("it can be read");
        assert!(report.is_clean(), "{report:?}");
        block_on(store.close()).expect("a clean store closes");
    }
}

/// An answer; none where it is a refusal, which must be one of a damaged store.
fn told<T>(answer: Result<T>) -> Option<T> {
    answer.map_err(|error| check_kind(&error)).ok()
}

fn check_kind(error: &StoreError) {
    let is_told = matches!(
        error.kind(),
        ErrorKind::Corrupted
            | ErrorKind::Invalid
            | ErrorKind::SchemaTooNew { .. }
            | ErrorKind::Unavailable
    );
    assert!(is_told && error.path().is_some(), "{error:?}");
}

fn folder() -> TempDir {
    TempDir::new().expect("the system has room for a folder")
}

fn store_in(folder: &Path, backend: Backend) -> PathBuf {
    folder.join(format!("registry.{}", backend.extension()))
}

fn open_at(path: &Path, backend: Backend, mode: OpenMode) -> Result<Arc<dyn RegistryStore>> {
    let options = OpenOptions {
        mode,
        cache_bytes: CACHE_BYTES,
        ..OpenOptions::default()
    };
    open(backend, path, &options)
}

fn records(store: &dyn RegistryStore) -> Result<State> {
    block_on(async {
        let mut state = State::new();
        let mut pages = RecordPages::new(store);
        while let Some(page) = pages.next().await? {
            let records = page.records.into_iter();
            state.extend(records.map(|record| (record.key().clone(), record)));
        }
        Ok(state)
    })
}

fn log(store: &dyn RegistryStore) -> Result<Vec<Arc<LogEntry>>> {
    block_on(async {
        let head = store.head().await?;
        let mut entries = Vec::new();
        let mut pages = LogPages::new(store, head.compacted.revision, head.revision());
        while let Some(page) = pages.next().await? {
            entries.extend(page.entries);
        }
        Ok(entries)
    })
}

/// Commits the transaction of a number: it puts a service, or takes it away now and then.
fn write(store: &dyn RegistryStore, number: u8) -> Result<()> {
    let name = NAMES[usize::from(number) % NAMES.len()];
    let entry = ServiceEntry {
        state: ServiceState::Running,
        depends_on: (0..number).map(|it| format!("dependency-{it}")).collect(),
        ..ServiceEntry::new(name, format!("1.{number}.0"))
    };
    let image = Image::new(Record::Service(entry)).expect("the model takes the entry");
    let is_known = number > 10 && number.is_multiple_of(7);
    let mutation = if is_known {
        Mutation::Delete(image.key().clone())
    } else {
        Mutation::Put(image)
    };
    let transaction = Transaction {
        id: TransactionId([number; 16]),
        preconditions: Vec::new(),
        mutations: vec![mutation],
        cause: Cause {
            actor: "fuzz".to_owned(),
            action: "register_service".into(),
            reason: None,
            time: Timestamp::from_nanos(1_767_323_045_000_000_000),
        }
        .into(),
    };
    let outcomes = block_on(store.commit(vec![transaction]))?;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panics::{Caught, guard};

    #[test]
    fn answers_that_were_never_stored_are_found() {
        let mut sample = Sample::new(Backend::Redb);
        assert_eq!(guard(None, || sample.check(b"\0")), Ok(()));
        let last = sample.head.revision();
        let state = sample.states.get_mut(&last).expect("it is a state");
        state.pop_first();
        let Caught(problem) = guard(None, || sample.check(b"\0")).unwrap_err();
        assert!(problem.contains("another state"), "{problem}");
        sample.states.clear();
        let Caught(problem) = guard(None, || sample.check(b"\0")).unwrap_err();
        assert!(problem.contains("nobody wrote"), "{problem}");
    }
}
