//! What can be chosen.

use std::path::PathBuf;

use registry_core::{Durability, OpenMode};

/// Where and how a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonConfig {
    /// The projection. The store itself is the folder `<path>.d`; `<path>.lock` lies beside both.
    pub path: PathBuf,
    /// Whether it is created.
    pub mode: OpenMode,
    /// When a commit is safe: `Synced`, or `Interval`. `Volatile` is refused.
    pub durability: Durability,
}

impl JsonConfig {
    /// Opens or creates the store, synced.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: OpenMode::default(),
            durability: Durability::Synced,
        }
    }
}
