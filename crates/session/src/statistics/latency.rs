//! Times of one statement on one side, in buckets that grow with the time: two to an octave.

/// Buckets: from 1 µs to 16 s, and what is slower.
const BUCKETS: usize = 49;

/// How often a statement took how long.
#[derive(Debug, Clone, Copy)]
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
    pub(crate) fn observe(&mut self, micros: u64) {
        if let Some(count) = self.0.get_mut(bucket(micros)) {
            *count = count.saturating_add(1);
        }
    }
}

impl Latency<u64> {
    pub(crate) fn add(&mut self, other: &Latency<u32>) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += u64::from(*more);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
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
    }
}
