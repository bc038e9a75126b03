//! How a folder is found, created, opened and checked.

use std::path::Path;
use std::time::Duration;

use registry_core::codec::peek_log_value;
use registry_core::commit::Recent;
use registry_core::durable::{rename_durably, sync_folder, temporary_path};
use registry_core::{
    ErrorKind, Head, Holder, OpenMode, PathLock, Result, Revision, StoreError, contain,
};
use tempfile::TempDir;

use crate::batch::Batch;
use crate::config::SledConfig;
use crate::disk::{
    Disk, SEGMENT_BYTES, check_segments, clear_leftovers, copy_folder, create_folder,
};
use crate::error;
use crate::parts::Of;
use crate::rescue::{Release, flush};
use crate::schema::{Stamp, log_key, revision_in};
use crate::store::BACKEND;
use crate::trees::Trees;

/// sled's threads let go of the file some time after the last handle was dropped.
const RELEASE_TRIES: u32 = 500;
const RELEASE_WAIT: Duration = Duration::from_millis(10);

/// An open store with the lock of its path.
pub(crate) struct Engine {
    pub(crate) trees: Trees,
    pub(crate) database: sled::Db,
    pub(crate) stamp: Stamp,
    // Fields are dropped in order: these end sled, and then the lock is released.
    _release: Release,
    _lock: Option<PathLock>,
    _copy: Option<TempDir>,
}

impl Engine {
    /// Takes the lock, creates the folder where the mode asks for it, and opens it.
    pub(crate) fn open(config: &SledConfig) -> Result<Self> {
        let path = &config.path;
        let is_there = check_there(path)?;
        match config.mode {
            OpenMode::ReadOnly | OpenMode::Open if !is_there => {
                return Err(
                    StoreError::new(ErrorKind::NotFound, BACKEND, "find a store").at_path(path),
                );
            }
            OpenMode::ReadOnly => {
                let lock = PathLock::share(BACKEND, path)?;
                check_segments(path)?;
                return Self::open_copy(config, lock);
            }
            OpenMode::Create if is_there => {
                let detail = "create a store where something is already";
                return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path));
            }
            _ => {}
        }
        let lock = PathLock::acquire(BACKEND, path)?;
        if !check_there(path)? {
            create(config)?;
        }
        check_segments(path)?;
        Self::open_folder(config, path, Some(lock), None)
    }

    /// Opens a private copy, which sled may write.
    pub(crate) fn open_copy(config: &SledConfig, lock: Option<PathLock>) -> Result<Self> {
        let path = &config.path;
        let copy = tempfile::tempdir()
            .map_err(|error| StoreError::io(BACKEND, "make room for a copy", path, error))?;
        let folder = copy.path().join("copy.sled");
        copy_folder(path, &folder)?;
        Self::open_folder(config, &folder, lock, Some(copy))
    }

    fn open_folder(
        config: &SledConfig,
        folder: &Path,
        lock: Option<PathLock>,
        copy: Option<TempDir>,
    ) -> Result<Self> {
        let stamp = Stamp::read(folder)?;
        if !folder.join("db").is_file() {
            // sled would make an empty one in its place.
            return Err(error::damaged(folder, "sled's file is missing"));
        }
        clear_leftovers(folder)?;
        let (release, database, trees) = open_trees(config, folder)?;
        Ok(Self {
            trees,
            database,
            stamp,
            _release: release,
            _lock: lock,
            _copy: copy,
        })
    }
}

/// Whether a store is at the path; a file or a folder of others is an error.
fn check_there(path: &Path) -> Result<bool> {
    let invalid =
        |detail: &str| Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path));
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => invalid("expected a folder, found a file"),
        Ok(_) if !Stamp::is_in(path) => {
            invalid("expected a store of harness, found a folder without harness.head")
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(BACKEND, "look for the folder", path, error)),
    }
}

