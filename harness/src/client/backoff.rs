//! How long to wait before another attempt.

use std::time::Duration;

/// Waits between attempts: each twice as long as the one before, up to a bound, and each cut by chance by up to a half, so
/// that those who lost the same daemon do not come back all at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    last: Duration,
    attempts: u32,
}

impl Backoff {
    /// The first wait.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest wait.
    pub const LAST: Duration = Duration::from_secs(5);

    /// Waits up to [`LAST`](Self::LAST), or up to a shorter time.
    pub fn up_to(last: Duration) -> Self {
        Self {
            next: Self::FIRST,
            last: last.clamp(Self::FIRST, Self::LAST),
            attempts: 0,
        }
    }

    /// Attempts since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.next.min(self.last);
        self.next = wait * 2;
        self.attempts = self.attempts.saturating_add(1);
        wait.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
        self.attempts = 0;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(Self::LAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_no_further() {
        let mut backoff = Backoff::up_to(Duration::from_millis(300));
        for bound in [100, 200, 300, 300] {
            let bound = Duration::from_millis(bound);
            let wait = backoff.wait();
            assert!(bound / 2 <= wait && wait <= bound, "{wait:?}");
        }
        assert_eq!(backoff.attempts(), 4);
        backoff.reset();
        assert!(backoff.wait() <= Backoff::FIRST);
    }
}
