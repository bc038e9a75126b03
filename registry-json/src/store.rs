//! The store: the contract on top of a folder of files.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use registry_core::commit::{
    ChangeCollector, Evaluation, IntervalSync, RangeCollector, Recent, Restoration, Shared, Tip,
    WriterSlot, check_changes, check_compact, check_group, check_range, evaluate,
};
use registry_core::durable::{sync_folder, sync_parent};
use registry_core::{
    Anchor, Capabilities, ChangePage, ChangesRequest, Clock as _, Committed, Durability, ErrorKind,
    Head, Key, LogEntry, Note, OpenMode, Outcome, PathLock, RangePage, RangeRequest, RegistryStore,
    RestorePage, Result, Revision, Seal, StoreError, SystemClock, Transaction, TransactionId,
    VerifyReport, Versioned, beside, offload,
};

use crate::config::JsonConfig;
use crate::facts::Facts;
use crate::load::{Loaded, load};
use crate::log::{Index, Outline, Writer, group_line};
use crate::notes::Notes;
use crate::open::find;
use crate::projection::{self, Projection, Schedule};
use crate::schema::{
    SEGMENT_BYTES_MAX, SNAPSHOT_LOG_BYTES_MIN, SNAPSHOT_LOG_FACTOR, folder_of, snapshot_path,
};
use crate::snapshot::{self, State};
use crate::verify::verify;

/// Name of this backend.
pub const BACKEND: &str = "json";

/// Snapshots and the projection follow within half of this.
const WRITE_BEHIND_INTERVAL: Duration = Duration::from_secs(2);

/// A store of JSON files.
#[derive(Clone)]
pub struct JsonStore(Arc<Inner>);

impl fmt::Debug for JsonStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonStore")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

struct Inner {
    config: JsonConfig,
    folder: PathBuf,
    capabilities: Capabilities,
    tip: Tip,
    state: ArcSwap<State>,
    index: Shared<Index>,
    recent: Shared<Recent>,
    notes: Mutex<Notes>,
    projection: Projection,
    /// Held by whoever writes a snapshot, and taken before the files.
    snapshot_turn: Mutex<()>,
    /// One writer at a time; held over the sync. None where the store is read-only or closed.
    files: WriterSlot<Files>,
    threads: Mutex<Threads>,
}

/// What only the writer has.
struct Files {
    facts: Facts,
    log: Writer,
    /// The end of what is in the log's files.
    end: Anchor,
    /// Size of the newest snapshot, and of the log since, in bytes.
    snapshot_bytes: u64,
    log_bytes: u64,
    /// Revision of the newest snapshot.
    snapshot: Revision,
    restoration: Option<Restoring>,
    // Released after everything else: fields are dropped in order.
    _lock: Option<PathLock>,
}

#[derive(Default)]
struct Restoring {
    restoration: Restoration,
    state: State,
}

#[derive(Default)]
struct Threads {
    syncer: Option<IntervalSync>,
    writer_behind: Option<IntervalSync>,
}

