//! Time is injected: nothing in the library asks the system for it but [`SystemClock`].

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use event_listener::{Event, listener};

use crate::time::Timestamp;

/// A source of wall time and of monotonic time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall clock's time. It may jump.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start. It never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits until the monotonic clock shows a time.
    fn sleep_until(&self, monotonic: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where time enters the library"
    )]
    pub fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where time enters the library"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp::default().saturating_add(since_epoch.unwrap_or_default())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep_until(&self, monotonic: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            async_io::Timer::at(self.start + monotonic).await;
        })
    }
}

/// A clock that stands still until it is moved. For tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_nanos: AtomicI64,
    monotonic_nanos: AtomicU64,
    moved: Event,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            wall_nanos: AtomicI64::new(now.as_nanos()),
            ..Self::default()
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        self.wall_nanos
            .fetch_add(i64::try_from(nanos).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.moved.notify(usize::MAX);
    }

    /// Sets the wall clock alone, as an administrator or a time server does.
    pub fn jump_to(&self, now: Timestamp) {
        self.wall_nanos.store(now.as_nanos(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall_nanos.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, monotonic: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                listener!(self.moved => moved);
                if self.monotonic() >= monotonic {
                    return;
                }
                moved.await;
            }
        })
    }
}
