//! Notices an input that has no end.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::finding::Finding;

/// Longest time for one input. A machine under load is slow, and a hang has no end at all.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// Status of a process that the watchdog ended.
const EXIT_HANG: i32 = 3;

/// A thread that ends the process, with a report, where one input takes too long.
#[derive(Debug)]
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Watched {
    /// Counts the inputs, so that one can be told from the next.
    number: u64,
    input: Option<(&'static str, Vec<u8>)>,
    is_over: bool,
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    pub(crate) fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let watching = Arc::clone(&shared);
        thread::spawn(move || watch(&watching));
        Self(shared)
    }

    /// Runs something on an input, and ends the process where that has no end.
    pub(crate) fn watch<T>(
        &self,
        target: &'static str,
        input: &[u8],
        run: impl FnOnce() -> T,
    ) -> T {
        {
            let mut watched = self.0.watched();
            watched.number += 1;
            watched.input = Some((target, input.to_vec()));
        }
        let answer = run();
        self.0.watched().input = None;
        answer
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.watched().is_over = true;
        self.0.changed.notify_all();
    }
}

fn watch(shared: &Shared) {
    let mut watched = shared.watched();
    while !watched.is_over {
        let before = watched.number;
        let waited = shared.changed.wait_timeout(watched, INPUT_TIME_MAX);
        watched = waited.unwrap_or_else(PoisonError::into_inner).0;
        // Under the same number nothing ended for the whole time.
        let is_same = watched.number == before && !watched.is_over;
        if let Some((target, input)) = watched.input.take_if(|_| is_same) {
            let finding = Finding {
                target,
                input,
                problem: format!("no end after {INPUT_TIME_MAX:?}"),
            };
            eprintln!("{}", finding.report());
            process::exit(EXIT_HANG);
        }
    }
}
