//! The SQLite backend: one file that any number of processes share, with columns and views to query.
//!
//! State and log change together in one `IMMEDIATE` transaction for each group, in WAL mode with
//! `synchronous = FULL`; both are read back. The `record` and `changes` columns are the truth, and one checksum in each
//! row covers the columns beside it, so that neither a flipped bit nor an `UPDATE` from elsewhere goes unseen.
//!
//! ```no_run
//! use registry_sqlite::{SqliteConfig, SqliteStore};
//!
//! let store = SqliteStore::open(SqliteConfig::new("registry.db"))?;
//! # Ok::<(), registry_core::StoreError>(())
//! ```
//!
//! The views are for people: `service_overview`, `service_endpoints`, `service_dependencies` and `audit`.

mod config;
mod copy;
mod error;
mod flush;
mod open;
mod published;
mod reads;
mod rows;
mod salvage;
mod schema;
mod store;
mod tables;
mod verify;
mod watch;
mod writer;

pub use config::SqliteConfig;
pub use salvage::salvage;
pub use store::SqliteStore;

/// Name of the backend.
pub const BACKEND: &str = "sqlite";
