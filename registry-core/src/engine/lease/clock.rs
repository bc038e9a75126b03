//! The clock of the leases: it moves with the ticks of the driver, and stands still while the driver does.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::time::Timestamp;

/// Time between two ticks of the driver.
const TICK: Duration = Duration::from_millis(100);
/// Most that one tick moves the clock: what a pause or a slow disk takes beyond it extends every lease.
///
/// A renewal is stamped with the last tick, which may be that much older than the renewal, so that a lease lasts this
/// much longer than its TTL.
pub(super) const STEP_MAX_MS: u64 = 250;

/// Milliseconds that the driver was seen running, and the wall time of its last tick.
#[derive(Debug, Default)]
pub(in crate::engine) struct LeaseClock {
    now_ms: AtomicU64,
    wall_nanos: AtomicI64,
    /// Monotonic time of the last tick, in nanoseconds.
    ticked_nanos: AtomicU64,
}

impl LeaseClock {
    pub(in crate::engine) fn new(clock: &dyn Clock) -> Self {
        let new = Self::default();
        new.resume(clock);
        new
    }

    /// Time on this clock, in milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Acquire)
    }

    /// Time on this clock.
    pub(in crate::engine) fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    /// Wall time of the last tick.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall_nanos.load(Ordering::Relaxed))
    }

    /// Goes on after a time in which nobody looked.
    pub(super) fn resume(&self, clock: &dyn Clock) {
        self.ticked_nanos
            .store(nanos(clock.monotonic()), Ordering::Relaxed);
        self.wall_nanos
            .store(clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// When the next tick is due, on the monotonic clock.
    pub(in crate::engine) fn next_tick(&self) -> Duration {
        Duration::from_nanos(self.ticked_nanos.load(Ordering::Relaxed)) + TICK
    }

    /// Moves on. Only the driver ticks.
    pub(super) fn tick(&self, clock: &dyn Clock) {
        let now = nanos(clock.monotonic());
        let ticked = self.ticked_nanos.load(Ordering::Relaxed);
        let elapsed_ms = now.saturating_sub(ticked) / 1_000_000;
        // What is less than a millisecond is kept for the next tick.
        self.ticked_nanos
            .store(ticked + elapsed_ms * 1_000_000, Ordering::Relaxed);
        self.wall_nanos
            .store(clock.now().as_nanos(), Ordering::Relaxed);
        self.now_ms
            .fetch_add(elapsed_ms.min(STEP_MAX_MS), Ordering::AcqRel);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
