//! The store: the contract on top of one file.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use registry_core::codec::encode_log_values;
use registry_core::commit::{
    EngineSlot, Evaluation, IntervalSync, Recent, Restoration, Shared, Tip, WriterSlot,
    check_compact, check_group, check_note, check_range, evaluate,
};
use registry_core::limits::LOG_VALUE_BYTES_MAX;
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, CodecError, Committed, Durability, ErrorKind, Head,
    Key, Note, OpenMode, Outcome, RangePage, RangeRequest, RegistryStore, RestorePage, Result,
    Revision, StoreError, Transaction, TransactionId, VerifyReport, Versioned, contain, offload,
};

use crate::config::RedbConfig;
use crate::fold::{Batch, SyncMode};
use crate::open::Engine;
use crate::schema::{ALLOCATOR_INTERVAL, FOLD_BYTES_MAX, FOLD_COMMITS_MAX};
use crate::verify::verify;
use crate::view::{Snapshot, View};

/// Name of this backend.
pub const BACKEND: &str = "redb";

/// A store in one redb file.
#[derive(Clone)]
pub struct RedbStore(Arc<Inner>);

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

struct Inner {
    config: RedbConfig,
    capabilities: Capabilities,
    tip: Tip,
    /// None once the store is closed. Readers hold it for one call, so that a close waits for them.
    engine: EngineSlot<Engine>,
    snapshot: ArcSwap<Snapshot>,
    /// Odd while tables are folded or compacted: a reader takes snapshot and tables within one phase.
    phase: AtomicU64,
    recent: Shared<Recent>,
    /// One writer at a time; held over the sync.
    writer: WriterSlot<WriterState>,
    syncer: Mutex<Option<IntervalSync>>,
}

#[derive(Default)]
struct WriterState {
    restoration: Option<Restoration>,
}

impl RedbStore {
    /// Opens or creates a store. Blocks: it reads the log's tail.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (a foreign file, a folder), `Locked` with the holder, `Corrupted`, `SchemaTooNew`,
    /// `Unsupported` for a durability that a file cannot have, `Unavailable`.
    pub fn open(config: RedbConfig) -> Result<Self> {
        let path = config.path.clone();
        contain(BACKEND, || Self::open_contained(config)).map_err(|error| error.at_path(&path))
    }

    fn open_contained(config: RedbConfig) -> Result<Self> {
        let capabilities = Capabilities::of_files(BACKEND, config.durability)?;
        let (engine, (snapshot, recent)) = Engine::open(&config)?;
        let inner = Arc::new(Inner {
            capabilities,
            tip: Tip::new(BACKEND, snapshot.head.clone()),
            engine: EngineSlot::new(engine),
            snapshot: ArcSwap::from_pointee(snapshot),
            phase: AtomicU64::new(0),
            recent: Shared::new(recent),
            writer: WriterSlot::new(Some(WriterState::default())),
            syncer: Mutex::default(),
            config,
        });
        inner.start_syncer()?;
        Ok(Self(inner))
    }

    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        offload(BACKEND, move || {
            inner.tip.check_readable()?;
            let engine = inner.engine.get(BACKEND)?;
            call(&inner.view(&engine)?)
        })
        .await
        .map_err(|error| error.at_path(&self.0.config.path))
    }

    async fn write<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        offload(BACKEND, move || call(&inner)).await
    }
}

