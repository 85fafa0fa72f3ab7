//! How long statements took, in buckets that grow with the time: two to an octave.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets: from 1 µs to 16 s, and what is slower.
const BUCKETS: usize = 49;

/// How often something took how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency<N>([N; BUCKETS]);

impl<N: Default + Copy> Default for Latency<N> {
    fn default() -> Self {
        Self([N::default(); BUCKETS])
    }
}

/// The bucket of a time: twice its binary logarithm, and one more in the upper half of the octave.
fn bucket(micros: u64) -> usize {
    let micros = micros.max(1);
    let octave = micros.ilog2();
    let half = micros.checked_shr(octave.saturating_sub(1)).unwrap_or_default() & 1;
    let half = if octave == 0 { 0 } else { half };
    (octave as usize * 2 + half as usize).min(BUCKETS - 1)
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: usize) -> f64 {
    let octave = 2f64.powi(i32::try_from(bucket / 2).unwrap_or_default());
    if bucket.is_multiple_of(2) { octave * 1.25 } else { octave * 1.75 }
}

impl Latency<u32> {
    /// Counts one time.
    pub fn observe(&mut self, micros: u64) {
        if let Some(count) = self.0.get_mut(bucket(micros)) {
            *count = count.saturating_add(1);
        }
    }
}

impl Latency<u64> {
    /// Adds what one thread has counted.
    pub fn add(&mut self, other: &Latency<u32>) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += u64::from(*more);
        }
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that this share of the calls did not exceed, in microseconds and within a fifth; `None` without calls.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let found = self.0.iter().position(|n| {
            seen += n;
            seen >= rank
        })?;
        (count > 0).then(|| middle(found))
    }

    /// Counts of two octaves each, with the time that they end with; the last ones have no end.
    pub fn coarse(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let last = BUCKETS.div_ceil(COARSE) - 1;
        self.0.chunks(COARSE).enumerate().map(move |(at, counts)| {
            let end = Duration::from_micros(1 << (2 * (at + 1)).min(63));
            ((at < last).then_some(end), counts.iter().sum())
        })
    }

    /// All times together, within a fifth.
    #[must_use]
    pub fn sum(&self) -> Duration {
        let micros: f64 = self.0.iter().enumerate().map(|(at, count)| middle(at) * *count as f64).sum();
        Duration::from_secs_f64(micros / 1e6)
    }
}

/// Buckets in two octaves.
const COARSE: usize = 4;

/// The same, counted by several threads at once.
#[derive(Debug)]
pub(crate) struct SharedLatency([AtomicU64; BUCKETS]);

impl Default for SharedLatency {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl SharedLatency {
    pub(crate) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.get(bucket(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Latency<u64>) {
        for (sum, count) in sum.0.iter_mut().zip(&self.0) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_half_octaves() {
        let of = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 1000, 1 << 40].map(bucket);
        assert_eq!(of, [0, 0, 2, 3, 4, 4, 5, 5, 6, 6, 7, 19, 48]);
        for micros in [3u64, 7, 50, 900, 12_345, 700_000, 9_000_000] {
            let error = (middle(bucket(micros)) / micros as f64 - 1.0).abs();
            assert!(error <= 0.25, "{micros}: {error}");
        }
    }

    #[test]
    fn quantiles() {
        let (mut thread, mut all) = (Latency::<u32>::default(), Latency::<u64>::default());
        assert_eq!(all.quantile(0.5), None);
        (0..99).for_each(|_| thread.observe(100));
        thread.observe(80_000);
        all.add(&thread);
        assert_eq!(all.quantile(0.5), Some(112.0));
        assert_eq!(all.quantile(0.99), Some(112.0));
        assert_eq!(all.quantile(1.0), Some(81_920.0));
        assert_eq!(all.count(), 100);
        assert_eq!(all.sum(), Duration::from_micros(99 * 112 + 81_920));
        let coarse: Vec<_> = all.coarse().filter(|(_, count)| *count > 0).collect();
        let end = |micros| Some(Duration::from_micros(micros));
        assert_eq!(coarse, [(end(256), 99), (end(262_144), 1)]);
        assert_eq!(all.coarse().last(), Some((None, 0)));
        let shared = SharedLatency::default();
        shared.observe(Duration::from_micros(100));
        shared.add_to(&mut all);
        assert_eq!(all.count(), 101);
    }
}