impl JsonStore {
    /// Opens or creates a store. Blocks: it reads the snapshot and the log.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (a legacy file, a folder), `Locked` with the holder, `Corrupted`, `SchemaTooNew`,
    /// `Unsupported` for a durability that files cannot have, `Unavailable`.
    pub fn open(config: JsonConfig) -> Result<Self> {
        let capabilities = Capabilities::of_files(BACKEND, config.durability)?;
        let lock = find(&config)?;
        let is_writable = config.mode != OpenMode::ReadOnly;
        let folder = folder_of(&config.path);
        let (projected, loaded) = beside(
            BACKEND,
            || projection::hash_of_file(&config.path),
            || load(&config.path, is_writable),
        )?;
        let loaded = loaded?;
        let Loaded {
            facts,
            state,
            index,
            recent,
            snapshot,
            snapshot_bytes,
            log_bytes,
            end: (segment, end),
        } = loaded;
        let files = is_writable.then(|| {
            sync_folder(BACKEND, &folder)?;
            sync_parent(BACKEND, &folder)?;
            Ok(Files {
                facts,
                log: Writer::open(
                    &folder,
                    segment,
                    index.last_line(segment).unwrap_or(end..end),
                )?,
                end: state.head.last,
                snapshot_bytes,
                log_bytes,
                snapshot,
                restoration: None,
                _lock: lock,
            })
        });
        let inner = Arc::new(Inner {
            capabilities,
            tip: Tip::new(BACKEND, state.head.clone()),
            state: ArcSwap::from_pointee(state),
            index: Shared::new(index),
            recent: Shared::new(recent),
            notes: Mutex::new(Notes::read(&folder)?),
            projection: Projection::open(&config.path, &folder, is_writable, projected?)?,
            snapshot_turn: Mutex::default(),
            files: WriterSlot::new(files.transpose()?),
            threads: Mutex::default(),
            folder,
            config,
        });
        if is_writable {
            inner.start_threads()?;
        }
        Ok(Self(inner))
    }

    /// What a person should know: that the projection was edited by hand, and how to import the edit.
    pub fn warnings(&self) -> Vec<String> {
        self.0.projection.warnings()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        offload(BACKEND, move || call(&inner)).await
    }
}

impl Inner {
    fn start_threads(self: &Arc<Self>) -> Result<()> {
        let mut threads = self.threads();
        if let Durability::Interval(interval) = self.config.durability {
            threads.syncer = Some(self.start(interval, Self::sync)?);
        }
        let (mut schedule, clock) = (Schedule::default(), SystemClock::new());
        let write_behind = move |store: &Self| store.write_behind(&mut schedule, clock.monotonic());
        threads.writer_behind = Some(self.start(WRITE_BEHIND_INTERVAL, write_behind)?);
        drop(threads);
        self.mark();
        Ok(())
    }

