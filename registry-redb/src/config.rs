//! What can be chosen.

use std::path::PathBuf;

use registry_core::{Durability, OpenMode};

/// Where and how a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedbConfig {
    /// The file. `<path>.lock` lies beside it.
    pub path: PathBuf,
    /// Whether it is created.
    pub mode: OpenMode,
    /// When a commit is safe: `Synced`, or `Interval`. `Volatile` is refused.
    pub durability: Durability,
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
}

impl RedbConfig {
    /// Opens or creates the file, synced, with a cache of 64 MiB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: OpenMode::default(),
            durability: Durability::Synced,
            cache_bytes: 64 * 1024 * 1024,
        }
    }
}
