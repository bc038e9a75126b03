//! The published head of an open store: what readers see, and what waiters wait for.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use event_listener::{Event, listener};

use crate::error::{ErrorKind, StoreError};
use crate::head::Head;
use crate::revision::Revision;
use crate::store::Result;

/// The head that readers see, whether the store is poisoned, whether it is closed.
///
/// Invariant: a head is published after it is durable, and never goes back.
#[derive(Debug)]
pub struct Tip {
    backend: &'static str,
    head: ArcSwap<Head>,
    moved: Event,
    poison: OnceLock<String>,
    is_restoring: AtomicBool,
    is_closed: AtomicBool,
}

impl Tip {
    /// The tip of a store that was just opened at `head`.
    pub fn new(backend: &'static str, head: Head) -> Self {
        Self {
            backend,
            head: ArcSwap::from_pointee(head),
            moved: Event::new(),
            poison: OnceLock::new(),
            is_restoring: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Name of the backend.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The published head.
    pub fn head(&self) -> Arc<Head> {
        self.head.load_full()
    }

    /// Publishes a head that is durable, and wakes who waits for it.
    pub fn publish(&self, head: Head) {
        self.head.store(Arc::new(head));
        self.moved.notify(usize::MAX);
    }

    /// Waits until the published head is after `after`, and answers its revision.
    ///
    /// # Errors
    /// `Closed` when the store is closed meanwhile; `Invalid` during a restore.
    pub async fn wait(&self, after: Revision) -> Result<Revision> {
        loop {
            listener!(self.moved => moved);
            self.check_readable()?;
            let revision = self.head.load().revision();
            if revision > after {
                return Ok(revision);
            }
            moved.await;
        }
    }

    /// Refuses writes from now on: one could not be made durable.
    pub fn poison(&self, cause: impl Into<String>) {
        // The first cause is the one that tells.
        drop(self.poison.set(cause.into()));
    }

    /// Says whether a restore has begun that is not sealed yet, and tells who waits.
    pub fn set_restoring(&self, is_restoring: bool) {
        self.is_restoring.store(is_restoring, Ordering::SeqCst);
        self.moved.notify(usize::MAX);
    }

    /// Closes the store for every later call, and wakes who waits. Answers whether it was open.
    pub fn close(&self) -> bool {
        let was_open = !self.is_closed.swap(true, Ordering::SeqCst);
        self.moved.notify(usize::MAX);
        was_open
    }

    /// Checks that the store is open.
    ///
    /// # Errors
    /// `Closed`.
    pub fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::Closed,
                self.backend,
                "the store was closed",
            ));
        }
        Ok(())
    }

    /// Checks that the store can be read.
    ///
    /// # Errors
    /// `Closed`; `Invalid` during a restore.
    pub fn check_readable(&self) -> Result<()> {
        self.check_open()?;
        if self.is_restoring.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                self.backend,
                "a restore is not sealed yet",
            ));
        }
        Ok(())
    }

    /// Checks that the store can be written.
    ///
    /// # Errors
    /// `Closed`; `Invalid` during a restore; `Poisoned`.
    pub fn check_writable(&self) -> Result<()> {
        self.check_readable()?;
        self.check_sound()
    }

    /// Checks that every write so far was made durable.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn check_sound(&self) -> Result<()> {
        match self.poison.get() {
            Some(cause) => Err(StoreError::new(
                ErrorKind::Poisoned,
                self.backend,
                cause.clone(),
            )),
            None => Ok(()),
        }
    }
}
