//! An event as event-listener promises it: a listener is woken by every notification after it was made, and by none
//! before. That crate's own orderings are its own tests' matter.
//!
//! It wakes everybody, which is all that the engine asks for.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(crate) struct Event {
    notifications: Mutex<u64>,
    notified: Condvar,
}

#[derive(Debug)]
pub(crate) struct Listener<'a> {
    event: &'a Event,
    /// The notifications before it was made.
    before: u64,
}

impl Event {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn listen(&self) -> Listener<'_> {
        let before = *self.notifications.lock().expect("no panic holds it");
        Listener {
            event: self,
            before,
        }
    }

    pub(crate) fn notify(&self, listeners: usize) {
        assert_eq!(listeners, usize::MAX, "the model wakes everybody");
        *self.notifications.lock().expect("no panic holds it") += 1;
        self.notified.notify_all();
    }
}

impl Future for Listener<'_> {
    type Output = ();

    /// Blocks the thread: the checker sees who waits, and that nobody will come.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let mut notifications = self.event.notifications.lock().expect("no panic holds it");
        while *notifications == self.before {
            let woken = self.event.notified.wait(notifications);
            notifications = woken.expect("no panic holds it");
        }
        Poll::Ready(())
    }
}

macro_rules! listener {
    ($event:expr => $listener:ident) => {
        let $listener = $event.listen();
    };
}
pub(crate) use listener;
