//! What the handles of a shared store and its service have in common: the role, and how it changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use event_listener::{Event, listener};
use futures_lite::future;
use registry_core::{Anchor, ErrorKind, Result, StoreError};

use crate::config::AttachConfig;
use crate::flag::Flag;
use crate::role::Role;

/// Invariant: a closed core stays closed, and what it was is closed by the one who closed it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: AttachConfig,
    role: ArcSwap<Role>,
    changed: Event,
    /// Held while the role changes.
    changing: Mutex<()>,
    /// Raised when the service is to end.
    pub(crate) closing: Flag,
    /// Raised when the service has ended.
    pub(crate) ended: Flag,
    /// The last place of the log that was seen here. Every later owner has the same there.
    seen: Mutex<Anchor>,
}

impl Core {
    pub(crate) fn new(config: AttachConfig) -> Self {
        Self {
            config,
            role: ArcSwap::from_pointee(Role::Seeking),
            changed: Event::new(),
            changing: Mutex::default(),
            closing: Flag::default(),
            ended: Flag::default(),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn role(&self) -> Arc<Role> {
        self.role.load_full()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(**self.role.load(), Role::Closed)
    }

    /// Takes a role on, and answers the one before; none where the store was closed meanwhile.
    pub(crate) fn become_role(&self, role: Role) -> Option<Arc<Role>> {
        let before = {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_closed() {
                return None;
            }
            self.role.swap(Arc::new(role))
        };
        self.changed.notify(usize::MAX);
        Some(before)
    }

    /// The role, once there is one in which the store can be asked.
    ///
    /// # Errors
    /// `Closed`; what the store failed with; `Unavailable` where there is none until a time.
    pub(crate) async fn settled(&self, until: Duration) -> Result<Arc<Role>> {
        loop {
            listener!(self.changed => changed);
            let role = self.role();
            match &*role {
                Role::Owner(_) | Role::Attached(_) => return Ok(role),
                Role::Seeking => {}
                Role::Failed { kind, detail } => return Err(self.error(kind.clone(), detail)),
                Role::Closed => return Err(self.error(ErrorKind::Closed, "the store was closed")),
            }
            let has_changed = async {
                changed.await;
                true
            };
            if !self.within(until, has_changed).await.unwrap_or(false) {
                let detail = "the owner of the store is gone, and there is no other yet";
                return Err(self.error(ErrorKind::Unavailable, detail));
            }
        }
    }

    /// Waits until the role is no longer that one.
    pub(crate) async fn left(&self, role: &Arc<Role>) {
        loop {
            listener!(self.changed => changed);
            if !Arc::ptr_eq(role, &self.role.load()) {
                return;
            }
            changed.await;
        }
    }

    /// What comes of a future until a time; none where nothing has.
    pub(crate) async fn within<T>(
        &self,
        until: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let late = async {
            self.config.clock.sleep_until(until).await;
            None
        };
        future::or(async { Some(answer.await) }, late).await
    }

    /// So much later than now, on the clock.
    pub(crate) fn after(&self, span: Duration) -> Duration {
        self.config.clock.monotonic() + span
    }

    pub(crate) async fn pause(&self, span: Duration) {
        self.config.clock.sleep_until(self.after(span)).await;
    }

    /// Closes what this opener has of the store, and ends the service. Closing it again does nothing.
    pub(crate) async fn close(&self) -> Result<()> {
        let before = self.become_role(Role::Closed);
        self.closing.raise();
        match before.as_deref() {
            Some(Role::Owner(seat)) => seat.leave().await,
            Some(Role::Attached(link)) => {
                link.lose();
                Ok(())
            }
            // The store may be being opened at this moment: who closed this opener finds its path free of it.
            Some(Role::Seeking) => {
                self.ended.wait().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn error(&self, kind: ErrorKind, detail: impl Into<String>) -> StoreError {
        StoreError::new(kind, self.config.backend, detail).at_path(&self.config.path)
    }

    pub(crate) fn see(&self, last: Anchor) {
        let mut seen = self.seen();
        if last.revision >= seen.revision {
            *seen = last;
        }
    }

    pub(crate) fn last_seen(&self) -> Anchor {
        *self.seen()
    }

    fn seen(&self) -> MutexGuard<'_, Anchor> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
