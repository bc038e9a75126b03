//! Syncs commits within the interval that the user asked for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use registry_core::{Result, StoreError};

use crate::BACKEND;

/// The thread that syncs, and how it is told.
#[derive(Debug)]
pub(crate) struct Flusher {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_dirty: bool,
    is_over: bool,
}

impl Flusher {
    /// Starts the thread. `flush` is called half an interval after a commit, so that the other half is left for the
    /// sync itself.
    pub(crate) fn start(
        path: &std::path::Path,
        interval: Duration,
        flush: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let orders = Arc::<Orders>::default();
        let thread = {
            let orders = Arc::clone(&orders);
            std::thread::Builder::new()
                .name("registry-sqlite-flush".to_owned())
                .spawn(move || {
                    while orders.wait(interval / 2) {
                        flush();
                    }
                })
        };
        let thread = thread
            .map_err(|error| StoreError::io(BACKEND, "start to sync the store", path, error))?;
        Ok(Self {
            orders,
            thread: Some(thread),
        })
    }

    /// Says that there is something to sync.
    pub(crate) fn dirty(&self) {
        let mut state = self.orders.state();
        if !state.is_dirty {
            state.is_dirty = true;
            self.orders.changed.notify_all();
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.orders.state().is_over = true;
        self.orders.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic was printed, and there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

impl Orders {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step, so a panic elsewhere does not matter.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to sync and then that long for more of it. Answers whether to sync and go on; where it is
    /// over, the store syncs when it closes.
    fn wait(&self, span: Duration) -> bool {
        let state = self
            .changed
            .wait_while(self.state(), |state| !state.is_over && !state.is_dirty)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, span, |state| !state.is_over)
            .unwrap_or_else(PoisonError::into_inner);
        state.is_dirty = false;
        !state.is_over
    }
}
