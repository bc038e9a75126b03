//! CPU time, as the kernel counts it: to the nanosecond, where `/proc` has steps of 10 ms.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process so far.
pub(super) fn of_process() -> Duration {
    of(ClockId::ProcessCPUTime)
}

/// CPU time of this thread so far.
pub(super) fn of_thread() -> Duration {
    of(ClockId::ThreadCPUTime)
}

fn of(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).expect("CPU time is not negative")
}

/// Microseconds of each of so many.
#[expect(clippy::cast_precision_loss, reason = "figures are rounded")]
pub(super) fn micros_each(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_out_among_all() {
        assert!((micros_each(Duration::from_millis(3), 1000) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn thread_takes_no_more_than_its_process() {
        let thread = of_thread();
        assert!(thread <= of_process());
    }
}
