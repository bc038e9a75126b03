//! Leases: in memory, renewed without a lock, ended by the driver.
//!
//! A heartbeat stores the time of the last tick in its lease and touches nothing else: no queue, no transaction, no
//! revision, no event. The driver advances the clock of the leases and looks at those that may be due.
//!
//! Invariant: a lease that the driver has marked as lapsed is renewed by no heartbeat any more, so that a heartbeat that
//! races the expiry has one outcome: it came before the mark, or it goes through the queue behind the expiry.

mod book;
mod clock;
mod config;
mod deadlines;
#[cfg(test)]
mod fixture;
mod keepers;
mod last_seen;
mod protection;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

pub(super) use self::book::{LeaseBook, is_still_due};
pub(super) use self::clock::LeaseClock;
pub use self::config::{LeaseConfig, LeasePolicy};
use crate::model::{InstanceEntry, Name};
use crate::revision::Revision;
use crate::time::Timestamp;

/// Marks a lease that has lapsed.
const LAPSED: u64 = u64::MAX;

/// The lease of one instance, from its registration to its end.
#[derive(Debug)]
pub(super) struct Lease {
    service: Name,
    id: Name,
    fencing_revision: Revision,
    incarnation: u64,
    ttl_ms: AtomicU64,
    /// Time of the last renewal on the clock of the leases, in milliseconds; [`LAPSED`].
    renewed: AtomicU64,
    /// Wall time of the last renewal, in nanoseconds.
    seen: AtomicI64,
    /// Whether this process keeps it. Another one's is not renewed here.
    is_kept: AtomicBool,
    /// When the driver looks at it next, on the clock of the leases. Written by the driver alone.
    due: AtomicU64,
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    Renewed,
    /// It lapsed, or it is kept elsewhere: the driver decides.
    Undecided,
}

impl Lease {
    pub(super) fn new(service: Name, id: Name, entry: &InstanceEntry) -> Self {
        Self {
            service,
            id,
            fencing_revision: entry.fencing_revision,
            incarnation: entry.incarnation,
            ttl_ms: AtomicU64::new(entry.lease_ttl.as_millis()),
            renewed: AtomicU64::new(LAPSED),
            seen: AtomicI64::new(entry.registered_at.as_nanos()),
            is_kept: AtomicBool::new(false),
            due: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn service(&self) -> &Name {
        &self.service
    }

    pub(super) fn id(&self) -> &Name {
        &self.id
    }

    pub(super) fn fencing_revision(&self) -> Revision {
        self.fencing_revision
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// When it was last renewed, or registered.
    pub(super) fn last_seen(&self) -> Timestamp {
        Timestamp::from_nanos(self.seen.load(Ordering::Relaxed))
    }

    /// Renews it, unless it has lapsed or is kept elsewhere. Wait-free but for a race with the driver's mark.
    pub(super) fn renew(&self, clock: &LeaseClock) -> Renewal {
        if !self.is_kept.load(Ordering::Acquire) {
            return Renewal::Undecided;
        }
        let now = clock.now_ms();
        let mut renewed = self.renewed.load(Ordering::Acquire);
        loop {
            if renewed == LAPSED {
                return Renewal::Undecided;
            }
            if renewed >= now {
                break;
            }
            let swapped = self.renewed.compare_exchange_weak(
                renewed,
                now,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => break,
                Err(found) => renewed = found,
            }
        }
        self.seen
            .fetch_max(clock.wall().as_nanos(), Ordering::Relaxed);
        Renewal::Renewed
    }

    /// Begins it anew, whatever it was. For the driver.
    fn begin(&self, clock: &LeaseClock) {
        self.renewed.store(clock.now_ms(), Ordering::Release);
        self.seen
            .fetch_max(clock.wall().as_nanos(), Ordering::Relaxed);
    }

    /// Time since the last renewal; none where it has lapsed.
    pub(super) fn age_ms(&self, clock: &LeaseClock) -> Option<u64> {
        let renewed = self.renewed.load(Ordering::Acquire);
        (renewed != LAPSED).then(|| clock.now_ms().saturating_sub(renewed))
    }

    /// When it is due unless it is renewed; none where it has lapsed.
    fn deadline(&self) -> Option<u64> {
        self.deadline_since(self.renewed.load(Ordering::Acquire))
    }

    fn deadline_since(&self, renewed: u64) -> Option<u64> {
        let span = self.ttl_ms.load(Ordering::Relaxed) + clock::STEP_MAX_MS;
        (renewed != LAPSED).then(|| renewed.saturating_add(span))
    }

    /// Marks it as lapsed if it is due, and answers whether it did. A renewal in between wins.
    fn lapse(&self, clock: &LeaseClock) -> bool {
        let renewed = self.renewed.load(Ordering::Acquire);
        let is_due = |deadline| deadline <= clock.now_ms();
        if !self.deadline_since(renewed).is_some_and(is_due) {
            return false;
        }
        let marked =
            self.renewed
                .compare_exchange(renewed, LAPSED, Ordering::AcqRel, Ordering::Acquire);
        marked.is_ok()
    }
}
