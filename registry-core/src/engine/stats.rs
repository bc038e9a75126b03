//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::histogram::{COMMIT_MICROS, GROUP_COMMANDS, Histogram};

/// Counters that everybody who does something to be counted has a reference to.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) replans: AtomicU64,
    pub(super) resends: AtomicU64,
    pub(super) heartbeats: AtomicU64,
    pub(super) leases_expired: AtomicU64,
    pub(super) leases_suspected: AtomicU64,
    pub(super) keepers_adopted: AtomicU64,
    pub(super) store_errors: AtomicU64,
    pub(super) feed_hits: AtomicU64,
    pub(super) feed_misses: AtomicU64,
    pub(super) group_commands: Histogram,
    pub(super) commit_micros: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            commits: AtomicU64::default(),
            groups: AtomicU64::default(),
            replans: AtomicU64::default(),
            resends: AtomicU64::default(),
            heartbeats: AtomicU64::default(),
            leases_expired: AtomicU64::default(),
            leases_suspected: AtomicU64::default(),
            keepers_adopted: AtomicU64::default(),
            store_errors: AtomicU64::default(),
            feed_hits: AtomicU64::default(),
            feed_misses: AtomicU64::default(),
            group_commands: Histogram::new(GROUP_COMMANDS),
            commit_micros: Histogram::new(COMMIT_MICROS),
        }
    }
}

/// What the engine counted since it was opened, and the watches that there are.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Groups committed; each is one durable flush.
    pub groups: u64,
    /// Commands planned again because another process committed first.
    pub replans: u64,
    /// Groups sent again because their outcome was unknown.
    pub resends: u64,
    /// Leases renewed.
    pub heartbeats: u64,
    /// Leases that lapsed and were ended.
    pub leases_expired: u64,
    /// Leases that lapsed and were held back.
    pub leases_suspected: u64,
    /// Keepers whose leases were adopted.
    pub keepers_adopted: u64,
    /// Failures of the store that the engine met.
    pub store_errors: u64,
    /// Batches of commits that watches took from memory.
    pub feed_hits: u64,
    /// Batches of commits that watches had to read from the log.
    pub feed_misses: u64,
    /// Watches that are open.
    pub watches: u64,
    /// Commits that the watch that is farthest behind has not answered yet.
    pub watch_lag_max: u64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self, watches: u64, watch_lag_max: u64) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            commits: read(&self.commits),
            groups: read(&self.groups),
            replans: read(&self.replans),
            resends: read(&self.resends),
            heartbeats: read(&self.heartbeats),
            leases_expired: read(&self.leases_expired),
            leases_suspected: read(&self.leases_suspected),
            keepers_adopted: read(&self.keepers_adopted),
            store_errors: read(&self.store_errors),
            feed_hits: read(&self.feed_hits),
            feed_misses: read(&self.feed_misses),
            watches,
            watch_lag_max,
        }
    }
}
