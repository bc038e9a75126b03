//! Several processes on one path: the store of one of them, for all of them.
//!
//! sled, redb and json are written by one process at a time. The first opener of such a path holds its lock, owns the
//! store and serves it on a Unix socket beside it; whoever opens the path later, in another process or in the same one,
//! attaches. When the owner goes, however it goes, the attached ones race for the lock: one of them opens the store and
//! serves it, the others attach to that one.
//!
//! ```text
//!   SharedStore -- owner ----> the backend's own store (holds the lock)
//!                    ^ socket
//!   SharedStore -- attached
//! ```
//!
//! Invariant: who holds the lock owns the store, and nobody else touches its files; a silent owner is waited for and
//! never replaced.
//!
//! Invariant: a commit whose answer was lost is sent again with its transaction id, so it is applied once.
//!
//! ```
//! use std::sync::Arc;
//!
//! use registry_attach::{AttachConfig, SharedStore};
//! use registry_core::{OpenMode, RegistryStore, Result};
//! use registry_json::{JsonConfig, JsonStore};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("registry.json");
//! let of_backend = path.clone();
//! let open = move |mode: OpenMode| -> Result<Arc<dyn RegistryStore>> {
//!     let config = JsonConfig { mode, ..JsonConfig::new(&of_backend) };
//!     Ok(Arc::new(JsonStore::open(config)?))
//! };
//! let config = AttachConfig::new("json", path, Arc::new(open));
//! futures_lite::future::block_on(async {
//!     let (store, service) = SharedStore::open(config).await?;
//!     // An application spawns it on its executor: it serves others, and takes over where an owner goes.
//!     let served = service.run();
//!     let used = async {
//!         let head = store.head().await?;
//!         assert!(head.is_empty());
//!         store.close().await
//!     };
//!     futures_lite::future::zip(served, used).await.1
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod core;
mod flag;
mod limits;
mod link;
mod peer;
mod perform;
mod role;
mod seat;
mod seek;
mod service;
mod socket;
mod store;
mod wire;

pub use config::{AttachConfig, Claim, OpenStore};
pub use service::Service;
pub use store::SharedStore;
pub use wire::{Peer, Sharing};

/// Entry points for rigs that feed the protocol with bytes from nowhere.
#[doc(hidden)]
pub mod hostile {
    pub use crate::wire::{read_from_owner, read_from_peer, read_hello, read_welcome};
}
