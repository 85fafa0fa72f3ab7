//! How long a node takes to answer, as a mean over the last seconds that rises at once and falls slowly (peak EWMA).
//!
//! Taken from the sampler's own short question, so it costs the data path nothing and compares between nodes, which
//! the run times of statements do not.

use std::time::{Duration, Instant};

/// The time over which an old value loses its weight.
const DECAY: f64 = 10.0;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    seconds: f64,
    at: Option<Instant>,
}

impl Pace {
    /// An answer has come at `now`, after `took`.
    pub(crate) fn add(&mut self, took: Duration, now: Instant) -> Duration {
        let new = took.as_secs_f64();
        let passed = self.at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        self.seconds = match passed {
            Some(passed) if new < self.seconds => new + (self.seconds - new) * (-passed / DECAY).exp(),
            _ => new,
        };
        self.at = Some(now);
        Duration::from_secs_f64(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_at_once_and_falls_slowly() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (fast, slow) = (Duration::from_millis(1), Duration::from_millis(100));
        assert_eq!(pace.add(fast, start), fast);
        assert_eq!(pace.add(slow, start), slow);
        let after = |seconds| start + Duration::from_secs(seconds);
        let soon = pace.add(fast, after(1));
        assert!(soon > Duration::from_millis(85) && soon < slow, "{soon:?}");
        let later = pace.add(fast, after(60));
        assert!(later < Duration::from_millis(2), "{later:?}");
    }
}
