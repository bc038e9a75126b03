//! The store: each call is one hop to a thread that may block, and one transaction there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use registry_core::commit::{check_group, check_range};
use registry_core::limits::{GROUP_TRANSACTIONS_MAX, RECORD_BYTES_MAX};
use registry_core::{
    Capabilities, ChangePage, ChangesRequest, Committed, Durability, ErrorKind, Head, Key, Note,
    OpenMode, Outcome, RangePage, RangeRequest, RegistryStore, RestorePage, Result, Revision,
    StoreError, Transaction, TransactionId, VerifyReport, Versioned, Writers, contain, offload,
};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::copy::{self, Copy, InUse};
use crate::error::Fault;
use crate::flush::Flusher;
use crate::published::Published;
use crate::schema::Sync;
use crate::watch::{Waiting, Watch};
use crate::writer::{Failed, Writer};
use crate::{BACKEND, open, reads, schema, verify};

/// Connections for readers, so that two do not wait for each other.
const READERS: usize = 2;

/// A store in a SQLite file, shared with any number of processes.
#[derive(Debug)]
pub struct SqliteStore {
    capabilities: Capabilities,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// First, so that the threads end before the connections do.
    threads: Mutex<Threads>,
    path: PathBuf,
    published: Arc<Published>,
    readers: [Mutex<Option<Connection>>; READERS],
    writer: Option<Arc<WriterSeat>>,
    /// Last, so that they end after the connections do.
    holds: Mutex<Holds>,
}

#[derive(Debug, Default)]
struct Threads {
    watch: Option<Watch>,
    flusher: Option<Flusher>,
}

/// What the path needs while it is open.
#[derive(Debug, Default)]
struct Holds {
    _copy: Option<Copy>,
    _in_use: Option<InUse>,
}

/// The writer of this process, until it is closed.
#[derive(Debug)]
struct WriterSeat {
    path: PathBuf,
    published: Arc<Published>,
    writer: Mutex<Option<Writer>>,
}

impl SqliteStore {
    /// Opens the store, or makes it, as the mode says.
    ///
    /// # Errors
    /// `NotFound` or `Invalid` where the mode does not fit what is at the path; `Corrupted` for a file that is no store
    /// or a damaged one; `SchemaTooNew`; `Unsupported` for [`Durability::Volatile`]; `Unavailable` where the system
    /// refuses.
    pub fn open(config: SqliteConfig) -> Result<Self> {
        let SqliteConfig {
            path,
            mode,
            durability,
            cache_bytes,
        } = config;
        contain(BACKEND, || {
            if durability == Durability::Volatile {
                let detail = "expected synced or interval, found volatile";
                return Err(StoreError::new(ErrorKind::Unsupported, BACKEND, detail));
            }
            open::prepare(&path, mode)?;
            let shared = match mode {
                OpenMode::ReadOnly => Shared::read_only(path, cache_bytes)?,
                _ => Shared::open(path, durability, cache_bytes)?,
            };
            Ok(Self {
                capabilities: Capabilities {
                    backend: BACKEND,
                    durability,
                    writers: Writers::Many,
                    is_persistent: true,
                    group_transactions_max: GROUP_TRANSACTIONS_MAX,
                    record_bytes_max: RECORD_BYTES_MAX,
                },
                shared: Arc::new(shared),
            })
        })
    }

    /// Hops to a thread that may block, and reads one snapshot there.
    async fn read<T: Send + 'static>(
        &self,
        detail: &'static str,
        read: impl FnOnce(&Connection, &Head) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(T, Head)> {
        self.shared.published.tip.check_readable()?;
        let shared = Arc::clone(&self.shared);
        offload(BACKEND, move || shared.read(detail, read)).await
    }

    /// Hops to a thread that may block, and writes there.
    async fn write<T: Send + 'static>(
        &self,
        detail: &'static str,
        write: impl FnOnce(&mut Writer, &Path) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        offload(BACKEND, move || {
            shared.writer()?.write(detail, write).inspect(|_| {
                if let Some(flusher) = &shared.threads().flusher {
                    flusher.dirty();
                }
            })
        })
        .await
    }
}