    fn start(
        self: &Arc<Self>,
        interval: Duration,
        mut call: impl FnMut(&Self) + Send + 'static,
    ) -> Result<IntervalSync> {
        let store = Arc::downgrade(self);
        IntervalSync::start(BACKEND, interval, move || {
            if let Some(store) = store.upgrade() {
                call(&store);
            }
        })
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something was committed.
    fn mark(&self) {
        let threads = self.threads();
        let both = threads.syncer.iter().chain(&threads.writer_behind);
        both.for_each(IntervalSync::mark);
    }

    /// Says that a snapshot is due.
    fn hurry(&self) {
        let threads = self.threads();
        threads.writer_behind.iter().for_each(IntervalSync::hurry);
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Poisons the store where a write to the log failed.
    fn poisoning<T>(&self, done: Result<T>) -> Result<T> {
        done.inspect_err(|error| self.tip.poison(error.to_string()))
    }

    /// Writes what was acknowledged before it was written. A failure poisons the store.
    fn sync(&self) {
        let done = self.files.lock(&self.tip).and_then(|mut files| {
            self.tip.check_sound()?;
            self.flush(&mut files)
        });
        if let Err(error) = done {
            tracing::error!(%error, "the sync after an interval failed");
        }
    }

    /// Writes a snapshot where one is due, and the projection where that is.
    fn write_behind(&self, schedule: &mut Schedule, now: Duration) {
        // The log has everything; what failed is tried again after the next commit.
        let is_new = self.snapshot_if_due().unwrap_or_else(|error| {
            tracing::warn!(%error, "a snapshot cannot be written");
            false
        });
        let state = self.state.load_full();
        if schedule.is_due(&state.head, is_new, now) {
            self.project(&state);
        }
        if schedule.is_owed() {
            let threads = self.threads();
            threads.writer_behind.iter().for_each(IntervalSync::mark);
        }
    }

    /// The projection is no part of the store, so that a failure is told and nothing else.
    fn project(&self, state: &State) {
        if let Err(error) = self.projection.write(state) {
            tracing::warn!(%error, "the projection cannot be written");
        }
    }

    fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let mut files = self.files.lock(&self.tip)?;
        self.tip.check_writable()?;
        let old = self.state.load_full();
        let evaluation = evaluate(
            &old.head,
            &self.recent.read(),
            group,
            &mut |key, seen| match seen {
                Some(seen) => Ok(seen.record.clone()),
                None => Ok(old.records.get(key).cloned()),
            },
        )?;
        let Evaluation {
            outcomes,
            entries,
            writes,
            head,
        } = evaluation;
        if entries.is_empty() {
            return Ok(outcomes);
        }
        let was_due = Self::is_snapshot_due(&files);
        if self.config.durability == Durability::Synced {
            self.append(&mut files, &entries).map_err(|error| {
                StoreError::new(ErrorKind::MaybeApplied, BACKEND, "commit to the log")
                    .caused_by(error)
            })?;
        } else {
            self.index.write().pending.extend(entries.iter().cloned());
        }
        self.recent
            .write()
            .extend(entries.iter().map(|entry| &**entry));
        let mut state = State::clone(&old);
        for (key, write) in writes {
            match write {
                Some(record) => state.records.insert(key, record),
                None => state.records.remove(&key),
            };
        }
        state.head = head;
        self.publish(state);
        self.mark();
        // Told once: it is written while others commit, and tried again with the next projection where it fails.
        if Self::is_snapshot_due(&files) && !was_due {
            self.hurry();
        }
        Ok(outcomes)
    }

    fn publish(&self, state: State) {
        let head = state.head.clone();
        self.state.store(Arc::new(state));
        self.tip.publish(head);
    }

    /// Appends a group to the log and makes it durable. A failure poisons the store.
    fn append(&self, files: &mut Files, entries: &[Arc<LogEntry>]) -> Result<()> {
        let Some(last) = entries.last() else {
            return Ok(());
        };
        let last = Anchor {
            revision: last.commit.revision,
            hash: last.hash,
        };
        let line = group_line(entries);
        let written = (|| {
            if files.log.bytes() > SEGMENT_BYTES_MAX {
                files.log.follow(files.end)?;
            }
            let place = files.log.append(&line, last.revision)?;
            files.log.sync()?;
            Ok(place)
        })();
        let place = self.poisoning(written)?;
        files.end = last;
        files.log_bytes += line.len() as u64;
        let outlines: Vec<Outline> = entries.iter().map(|entry| (&**entry).into()).collect();
        let mut index = self.index.write();
        index.add(&outlines, place);
        // They are in this group, where there were any.
        index.pending.clear();
        Ok(())
    }

    /// Writes pending entries as one group.
    fn flush(&self, files: &mut Files) -> Result<()> {
        let pending = self.index.read().pending.clone();
        self.append(files, &pending)
    }

    /// Whether the log since the newest snapshot is long enough for a new one.
    fn is_snapshot_due(files: &Files) -> bool {
        files.log_bytes >= SNAPSHOT_LOG_BYTES_MIN.max(SNAPSHOT_LOG_FACTOR * files.snapshot_bytes)
    }

    /// Writes a snapshot where one is due, while others commit. Answers whether it did.
    fn snapshot_if_due(&self) -> Result<bool> {
        let _turn = self.snapshot_turn();
        let (state, log_bytes) = {
            let mut files = self.files.lock(&self.tip)?;
            self.tip.check_sound()?;
            if files.restoration.is_some() || !Self::is_snapshot_due(&files) {
                return Ok(false);
            }
            self.flush(&mut files)?;
            (self.state.load_full(), files.log_bytes)
        };
        let bytes = snapshot::write(&self.folder, &state)?;
        let mut files = self.files.lock(&self.tip)?;
        files.log_bytes -= log_bytes;
        self.use_snapshot(&mut files, state.head.revision(), bytes)?;
        Ok(true)
    }

    /// Writes a snapshot before anything else is committed.
    fn snapshot(&self, files: &mut Files, state: &State) -> Result<()> {
        self.flush(files)?;
        let bytes = snapshot::write(&self.folder, state)?;
        files.log_bytes = 0;
        self.use_snapshot(files, state.head.revision(), bytes)
    }

    /// Removes the snapshots before a new one.
    fn use_snapshot(&self, files: &mut Files, revision: Revision, bytes: u64) -> Result<()> {
        files.snapshot_bytes = bytes;
        files.snapshot = revision;
        for old in crate::open::Files::list(&self.folder)?.snapshots {
            if old < files.snapshot {
                let path = snapshot_path(&self.folder, old);
                std::fs::remove_file(&path)
                    .map_err(crate::error::io("remove an old snapshot", &path))?;
            }
        }
        Ok(())
    }

    fn snapshot_turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.snapshot_turn.lock();
        turn.unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: Note) -> Result<()> {
        let _files = self.files.lock(&self.tip)?;
        self.tip.check_writable()?;
        self.notes().put(note)
    }

