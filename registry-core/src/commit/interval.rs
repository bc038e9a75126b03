//! The sync that follows commits which were acknowledged before it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::StoreError;
use crate::store::Result;

/// Syncs a store within an interval after each commit that was not synced itself, or does what else follows commits.
///
/// The library never spawns tasks, but this promise has to be kept while nobody calls the store, so a store with
/// [`Durability::Interval`](crate::Durability::Interval), or with something to write behind, owns a named thread for it.
/// It ends when this is dropped.
#[derive(Debug)]
pub struct IntervalSync {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_dirty: bool,
    is_urgent: bool,
    is_stopped: bool,
}

impl IntervalSync {
    /// Starts the thread. `sync` makes everything committed so far durable, and poisons the store where it cannot.
    ///
    /// # Errors
    /// `Unavailable` where the system has no thread to give.
    pub fn start(
        backend: &'static str,
        interval: Duration,
        sync: impl FnMut() + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let its_own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("{backend}-sync"))
            .spawn(move || its_own.run(interval, sync))
            .map_err(|error| {
                StoreError::new(
                    crate::ErrorKind::Unavailable,
                    backend,
                    "start the thread that syncs",
                )
                .caused_by(error)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Says that there is something to sync.
    pub fn mark(&self) {
        let was_dirty = std::mem::replace(&mut self.shared.state().is_dirty, true);
        // One that waits for the end of its interval is not to wake for each commit.
        if !was_dirty {
            self.shared.changed.notify_one();
        }
    }

    /// As [`mark`](Self::mark), without waiting for the interval.
    pub fn hurry(&self) {
        let mut state = self.shared.state();
        state.is_dirty = true;
        state.is_urgent = true;
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Drop for IntervalSync {
    fn drop(&mut self) {
        self.shared.state().is_stopped = true;
        self.shared.changed.notify_one();
        // The thread itself drops the store where it held it last; it ends by the flag then.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the sync has poisoned the store already.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Flags are never half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, interval: Duration, mut sync: impl FnMut()) {
        while self.is_due(interval) {
            sync();
        }
    }

    /// Waits until a sync is due; false when there will be none.
    fn is_due(&self, interval: Duration) -> bool {
        let waiting = self
            .changed
            .wait_while(self.state(), |state| !state.is_dirty && !state.is_stopped);
        let state = waiting.unwrap_or_else(PoisonError::into_inner);
        // Half of the interval gathers commits, the other half is for the sync itself.
        let waiting = self
            .changed
            .wait_timeout_while(state, interval / 2, |state| {
                !state.is_stopped && !state.is_urgent
            });
        let (mut state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        state.is_dirty = false;
        state.is_urgent = false;
        !state.is_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_store_is_synced_and_the_thread_ends() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let syncer = IntervalSync::start("test", Duration::from_millis(2), move || {
            sender.send(()).unwrap();
        })
        .unwrap();
        syncer.mark();
        receiver.recv().unwrap();
        drop(syncer);
        assert!(receiver.recv().is_err());
    }

    #[test]
    fn what_is_urgent_does_not_wait_for_the_interval() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let syncer = IntervalSync::start("test", year, move || sender.send(()).unwrap()).unwrap();
        for _ in 0..2 {
            syncer.mark();
            syncer.hurry();
            receiver.recv().unwrap();
        }
    }
}
