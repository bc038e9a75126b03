//! Opens a store for one process among several.

use std::sync::Arc;

use futures_lite::future;
use registry_attach::{AttachConfig, OpenStore, Service, SharedStore};
pub use registry_attach::{Claim, Peer, Sharing};
use registry_core::{Durability, OpenMode, RegistryStore, Result, offload};

use super::location::Location;
use crate::backends::{Backend, OpenOptions};

/// A store that is open, and what must run beside it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn RegistryStore>,
    /// Who shares it; none for a backend that shares by itself, or not at all.
    pub shared: Option<SharedStore>,
    /// What must run for a shared store to work.
    pub beside: Beside,
}

/// What must run beside a store: it serves other processes, and takes over where the owner goes.
#[derive(Debug)]
#[must_use = "a shared store works while this runs"]
pub struct Beside(Option<Service>);

impl Beside {
    /// Runs until the store is closed.
    ///
    /// # Errors
    /// What keeps this process from the store.
    pub async fn run(self) -> Result<()> {
        match self.0 {
            Some(service) => service.run().await,
            None => Ok(()),
        }
    }

    /// Runs while something is done with the store, and answers what came of that.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let beside = async {
            if let Err(error) = self.run().await {
                // Every call of the store answers it, too.
                tracing::debug!(%error, "a shared store cannot be used any more");
            }
            future::pending().await
        };
        future::or(work, beside).await
    }
}

impl Location {
    /// Opens the store among other processes that have it open: it is owned or shared.
    ///
    /// What cannot be shared is opened for this process alone: a store that is not synced, and one in memory.
    ///
    /// # Errors
    /// Those of the backend; `Locked` where the holder does not share.
    pub async fn share(&self, claim: Claim, options: &OpenOptions) -> Result<Opened> {
        let Location { backend, path } = self.clone();
        let options = *options;
        let is_shared = match backend {
            Backend::Json | Backend::Sled | Backend::Redb => {
                backend.is_built_in() && options.durability == Durability::Synced
            }
            Backend::Memory | Backend::Sqlite => false,
        };
        if !is_shared {
            let location = self.clone();
            let store = offload(backend.as_str(), move || location.open(&options)).await?;
            return Ok(Opened {
                store,
                shared: None,
                beside: Beside(None),
            });
        }
        let location = self.clone();
        let open: OpenStore = Arc::new(move |mode| location.open(&OpenOptions { mode, ..options }));
        let config = AttachConfig {
            claim: match options.mode {
                OpenMode::ReadOnly => Claim::Read,
                _ => claim,
            },
            mode: options.mode,
            ..AttachConfig::new(backend.as_str(), path, open)
        };
        let (store, service) = SharedStore::open(config).await?;
        Ok(Opened {
            store: Arc::new(store.clone()),
            shared: Some(store),
            beside: Beside(Some(service)),
        })
    }
}