impl Shared {
    fn open(path: PathBuf, durability: Durability, cache_bytes: usize) -> Result<Self> {
        let refused = |fault: Fault| fault.at(&path, "open the store");
        let in_use = InUse::new(&path)?;
        let cache_bytes = cache_bytes / (READERS + 2);
        let connect = |sync| open::connect(&path, sync, cache_bytes).map_err(refused);
        let mut synced = connect(Sync::Full)?;
        schema::check(&synced).map_err(refused)?;
        schema::check_wal(&synced).map_err(refused)?;
        schema::upgrade(&mut synced).map_err(refused)?;
        let relaxed = connect(Sync::Normal)?;
        // Has SQLite recover what a kill left, so that it can be made durable before it is shown.
        reads::snapshot(&synced, |_, _| Ok(())).map_err(refused)?;
        open::settle(&path, &synced).map_err(refused)?;
        let (writer, head) = Writer::new(synced, relaxed, durability).map_err(refused)?;
        let published = Arc::new(Published::new(head));
        let seat = Arc::new(WriterSeat {
            path: path.clone(),
            published: Arc::clone(&published),
            writer: Mutex::new(Some(writer)),
        });
        let flusher = match durability {
            Durability::Interval(interval) => {
                let seat = Arc::clone(&seat);
                Some(Flusher::start(&path, interval, move || seat.flush())?)
            }
            _ => None,
        };
        let readers = [connect(Sync::Full)?, connect(Sync::Full)?];
        Ok(Self {
            path,
            published,
            readers: readers.map(|reader| Mutex::new(Some(reader))),
            writer: Some(seat),
            threads: Mutex::new(Threads {
                watch: None,
                flusher,
            }),
            holds: Mutex::new(Holds {
                _copy: None,
                _in_use: Some(in_use),
            }),
        })
    }

    fn read_only(path: PathBuf, cache_bytes: usize) -> Result<Self> {
        let (connection, copy) = copy::open_read_only(&path, cache_bytes)?;
        copy::check(&connection, &path)?;
        let ((), head) = reads::snapshot(&connection, |_, _| Ok(()))
            .map_err(|fault| fault.at(&path, "open the store for reading"))?;
        Ok(Self {
            path,
            published: Arc::new(Published::new(head)),
            readers: [Mutex::new(Some(connection)), Mutex::new(None)],
            writer: None,
            threads: Mutex::default(),
            holds: Mutex::new(Holds {
                _copy: copy,
                _in_use: None,
            }),
        })
    }

    fn read<T>(
        &self,
        detail: &str,
        read: impl FnOnce(&Connection, &Head) -> Result<T, Fault>,
    ) -> Result<(T, Head)> {
        let reader = self.reader();
        // Closing takes the connections away.
        let connection = reader.as_ref().ok_or_else(closed)?;
        let (answer, head) =
            reads::snapshot(connection, read).map_err(|fault| fault.at(&self.path, detail))?;
        self.published.offer(&head);
        Ok((answer, head))
    }

    fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        let detail = "look up a commit";
        let Some(seat) = &self.writer else {
            let read = |connection: &Connection, head: &Head| reads::find(connection, head, id);
            return Ok(self.read(detail, read)?.0);
        };
        let mut writer = lock(&seat.writer);
        let writer = writer.as_mut().ok_or_else(closed)?;
        writer
            .find(id)
            .map_err(|fault| fault.at(&self.path, detail))
    }

    /// A reader that is free, or else the first one, when it is.
    fn reader(&self) -> MutexGuard<'_, Option<Connection>> {
        let free = self.readers.iter().find_map(|reader| {
            let reader = reader.try_lock().ok()?;
            reader.is_some().then_some(reader)
        });
        free.unwrap_or_else(|| lock(&self.readers[0]))
    }

    fn writer(&self) -> Result<&WriterSeat> {
        self.published.tip.check_open()?;
        self.writer.as_deref().ok_or_else(|| {
            let detail = "the store was opened for reading only";
            StoreError::new(ErrorKind::Unsupported, BACKEND, detail).at_path(&self.path)
        })
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        lock(&self.threads)
    }

    /// Has foreign commits noticed while the answer lives. Nobody commits to a store that is opened for reading.
    fn watch(&self) -> Result<Option<Waiting>> {
        if self.writer.is_none() {
            return Ok(None);
        }
        let mut threads = self.threads();
        // Under the lock, so that closing does not miss a thread that starts at this moment.
        self.published.tip.check_open()?;
        let watch = match threads.watch.take() {
            Some(watch) => watch,
            None => Watch::start(&self.path, Arc::clone(&self.published))?,
        };
        Ok(Some(threads.watch.insert(watch).wait()))
    }

    fn close(&self) -> Result<()> {
        drop(std::mem::take(&mut *self.threads()));
        let mut result = Ok(());
        for reader in &self.readers {
            if let Some(connection) = lock(reader).take() {
                result = result.and(connection.close().map_err(|(_, error)| error.into()));
            }
        }
        if let Some(seat) = &self.writer {
            result = result.and(seat.close());
        }
        drop(std::mem::take(&mut *lock(&self.holds)));
        result.map_err(|fault| fault.at(&self.path, "close the store"))
    }
}

impl WriterSeat {
    fn write<T>(
        &self,
        detail: &str,
        write: impl FnOnce(&mut Writer, &Path) -> Result<T, Failed>,
    ) -> Result<T> {
        let mut writer = lock(&self.writer);
        let writer = writer.as_mut().ok_or_else(closed)?;
        self.published.tip.check_sound()?;
        write(writer, &self.path).map_err(|failed| self.failed(failed, detail))
    }

