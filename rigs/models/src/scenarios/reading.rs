//! Reads through the engine's barrier of a store that others write to. The store and the view are numbers; how the
//! driver follows the store and how a check waits for the view has the steps of `driver.rs` and `registry.rs`.

use std::sync::Arc;

use super::barrier::Barrier;
use super::sync::{AtomicU64, Event, Mutex, Ordering, listener, thread};
use crate::poll::{block_on, poll_once};
use crate::setting::Readers;

/// The store's head and the view of it.
#[derive(Default)]
struct Engine {
    head: Mutex<u64>,
    head_moved: Event,
    view: AtomicU64,
    view_moved: Event,
    barrier: Barrier,
}

impl Engine {
    /// Another process commits; it is acknowledged on return.
    fn commit_elsewhere(&self) -> u64 {
        let mut head = self.head.lock().expect("no panic holds it");
        *head += 1;
        let revision = *head;
        drop(head);
        self.head_moved.notify(usize::MAX);
        revision
    }

    fn head(&self) -> u64 {
        *self.head.lock().expect("no panic holds it")
    }

    fn view(&self) -> u64 {
        self.view.load(Ordering::Acquire)
    }

    /// The driver: publishes what others committed, up to a revision.
    async fn follow(&self, last: u64) {
        while self.view() < last {
            listener!(self.head_moved => moved);
            let head = self.head();
            if head == self.view() {
                moved.await;
                continue;
            }
            self.view.store(head, Ordering::Release);
            self.view_moved.notify(usize::MAX);
        }
    }

    async fn check_head(&self) -> Result<(), ()> {
        let head = self.head();
        loop {
            listener!(self.view_moved => moved);
            if self.view() >= head {
                return Ok(());
            }
            moved.await;
        }
    }

    fn read(&self) -> u64 {
        let passed = block_on(self.barrier.pass(|| self.check_head()));
        passed.expect("the store does not fail");
        self.view()
    }

    /// A read that goes away while its check runs.
    fn begin_to_read(&self) {
        let read = self.barrier.pass(std::future::pending::<Result<(), ()>>);
        // It may have waited for the check of another reader that served it.
        let _: Option<Result<(), ()>> = poll_once(read);
    }
}

/// A read that passes sees every commit that was acknowledged before it arrived; and every read passes.
pub fn see_what_was_acknowledged(readers: Readers) {
    let engine = Arc::new(Engine::default());
    let mut threads = Vec::new();
    let mut spawn = |reader: fn(&Engine)| {
        let engine = Arc::clone(&engine);
        threads.push(thread::spawn(move || reader(&engine)));
    };
    for _ in 0..readers.writers {
        spawn(|engine| {
            let acknowledged = engine.commit_elsewhere();
            assert!(engine.read() >= acknowledged, "a read missed a commit");
        });
    }
    for _ in 0..readers.informed {
        spawn(|engine| {
            let acknowledged = engine.head();
            assert!(engine.read() >= acknowledged, "a read missed a commit");
        });
    }
    for _ in 0..readers.leavers {
        spawn(Engine::begin_to_read);
    }
    block_on(engine.follow(readers.writers));
    for thread in threads {
        thread.join().expect("its panic ended the model");
    }
}
