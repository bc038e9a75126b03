//! Builds a store beside its place and moves it there when it is whole, so that a target is there or it is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry_core::durable::{sync_folder, sync_parent};
use registry_core::{OpenMode, RegistryStore, Result, StoreError};

use super::location::{Location, Vacancy};
use crate::backends::OpenOptions;

/// A folder beside the target in which the store is built. Dropped without [`publish`](Self::publish), it is removed.
#[derive(Debug)]
pub(super) struct Staging {
    target: Location,
    vacancy: Vacancy,
    folder: PathBuf,
    is_published: bool,
}

impl Staging {
    /// Makes the folder.
    pub(super) fn begin(target: &Location, vacancy: Vacancy) -> Result<Self> {
        vacancy.check(target)?;
        let backend = target.backend.as_str();
        let mut name = target.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".staging-{}", std::process::id()));
        let folder = target.path.with_file_name(name);
        fs::create_dir(&folder)
            .map_err(|error| StoreError::io(backend, "create the folder", &folder, error))?;
        Ok(Self {
            target: target.clone(),
            vacancy,
            folder,
            is_published: false,
        })
    }

    /// Creates the store in the folder.
    pub(super) fn create(&self) -> Result<Arc<dyn RegistryStore>> {
        let place = Location {
            backend: self.target.backend,
            path: self.place(),
        };
        place.open(&OpenOptions {
            mode: OpenMode::Create,
            ..OpenOptions::default()
        })
    }

    /// The store's path while it is built: its name is the target's, for the files that are named after it.
    fn place(&self) -> PathBuf {
        self.folder
            .join(self.target.path.file_name().unwrap_or_default())
    }

    /// Moves the closed store to its place, durably.
    pub(super) fn publish(mut self) -> Result<()> {
        let backend = self.target.backend.as_str();
        let failed =
            |detail: &str, path: &Path, error| StoreError::io(backend, detail, path, error);
        self.vacancy.check(&self.target)?;
        let listed =
            fs::read_dir(&self.folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut files: Vec<PathBuf> = listed
            .map_err(|error| failed("list the folder", &self.folder, error))?
            .into_iter()
            .map(|file| file.path())
            .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
            .collect();
        // The file of the store's own name comes last: where others belong to it, they are there before it.
        let place = self.place();
        files.sort_by_key(|path| *path == place);
        sync_folder(backend, &self.folder)?;
        for file in files {
            let name = file.file_name().unwrap_or_default();
            let to = self.target.path.with_file_name(name);
            fs::rename(&file, &to).map_err(|error| failed("rename", &file, error))?;
        }
        sync_parent(backend, &self.target.path)?;
        self.is_published = true;
        self.remove();
        Ok(())
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "the staging folder could not be removed");
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_published {
            self.remove();
        }
    }
}
