//! The redb backend: one file, transactional, pure Rust. The default of harness.
//!
//! What is synced for a group of commits is one log value, once. The state that the log adds up to, the index of the log
//! by key and the head follow in larger, sorted batches ("folding"), and what was not folded in yet is replayed from the
//! log on open. Until it is folded in, it overlays the tables from memory.
//!
//! ```
//! use registry_core::RegistryStore as _;
//! use registry_redb::{RedbConfig, RedbStore};
//!
//! let folder = tempfile::tempdir()?;
//! let store = RedbStore::open(RedbConfig::new(folder.path().join("registry.redb")))?;
//! let head = futures_lite::future::block_on(store.head())?;
//! assert!(head.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod config;
mod error;
mod file;
mod fold;
mod open;
mod salvage;
mod schema;
mod store;
mod verify;
mod view;

pub use config::RedbConfig;
pub use salvage::salvage;
pub use store::{BACKEND, RedbStore};
