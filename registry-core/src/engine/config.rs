//! The bounds of the engine.

use std::time::Duration;

use super::lease::LeaseConfig;

/// Bounds of the engine, each with its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Commands that may wait for the driver; a caller beyond that waits to hand its command over.
    pub queue_commands_max: usize,
    /// Most commands that one group takes; the store's own limit holds, too.
    pub group_commands_max: usize,
    /// Commits that the feed keeps in memory. A live watch that falls further behind is told `lagged`.
    pub feed_commits_max: usize,
    /// Bytes of records that the feed keeps in memory.
    pub feed_bytes_max: usize,
    /// Times that a command is planned again because another process committed first.
    pub replan_max: u32,
    /// Times that a group whose outcome is unknown is sent again.
    pub resend_max: u32,
    /// Snapshots kept for readers that turn pages.
    pub pinned_views_max: usize,
    /// Log entries older than this may be compacted (S2-09).
    pub log_age_max: Duration,
    /// Log entries beyond this many may be compacted.
    pub log_commits_max: u64,
    /// Rules and bounds of the leases.
    pub leases: LeaseConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            queue_commands_max: 4096,
            group_commands_max: 512,
            feed_commits_max: 8192,
            feed_bytes_max: 64 * 1024 * 1024,
            replan_max: 16,
            resend_max: 3,
            pinned_views_max: 64,
            log_age_max: Duration::from_secs(90 * 24 * 60 * 60),
            log_commits_max: 10_000_000,
            leases: LeaseConfig::default(),
        }
    }
}
