//! How a store is opened.

use std::path::PathBuf;

use registry_core::{Durability, OpenMode};

/// How a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file. Its folder must exist.
    pub path: PathBuf,
    /// Whether it is made, opened, or only read.
    pub mode: OpenMode,
    /// When a commit is safe: `Synced`, or `Interval`; `Volatile` is refused.
    pub durability: Durability,
    /// Pages that SQLite may keep in memory, in bytes, over all connections of the store.
    pub cache_bytes: usize,
}

impl SqliteConfig {
    /// A store at `path` that is made where nothing is, with synced commits and a cache of 64 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: OpenMode::default(),
            durability: Durability::Synced,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}
