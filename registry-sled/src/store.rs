//! The store: the contract on top of sled's trees.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use registry_core::commit::{
    EngineSlot, Evaluation, IntervalSync, Recent, Restoration, Shared, Tip, WriterSlot,
    check_compact, check_group, check_note, check_range, evaluate,
};
use registry_core::{
    Anchor, Capabilities, ChangePage, ChangesRequest, Committed, Durability, ErrorKind, Head, Key,
    Note, OpenMode, Outcome, RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision,
    StoreError, Transaction, TransactionId, VerifyReport, Versioned, contain, offload,
};

use crate::batch::{Batch, put_note, sweep};
use crate::config::SledConfig;
use crate::disk::{Disk, distrust};
use crate::error;
use crate::open::{Engine, load};
use crate::rescue::flush;
use crate::schema::Stamp;
use crate::span::{Span, split};
use crate::trees::{Published, Trees};
use crate::verify::verify;

/// Name of this backend.
pub const BACKEND: &str = "sled";

/// A store in one sled folder.
#[derive(Clone)]
pub struct SledStore(Arc<Inner>);

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

struct Inner {
    config: SledConfig,
    capabilities: Capabilities,
    tip: Tip,
    /// None once the store is closed. Readers hold it for one call, so that a close waits for them.
    engine: EngineSlot<Engine>,
    /// Held for reading over a call, and for writing while sled applies a transaction: no reader sees half of one.
    published: Shared<Published>,
    recent: Shared<Recent>,
    /// One writer at a time; held over the sync. None where the store is read-only.
    writer: WriterSlot<WriterState>,
    syncer: Mutex<Option<IntervalSync>>,
}

struct WriterState {
    disk: Disk,
    /// What is not synced.
    span: Span,
    stamp: Stamp,
    restoration: Option<Restoration>,
}

impl SledStore {
    /// Opens or creates a store. Blocks: sled reads its log, and the window of recent ids is read.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` (a foreign folder, a file), `Locked` with the holder, `Corrupted`, `SchemaTooNew`,
    /// `Unsupported` for a durability that a folder cannot have and for compression without its feature,
    /// `Unavailable`.
    pub fn open(config: SledConfig) -> Result<Self> {
        if config.compression && !cfg!(feature = "compression") {
            let detail = "compress pages; this program was built without it";
            return Err(StoreError::new(ErrorKind::Unsupported, BACKEND, detail));
        }
        let path = config.path.clone();
        contain(BACKEND, || Self::open_contained(config)).map_err(|error| error.at_path(&path))
    }

