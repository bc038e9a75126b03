//! The sled backend: one folder, pinned to sled 0.34.7, hardened.
//!
//! sled by itself loses acknowledged writes: its `flush` does not sync on Linux, an interrupted snapshot makes it
//! unopenable, and so does a torn settings file. This crate contains the remedies: leftovers are removed before sled
//! opens, every commit is synced on a handle of our own, and a damaged file is found by checks of our own, since sled
//! drops what it cannot read in silence.
//!
//! Beyond 512 KiB a group is committed and synced in parts, and one transaction takes 1 MiB of records at most
//! (`sled_transaction_bytes_max`): sled does not survive the loss of more than a segment that it takes for durable.
//!
//! Once a write of sled's own failed, sled answers reads with that error, too, until the store is reopened. The engine's
//! view is not concerned; the log is.
//!
//! ```
//! use registry_core::RegistryStore as _;
//! use registry_sled::{SledConfig, SledStore};
//!
//! let folder = tempfile::tempdir()?;
//! let store = SledStore::open(SledConfig::new(folder.path().join("registry.sled")))?;
//! let head = futures_lite::future::block_on(store.head())?;
//! assert!(head.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod config;
mod disk;
mod error;
mod open;
mod parts;
mod rescue;
mod salvage;
mod schema;
mod span;
mod store;
mod trees;
mod verify;

pub use config::SledConfig;
pub use salvage::salvage;
pub use store::{BACKEND, SledStore};
