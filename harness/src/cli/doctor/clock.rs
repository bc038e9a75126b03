//! Is the wall clock right, as far as can be told without another one?

use harness::core::{Clock as _, SystemClock, Timestamp};

use super::check::Check;

/// A time before this version was written, 2026-11-01T00:00:00Z: no right clock shows an earlier one.
const EARLIEST: Timestamp = Timestamp::from_nanos(1_793_491_200_000_000_000);

/// Compares the clock with what is known to be in the past.
pub(super) fn look(last_commit: Option<Timestamp>) -> Check {
    compare(SystemClock::new().now(), last_commit)
}

fn compare(now: Timestamp, last_commit: Option<Timestamp>) -> Check {
    const FIX: &str = "set the clock, and keep it with NTP (`timedatectl set-ntp true`)";
    if now < EARLIEST {
        let evidence = format!("it shows {now}, before this version was written ({EARLIEST})");
        return Check::fail("clock", evidence, FIX);
    }
    match last_commit {
        Some(last) if now < last => {
            let evidence = format!("it shows {now}, before the last commit of the log ({last})");
            Check::warn("clock", evidence, FIX)
        }
        Some(last) => Check::ok(
            "clock",
            format!("it shows {now}, after the last commit of the log ({last})"),
        ),
        None => Check::ok("clock", format!("it shows {now}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::check::Status;
    use super::*;

    #[test]
    fn clock_that_is_before_the_known_past_is_told() {
        let now = EARLIEST.saturating_add(Duration::from_secs(60));
        let later = now.saturating_add(Duration::from_nanos(1));
        assert_eq!(compare(now, None).status, Status::Ok);
        assert_eq!(compare(now, Some(now)).status, Status::Ok);
        assert_eq!(compare(now, Some(later)).status, Status::Warn);
        assert_eq!(compare(Timestamp::default(), None).status, Status::Fail);
    }
}
