//! The time that latencies are measured with.

use std::time::Instant;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
