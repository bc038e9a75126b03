//! What the engine counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// Upper bounds of the classes of [`Stats::flushes`], in microseconds; the last class has none.
pub const FLUSH_BOUNDS_MICROS: [u64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
];

/// Counters that everybody who does something to be counted has a reference to.
#[derive(Debug, Default)]
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
    flushes: [AtomicU64; FLUSH_BOUNDS_MICROS.len() + 1],
    flush_micros: AtomicU64,
}

/// What the engine counted since it was opened, and the watches that there are.
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Commits of groups by the time they took, in the classes of [`FLUSH_BOUNDS_MICROS`] and one beyond.
    pub flushes: Vec<u64>,
    /// Time that all of them took, in microseconds.
    pub flush_micros: u64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// Counts a group that was committed in that time.
    pub(super) fn flushed(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = FLUSH_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        count(&self.flushes[class]);
        self.flush_micros.fetch_add(micros, Ordering::Relaxed);
    }

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
            flushes: self.flushes.iter().map(read).collect(),
            flush_micros: read(&self.flush_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_fall_into_the_class_whose_bound_they_keep() {
        let counters = Counters::default();
        for micros in [0, 100, 101, 1_000_000, 1_000_001] {
            counters.flushed(Duration::from_micros(micros));
        }
        let stats = counters.read(0, 0);
        let mut expected = vec![0; FLUSH_BOUNDS_MICROS.len() + 1];
        (expected[0], expected[1], expected[11], expected[12]) = (2, 1, 1, 1);
        assert_eq!(stats.flushes, expected);
    }
}
