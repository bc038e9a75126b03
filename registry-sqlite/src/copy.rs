//! Reading a store without a write beside it: in place where that is possible, or from a private copy.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use registry_core::{ErrorKind, Holder, Result, StoreError, private_options};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::error::Fault;
use crate::schema::{self, Sync};
use crate::{BACKEND, open};

/// How often a copy is tried while somebody writes.
const COPIES_MAX: usize = 8;

/// Stores that this process has open through SQLite, by canonical path.
static OPEN: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// A store that is open through SQLite while this lives: it must not be opened in another way.
#[derive(Debug)]
pub(crate) struct InUse(PathBuf);

impl InUse {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let path = canonical(path)?;
        *counts().entry(path.clone()).or_default() += 1;
        Ok(Self(path))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut counts = counts();
        if let Some(count) = counts.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.0);
            }
        }
    }
}

fn counts() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, usize>> {
    // A count is changed in one step, so a panic elsewhere does not matter.
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| StoreError::io(BACKEND, "find the store", path, error))
}

/// A copy of a store, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

/// Opens a store for reading, and answers the copy that it reads, if it needs one.
pub(crate) fn open_read_only(
    path: &Path,
    cache_bytes: usize,
) -> Result<(Connection, Option<Copy>)> {
    let refused = |fault: Fault| fault.at(path, "open the store for reading");
    if !has_content(&open::beside(path, "-wal"))? {
        let connection = open::connect_immutable(path, cache_bytes).map_err(refused)?;
        return Ok((connection, None));
    }
    let copy = copy(path)?;
    let connection = open::connect(&copy.path, Sync::Normal, cache_bytes).map_err(refused)?;
    Ok((connection, Some(copy)))
}

/// Checks a store that was opened for reading, also one of an older layout.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    schema::check(connection)
        .and_then(|()| schema::stand_in(connection))
        .map_err(|fault| fault.at(path, "open the store for reading"))
}

fn has_content(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(BACKEND, "look at the journal", path, error)),
    }
}

/// Copies the file and its journal, again where somebody wrote meanwhile.
///
/// # Errors
/// `Locked` where this process has the store open: reading the file here would drop SQLite's locks on it.
/// `Unavailable` where somebody writes without a pause.
pub(crate) fn copy(path: &Path) -> Result<Copy> {
    let path = &canonical(path)?;
    // Held to the end, so that nobody in this process opens the store meanwhile.
    let counts = counts();
    if counts.contains_key(path) {
        let holder = Holder {
            pid: Some(std::process::id()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            socket: None,
        };
        return Err(
            StoreError::new(ErrorKind::Locked(holder), BACKEND, "copy the store").at_path(path),
        );
    }
    let folder = tempfile::Builder::new()
        .prefix("registry-sqlite")
        .tempdir()
        .map_err(|error| StoreError::io(BACKEND, "make a folder for a copy of", path, error))?;
    let target = folder.path().join("copy.db");
    for _ in 0..COPIES_MAX {
        let before = stamps(path)?;
        copy_file(path, &target)?;
        copy_file(&open::beside(path, "-wal"), &open::beside(&target, "-wal"))?;
        if stamps(path)? == before {
            return Ok(Copy {
                _folder: folder,
                path: target,
            });
        }
    }
    let detail = "copy the store: another process keeps writing to it";
    Err(StoreError::new(ErrorKind::Unavailable, BACKEND, detail).at_path(path))
}

type Stamp = Option<(u64, Option<SystemTime>)>;

/// Length and time of the file and of its journal.
fn stamps(path: &Path) -> Result<[Stamp; 2]> {
    let stamp = |path: &Path| match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.len(), metadata.modified().ok()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(BACKEND, "look at the store", path, error)),
    };
    Ok([stamp(path)?, stamp(&open::beside(path, "-wal"))?])
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let failed = |error| StoreError::io(BACKEND, "copy the store", from, error);
    let mut source = match File::open(from) {
        Ok(source) => source,
        // A journal that was there a moment ago may be gone; the stamps tell.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match fs::remove_file(to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        Err(error) => return Err(failed(error)),
    };
    let mut target = private_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .map_err(failed)?;
    std::io::copy(&mut source, &mut target).map_err(failed)?;
    Ok(())
}