fn create(config: &SledConfig) -> Result<()> {
    let temporary = temporary_path(&config.path);
    match std::fs::remove_dir_all(&temporary) {
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
    create_folder(&temporary)?;
    let (release, database, trees) = open_trees(config, &temporary)?;
    let mut batch = Batch::default();
    batch.put_head(&Head::default());
    batch.apply(&trees)?;
    flush(&database).map_err(|error| error::engine(&temporary, "flush", error))?;
    Disk::open(&temporary)?.sync()?;
    drop((trees, database));
    drop(release);
    Stamp::fresh().write(&temporary)?;
    sync_folder(BACKEND, &temporary)?;
    rename_durably(BACKEND, &temporary, &config.path)
}

fn open_trees(config: &SledConfig, folder: &Path) -> Result<(Release, sled::Db, Trees)> {
    let mut sled = sled::Config::new()
        .path(folder)
        .segment_size(SEGMENT_BYTES as usize)
        .mode(sled::Mode::HighThroughput)
        .cache_capacity(config.cache_bytes as u64)
        // Syncing is ours, see `disk`.
        .flush_every_ms(None);
    if config.compression {
        sled = sled.use_compression(true);
    }
    let database = contain(BACKEND, || open_when_released(&sled, folder))?;
    let trees = contain(BACKEND, || Trees::open(folder, &database))?;
    Ok((Release::of(&database, &trees), database, trees))
}

/// Opens once the last opener of this process is gone. Others are kept out by the lock of the path.
fn open_when_released(config: &sled::Config, folder: &Path) -> Result<sled::Db> {
    let mut tries = 0;
    loop {
        match config.open() {
            Ok(database) => return Ok(database),
            Err(sled::Error::Io(error)) if is_held(&error) => {
                tries += 1;
                if tries > RELEASE_TRIES {
                    let kind = ErrorKind::Locked(Holder::default());
                    return Err(StoreError::new(kind, BACKEND, "open the store")
                        .at_path(folder)
                        .caused_by(error));
                }
                std::thread::sleep(RELEASE_WAIT);
            }
            Err(error) => return Err(error::engine(folder, "open the store", error)),
        }
    }
}

/// sled wraps the system's answer in words of its own.
fn is_held(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock
        || error.to_string().starts_with("could not acquire lock")
}

/// Reads the head, and checks that the log ends there and goes back without a gap as far as the window of ids.
pub(crate) fn load(trees: &Trees, stamp: &Stamp) -> Result<(Head, Recent)> {
    let head = trees.head()?;
    check_closed(trees, stamp, &head)?;
    let bound = |row: sled::Result<Option<(sled::IVec, sled::IVec)>>| {
        let row = row.map_err(|error| trees.unread(error))?;
        Ok::<_, StoreError>(row.and_then(|(key, _)| revision_in(&key)))
    };
    let last = bound(trees.log.last())?;
    let next = head.compacted.revision.next();
    // What is before the anchor is on its way out.
    let first = bound(trees.log.range(log_key(next)..).next().transpose())?;
    let expected = (head.revision() >= next).then_some((next, head.revision()));
    let found = first.zip(last);
    if found != expected {
        let detail = format!("expected a log of the revisions {expected:?}, found {found:?}");
        return Err(trees.damaged(detail));
    }
    if let Some((_, last)) = found
        && trees.entry(last)?.hash != head.last.hash
    {
        return Err(trees.damaged(format!("the head is not that of log entry {last}")));
    }
    let recent = read_recent(trees, &head)?;
    Ok((head, recent))
}

fn check_closed(trees: &Trees, stamp: &Stamp, head: &Head) -> Result<()> {
    let closed = stamp.closed;
    if head.revision() < closed.revision {
        let detail = format!(
            "expected log entry {}, which a clean close saw; the log ends at {}",
            closed.revision,
            head.revision()
        );
        return Err(trees.damaged(detail));
    }
    if head.compacted.revision < stamp.compacted.revision {
        let detail = format!(
            "expected a log that is compacted through {}, which a clean close saw; it is through {}",
            stamp.compacted.revision, head.compacted.revision
        );
        return Err(trees.damaged(detail));
    }
    let is_there = closed.revision > head.compacted.revision;
    if is_there && trees.entry(closed.revision)?.hash != closed.hash {
        let detail = format!(
            "log entry {} is not the one that was closed",
            closed.revision
        );
        return Err(trees.damaged(detail));
    }
    Ok(())
}

fn read_recent(trees: &Trees, head: &Head) -> Result<Recent> {
    let mut recent = Recent::default();
    let after = Recent::starts_after(head.revision());
    let mut last = after.max(head.compacted.revision);
    for row in trees.log.range(log_key(last.next())..) {
        let (place, row) = row.map_err(|error| trees.unread(error))?;
        let value = trees.whole(Of::Log, &place, &row)?;
        let ids = peek_log_value(&value).map_err(|error| {
            error::codec(
                &trees.path,
                format!("read log entry {}", last.next()),
                error,
            )
        })?;
        for (revision, id) in ids {
            if revision != last.next() {
                return Err(trees.damaged(format!("log entry {} is missing", last.next())));
            }
            last = revision;
            recent.add(id, revision);
        }
    }
    if last == head.revision() {
        Ok(recent)
    } else {
        let missing = Revision::next(last);
        Err(trees.damaged(format!("log entry {missing} is missing")))
    }
}
