//! Where the watches are, so that their lag can be told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::revision::Revision;

/// The places of all watches that are open.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    made: AtomicU64,
    places: Mutex<HashMap<u64, Arc<AtomicU64>>>,
}

/// The place of one watch; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    at: Arc<AtomicU64>,
}

impl Watchers {
    fn places(&self) -> MutexGuard<'_, HashMap<u64, Arc<AtomicU64>>> {
        self.places
            .lock()
            .expect("nothing panics while it holds the places")
    }

    pub(super) fn enter(&self, at: Revision) -> Place {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let at = Arc::new(AtomicU64::new(at.0));
        self.places().insert(number, Arc::clone(&at));
        Place { number, at }
    }

    pub(super) fn leave(&self, place: &Place) {
        self.places().remove(&place.number);
    }

    /// How many there are, and how far behind a revision the last of them is.
    pub(super) fn lag(&self, head: Revision) -> (u64, u64) {
        let places = self.places();
        let last = places.values().map(|at| at.load(Ordering::Relaxed)).min();
        let lag = last.map_or(0, |last| head.0.saturating_sub(last));
        (places.len() as u64, lag)
    }
}

impl Place {
    pub(super) fn move_to(&self, at: Revision) {
        self.at.store(at.0, Ordering::Relaxed);
    }
}
