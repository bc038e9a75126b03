//! The registry with a driver of its own.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_lite::future::block_on;
use registry_api::Api;
use registry_core::engine::{self, EngineConfig, RegistryError, Reply};
use registry_core::{MemoryStore, RegistryStore, StoreError, SystemClock};

use crate::ServiceEntry;
use crate::backends::OpenOptions;
use crate::store::{Claim, LegacyError, Location, Migrated, Opened, Source, adopt, migrate};

/// A registry that runs by itself. A clone is a cheap handle; the last one to be dropped closes the store.
#[derive(Debug, Clone)]
pub struct Registry {
    running: Arc<Running>,
}

/// Why the registry, or a file of it, could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A legacy file cannot be read.
    #[error(transparent)]
    Legacy(#[from] LegacyError),
    /// An export cannot be read.
    #[error(transparent)]
    Export(#[from] crate::store::ExportError),
    /// A path names no store.
    #[error("{0}")]
    Location(String),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Closes the store when the last handle is gone.
#[derive(Debug)]
struct Running {
    engine: engine::Registry,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.begin_close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the registry panicked");
            }
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry that ends with the process.
    pub fn new() -> Self {
        Self::run(Arc::new(MemoryStore::new()))
            .expect("an empty store in memory can always be loaded")
    }

    /// The registry at a path, created where there is none. Blocks until it is loaded.
    ///
    /// The extension names the backend: `.redb`, `.sqlite`, `.sled` or `.json`. A path without one takes the store that is
    /// found there, else the default backend of the build. Several registries may have the same path open, in one process
    /// or in many: each sees what the others did.
    ///
    /// # Errors
    /// [`Error::Store`], of kind `Locked` where the holder of the path does not share it.
    pub fn with_persistence(path: impl AsRef<Path>) -> Result<Self, Error> {
        let location = Location::of_path(path.as_ref());
        Self::open(&location)
    }

    /// As [`with_persistence`](Self::with_persistence); a legacy file at the path is migrated into a store of the build's
    /// default backend beside it, and kept.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Legacy`] for a file that cannot be read, which is left as it is.
    pub async fn load_or_create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let location = Location::of_path(path.as_ref());
        let Source::Legacy(file) = Source::of(location.clone()) else {
            return Self::open(&location);
        };
        let target = beside(&file);
        if let Some(adopted) = adopt(&file, &target).await? {
            tell(&adopted.migrated, &target);
        }
        Self::open(&target)
    }

    /// Reads a legacy file and builds a store with its services. Nothing is there if it fails.
    ///
    /// # Errors
    /// [`Error::Legacy`] with line, column and entry; [`Error::Store`] where something is at the target.
    pub async fn migrate_from_json(json_path: &Path, store_path: &Path) -> Result<u64, Error> {
        let source = Source::Legacy(json_path.to_path_buf());
        let target = Location::of_path(store_path);
        let migrated = migrate(&source, &target, false, &mut |_, _| {}).await?;
        tell(&migrated, &target);
        Ok(migrated.records)
    }

    /// Makes a registry of a store and runs its driver on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Registry`] where the store cannot be loaded; [`Error::Io`] where there is no thread to be had.
    pub fn run(store: Arc<dyn RegistryStore>) -> Result<Self, Error> {
        let loading = load(store);
        let (engine, driver) = block_on(loading)?;
        let thread = run_on_thread("harness-driver", || driver.run_blocking())?;
        Ok(Self::running(engine, vec![thread]))
    }

    fn open(location: &Location) -> Result<Self, Error> {
        Self::share(location, Claim::OwnNewer, &OpenOptions::default())
    }

    /// Opens a store among others that have it open, and runs it on two threads of its own: one that serves them, so that
    /// they are answered while the driver plans, and one for the driver. Blocks until it is loaded.
    ///
    /// # Errors
    /// As [`with_persistence`](Self::with_persistence).
    pub fn share(location: &Location, claim: Claim, options: &OpenOptions) -> Result<Self, Error> {
        let Opened { store, beside, .. } = block_on(location.share(claim, options))?;
        let serving = run_on_thread("harness-attach", || block_on(beside.run()))?;
        // A store that cannot be loaded is dropped here, and its service ends with it.
        let (engine, driver) = block_on(load(store))?;
        let driving = run_on_thread("harness-driver", || driver.run_blocking())?;
        Ok(Self::running(engine, vec![driving, serving]))
    }

    fn running(engine: engine::Registry, threads: Vec<JoinHandle<()>>) -> Self {
        Self {
            running: Arc::new(Running { engine, threads }),
        }
    }

    /// The engine's handle, with everything it can do.
    pub fn engine(&self) -> &engine::Registry {
        &self.running.engine
    }

    /// Puts an entry under its name, new or not, with its log entry in one transaction.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub async fn register(&self, entry: ServiceEntry) -> Result<Reply, Error> {
        Ok(self.engine().register(entry).await?)
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub async fn deregister(&self, name: &str) -> Result<Reply, Error> {
        Ok(self.engine().deregister(name).await?)
    }

    /// The entry of that name.
    ///
    /// # Errors
    /// [`Error::Registry`] where the store cannot be read: never an empty answer instead.
    pub async fn get(&self, name: &str) -> Result<Option<ServiceEntry>, Error> {
        Ok(self
            .engine()
            .get(name)
            .await?
            .map(|service| service.entry().clone()))
    }

    /// Every entry, in the order of names.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn list(&self) -> Result<Vec<ServiceEntry>, Error> {
        let view = self.engine().view().await?;
        Ok(view
            .services_after(None)
            .map(|service| service.entry().clone())
            .collect())
    }

    /// Number of entries.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn len(&self) -> Result<usize, Error> {
        Ok(self.engine().view().await?.len())
    }

    /// Whether there are no entries.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// Closes the registry for every handle, after what was handed over is durable.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.engine().close().await?)
    }
}

async fn load(
    store: Arc<dyn RegistryStore>,
) -> Result<(engine::Registry, engine::Driver), RegistryError> {
    engine::Registry::open(store, EngineConfig::default(), Arc::new(SystemClock::new())).await
}

fn run_on_thread<E: std::error::Error>(
    name: &str,
    work: impl FnOnce() -> Result<(), E> + Send + 'static,
) -> Result<JoinHandle<()>, std::io::Error> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = work() {
            tracing::error!(%error, "the registry ended");
        }
    })
}

fn tell(migrated: &Migrated, target: &Location) {
    for warning in &migrated.warnings {
        tracing::warn!(%warning, "migrated");
    }
    tracing::info!(services = migrated.records, %target, "migrated");
}

/// The command layer over a registry, which must be kept: the last handle to be dropped closes the store.
impl From<&Registry> for Api {
    fn from(registry: &Registry) -> Self {
        Self::new(registry.engine().clone())
    }
}

/// The store of the default backend beside a legacy file: `registry.json` becomes `registry.redb`.
fn beside(file: &Path) -> Location {
    let backend = crate::backends::Backend::default_of_build();
    Location {
        backend,
        path: file.with_extension(backend.extension()),
    }
}
