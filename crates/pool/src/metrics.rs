//! Counters of the pools: plain atomics, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A histogram with fixed buckets, in seconds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Upper bounds of the buckets, in microseconds; one more bucket holds the rest.
    pub const BOUNDS: [u64; 15] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        5_000_000, 30_000_000,
    ];

    /// Counts one observation.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = Self::BOUNDS.partition_point(|&bound| bound < micros);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Adds what another one has counted.
    pub fn add(&self, other: &Self) {
        for (bucket, more) in self.buckets.iter().zip(&other.buckets) {
            bucket.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.micros.fetch_add(other.sum_micros(), Ordering::Relaxed);
    }

    /// Observations in each bucket (not cumulative), the last one for what is above all bounds.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect()
    }

    /// Sum of all observations in microseconds.
    #[must_use]
    pub fn sum_micros(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }
}

/// What the pools count.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Server connections opened.
    pub opened: AtomicU64,
    /// Attempts to open one that failed.
    pub open_failures: AtomicU64,
    /// Server connections closed.
    pub closed: AtomicU64,
    /// How long clients waited for a connection; only those that had to.
    pub wait: Histogram,
    /// Clients that gave up waiting (53300).
    pub timeouts: AtomicU64,
    /// Cancel requests passed on to a server.
    pub cancels: AtomicU64,
}

impl Metrics {
    /// Adds one to a counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_fall_into_their_buckets() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(100));
        histogram.observe(Duration::from_micros(101));
        histogram.observe(Duration::from_secs(60));
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1], counts[15]), (1, 1, 1));
        assert_eq!(histogram.sum_micros(), 60_000_201);
    }
}
