//! Files that are there after a power cut: synced, renamed, with the folder synced.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::store::Result;

/// Syncs a folder, so that the names in it are durable.
///
/// # Errors
/// `Unavailable` where the system refuses.
pub fn sync_folder(backend: &'static str, folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io(backend, "sync the folder", folder, error))
}

/// Syncs the folder that holds a path.
///
/// # Errors
/// As [`sync_folder`].
pub fn sync_parent(backend: &'static str, path: &Path) -> Result<()> {
    sync_folder(backend, path.parent().unwrap_or(Path::new(".")))
}

/// The name under which a store is made before it is renamed to `path`.
pub fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Gives a finished and synced file or folder its name, durably.
///
/// # Errors
/// `Unavailable` where the system refuses.
pub fn rename_durably(backend: &'static str, from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|error| StoreError::io(backend, "rename", from, error))?;
    sync_parent(backend, to)
}