impl Inner {
    fn view(&self, engine: &Engine) -> Result<View<'_>> {
        loop {
            let phase = self.phase.load(Ordering::SeqCst);
            let is_moving = phase % 2 == 1;
            let snapshot = self.snapshot.load_full();
            let transaction = engine.begin_read(&self.config.path)?;
            if !is_moving && phase == self.phase.load(Ordering::SeqCst) {
                return View::new(&self.config.path, snapshot, transaction);
            }
            // Tables and snapshot move together for one sync; this thread may block.
            std::thread::yield_now();
        }
    }

    /// How what is acknowledged becomes durable.
    fn sync_of_commits(&self) -> SyncMode {
        if self.config.durability == Durability::Synced {
            SyncMode::Once
        } else {
            SyncMode::Later
        }
    }

    fn start_syncer(self: &Arc<Self>) -> Result<()> {
        if self.config.mode == OpenMode::ReadOnly {
            return Ok(());
        }
        let interval = match self.config.durability {
            Durability::Interval(interval) => interval,
            _ => ALLOCATOR_INTERVAL,
        };
        let store = Arc::downgrade(self);
        let syncer = IntervalSync::start(BACKEND, interval, move || {
            if let Some(store) = store.upgrade() {
                store.sync();
            }
        })?;
        *self.syncer() = Some(syncer);
        Ok(())
    }

    fn syncer(&self) -> MutexGuard<'_, Option<IntervalSync>> {
        self.syncer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what was committed without a sync durable, and writes the allocator's state. A failure poisons the store.
    fn sync(&self) {
        let synced = contain(BACKEND, || {
            let _writer = self.writer.lock(&self.tip)?;
            let engine = self.engine.get(BACKEND)?;
            self.tip.check_sound()?;
            Batch::begin(
                &self.config.path,
                engine.writable()?,
                SyncMode::WithAllocator,
            )?
            .commit()
        });
        if let Err(error) = synced
            && *error.kind() != ErrorKind::Closed
        {
            tracing::error!(%error, "the sync that follows commits failed");
            self.tip.poison(error.to_string());
        }
    }

    /// Runs a write, and poisons the store where it failed on the way to the disk.
    fn run_batch<T>(
        &self,
        sync: SyncMode,
        write: impl FnOnce(&Batch<'_>) -> Result<T>,
    ) -> Result<T> {
        let engine = self.engine.get(BACKEND)?;
        let database = engine.writable()?;
        let done = Batch::begin(&self.config.path, database, sync).and_then(|batch| {
            let answer = write(&batch)?;
            batch.commit()?;
            Ok(answer)
        });
        if let Err(error) = &done
            && matches!(
                error.kind(),
                ErrorKind::MaybeApplied | ErrorKind::Unavailable
            )
        {
            self.tip.poison(error.to_string());
        }
        // Where commits are synced, a note alone waits for the next one.
        if done.is_ok()
            && (sync == SyncMode::Once || sync == self.sync_of_commits())
            && let Some(syncer) = &*self.syncer()
        {
            syncer.mark();
        }
        done
    }

    fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let _writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let evaluation = self.evaluate(group)?;
        if evaluation.entries.is_empty() {
            return Ok(evaluation.outcomes);
        }
        let values = encode_log_values(&evaluation.entries).map_err(too_large)?;
        let old = self.snapshot.load_full();
        let is_full = old.entries.len() >= FOLD_COMMITS_MAX || old.bytes >= FOLD_BYTES_MAX;
        let mut new = if is_full {
            Snapshot::folded(old.head.clone())
        } else {
            Snapshot::clone(&old)
        };
        let fold = is_full.then_some(&*old);
        let phase = PhaseGuard::enter(fold.map(|_| &self.phase));
        self.run_batch(self.sync_of_commits(), |batch| {
            if let Some(fold) = fold {
                batch.fold(fold)?;
            }
            batch.append(&values)
        })?;
        let Evaluation {
            outcomes,
            entries,
            writes,
            head,
        } = evaluation;
        self.recent
            .write()
            .extend(entries.iter().map(|entry| &**entry));
        new.push(entries, writes, head);
        self.publish(new);
        drop(phase);
        Ok(outcomes)
    }

    fn evaluate(&self, group: Vec<Transaction>) -> Result<Evaluation> {
        let engine = self.engine.get(BACKEND)?;
        engine.writable()?;
        let view = self.view(&engine)?;
        let recent = self.recent.read();
        evaluate(
            &view.snapshot.head,
            &recent,
            group,
            &mut |key, seen| match seen {
                Some(seen) => Ok(seen.record.clone()),
                None => view.get(key),
            },
        )
    }

    fn publish(&self, snapshot: Snapshot) {
        let head = snapshot.head.clone();
        self.snapshot.store(Arc::new(snapshot));
        self.tip.publish(head);
    }

    fn note(&self, note: &Note) -> Result<()> {
        let _writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let count = {
            let engine = self.engine.get(BACKEND)?;
            engine.writable()?;
            self.view(&engine)?.notes_with(&note.name)?
        };
        check_note(BACKEND, note, count)?;
        self.run_batch(SyncMode::Later, |batch| batch.note(note))
    }

    fn compact(&self, through: Revision) -> Result<()> {
        let _writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let old = self.snapshot.load_full();
        self.engine.get(BACKEND)?.writable()?;
        check_compact(BACKEND, through, &old.head)?;
        if through <= old.head.compacted.revision {
            return Ok(());
        }
        let phase = PhaseGuard::enter(Some(&self.phase));
        let head = self.run_batch(self.sync_of_commits(), |batch| {
            batch.fold(&old)?;
            batch.compact(&old.head, through)
        })?;
        self.publish(Snapshot::folded(head));
        drop(phase);
        Ok(())
    }

    fn restore(&self, page: &RestorePage) -> Result<()> {
        let mut writer = self.writer.lock(&self.tip)?;
        self.tip.check_open()?;
        self.tip.check_sound()?;
        self.engine.get(BACKEND)?.writable()?;
        let head = self.tip.head();
        if !head.is_empty() {
            let detail = format!(
                "expected an empty store, found revision {}",
                head.revision()
            );
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail));
        }
        let is_first = writer.restoration.is_none();
        let accepted = writer
            .restoration
            .get_or_insert_default()
            .accept(BACKEND, page);
        if accepted.is_err() && is_first {
            writer.restoration = None;
        }
        let seal = accepted?;
        self.tip.set_restoring(true);
        let phase = PhaseGuard::enter(Some(&self.phase));
        self.run_batch(SyncMode::Once, |batch| batch.restore(page, seal.as_ref()))?;
        self.recent
            .write()
            .extend(page.entries.iter().map(|entry| &**entry));
        if let Some(seal) = seal {
            writer.restoration = None;
            self.publish(Snapshot::folded(seal.head));
            self.tip.set_restoring(false);
        }
        drop(phase);
        Ok(())
    }

    fn close(&self) -> Result<()> {
        let syncer = self.syncer().take();
        drop(syncer);
        let finished = contain(BACKEND, || self.finish());
        let engine = self.engine.take();
        contain(BACKEND, || {
            drop(engine);
            Ok(())
        })?;
        finished
    }

    /// Folds everything, and leaves both commit slots of the file with the same content: redb does not checksum the
    /// bit that chooses between them, and with it flipped the next open would find the store before its last commit.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general over the lifetime"
    )]
    fn finish(&self) -> Result<()> {
        let writer = self.writer.lock(&self.tip)?;
        let is_read_only = self.engine.get(BACKEND)?.writable().is_err();
        if is_read_only || writer.restoration.is_some() || self.tip.check_sound().is_err() {
            return Ok(());
        }
        let snapshot = self.snapshot.load_full();
        if !snapshot.entries.is_empty() {
            self.run_batch(SyncMode::Once, |batch| batch.fold(&snapshot))?;
        }
        self.run_batch(SyncMode::WithAllocator, |batch| batch.count_close())?;
        self.run_batch(SyncMode::WithAllocator, |batch| batch.count_close())
    }
}

