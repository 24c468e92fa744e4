//! How long commits took, in buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of commits by latency.
#[derive(Default)]
pub(crate) struct Latency {
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Pairs of upper bound and commits at or below it, then the sum of all latencies.
    pub(crate) fn read(&self) -> (Vec<(u64, u64)>, u64) {
        let mut total = 0;
        let buckets = BOUNDS_US.iter().zip(&self.counts).map(|(bound, count)| {
            total += count.load(Ordering::Relaxed);
            (*bound, total)
        });
        (buckets.collect(), self.sum_us.load(Ordering::Relaxed))
    }
}

const BOUNDS_US: [u64; 14] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
];
