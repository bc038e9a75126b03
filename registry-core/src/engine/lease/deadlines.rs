//! What is to be looked at, by when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Lease;
use crate::model::Name;
use crate::time::Timestamp;

/// Width of a slot, in milliseconds: what is due within one is looked at together.
const SLOT_MS: u64 = 64;

/// Something to be looked at.
#[derive(Debug)]
pub(super) enum Timer {
    /// A lease: it may have lapsed.
    Lease(Arc<Lease>),
    /// An instance: it may have been in its state for long enough.
    Instance(Box<InstanceTimer>),
}

/// An instance whose state ends by itself.
#[derive(Debug, Clone)]
pub(super) struct InstanceTimer {
    pub(super) service: Name,
    pub(super) id: Name,
    pub(super) phase: Phase,
    /// When the state began, as the record says: it tells this time in the state from another one.
    pub(super) mark: Timestamp,
}

/// A state that ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Held back; it expires.
    Suspect,
    /// Expired; it is removed.
    Expired,
    /// Critical by its reports; it is removed where the policy says so.
    Critical,
    /// Stopped; it is forgotten.
    Stopped,
}

/// Timers by the slot they are due in. Setting one costs a search among the slots, whatever the number of timers.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    slots: BTreeMap<u64, Vec<Timer>>,
}

impl Deadlines {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Looks at a timer at a time on the clock of the leases, or up to a slot later.
    pub(super) fn set(&mut self, at_ms: u64, timer: Timer) {
        let slot = at_ms.div_ceil(SLOT_MS);
        self.slots.entry(slot).or_default().push(timer);
    }

    /// Takes what is due, the oldest first and at most so much.
    pub(super) fn take_due(&mut self, now_ms: u64, max: usize) -> Vec<Timer> {
        let mut due = Vec::new();
        while due.len() < max
            && let Some(mut slot) = self.slots.first_entry()
            && *slot.key() <= now_ms / SLOT_MS
        {
            let room = max - due.len();
            if slot.get().len() <= room {
                due.extend(slot.remove());
            } else {
                due.extend(slot.get_mut().drain(..room));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(id: &str) -> Timer {
        Timer::Instance(Box::new(InstanceTimer {
            service: Name::new("api").unwrap(),
            id: Name::new(id).unwrap(),
            phase: Phase::Expired,
            mark: Timestamp::default(),
        }))
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_and_all_of_it_then() {
        let mut deadlines = Deadlines::default();
        for at in [0, 1, 64, 65, 1_000, 100_000] {
            deadlines.set(at, timer("a"));
        }
        assert_eq!(deadlines.take_due(0, 10).len(), 1);
        assert_eq!(deadlines.take_due(63, 10).len(), 0);
        assert_eq!(deadlines.take_due(64, 10).len(), 2);
        assert_eq!(deadlines.take_due(127, 10).len(), 0);
        assert_eq!(deadlines.take_due(1_087, 10).len(), 2);
        assert!(!deadlines.is_empty());
        assert_eq!(deadlines.take_due(100_063, 10).len(), 1);
        assert!(deadlines.is_empty());
    }

    #[test]
    fn what_is_too_much_at_once_is_taken_next() {
        let mut deadlines = Deadlines::default();
        (0..5).for_each(|_| deadlines.set(64, timer("a")));
        (0..3).for_each(|_| deadlines.set(128, timer("b")));
        assert_eq!(deadlines.take_due(1_000, 2).len(), 2);
        assert_eq!(deadlines.take_due(1_000, 4).len(), 4);
        assert_eq!(deadlines.take_due(1_000, 4).len(), 2);
        assert!(deadlines.is_empty());
    }
}
