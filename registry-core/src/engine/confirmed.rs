//! When health was last reported as it was known: a report that says nothing new is no commit, and is not stored.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::HealthStatus;
use crate::time::Timestamp;

/// The time of the last report that said what was known. `i64::MIN` is never.
#[derive(Debug)]
pub(super) struct Confirmed(AtomicI64);

impl Confirmed {
    /// None yet, or what was noted of the record before this one.
    pub(super) fn since(before: Option<&Self>) -> Self {
        let at = before.map_or(i64::MIN, |before| before.0.load(Ordering::Relaxed));
        Self(AtomicI64::new(at))
    }

    pub(super) fn note(&self, checked_at: Timestamp) {
        self.0.fetch_max(checked_at.as_nanos(), Ordering::Relaxed);
    }

    /// The time itself.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// The stored report with the time of the last one that said the same.
    pub(super) fn refresh(&self, stored: Option<&HealthStatus>) -> Option<HealthStatus> {
        let mut health = stored?.clone();
        health.checked_at = health.checked_at.max(self.at());
        Some(health)
    }
}