    fn changes(&self, request: &ChangesRequest) -> Result<ChangePage> {
        self.tip.check_readable()?;
        // A compaction changes both while it holds the index.
        let index = self.index.read();
        let state = self.state.load_full();
        check_changes(BACKEND, request, &state.head)?;
        let mut page = ChangeCollector::new(BACKEND, request, &state.head);
        index.collect(request.after, &mut page)?;
        page.finish()
    }

    fn compact(&self, through: Revision) -> Result<()> {
        let _turn = self.snapshot_turn();
        let mut files = self.files.lock(&self.tip)?;
        self.tip.check_writable()?;
        let mut state = State::clone(&self.state.load_full());
        check_compact(BACKEND, through, &state.head)?;
        if through <= state.head.compacted.revision {
            return Ok(());
        }
        self.flush(&mut files)?;
        let anchor = self.anchor(&state.head, through)?;
        let done = (|| {
            if files.snapshot < through {
                // What is compacted cannot be replayed.
                self.snapshot(&mut files, &state)?;
            }
            files.facts.compacted = anchor;
            files.facts.write(&self.folder)?;
            let mut index = self.index.write();
            files.log.compact(&mut index, anchor)?;
            state.head.compacted = anchor;
            self.publish(state);
            Ok(())
        })();
        self.poisoning(done)
    }

