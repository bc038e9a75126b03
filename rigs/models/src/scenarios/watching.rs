//! Watchers follow the feed while it is published to.
//!
//! The engine has one driver; the publishers of a model take turns, so that every group comes from another thread.

use std::sync::Arc;

use super::feed::{Feed, Tail};
use super::sync::{Mutex, thread};
use crate::config::EngineConfig;
use crate::log::{Change, Commit};
use crate::poll::block_on;
use crate::record::Image;
use crate::revision::Revision;

/// Commits that a watcher takes at a time: fewer than a group has.
const BATCH_COMMITS: usize = 1;
/// Commits of a group.
const GROUP_COMMITS: u64 = 2;
/// More bytes than a model publishes.
const FEED_BYTES_MAX: usize = 1 << 20;

/// The feed, and the last revision that was published to it.
struct Published {
    feed: Feed,
    last: Mutex<Revision>,
}

/// How a watch ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It saw what it waited for.
    Seen,
    Closed,
}

impl Published {
    fn new(feed_commits_max: usize) -> Arc<Self> {
        let config = EngineConfig {
            feed_commits_max,
            feed_bytes_max: FEED_BYTES_MAX,
        };
        Arc::new(Self {
            feed: Feed::new(&config, Revision::ZERO),
            last: Mutex::new(Revision::ZERO),
        })
    }

    fn publish(&self, commits: u64) {
        let mut last = self.last.lock().expect("no panic holds it");
        let group = last.0 + 1..=last.0 + commits;
        self.feed.publish(group.map(|n| Arc::new(commit(n))));
        last.0 += commits;
    }

    fn restart(&self, head: Revision) {
        *self.last.lock().expect("no panic holds it") = head;
        self.feed.restart(head);
    }

    /// Follows as a watch does until it is past a revision or the feed is closed. What left the memory it reads from
    /// the log, which has everything up to the feed's head, where it may.
    fn follow(
        &self,
        mut after: Revision,
        until: Revision,
        may_fall_behind: bool,
    ) -> (Revision, End) {
        while after < until {
            match self.feed.after(after, BATCH_COMMITS) {
                Tail::Commits(commits) => {
                    assert!(!commits.is_empty(), "nothing was told as something");
                    for commit in commits {
                        assert_eq!(commit.revision, after.next(), "a gap");
                        after = commit.revision;
                    }
                }
                Tail::Nothing => block_on(self.feed.wait(after)),
                Tail::Behind => {
                    assert!(may_fall_behind, "what is in memory was missed");
                    let head = self.feed.head();
                    assert!(head > after, "behind what is not yet");
                    after = head;
                }
                Tail::Closed => return (after, End::Closed),
            }
        }
        (after, End::Seen)
    }
}

fn commit(revision: u64) -> Commit {
    Commit {
        revision: Revision(revision),
        changes: vec![Change {
            before: None,
            after: Some(Arc::new(Image)),
        }],
    }
}

/// Every watcher sees every commit once, in order, and none waits after the last.
pub fn see_every_commit_in_order(publishers: u64, watchers: usize) {
    let last = Revision(publishers * GROUP_COMMITS);
    let published = Published::new(usize::try_from(last.0).expect("a model is small"));
    let publishing = publish(&published, publishers);
    let watching = watch(watchers, move || {
        assert_eq!(
            published.follow(Revision::ZERO, last, false),
            (last, End::Seen)
        );
    });
    join(publishing.into_iter().chain(watching));
}

/// A feed that keeps one commit tells every watcher that misses one.
pub fn learn_of_what_they_missed(publishers: u64, watchers: usize) {
    let last = Revision(publishers * GROUP_COMMITS);
    let published = Published::new(1);
    let publishing = publish(&published, publishers);
    let watching = watch(watchers, move || {
        assert_eq!(
            published.follow(Revision::ZERO, last, true),
            (last, End::Seen)
        );
    });
    join(publishing.into_iter().chain(watching));
}

/// A feed that closes wakes every watcher, and each has seen every commit by then.
pub fn see_everything_before_the_close(watchers: usize) {
    let published = Published::new(1);
    let watching = watch(watchers, {
        let published = Arc::clone(&published);
        move || {
            let (last, end) = published.follow(Revision::ZERO, Revision(u64::MAX), false);
            assert_eq!((last, end), (Revision(1), End::Closed));
        }
    });
    published.publish(1);
    published.feed.close();
    join(watching);
}

/// A feed that begins anew wakes every watcher and shows none of them a commit from before, also not to one that
/// watches from a revision that the feed skips.
pub fn see_no_commit_from_before_a_restart(watchers_of_each_kind: usize) {
    const RESTART: Revision = Revision(5);
    const LAST: Revision = Revision(6);
    let published = Published::new(3);
    let mut watching = Vec::new();
    for begin in [Revision::ZERO, Revision(3)] {
        let published = Arc::clone(&published);
        watching.extend(watch(watchers_of_each_kind, move || {
            assert_eq!(published.follow(begin, LAST, true), (LAST, End::Seen));
        }));
    }
    published.publish(2);
    published.restart(RESTART);
    published.publish(1);
    join(watching);
}

fn publish(published: &Arc<Published>, publishers: u64) -> Vec<thread::JoinHandle<()>> {
    let begin = |_| {
        let published = Arc::clone(published);
        thread::spawn(move || published.publish(GROUP_COMMITS))
    };
    (0..publishers).map(begin).collect()
}

fn watch(
    watchers: usize,
    follow: impl Fn() + Send + Sync + 'static,
) -> Vec<thread::JoinHandle<()>> {
    let follow = Arc::new(follow);
    let begin = |_| {
        let follow = Arc::clone(&follow);
        thread::spawn(move || follow())
    };
    (0..watchers).map(begin).collect()
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("its panic ended the model");
    }
}
