//! Something that happens once, and who waits for it.

use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::{Event, listener};

/// A flag that is raised once and stays up.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    is_up: AtomicBool,
    raised: Event,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.is_up.store(true, Ordering::SeqCst);
        self.raised.notify(usize::MAX);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    /// Returns once it is up.
    pub(crate) async fn wait(&self) {
        loop {
            listener!(self.raised => raised);
            if self.is_up() {
                return;
            }
            raised.await;
        }
    }
}
