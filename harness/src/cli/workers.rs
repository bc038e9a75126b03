//! Threads that serve connections, each connection on one of them.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};

/// One thread for each processor, with a runtime of its own.
///
/// What a connection waits for wakes the thread that serves it and no other. Threads of one runtime wake each other to
/// look for work that they can take over, which costs more than most requests do.
#[derive(Debug)]
pub(super) struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// None while it is dropped.
    runtime: Option<Runtime>,
    connections: Arc<AtomicUsize>,
}

/// Counts a connection until it ends.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(connections))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system's, where it has no more threads.
    pub(super) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        (0..count)
            .map(|_| Worker::start())
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Runs what serves a connection on the thread that has the fewest, to its end or that of all threads.
    pub(super) fn serve(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let idlest = self
            .0
            .iter()
            .min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = idlest.expect("there is a thread for each processor, and one at least");
        let counted = Counted::new(&worker.connections);
        worker.handle.spawn(async move {
            connection.await;
            drop(counted);
        });
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        // Not one of the current thread: that is told by a call of the system of each task that another thread wakes.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("harness-worker")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            connections: Arc::default(),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // To wait for its thread is not allowed on one of a runtime.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[test]
    fn connections_are_spread_and_stay_where_they_are() {
        let workers = Workers((0..3).map(|_| Worker::start().unwrap()).collect());
        let (told, mut tells) = mpsc::unbounded_channel();
        let mut ends = Vec::new();
        for number in 0..9 {
            let (end, ended) = oneshot::channel::<()>();
            let told = told.clone();
            workers.serve(async move {
                told.send((number, thread::current().id())).unwrap();
                let _ = ended.await;
                told.send((number, thread::current().id())).unwrap();
            });
            ends.push(end);
        }
        let mut threads = HashMap::new();
        for _ in 0..9 {
            let (number, thread) = tells.blocking_recv().unwrap();
            threads.insert(number, thread);
        }
        for thread in threads.values() {
            let same = threads.values().filter(|other| *other == thread);
            assert_eq!(same.count(), 3);
        }
        drop(ends);
        for _ in 0..9 {
            let (number, thread) = tells.blocking_recv().unwrap();
            assert_eq!(threads[&number], thread);
        }
    }

    #[test]
    fn one_that_is_dropped_ends_its_connections() {
        let workers = Workers(vec![Worker::start().unwrap()]);
        let (alive, ended) = oneshot::channel::<()>();
        workers.serve(async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        drop(workers);
        assert!(ended.blocking_recv().is_err());
    }
}
