//! How the driver follows a log that others write, too.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Driver;
use super::error::RegistryError;
use super::load::load;
use super::stats::count;
use crate::error::ErrorKind;
use crate::limits::CHANGES_PAGE_MAX;
use crate::log::Commit;
use crate::store::ChangesRequest;

/// How long the driver waits before it reads a log again that could not be read: no load for a store that refuses at
/// once, and short beside the time that a new owner needs to open one.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

impl Driver {
    /// Brings the view up to the head where others write, too: a command that comes to no transaction is answered from
    /// the view, and must not be answered from one that was overtaken before the command came.
    pub(super) async fn refresh(&mut self) -> Result<(), RegistryError> {
        if !self.is_shared() {
            return Ok(());
        }
        let latest = match self.shared.store.latest() {
            Some(latest) => latest,
            None => self.shared.store.head().await?.revision(),
        };
        if latest > self.shared.view().revision() {
            self.catch_up().await?;
        }
        Ok(())
    }

    /// Catches up with others. A store that cannot be read for a while, as one whose owner is silent or is being replaced,
    /// ends nothing: what is missing still wakes the driver after a pause, and is read then.
    pub(super) async fn follow(&mut self) -> Result<(), RegistryError> {
        match self.catch_up().await {
            Err(error) if error.is_retryable() => {
                self.follows_from = self.shared.clock.monotonic() + FOLLOW_PAUSE;
                count(&self.shared.counters.store_errors);
                tracing::warn!(%error, "the view is behind the store");
                Ok(())
            }
            followed => followed,
        }
    }

    /// Applies what the store has beyond the view: commits of other processes, and our own between them.
    pub(super) async fn catch_up(&mut self) -> Result<(), RegistryError> {
        loop {
            let mut view = (*self.shared.view()).clone();
            let request = ChangesRequest {
                after: view.revision(),
                key: None,
                limit: CHANGES_PAGE_MAX,
            };
            let page = match self.shared.store.changes(request).await {
                Err(error) if matches!(error.kind(), ErrorKind::Compacted { .. }) => {
                    return self.reload().await;
                }
                page => page?,
            };
            let commits: Vec<Arc<Commit>> = page
                .entries
                .iter()
                .map(|entry| Arc::new(entry.commit.clone()))
                .collect();
            for commit in &commits {
                view.apply(commit);
            }
            let has_caught_up = view.revision() >= page.head;
            let changes = commits.iter().map(|commit| &**commit);
            self.leases.observe(&view, changes, &*self.shared.clock);
            self.shared.publish(view);
            self.shared.feed.publish(commits);
            if has_caught_up {
                return Ok(());
            }
        }
    }

    /// Others compacted what the view did not see yet: it is loaded again, and the feed begins anew.
    async fn reload(&mut self) -> Result<(), RegistryError> {
        let view = load(&*self.shared.store).await?;
        let revision = view.revision();
        self.leases.load(&view, &self.shared.store.notes().await?);
        self.shared.publish(view);
        self.shared.feed.restart(revision);
        Ok(())
    }
}
