//! Watches: every commit once, in order, from memory or from the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::RegistryError;
use super::feed::Tail;
use super::registry::Registry;
use super::stats::count;
use super::watchers::Place;
use crate::error::ErrorKind;
use crate::log::Commit;
use crate::revision::Revision;
use crate::store::ChangesRequest;

/// Commits taken from the feed or read from the log at a time.
const BATCH_COMMITS: usize = 256;

/// A place in the log that moves with every commit it answers.
///
/// It needs no room in the registry: a slow reader costs nobody else anything.
#[derive(Debug)]
pub struct Watch {
    registry: Registry,
    after: Revision,
    place: Place,
    ready: VecDeque<Arc<Commit>>,
    /// Whether it has caught up with the feed; from then on, falling out of it is lagging.
    is_live: bool,
}

/// Why a watch ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WatchEnd {
    /// The reader was too slow. Nothing is lost: watch again after this revision.
    #[error("the watch fell too far behind; resume after revision {resume_after}")]
    Lagged {
        /// The last revision that was answered.
        resume_after: Revision,
    },
    /// The log no longer has what comes next. Take a snapshot and watch after its revision.
    #[error("the log is compacted through revision {oldest}, after revision {after} was asked for")]
    Compacted {
        /// Where the watch was.
        after: Revision,
        /// The oldest revision that can be watched after.
        oldest: Revision,
    },
    /// The registry was closed.
    #[error("the registry is closed")]
    Closed,
    /// The log could not be read.
    #[error("{0}")]
    Failed(RegistryError),
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.registry.shared().watchers.leave(&self.place);
    }
}

impl Watch {
    pub(super) fn new(registry: Registry, after: Revision) -> Self {
        let place = registry.shared().watchers.enter(after);
        Self {
            registry,
            after,
            place,
            ready: VecDeque::new(),
            is_live: false,
        }
    }

    /// The last revision that was answered, or the one it began after: resume here.
    pub fn position(&self) -> Revision {
        self.after
    }

    /// The next commit. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`WatchEnd`]; the watch is over then.
    pub async fn next(&mut self) -> Result<Arc<Commit>, WatchEnd> {
        loop {
            if let Some(commit) = self.ready.pop_front() {
                self.after = commit.revision;
                self.place.move_to(self.after);
                return Ok(commit);
            }
            match self.registry.feed().after(self.after, BATCH_COMMITS) {
                Tail::Commits(commits) => {
                    count(&self.registry.shared().counters.feed_hits);
                    self.is_live = true;
                    self.ready.extend(commits);
                }
                Tail::Nothing => {
                    self.is_live = true;
                    self.registry.feed().wait(self.after).await;
                }
                Tail::Behind if self.is_live => {
                    return Err(WatchEnd::Lagged {
                        resume_after: self.after,
                    });
                }
                Tail::Behind => self.read_log().await?,
                Tail::Closed => return Err(WatchEnd::Closed),
            }
        }
    }

    async fn read_log(&mut self) -> Result<(), WatchEnd> {
        count(&self.registry.shared().counters.feed_misses);
        let request = ChangesRequest {
            after: self.after,
            key: None,
            limit: BATCH_COMMITS,
        };
        let page = self
            .registry
            .store()
            .changes(request)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Compacted { oldest } => WatchEnd::Compacted {
                    after: self.after,
                    oldest: *oldest,
                },
                ErrorKind::Closed => WatchEnd::Closed,
                _ => WatchEnd::Failed(error.into()),
            })?;
        // The store may be ahead of the view; what is not visible yet comes through the feed.
        let visible = self.registry.feed().head();
        let commits = page.entries.iter().map(|entry| &entry.commit);
        let commits = commits.take_while(|commit| commit.revision <= visible);
        self.ready.extend(commits.cloned().map(Arc::new));
        if self.ready.is_empty() {
            self.registry.feed().wait(visible).await;
        }
        Ok(())
    }
}
