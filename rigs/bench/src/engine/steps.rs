//! A clock that is moved by hand, and waits for the driver to have done what is due.

use std::pin::Pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use registry_core::{Clock, ManualClock, Timestamp};

use crate::interrupt;

/// Time between two looks at whether the run was interrupted.
const LOOK: Duration = Duration::from_millis(100);
/// Looks until the driver is given up: a minute.
const LOOKS_MAX: u32 = 600;

/// Time for one driver. It goes on only where [`step`](Self::step) says so.
#[derive(Debug, Default)]
pub(super) struct Steps {
    clock: ManualClock,
    /// Until when the driver sleeps, on the monotonic clock.
    sleeps_until: Mutex<Duration>,
    slept: Condvar,
}

impl Steps {
    /// Moves the time on, and waits until the driver has done what is due and sleeps again.
    ///
    /// # Errors
    /// The run was interrupted, or the driver does not come to an end of it.
    pub(super) fn step(&self, span: Duration) -> Result<()> {
        self.clock.advance(span);
        self.wait()
    }

    /// Waits until the driver sleeps.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(super) fn wait(&self) -> Result<()> {
        let now = self.clock.monotonic();
        let mut until = self.sleeps_until();
        for _ in 0..LOOKS_MAX {
            if *until > now {
                return Ok(());
            }
            interrupt::check()?;
            let waited = self.slept.wait_timeout(until, LOOK);
            until = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        bail!("the driver is not done with what is due at {now:?}")
    }

    fn sleeps_until(&self) -> MutexGuard<'_, Duration> {
        self.sleeps_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Steps {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep_until(&self, monotonic: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            *self.sleeps_until() = monotonic;
            self.slept.notify_all();
            self.clock.sleep_until(monotonic).await;
        })
    }
}
