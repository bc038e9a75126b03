//! Latencies as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart; longer ones count as this long.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// Decimal digits that are kept of a latency.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The latencies of one kind of operation.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

/// What is told of them, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let nanos = u64::try_from(LATENCY_MAX.as_nanos()).expect("a minute has fewer nanoseconds");
        let histogram = Histogram::new_with_bounds(1, nanos, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are in order and the digits are few"))
    }

    pub(crate) fn note(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Takes those of another client in.
    #[expect(dead_code, reason = "clients of one thread share theirs")]
    pub(crate) fn add(&mut self, others: &Self) {
        self.0
            .add(&others.0)
            .expect("all histograms have the same bounds");
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        #[expect(clippy::cast_precision_loss, reason = "three digits are kept")]
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        Percentiles {
            count: self.0.len(),
            p50_us: micros(self.0.value_at_quantile(0.5)),
            p95_us: micros(self.0.value_at_quantile(0.95)),
            p99_us: micros(self.0.value_at_quantile(0.99)),
            max_us: micros(self.0.max()),
        }
    }
}
