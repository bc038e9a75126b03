//! The store under test, in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_core::{RegistryStore, Result};

use crate::case::{Failure, Verdict};
use crate::handle::Handle;

/// Opens a store in a folder.
pub(crate) type Opener = Arc<dyn Fn(&Path) -> Result<Arc<dyn RegistryStore>> + Send + Sync>;

/// The store under test: a fresh folder and the way to open the store in it.
pub(crate) struct Subject {
    folder: tempfile::TempDir,
    opener: Opener,
}

impl Subject {
    /// A subject without a store yet.
    pub(crate) fn new(opener: Opener) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("registry-conformance")
            .tempdir()?;
        Ok(Self { folder, opener })
    }

    /// A subject in a folder that has a store.
    pub(crate) fn at(folder: tempfile::TempDir, opener: Opener) -> Self {
        Self { folder, opener }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the store, or makes it.
    pub(crate) fn open(&self) -> Result<Handle> {
        self.open_in(self.folder())
    }

    /// Opens the store in another folder.
    pub(crate) fn open_in(&self, folder: &Path) -> Result<Handle> {
        (self.opener)(folder).map(Handle::new)
    }

    /// Closes the store and opens it again.
    pub(crate) fn reopen(&self, store: Handle) -> Result<Handle> {
        store.close()?;
        drop(store);
        self.open()
    }

    /// Another subject of the same kind.
    pub(crate) fn another(&self) -> std::io::Result<Self> {
        Self::new(Arc::clone(&self.opener))
    }

    /// The files and folders of the store, lock files aside, with their paths relative to the folder.
    pub(crate) fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        walk(self.folder(), Path::new(""), &mut found)?;
        found.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
        found.sort();
        Ok(found)
    }

    /// The one path at which the store lives, relative to the folder.
    pub(crate) fn only_path(&self) -> Result<PathBuf, Failure> {
        let mut top: Vec<_> = self.files()?;
        top.retain(|path| path.components().count() == 1);
        match <[PathBuf; 1]>::try_from(top) {
            Ok([path]) => Ok(path),
            Err(_) => Err(Failure::NotApplicable("the store is more than one path")),
        }
    }

    /// Copies everything in the folder but lock files.
    pub(crate) fn copy_to(&self, folder: &Path) -> Verdict {
        for path in self.files()? {
            let (from, to) = (self.folder().join(&path), folder.join(&path));
            if from.is_dir() {
                std::fs::create_dir_all(to)?;
            } else {
                std::fs::copy(from, to)?;
            }
        }
        Ok(())
    }
}

fn walk(root: &Path, relative: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join(relative))? {
        let entry = entry?;
        let path = relative.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
        }
        found.push(path);
    }
    Ok(())
}
