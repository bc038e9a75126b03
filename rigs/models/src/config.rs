//! The engine's configuration, as far as its feed reads it.

/// Bounds of the feed.
#[derive(Debug)]
pub(crate) struct EngineConfig {
    pub(crate) feed_commits_max: usize,
    pub(crate) feed_bytes_max: usize,
}