    fn open_contained(config: SledConfig) -> Result<Self> {
        let capabilities = Capabilities::of_files(BACKEND, config.durability)?;
        let is_writable = config.mode != OpenMode::ReadOnly;
        let engine = Engine::open(&config)?;
        let (head, recent) = load(&engine.trees, &engine.stamp)?;
        let writer = is_writable.then(|| {
            let mut disk = Disk::open(&config.path).inspect_err(|_| distrust(&config.path))?;
            sweep(&engine.trees, &head, || make_durable(&mut disk, &engine))?;
            Ok(WriterState {
                disk,
                span: Span::default(),
                stamp: engine.stamp.clone(),
                restoration: None,
            })
        });
        let published = Published {
            head: head.clone(),
            shadow: BTreeMap::new(),
        };
        let inner = Arc::new(Inner {
            capabilities,
            tip: Tip::new(BACKEND, head),
            engine: EngineSlot::new(engine),
            published: Shared::new(published),
            recent: Shared::new(recent),
            writer: WriterSlot::new(writer.transpose()?),
            syncer: Mutex::default(),
            config,
        });
        inner.start_syncer()?;
        Ok(Self(inner))
    }

    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Trees, &Published) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        offload(BACKEND, move || {
            inner.tip.check_readable()?;
            let engine = inner.engine.get(BACKEND)?;
            call(&engine.trees, &inner.published.read())
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
    fn syncer(&self) -> MutexGuard<'_, Option<IntervalSync>> {
        self.syncer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_syncer(self: &Arc<Self>) -> Result<()> {
        let Durability::Interval(interval) = self.config.durability else {
            return Ok(());
        };
        if self.config.mode == OpenMode::ReadOnly {
            return Ok(());
        }
        let store = Arc::downgrade(self);
        let syncer = IntervalSync::start(BACKEND, interval, move || {
            if let Some(store) = store.upgrade() {
                store.sync_later();
            }
        })?;
        *self.syncer() = Some(syncer);
        Ok(())
    }

    /// Makes what was acknowledged durable.
    fn sync_later(&self) {
        let done = contain(BACKEND, || {
            let mut writer = self.writer.lock(&self.tip)?;
            let engine = self.engine.get(BACKEND)?;
            self.tip.check_sound()?;
            self.sync(&mut writer, &engine)
        });
        if let Err(error) = done
            && *error.kind() != ErrorKind::Closed
        {
            tracing::error!(%error, "the sync after an interval failed");
            self.tip.poison(error.to_string());
        }
    }

    /// Makes everything that sled applied durable.
    ///
    /// # Errors
    /// `MaybeApplied`; the store is poisoned.
    fn sync(&self, writer: &mut WriterState, engine: &Engine) -> Result<()> {
        make_durable(&mut writer.disk, engine).map_err(|error| {
            self.tip.poison(error.to_string());
            StoreError::new(ErrorKind::MaybeApplied, BACKEND, "make a commit durable")
                .caused_by(error)
        })?;
        writer.span.reset();
        Ok(())
    }

    /// Applies a transaction, makes it durable as the store promises, and publishes its head. Readers see neither
    /// before that: `shadow` has what they see of the keys it changes.
    fn run(
        &self,
        writer: &mut WriterState,
        engine: &Engine,
        batch: &Batch,
        shadow: BTreeMap<Key, Option<Versioned>>,
        head: Head,
    ) -> Result<()> {
        let applied = {
            let mut published = self.published.write();
            published.shadow = shadow;
            batch.apply(&engine.trees)
        };
        // Where it cannot be told whether sled applied it, readers go on with the shadow.
        applied.inspect_err(|error| self.tip.poison(error.to_string()))?;
        let (rows, bytes) = batch.size();
        let is_full = writer.span.add(rows, bytes);
        if is_full || self.config.durability == Durability::Synced {
            self.sync(writer, engine)?;
        } else if let Some(syncer) = &*self.syncer() {
            syncer.mark();
        }
        let mut published = self.published.write();
        published.shadow.clear();
        published.head = head.clone();
        // Under the lock, so that no reader sees the head behind a record.
        self.tip.publish(head);
        Ok(())
    }

    fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        let parts = split(group)?;
        let mut writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let engine = self.engine.get(BACKEND)?;
        let mut outcomes = Vec::new();
        for part in parts {
            let done = self.commit_part(&mut writer, &engine, part);
            let done = done.map_err(|error| {
                if outcomes.is_empty() {
                    return error;
                }
                let detail = "commit the rest of a group";
                StoreError::new(ErrorKind::MaybeApplied, BACKEND, detail).caused_by(error)
            });
            outcomes.extend(done?);
        }
        Ok(outcomes)
    }

    fn commit_part(
        &self,
        writer: &mut WriterState,
        engine: &Engine,
        group: Vec<Transaction>,
    ) -> Result<Vec<Outcome>> {
        let trees = &engine.trees;
        let mut replaced = BTreeMap::new();
        let evaluation = {
            let published = self.published.read();
            evaluate(
                &published.head,
                &self.recent.read(),
                group,
                &mut |key, seen| {
                    let record = match seen {
                        Some(seen) => seen.record.clone(),
                        None => trees.get(&published, key)?,
                    };
                    replaced.insert(key.clone(), record.clone());
                    Ok(record)
                },
            )?
        };
        let Evaluation {
            outcomes,
            entries,
            writes,
            head,
        } = evaluation;
        if entries.is_empty() {
            return Ok(outcomes);
        }
        replaced.retain(|key, _| writes.contains_key(key));
        let mut batch = Batch::default();
        batch.append(trees, &entries)?;
        batch.write(&writes);
        batch.put_head(&head);
        self.run(writer, engine, &batch, replaced, head)?;
        self.recent
            .write()
            .extend(entries.iter().map(|entry| &**entry));
        Ok(outcomes)
    }

    fn note(&self, note: &Note) -> Result<()> {
        let mut writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let engine = self.engine.get(BACKEND)?;
        let notes = &engine.trees.notes;
        let is_new = notes.contains_key(&note.name);
        let is_new = !is_new.map_err(|error| engine.trees.unread(error))?;
        check_note(BACKEND, note, notes.len() + usize::from(is_new))?;
        // No reader sees the parts of two.
        let published = self.published.write();
        put_note(&engine.trees, note)?;
        drop(published);
        if writer.span.add(1, note.content.len()) {
            self.sync(&mut writer, &engine)?;
        }
        Ok(())
    }

    fn compact(&self, through: Revision) -> Result<()> {
        let mut writer = self.writer.lock(&self.tip)?;
        self.tip.check_writable()?;
        let engine = self.engine.get(BACKEND)?;
        let mut head = self.published.read().head.clone();
        check_compact(BACKEND, through, &head)?;
        if through <= head.compacted.revision {
            return Ok(());
        }
        head.compacted = Anchor {
            revision: through,
            hash: engine.trees.entry(through)?.hash,
        };
        let mut batch = Batch::default();
        batch.put_head(&head);
        self.run(&mut writer, &engine, &batch, BTreeMap::new(), head.clone())?;
        // The log is cut with that. What follows frees the space, and open goes on with it where it is cut short.
        sweep(&engine.trees, &head, || self.sync(&mut writer, &engine))
    }

    fn restore(&self, page: &RestorePage) -> Result<()> {
        let mut writer = self.writer.lock(&self.tip)?;
        self.tip.check_open()?;
        self.tip.check_sound()?;
        let engine = self.engine.get(BACKEND)?;
        let head = self.published.read().head.clone();
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
        let stored = (|| {
            if is_first {
                writer.stamp.is_sealed = false;
                writer.stamp.write(&self.config.path)?;
            }
            let mut batch = Batch::default();
            batch.restore(&engine.trees, page, seal.as_ref())?;
            batch.apply(&engine.trees)?;
            self.sync(&mut writer, &engine)?;
            if let Some(seal) = &seal {
                writer.stamp.is_sealed = true;
                writer.stamp.schema = seal.schema;
                writer.stamp.closed = seal.head.last;
                writer.stamp.compacted = seal.head.compacted;
                writer.stamp.write(&self.config.path)?;
            }
            Ok(())
        })();
        stored.inspect_err(|error: &StoreError| self.tip.poison(error.to_string()))?;
        self.recent
            .write()
            .extend(page.entries.iter().map(|entry| &**entry));
        if let Some(seal) = seal {
            writer.restoration = None;
            let mut published = self.published.write();
            published.head = seal.head.clone();
            self.tip.publish(seal.head);
            self.tip.set_restoring(false);
        }
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

    /// Makes everything durable, and says where the log ends.
    fn finish(&self) -> Result<()> {
        if self.config.mode == OpenMode::ReadOnly {
            return Ok(());
        }
        let mut writer = self.writer.lock(&self.tip)?;
        if writer.restoration.is_some() || self.tip.check_sound().is_err() {
            return Ok(());
        }
        let engine = self.engine.get(BACKEND)?;
        self.sync(&mut writer, &engine)?;
        let Head {
            last, compacted, ..
        } = self.published.read().head;
        let stamp = &mut writer.stamp;
        if (stamp.closed, stamp.compacted) != (last, compacted) {
            (stamp.closed, stamp.compacted) = (last, compacted);
            stamp.write(&self.config.path)?;
        }
        Ok(())
    }
}

fn make_durable(disk: &mut Disk, engine: &Engine) -> Result<()> {
    let path = &engine.trees.path;
    let flushed = flush(&engine.database);
    let flushed = flushed.map_err(|error| error::engine(path, "flush sled", error));
    let synced = flushed.and_then(|()| disk.sync());
    synced.inspect_err(|_| distrust(path))
}

#[async_trait]
impl RegistryStore for SledStore {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        Some(self.0.tip.head().revision())
    }

    async fn head(&self) -> Result<Head> {
        self.0.tip.check_readable()?;
        Ok(Head::clone(&self.0.tip.head()))
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        let key = key.clone();
        self.read(move |trees, published| trees.get(published, &key))
            .await
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.0.tip.check_readable()?;
        check_range(BACKEND, &request)?;
        self.read(move |trees, published| trees.range(published, &request))
            .await
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
        self.read(move |trees, published| trees.changes(published, &request))
            .await
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.0.tip.wait(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.0.tip.check_writable()?;
        self.write(move |store| store.note(&note)).await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        self.read(|trees, _| trees.notes()).await
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
        let inner = Arc::clone(&self.0);
        offload(BACKEND, move || {
            inner.tip.check_readable()?;
            // Nothing is written meanwhile, so that the trees are those of the head.
            let writer = inner.writer.keep_out();
            let engine = inner.engine.get(BACKEND)?;
            let report = verify(&engine.trees, &inner.published.read());
            drop(writer);
            Ok(report)
        })
        .await
    }

    async fn close(&self) -> Result<()> {
        if !self.0.tip.close() {
            return Ok(());
        }
        self.write(Inner::close).await
    }
}
