//! The read barrier of a store that others write to: one check of the head serves every read that arrived before it
//! began.

use super::sync::{Event, Mutex, MutexGuard, listener};

/// Invariant: a read passes only after a check that began after the read arrived.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    state: Mutex<State>,
    finished: Event,
}

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    started: u64,
    succeeded: u64,
}

/// Ends the check when it is dropped, also when the reader that ran it went away.
struct Check<'a> {
    barrier: &'a Barrier,
    number: u64,
    has_succeeded: bool,
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        let mut state = self.barrier.state();
        state.is_running = false;
        if self.has_succeeded {
            state.succeeded = state.succeeded.max(self.number);
        }
        drop(state);
        self.barrier.finished.notify(usize::MAX);
    }
}

impl Barrier {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }

    /// Passes once a check that began after this call has succeeded; runs it where nobody else does.
    pub(super) async fn pass<E, F>(&self, check: impl Fn() -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let needed = self.state().started + 1;
        loop {
            listener!(self.finished => finished);
            let Some(mut running) = self.begin(needed) else {
                if self.state().succeeded >= needed {
                    return Ok(());
                }
                finished.await;
                continue;
            };
            check().await?;
            running.has_succeeded = true;
        }
    }

    fn begin(&self, needed: u64) -> Option<Check<'_>> {
        let mut state = self.state();
        if state.is_running || state.succeeded >= needed {
            return None;
        }
        state.is_running = true;
        state.started += 1;
        Some(Check {
            barrier: self,
            number: state.started,
            has_succeeded: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_lite::future;

    use super::*;

    #[test]
    fn waiting_reads_share_one_check() {
        let barrier = Barrier::default();
        let checks = AtomicU32::new(0);
        let check = || async {
            checks.fetch_add(1, Ordering::SeqCst);
            future::yield_now().await;
            Ok::<(), ()>(())
        };
        let read = || barrier.pass(&check);
        let all = future::zip(future::zip(read(), read()), future::zip(read(), read()));
        let passed = future::block_on(all);
        assert_eq!(passed, ((Ok(()), Ok(())), (Ok(()), Ok(()))));
        // The first runs a check at once; the three that arrived after it began share the next one.
        assert_eq!(checks.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_reader_that_goes_away_leaves_the_barrier_usable() {
        let barrier = Barrier::default();
        let mut stuck = Box::pin(barrier.pass(future::pending::<Result<(), ()>>));
        assert!(future::block_on(future::poll_once(&mut stuck)).is_none());
        drop(stuck);
        assert_eq!(
            future::block_on(barrier.pass(|| async { Ok::<(), ()>(()) })),
            Ok(())
        );
    }

    #[test]
    fn a_failed_check_is_told_to_who_ran_it() {
        let barrier = Barrier::default();
        assert_eq!(
            future::block_on(barrier.pass(|| async { Err("down") })),
            Err("down")
        );
    }
}