    /// The anchor of a revision of the log, with the chain to it checked.
    fn anchor(&self, head: &Head, through: Revision) -> Result<Anchor> {
        let mut after = head.compacted.revision;
        let mut anchor = head.compacted;
        while anchor.revision < through {
            let rest = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX);
            let request = ChangesRequest {
                after,
                key: None,
                limit: rest.min(registry_core::limits::CHANGES_PAGE_MAX),
            };
            let page = self.changes(&request)?;
            after = page.through;
            if let Some(last) = page.entries.last() {
                anchor = Anchor {
                    revision: last.commit.revision,
                    hash: last.hash,
                };
            }
        }
        Ok(anchor)
    }

    fn restore(&self, page: RestorePage) -> Result<()> {
        let _turn = self.snapshot_turn();
        let mut files = self.files.lock(&self.tip)?;
        self.tip.check_open()?;
        self.tip.check_sound()?;
        let head = self.tip.head();
        if !head.is_empty() {
            let detail = format!(
                "expected an empty store, found revision {}",
                head.revision()
            );
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail));
        }
        let is_first = files.restoration.is_none();
        let restoring = files.restoration.get_or_insert_default();
        let accepted = restoring.restoration.accept(BACKEND, &page);
        if accepted.is_err() && is_first {
            files.restoration = None;
        }
        let seal = accepted?;
        self.tip.set_restoring(true);
        let done = self.store_page(&mut files, page, is_first, seal);
        let is_sealed = self.poisoning(done)?;
        self.tip.set_restoring(!is_sealed);
        Ok(())
    }

    /// Stores a page that was accepted, and answers whether the store is sealed.
    fn store_page(
        &self,
        files: &mut Files,
        page: RestorePage,
        is_first: bool,
        seal: Option<Seal>,
    ) -> Result<bool> {
        if is_first {
            files.facts.is_sealed = false;
            files.facts.compacted = page.anchor.unwrap_or_default();
            files.facts.write(&self.folder)?;
            let anchor = files.facts.compacted;
            if anchor.revision.next() != files.log.first() {
                files.log = Writer::create(&self.folder, anchor)?;
                files.end = anchor;
            }
        }
        self.append(files, &page.entries)?;
        self.recent
            .write()
            .extend(page.entries.iter().map(|entry| &**entry));
        let restoring = files.restoration.get_or_insert_default();
        let records = page.records.into_iter();
        let records = records.map(|record| (record.key().clone(), record));
        restoring.state.records.extend(records);
        let Some(seal) = seal else {
            return Ok(false);
        };
        let mut state = std::mem::take(&mut restoring.state);
        files.restoration = None;
        state.head = seal.head;
        self.snapshot(files, &state)?;
        files.facts.is_sealed = true;
        files.facts.schema = seal.schema;
        files.facts.closed = state.head.last;
        files.facts.write(&self.folder)?;
        self.publish(state);
        self.mark();
        Ok(true)
    }

    fn close(&self) -> Result<()> {
        let threads = std::mem::take(&mut *self.threads());
        drop(threads);
        // Taken before anything can fail: closing releases the lock in any case.
        let Some(mut files) = self.files.take() else {
            return Ok(());
        };
        if files.restoration.is_some() || self.tip.check_sound().is_err() {
            return Ok(());
        }
        self.flush(&mut files)?;
        files.log.finish()?;
        let state = self.state.load_full();
        if files.facts.closed != state.head.last {
            files.facts.closed = state.head.last;
            files.facts.write(&self.folder)?;
        }
        self.notes().rewrite()?;
        self.project(&state);
        Ok(())
    }
}

#[async_trait]
impl RegistryStore for JsonStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        Some(self.0.state.load().head.revision())
    }

    async fn head(&self) -> Result<Head> {
        self.0.tip.check_readable()?;
        // Not the tip's, which is published shortly after: no reader may see the head behind a record.
        Ok(self.0.state.load().head.clone())
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        self.0.tip.check_readable()?;
        Ok(self.0.state.load().records.get(key).cloned())
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.0.tip.check_readable()?;
        check_range(BACKEND, &request)?;
        let state = self.0.state.load_full();
        let start = request
            .after
            .as_ref()
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let records = state
            .records
            .range::<_, Key>((start, std::ops::Bound::Unbounded))
            .skip_while(|(key, _)| key.kind() < request.kind)
            .take_while(|(key, _)| key.kind() == request.kind);
        let mut page = RangeCollector::new(BACKEND, &request);
        for (_, record) in records {
            if !page.take(record.clone())? {
                break;
            }
        }
        Ok(page.finish(state.head.revision()))
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.0.tip.check_writable()?;
        check_group(BACKEND, &group)?;
        self.blocking(move |store| store.commit(group)).await
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.0.tip.check_readable()?;
        Ok(self.0.recent.read().find(id))
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        self.blocking(move |store| store.changes(&request)).await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.0.tip.wait(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.0.tip.check_writable()?;
        self.blocking(move |store| store.note(note)).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.0.tip.check_readable()?;
        self.0.notes().all()
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.0.tip.check_writable()?;
        self.blocking(move |store| store.compact(through)).await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.0.tip.check_open()?;
        self.blocking(move |store| store.restore(page)).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        self.blocking(|store| {
            store.tip.check_readable()?;
            // Neither a commit nor a compaction comes between the files and what is in memory.
            let files = store.files.keep_out();
            let state = store.state.load_full();
            let report = verify(&store.folder, &state, &store.index.read());
            drop(files);
            Ok(report)
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        if !self.0.tip.close() {
            return Ok(());
        }
        self.blocking(Inner::close).await
    }
}
