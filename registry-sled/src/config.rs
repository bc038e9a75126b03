//! What can be chosen.

use std::path::PathBuf;

use registry_core::{Durability, OpenMode};

/// Where and how a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SledConfig {
    /// The folder. `<path>.lock` lies beside it.
    pub path: PathBuf,
    /// Whether it is created.
    pub mode: OpenMode,
    /// When a commit is safe: `Synced`, or `Interval`. `Volatile` is refused.
    pub durability: Durability,
    /// Memory for pages, in bytes. sled is known to take more.
    pub cache_bytes: usize,
    /// Whether pages are compressed: fixed when the store is made, `Unsupported` without the feature `compression`.
    pub compression: bool,
}

impl SledConfig {
    /// Opens or creates the folder, synced, with a cache of 64 MiB, without compression.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: OpenMode::default(),
            durability: Durability::Synced,
            cache_bytes: 64 * 1024 * 1024,
            compression: false,
        }
    }
}