/// Marks the time in which tables and snapshot move together.
struct PhaseGuard<'a>(Option<&'a AtomicU64>);

impl<'a> PhaseGuard<'a> {
    fn enter(phase: Option<&'a AtomicU64>) -> Self {
        if let Some(phase) = phase {
            phase.fetch_add(1, Ordering::SeqCst);
        }
        Self(phase)
    }
}

impl Drop for PhaseGuard<'_> {
    fn drop(&mut self) {
        if let Some(phase) = self.0 {
            phase.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn too_large(error: CodecError) -> StoreError {
    match error {
        CodecError::Limit { found, .. } => {
            StoreError::limit(BACKEND, "log_value_bytes_max", LOG_VALUE_BYTES_MAX, found)
        }
        error => StoreError::new(ErrorKind::Invalid, BACKEND, "write the group").caused_by(error),
    }
}

#[async_trait]
impl RegistryStore for RedbStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        Some(self.0.snapshot.load().head.revision())
    }

    async fn head(&self) -> Result<Head> {
        self.0.tip.check_readable()?;
        // Not the tip's, which is published shortly after: no reader may see the head behind a record.
        Ok(self.0.snapshot.load().head.clone())
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        let key = key.clone();
        self.read(move |view| view.get(&key)).await
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.0.tip.check_readable()?;
        check_range(BACKEND, &request)?;
        self.read(move |view| view.range(&request)).await
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.0.tip.check_writable()?;
        check_group(BACKEND, &group)?;
        self.write(move |store| store.commit(group)).await
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.0.tip.check_readable()?;
        Ok(self.0.recent.read().find(id))
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        self.read(move |view| view.changes(&request)).await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.0.tip.wait(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.0.tip.check_writable()?;
        self.write(move |store| store.note(&note)).await
    }

    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general over the lifetime"
    )]
    async fn notes(&self) -> Result<Vec<Note>> {
        self.read(|view| view.notes()).await
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.0.tip.check_writable()?;
        self.write(move |store| store.compact(through)).await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.0.tip.check_open()?;
        self.write(move |store| store.restore(&page)).await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        let path = self.0.config.path.clone();
        self.read(move |view| Ok(verify(&path, view))).await
    }

    async fn close(&self) -> Result<()> {
        if !self.0.tip.close() {
            return Ok(());
        }
        self.write(Inner::close).await
    }
}
