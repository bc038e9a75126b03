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
//! ```no_run
//! use std::sync::Arc;
//!
//! use registry_attach::{AttachConfig, SharedStore};
//! use registry_core::{OpenMode, RegistryStore, Result};
//!
//! # fn open_backend(mode: OpenMode) -> Result<Arc<dyn RegistryStore>> { unimplemented!() }
//! # async fn example() -> Result<()> {
//! let config = AttachConfig::new("redb", "/var/lib/harness/registry.redb", Arc::new(open_backend));
//! let (store, service) = SharedStore::open(config).await?;
//! // An application spawns `service.run()` on its executor: it serves others, and takes over where an owner goes.
//! # drop((store, service));
//! # Ok(())
//! # }
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
