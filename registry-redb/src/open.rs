//! How a file is found, created, opened and read into memory.

use std::ops::Range;
use std::path::Path;

use redb::{
    Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable, RepairSession,
};
use registry_core::codec::{decode_meta, peek_log_value};
use registry_core::commit::{Recent, replay};
use registry_core::durable::{rename_durably, sync_parent, temporary_path};
use registry_core::{
    ErrorKind, OpenMode, PathLock, Result, Revision, StoreError, beside, contain, private_options,
};
use tempfile::TempDir;

use crate::check::{check_pages, open_noting_walks, open_unchanged};
use crate::config::RedbConfig;
use crate::error;
use crate::file::{StoreFile, rewrite_after_failed_sync};
use crate::fold::{Batch, SyncMode, check_bounds};
use crate::schema::{META, STAMP, Stamp, group_of};
use crate::store::BACKEND;
use crate::view::{Snapshot, View, read_group};

/// What redb says of its progress when it goes back to the commit before the last one, and not when it does not.
const ROLLBACK_PROGRESS: Range<f64> = 0.25..0.5;

/// An open file with the lock of its path.
pub(crate) struct Engine {
    database: Opened,
    // Released after the file is closed: fields are dropped in order.
    _lock: Option<PathLock>,
}

enum Opened {
    ReadWrite(Database),
    ReadOnly(ReadOnlyDatabase),
    /// A private copy of a file that was not closed cleanly: redb must repair such a one before it reads.
    Copy(
        Database,
        #[expect(dead_code, reason = "removes the copy when dropped")] TempDir,
    ),
}

impl Engine {
    /// Takes the lock, creates the file where the mode asks for it, opens it, and reads what a store has in memory.
    pub(crate) fn open(config: &RedbConfig) -> Result<(Self, Loaded)> {
        let path = &config.path;
        let exists = exists(path)?;
        match config.mode {
            OpenMode::ReadOnly => return Self::open_read_only(config),
            OpenMode::Open if !exists => return Err(not_found(path)),
            OpenMode::Create if exists => {
                let detail = "create a store where something is already";
                return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path));
            }
            _ => {}
        }
        let lock = PathLock::acquire(BACKEND, path)?;
        if !self::exists(path)? {
            create(config)?;
        }
        // A process that was killed while it made the store may have left the name unsynced.
        sync_parent(BACKEND, path)?;
        rewrite_after_failed_sync(path)?;
        let loaded = check_and_load(path, config.cache_bytes)?;
        let (database, is_walked) = StoreFile::open(path)
            .and_then(|file| {
                let its_own = path.clone();
                let told = move |repair: &RepairSession| warn_of_rollback(&its_own, repair);
                open_noting_walks(builder(config), file, told)
            })
            .map_err(|error| error::engine(path, "open the file", error))?;
        if is_walked {
            // The next open would walk it again.
            Batch::begin(path, &database, SyncMode::WithAllocator)?.commit()?;
        }
        let engine = Self {
            database: Opened::ReadWrite(database),
            _lock: Some(lock),
        };
        Ok((engine, loaded))
    }

    fn open_read_only(config: &RedbConfig) -> Result<(Self, Loaded)> {
        let path = &config.path;
        if !exists(path)? {
            return Err(not_found(path));
        }
        let lock = PathLock::share(BACKEND, path)?;
        check_pages(path, config.cache_bytes)?;
        let database = match builder(config).open_read_only(path) {
            Ok(database) => Opened::ReadOnly(database),
            Err(redb::DatabaseError::RepairAborted) => open_copy(path, config.cache_bytes)
                .map(|(database, folder)| Opened::Copy(database, folder))?,
            Err(error) => return Err(error::engine(path, "open the file", error)),
        };
        let engine = Self {
            database,
            _lock: lock,
        };
        let loaded = load(path, engine.begin_read(path)?)?;
        Ok((engine, loaded))
    }

    /// Begins a read of the last commit.
    pub(crate) fn begin_read(&self, path: &Path) -> Result<ReadTransaction> {
        let transaction = match &self.database {
            Opened::ReadWrite(database) | Opened::Copy(database, _) => database.begin_read(),
            Opened::ReadOnly(database) => database.begin_read(),
        };
        transaction.map_err(|error| error::engine(path, "begin a read", error))
    }

    /// The database, for writing.
    ///
    /// # Errors
    /// `Unsupported` where it was opened read-only.
    pub(crate) fn writable(&self) -> Result<&Database> {
        if let Opened::ReadWrite(database) = &self.database {
            return Ok(database);
        }
        let detail = "write to a store that was opened read-only";
        Err(StoreError::new(ErrorKind::Unsupported, BACKEND, detail))
    }
}

