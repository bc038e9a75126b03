//! The order in which a commit becomes known: the steps of the driver over the engine's feed, with a number in place
//! of the store and of the view. The driver itself and the view's pointer are not in the model.

use std::sync::Arc;

use super::feed::{Feed, Tail};
use super::sync::{AtomicU64, Ordering, mpsc, thread};
use crate::config::EngineConfig;
use crate::log::Commit;
use crate::poll::block_on;
use crate::revision::Revision;
use crate::setting::{Audience, Step};

/// Revisions of the store and of the view.
struct Engine {
    store: AtomicU64,
    view: AtomicU64,
    feed: Feed,
}

impl Engine {
    fn new(commits: u64) -> Arc<Self> {
        let config = EngineConfig {
            feed_commits_max: usize::try_from(commits).expect("a model is small"),
            feed_bytes_max: usize::MAX,
        };
        Arc::new(Self {
            store: AtomicU64::new(0),
            view: AtomicU64::new(0),
            feed: Feed::new(&config, Revision::ZERO),
        })
    }

    fn view(&self) -> u64 {
        self.view.load(Ordering::Acquire)
    }

    /// Takes the steps of a commit.
    fn commit(&self, revision: u64, order: [Step; 4], reply: &mpsc::Sender<()>) {
        for step in order {
            match step {
                Step::Store => self.store.store(revision, Ordering::Release),
                Step::View => self.view.store(revision, Ordering::Release),
                Step::Reply => reply.send(()).expect("the caller waits"),
                Step::Events => self.feed.publish([Arc::new(Commit {
                    revision: Revision(revision),
                    changes: Vec::new(),
                })]),
            }
        }
    }

    fn watch(&self, last: u64) {
        let mut after = Revision::ZERO;
        while after.0 < last {
            match self.feed.after(after, usize::MAX) {
                Tail::Commits(commits) => {
                    after = commits.last().expect("there is at least one").revision;
                    assert!(self.view() >= after.0, "an event before its view");
                }
                Tail::Nothing => block_on(self.feed.wait(after)),
                Tail::Behind | Tail::Closed => unreachable!("everything fits, nobody closes"),
            }
        }
    }

    fn read(&self) {
        let view = self.view();
        let store = self.store.load(Ordering::Acquire);
        assert!(store >= view, "a view before its commit");
    }
}

/// Who got a reply of a revision, or its event, reads a view of at least that; and no view shows what is not stored.
pub fn tell_nobody_too_early(order: [Step; 4], audience: Audience) {
    let last = audience.callers;
    let engine = Engine::new(last);
    let mut threads = Vec::new();
    let mut replies = Vec::new();
    for revision in 1..=audience.callers {
        let (reply, answer) = mpsc::channel();
        replies.push(reply);
        let engine = Arc::clone(&engine);
        threads.push(thread::spawn(move || {
            answer.recv().expect("the driver answers");
            assert!(engine.view() >= revision, "a reply before its view");
        }));
    }
    for _ in 0..audience.watchers {
        let engine = Arc::clone(&engine);
        threads.push(thread::spawn(move || engine.watch(last)));
    }
    for _ in 0..audience.readers {
        let engine = Arc::clone(&engine);
        threads.push(thread::spawn(move || engine.read()));
    }
    for (revision, reply) in (1..).zip(&replies) {
        engine.commit(revision, order, reply);
    }
    for thread in threads {
        thread.join().expect("its panic ended the model");
    }
}
