//! The last commits in memory, for those who watch.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::EngineConfig;
use super::sync::{Event, Mutex, MutexGuard, listener};
use crate::log::Commit;
use crate::record::Image;
use crate::revision::Revision;

/// Invariant: the commits in it are consecutive, and end at `head`.
#[derive(Debug)]
pub(super) struct Feed {
    commits_max: usize,
    bytes_max: usize,
    ring: Mutex<Ring>,
    moved: Event,
}

#[derive(Debug)]
struct Ring {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    head: Revision,
    is_closed: bool,
}

/// What the feed has after a revision.
pub(super) enum Tail {
    /// The commits after it, at least one.
    Commits(Vec<Arc<Commit>>),
    /// Nothing yet.
    Nothing,
    /// Some of it left the memory; the log has it.
    Behind,
    /// Nothing, and nothing will come.
    Closed,
}

impl Feed {
    pub(super) fn new(config: &EngineConfig, head: Revision) -> Self {
        let ring = Ring {
            commits: VecDeque::new(),
            bytes: 0,
            head,
            is_closed: false,
        };
        Self {
            commits_max: config.feed_commits_max,
            bytes_max: config.feed_bytes_max,
            ring: Mutex::new(ring),
            moved: Event::new(),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring
            .lock()
            .expect("nothing panics while it holds the ring")
    }

    /// Adds the commits of a group, in order, after their view was published.
    pub(super) fn publish(&self, commits: impl IntoIterator<Item = Arc<Commit>>) {
        let mut ring = self.ring();
        for commit in commits {
            ring.bytes += size(&commit);
            ring.head = commit.revision;
            ring.commits.push_back(commit);
            while ring.commits.len() > self.commits_max || ring.bytes > self.bytes_max {
                let Some(oldest) = ring.commits.pop_front() else {
                    break;
                };
                ring.bytes -= size(&oldest);
            }
        }
        drop(ring);
        self.moved.notify(usize::MAX);
    }

    /// Forgets everything and begins at a revision.
    pub(super) fn restart(&self, head: Revision) {
        let mut ring = self.ring();
        ring.commits.clear();
        ring.bytes = 0;
        ring.head = head;
        drop(ring);
        self.moved.notify(usize::MAX);
    }

    pub(super) fn close(&self) {
        self.ring().is_closed = true;
        self.moved.notify(usize::MAX);
    }

    pub(super) fn head(&self) -> Revision {
        self.ring().head
    }

    /// At most `limit` commits after a revision.
    pub(super) fn after(&self, revision: Revision, limit: usize) -> Tail {
        let ring = self.ring();
        if revision >= ring.head {
            return if ring.is_closed {
                Tail::Closed
            } else {
                Tail::Nothing
            };
        }
        let first = ring.head.0 - ring.commits.len() as u64 + 1;
        let Some(skip) = (revision.0 + 1).checked_sub(first) else {
            return Tail::Behind;
        };
        let skip = usize::try_from(skip).expect("it is less than the length of the ring");
        Tail::Commits(
            ring.commits
                .iter()
                .skip(skip)
                .take(limit)
                .cloned()
                .collect(),
        )
    }

    /// Waits until there is something after a revision, or the feed is closed.
    pub(super) async fn wait(&self, after: Revision) {
        loop {
            listener!(self.moved => moved);
            {
                let ring = self.ring();
                if ring.head > after || ring.is_closed {
                    return;
                }
            }
            moved.await;
        }
    }
}

/// Bytes of records that a commit holds; the fixed part is estimated.
fn size(commit: &Commit) -> usize {
    let image = |image: &Option<Arc<Image>>| image.as_deref().map_or(0, Image::body_bytes);
    let changes = commit
        .changes
        .iter()
        .map(|change| image(&change.before) + image(&change.after));
    256 + changes.sum::<usize>()
}
