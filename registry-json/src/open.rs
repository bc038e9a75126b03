//! How a store is found and created, and which files it has.

use std::io::ErrorKind as IoKind;
use std::path::{Path, PathBuf};

use registry_core::durable::{rename_durably, sync_folder, temporary_path};
use registry_core::{Anchor, ErrorKind, OpenMode, PathLock, Result, Revision, StoreError};

use crate::config::JsonConfig;
use crate::error;
use crate::facts::Facts;
use crate::log::Writer;
use crate::projection::not_a_store;
use crate::schema::{folder_of, segment_first, segment_path, snapshot_path, snapshot_revision};
use crate::snapshot::{self, State};
use crate::store::BACKEND;

/// Takes the lock and creates the store where the mode asks for it.
pub(crate) fn find(config: &JsonConfig) -> Result<Option<PathLock>> {
    let path = &config.path;
    let is_there = check_there(path)?;
    match config.mode {
        OpenMode::ReadOnly | OpenMode::Open if !is_there => {
            return Err(
                StoreError::new(ErrorKind::NotFound, BACKEND, "find a store").at_path(path),
            );
        }
        OpenMode::ReadOnly => return PathLock::share(BACKEND, path),
        OpenMode::Create if is_there => {
            let detail = "create a store where something is already";
            return Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path));
        }
        _ => {}
    }
    let lock = PathLock::acquire(BACKEND, path)?;
    if !check_there(path)? {
        create(path)?;
    }
    Ok(Some(lock))
}

/// Whether a store is at the path; a file or a folder of others is an error.
fn check_there(path: &Path) -> Result<bool> {
    let folder = folder_of(path);
    let invalid = |path: &Path, detail: &str| {
        Err(StoreError::new(ErrorKind::Invalid, BACKEND, detail).at_path(path))
    };
    let kind = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found.is_dir())),
        Err(error) if error.kind() == IoKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(BACKEND, "look for the store", path, error)),
    };
    match (kind(path)?, kind(&folder)?) {
        (Some(true), _) => invalid(path, "expected a file, found a folder"),
        (_, Some(false)) => invalid(&folder, "expected a folder, found a file"),
        (_, Some(true)) => Ok(true),
        (Some(false), None) => Err(not_a_store(path)),
        (None, None) => Ok(false),
    }
}

fn create(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    let temporary = temporary_path(&folder);
    match std::fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != IoKind::NotFound => {
            return Err(StoreError::io(
                BACKEND,
                "remove a leftover",
                &temporary,
                error,
            ));
        }
        _ => {}
    }
    private_folder()
        .create(&temporary)
        .map_err(error::io("create the folder", &temporary))?;
    snapshot::write(&temporary, &State::default())?;
    Writer::create(&temporary, Anchor::default())?;
    Facts::fresh().write(&temporary)?;
    sync_folder(BACKEND, &temporary)?;
    rename_durably(BACKEND, &temporary, &folder)
}

fn private_folder() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// The numbered files of a folder, in order, and what an interrupted write left.
pub(crate) struct Files {
    pub(crate) snapshots: Vec<Revision>,
    pub(crate) segments: Vec<Revision>,
    leftovers: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn list(folder: &Path) -> Result<Self> {
        let mut files = Self {
            snapshots: Vec::new(),
            segments: Vec::new(),
            leftovers: Vec::new(),
        };
        let refused = |error| StoreError::io(BACKEND, "list the folder", folder, error);
        for entry in std::fs::read_dir(folder).map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(revision) = snapshot_revision(name) {
                files.snapshots.push(revision);
            } else if let Some(first) = segment_first(name) {
                files.segments.push(first);
            } else if Path::new(name).extension().is_some_and(|it| it == "new") {
                files.leftovers.push(folder.join(name));
            }
        }
        files.snapshots.sort_unstable();
        files.segments.sort_unstable();
        Ok(files)
    }

    /// Leaves out what a newer file replaced, and answers where that is.
    pub(crate) fn set_aside(&mut self, folder: &Path, compacted: Anchor) -> Vec<PathBuf> {
        let newest = self.snapshots.pop();
        let mut obsolete = std::mem::take(&mut self.leftovers);
        obsolete.extend(self.snapshots.drain(..).map(|it| snapshot_path(folder, it)));
        self.snapshots.extend(newest);
        let next = compacted.revision.next();
        let kept = self.segments.partition_point(|first| *first <= next);
        let gone = self.segments.drain(..kept.saturating_sub(1));
        obsolete.extend(gone.map(|first| segment_path(folder, first)));
        obsolete
    }
}