fn builder(config: &RedbConfig) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(config.cache_bytes);
    builder
}

/// Tells when redb goes back to the commit before the last one, which is not whole: a crash interrupted it, and nobody was
/// told that it is there, or it is damaged. redb cannot tell which.
fn warn_of_rollback(path: &Path, repair: &RepairSession) {
    if ROLLBACK_PROGRESS.contains(&repair.progress()) {
        let path = path.display();
        tracing::warn!(%path, "the last commit to the file is not whole; what is before it is used");
    }
}

fn not_found(path: &Path) -> StoreError {
    StoreError::new(ErrorKind::NotFound, BACKEND, "find a store").at_path(path)
}

/// Whether a file is at the path; a folder is an error.
fn exists(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => {
            let detail = "expected a file, found something else";
            Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(BACKEND, "look for the file", path, error)),
    }
}

/// Makes an empty store under another name, and gives it its name when all of it is durable.
fn create(config: &RedbConfig) -> Result<()> {
    let temporary = temporary_path(&config.path);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io(
                BACKEND,
                "remove a leftover",
                &temporary,
                error,
            ));
        }
        _ => {}
    }
    let refused = |error| StoreError::io(BACKEND, "create the file", &temporary, error);
    let file = private_options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&temporary)
        .map_err(refused)?;
    let its_own = file.try_clone().map_err(refused)?;
    let database = StoreFile::new(its_own)
        .and_then(|file| builder(config).create_with_backend(file))
        .map_err(|error| error::engine(&temporary, "create the file", error))?;
    let batch = Batch::begin(&temporary, &database, SyncMode::WithAllocator)?;
    batch.create()?;
    batch.commit()?;
    drop(database);
    file.sync_all().map_err(refused)?;
    rename_durably(BACKEND, &temporary, &config.path)
}

/// Opens a private copy of a file, which redb repairs where it must.
pub(crate) fn open_copy(path: &Path, cache_bytes: usize) -> Result<(Database, TempDir)> {
    let refused = |error| StoreError::io(BACKEND, "copy the file to read it", path, error);
    let folder = tempfile::tempdir().map_err(refused)?;
    let copy = folder.path().join("copy.redb");
    std::fs::copy(path, &copy).map_err(refused)?;
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .open(&copy)
        .map_err(|error| error::engine(path, "open a copy of the file", error))?;
    Ok((database, folder))
}

/// What a store has in memory: what is not folded in, and the recent commits.
pub(crate) type Loaded = (Snapshot, Recent);

/// Checks the pages of a file, and loads it meanwhile from an opening of its own that writes nothing: damage that is only
/// found by one of both is found before redb writes.
fn check_and_load(path: &Path, cache_bytes: usize) -> Result<Loaded> {
    let load_unchanged = || {
        let database = open_unchanged(path, cache_bytes)?;
        let transaction = database.begin_read();
        load(
            path,
            transaction.map_err(|error| error::engine(path, "begin a read", error))?,
        )
    };
    let check = || check_pages(path, cache_bytes);
    let (loaded, checked) = beside(BACKEND, || contain(BACKEND, load_unchanged), check)?;
    checked?;
    loaded
}