    fn failed(&self, failed: Failed, detail: &str) -> StoreError {
        let tip = &self.published.tip;
        match failed {
            Failed::Before(fault) => {
                if fault.is_io() {
                    tip.poison(format!("failed to {detail}: {}", fault.problem()));
                }
                fault.at(&self.path, detail)
            }
            Failed::AtCommit(fault) => {
                tip.poison(format!("failed to {detail}: {}", fault.problem()));
                let source = fault.at(&self.path, detail);
                StoreError::new(ErrorKind::MaybeApplied, BACKEND, detail)
                    .at_path(&self.path)
                    .caused_by(source)
            }
        }
    }

    /// Syncs what the flusher was told of.
    fn flush(&self) {
        let flushed = match lock(&self.writer).as_mut() {
            Some(writer) => writer.flush(),
            None => Ok(()),
        };
        if let Err(fault) = flushed {
            let cause = format!("failed to sync commits: {}", fault.problem());
            tracing::error!(path = %self.path.display(), "{cause}");
            self.published.tip.poison(cause);
        }
    }

    fn close(&self) -> Result<(), Fault> {
        let Some(mut writer) = lock(&self.writer).take() else {
            return Ok(());
        };
        // Others may keep the journal open, so that closing alone syncs nothing.
        let flushed = writer.flush();
        writer.close()?;
        flushed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // SQLite rolls back what a panic left open, and the values behind these locks change in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreError {
    StoreError::new(ErrorKind::Closed, BACKEND, "the store was closed")
}

#[async_trait]
impl RegistryStore for SqliteStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn latest(&self) -> Option<Revision> {
        None
    }

    async fn head(&self) -> Result<Head> {
        let ((), head) = self.read("read the head", |_, _| Ok(())).await?;
        Ok(head)
    }

    async fn get(&self, key: &Key) -> Result<Option<Versioned>> {
        let key = key.clone();
        let read = self.read("read a record", move |connection, _| {
            reads::record(connection, &key)
        });
        Ok(read.await?.0)
    }

    async fn range(&self, request: RangeRequest) -> Result<RangePage> {
        self.shared.published.tip.check_readable()?;
        check_range(BACKEND, &request)?;
        let read = self.read("read records", move |connection, head| {
            reads::range(connection, head, &request)
        });
        Ok(read.await?.0)
    }

    async fn commit(&self, group: Vec<Transaction>) -> Result<Vec<Outcome>> {
        self.shared.published.tip.check_writable()?;
        check_group(BACKEND, &group)?;
        let published = Arc::clone(&self.shared.published);
        self.write("commit a group", move |writer, path| {
            let (outcomes, head) = writer.commit(path, group)?;
            published.offer(&head);
            Ok(outcomes)
        })
        .await
    }

    async fn find(&self, id: TransactionId) -> Result<Option<Committed>> {
        self.shared.published.tip.check_readable()?;
        let shared = Arc::clone(&self.shared);
        offload(BACKEND, move || shared.find(id)).await
    }

    async fn changes(&self, request: ChangesRequest) -> Result<ChangePage> {
        let read = self.read("read the log", move |connection, head| {
            reads::changes(connection, head, &request)
        });
        Ok(read.await?.0)
    }

    async fn wait_for_change(&self, after: Revision) -> Result<Revision> {
        self.shared.published.tip.check_readable()?;
        let shared = Arc::clone(&self.shared);
        let _waiting = offload(BACKEND, move || shared.watch()).await?;
        self.shared.published.tip.wait(after).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        self.shared.published.tip.check_writable()?;
        self.write("keep a note", move |writer, _| writer.note(&note))
            .await
    }

    async fn notes(&self) -> Result<Vec<Note>> {
        let read = self.read("read the notes", |connection, _| reads::notes(connection));
        Ok(read.await?.0)
    }

    async fn compact(&self, through: Revision) -> Result<()> {
        self.shared.published.tip.check_writable()?;
        let published = Arc::clone(&self.shared.published);
        self.write("compact the log", move |writer, _| {
            published.offer(&writer.compact(through)?);
            Ok(())
        })
        .await
    }

    async fn restore(&self, page: RestorePage) -> Result<()> {
        self.shared.published.tip.check_open()?;
        let published = Arc::clone(&self.shared.published);
        self.write("restore a page", move |writer, _| {
            let sealed = writer.restore(&page)?;
            published.tip.set_restoring(sealed.is_none());
            if let Some(head) = sealed {
                published.offer(&head);
            }
            Ok(())
        })
        .await
    }

    async fn verify(&self) -> Result<VerifyReport> {
        let read = self.read("verify the store", verify::verify);
        Ok(read.await?.0)
    }

    async fn close(&self) -> Result<()> {
        if !self.shared.published.tip.close() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        offload(BACKEND, move || shared.close()).await
    }
}
