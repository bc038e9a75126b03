//! Texts that are kept for the next who asks for the same.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// `COUNT` places with at most one text each. Every place has a lock of its own, so that callers hardly ever
/// wait for each other.
#[derive(Debug)]
pub(crate) struct Places<T, const COUNT: usize>(Box<[Mutex<Option<T>>]>);

impl<T, const COUNT: usize> Default for Places<T, COUNT> {
    fn default() -> Self {
        Self((0..COUNT).map(|_| Mutex::default()).collect())
    }
}

impl<T, const COUNT: usize> Places<T, COUNT> {
    /// The place of a number; numbers that are the same modulo the count share one. Whoever renders what is not there
    /// holds it meanwhile: who comes then wants the same, most of the time.
    pub(crate) fn lock(&self, number: u64) -> MutexGuard<'_, Option<T>> {
        let place = number % COUNT as u64;
        let place = &self.0[usize::try_from(place).expect("it is less than the number of places")];
        // A text is put whole or not at all.
        place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
