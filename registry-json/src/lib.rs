//! The JSON backend: files that a person can read and compare.
//!
//! The truth is the folder `<path>.d`: a snapshot of JSON lines, and log segments of JSON lines, so that a group of
//! commits costs one append and one sync. The file at the path itself is a projection: the services in the legacy form,
//! written after.
//!
//! When the projection is written: within a second of a commit while there are at most
//! [`PROJECTION_LIVE_RECORDS_MAX`] records; with more of them after each snapshot, once there is a second without a
//! commit or after [`PROJECTION_DELAY_MAX`]; and at close. An edit of it by hand changes nothing in the store: it is
//! noticed, kept as `<path>.edited-<hash>` and told by [`JsonStore::warnings`].
//!
//! ```
//! use registry_core::RegistryStore as _;
//! use registry_json::{JsonConfig, JsonStore};
//!
//! let folder = tempfile::tempdir()?;
//! let store = JsonStore::open(JsonConfig::new(folder.path().join("registry.json")))?;
//! let head = futures_lite::future::block_on(store.head())?;
//! assert!(head.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod facts;
mod line;
mod load;
mod log;
mod notes;
mod open;
mod projection;
mod salvage;
mod schema;
mod snapshot;
mod store;
mod verify;

pub use config::JsonConfig;
pub use salvage::salvage;
pub use schema::{PROJECTION_DELAY_MAX, PROJECTION_LIVE_RECORDS_MAX};
pub use store::{BACKEND, JsonStore};
