//! How often something was how large, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sizes of groups, in commands.
pub(super) const GROUP_COMMANDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// Times of commits, in microseconds.
pub(super) const COMMIT_MICROS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000,
];

/// Counts by upper bound; one more than there are bounds has the rest.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// What a histogram had counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// For each upper bound, how many were at most that and more than the bound before; the rest is under `u64::MAX`.
    pub counts: Vec<(u64, u64)>,
    /// Sum of all.
    pub sum: u64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Distribution {
        let bounds = self.bounds.iter().copied().chain([u64::MAX]);
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Distribution {
            counts: bounds.zip(counts).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_under_the_first_bound_that_holds_them() {
        let histogram = Histogram::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11] {
            histogram.observe(value);
        }
        let read = histogram.read();
        assert_eq!(read.counts, [(1, 2), (10, 2), (u64::MAX, 1)]);
        assert_eq!(read.sum, 24);
    }
}