/// Checks what the file is, and replays what is not folded in.
fn load(path: &Path, transaction: ReadTransaction) -> Result<Loaded> {
    check_stamp(path, &transaction)?;
    let view = View::new(path, Snapshot::default().into(), transaction)?;
    let folded = view.folded_head()?;
    let mut snapshot = Snapshot::folded(folded);
    let view = View::new(path, snapshot.clone().into(), view.transaction)?;
    let groups = view
        .log
        .range(snapshot.folded.next().0..)
        .map_err(|error| view.unread(error))?;
    for group in groups {
        let (first, stored) = group.map_err(|error| view.unread(error))?;
        for entry in read_group(path, first.value(), stored.value())? {
            let mut head = snapshot.head.clone();
            let writes = replay(BACKEND, &mut head, &entry, &mut |key| match snapshot
                .writes
                .get(key)
            {
                Some(write) => Ok(write.clone()),
                None => view.get(key),
            })
            .map_err(|error| error.at_path(path))?;
            snapshot.push([entry], writes, head);
        }
    }
    check_log_ends(path, &view, &snapshot)?;
    let recent = read_recent(path, &view, &snapshot)?;
    Ok((snapshot, recent))
}

fn check_stamp(path: &Path, transaction: &ReadTransaction) -> Result<()> {
    let foreign = |found: String| {
        let detail = format!("expected a store of harness, found {found}");
        StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path)
    };
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Err(foreign("another redb file".to_owned()));
        }
        Err(error) => return Err(error::engine(path, "open a table", error)),
    };
    let stored = meta
        .get(STAMP)
        .map_err(|error| error::engine(path, "read the stamp", error))?;
    let stored = stored.ok_or_else(|| error::damaged(path, "the stamp is missing"))?;
    let stamp: Stamp = decode_meta(STAMP, stored.value())
        .map_err(|error| error::codec(path, "read the stamp", error))?;
    if !stamp.is_ours() {
        let found = format!("{} of layout {}", stamp.format, stamp.layout);
        return Err(foreign(found));
    }
    if !stamp.schema.is_readable() {
        let kind = ErrorKind::SchemaTooNew {
            found: stamp.schema,
        };
        return Err(StoreError::new(kind, BACKEND, "open the store").at_path(path));
    }
    if stamp.is_sealed {
        Ok(())
    } else {
        Err(error::damaged(path, "a restore was not finished"))
    }
}

/// The table of the log must begin after the compacted part and end where the folded state or the replay ended.
fn check_log_ends(path: &Path, view: &View<'_>, snapshot: &Snapshot) -> Result<()> {
    let first = view.log.first().map_err(|error| view.unread(error))?;
    let last = view.log.last().map_err(|error| view.unread(error))?;
    let found = match (first, last) {
        (Some((first, _)), Some((at, stored))) => {
            let group = read_group(path, at.value(), stored.value())?;
            group.last().map(|last| {
                let anchor = registry_core::Anchor {
                    revision: last.commit.revision,
                    hash: last.hash,
                };
                (first.value(), anchor)
            })
        }
        _ => None,
    };
    check_bounds(path, &snapshot.head, found)
}

fn read_recent(path: &Path, view: &View<'_>, snapshot: &Snapshot) -> Result<Recent> {
    let mut recent = Recent::default();
    let after = Recent::starts_after(snapshot.head.revision());
    let mut last = after.max(snapshot.head.compacted.revision);
    let first = group_of(&view.log, last.next()).map_err(|error| view.unread(error))?;
    let groups = view.log.range(first.unwrap_or(0)..);
    for group in groups.map_err(|error| view.unread(error))? {
        let (first, stored) = group.map_err(|error| view.unread(error))?;
        let place = || format!("read the log value of revision {}", first.value());
        let ids =
            peek_log_value(stored.value()).map_err(|error| error::codec(path, place(), error))?;
        let begin = last;
        for (revision, id) in ids.into_iter().filter(|(revision, _)| *revision > begin) {
            if revision != last.next() {
                let detail = format!("log entry {} is missing", last.next());
                return Err(error::damaged(path, detail));
            }
            last = revision;
            recent.add(id, revision);
        }
    }
    if last == snapshot.head.revision().max(after) {
        return Ok(recent);
    }
    Err(error::damaged(
        path,
        format!("log entry {} is missing", Revision::next(last)),
    ))
}
