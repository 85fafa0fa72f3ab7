//! When reads leave the primary for the replicas (`routing.reads = "spill"`), and when they come back.
//!
//! They leave when the primary is busy over a window, and come back when all that runs on all nodes together would not
//! make it so again: so they do not go to and fro. No clock and no I/O; whoever looks brings the time and the figures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpillLimits {
    /// A read on the primary that takes longer is slow; with more than one in twenty the primary is busy.
    pub read_latency: Duration,
    /// The share of the primary's connections in use with which it is busy.
    pub load: f64,
    /// The time over which both are looked at.
    pub window: Duration,
}

/// What is seen at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Glance {
    /// Reads on the primary since the last one.
    pub reads: u64,
    /// How many of them were slow.
    pub slow: u64,
    /// The share of the primary's connections that are in use.
    pub load: f64,
    /// The share that would be if all that runs on replicas ran there too.
    pub together: f64,
}

/// Whether reads are spilled.
#[derive(Debug, Default)]
pub struct Spill {
    glances: VecDeque<(Instant, Glance)>,
    /// Since when, and what all nodes had to do together then.
    spilled: Option<(Instant, f64)>,
}

/// Glances in a window.
pub const GLANCES: u32 = 12;
/// Glances and reads that say too little.
const TOO_FEW: usize = 4;
const TOO_FEW_READS: u64 = 20;
/// Reads come back when there is so much less to do than what is too much.
const CALM: f64 = 0.8;

impl Spill {
    /// Looks; returns whether reads go to the replicas from now on.
    pub fn look(&mut self, now: Instant, glance: Glance, limits: &SpillLimits) -> bool {
        self.glances.push_back((now, glance));
        let old = |(at, _): &(Instant, Glance)| now.saturating_duration_since(*at) >= limits.window;
        while self.glances.len() > 2 * GLANCES as usize || self.glances.front().is_some_and(old) {
            self.glances.pop_front();
        }
        let together = self.mean(|glance| glance.together);
        match self.spilled {
            None if self.is_busy(limits) => self.turn(Some((now, together.min(limits.load)))),
            Some((since, then))
                if now.saturating_duration_since(since) >= limits.window && together < CALM * then =>
            {
                self.turn(None);
            }
            _ => {}
        }
        self.spilled.is_some()
    }

    fn turn(&mut self, spilled: Option<(Instant, f64)>) {
        self.spilled = spilled;
        self.glances.clear();
    }

    fn is_busy(&self, limits: &SpillLimits) -> bool {
        let sum =
            |figure: fn(&Glance) -> u64| self.glances.iter().map(|(_, glance)| figure(glance)).sum::<u64>();
        let (reads, slow) = (sum(|glance| glance.reads), sum(|glance| glance.slow));
        let enough = self.glances.len() >= TOO_FEW;
        enough
            && (reads >= TOO_FEW_READS && slow * 20 > reads || self.mean(|glance| glance.load) > limits.load)
    }

    #[allow(clippy::cast_precision_loss, reason = "a few")]
    fn mean(&self, figure: fn(&Glance) -> f64) -> f64 {
        let sum: f64 = self.glances.iter().map(|(_, glance)| figure(glance)).sum();
        sum / self.glances.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SpillLimits =
        SpillLimits { read_latency: Duration::from_millis(100), load: 0.7, window: Duration::from_secs(60) };
    const STEP: Duration = Duration::from_secs(5);

    /// What a look sees of this much to do, when reads are where they are.
    fn seen(writes: f64, reads: f64, slow: u64, spilled: bool) -> Glance {
        let there = if spilled { 0.0 } else { reads };
        let count = if spilled { 0 } else { 100 };
        let slow = if spilled { 0 } else { slow };
        Glance { reads: count, slow, load: writes + there, together: writes + reads }
    }

    /// How often and when it turned, for what there is to do at each step.
    fn turns(steps: usize, todo: impl Fn(usize) -> (f64, f64, u64)) -> Vec<usize> {
        let (mut spill, start, mut spilled, mut turns) =
            (Spill::default(), Instant::now(), false, Vec::new());
        for step in 0..steps {
            let (writes, reads, slow) = todo(step);
            let now = start + STEP * u32::try_from(step).unwrap();
            let next = spill.look(now, seen(writes, reads, slow, spilled), &LIMITS);
            if next != spilled {
                turns.push(step);
            }
            spilled = next;
        }
        turns
    }

    #[test]
    fn stays_while_there_is_little_to_do() {
        assert_eq!(turns(500, |_| (0.2, 0.4, 2)), []);
    }

    #[test]
    fn what_is_too_much_all_the_time_turns_once() {
        assert_eq!(turns(500, |_| (0.1, 0.7, 0)).len(), 1);
        assert_eq!(turns(500, |_| (0.1, 0.1, 50)).len(), 1, "slow reads");
    }

    #[test]
    fn comes_back_when_there_is_less_to_do_and_not_before_a_window() {
        let turns = turns(500, |step| if step < 100 { (0.1, 0.7, 0) } else { (0.1, 0.3, 0) });
        assert_eq!(turns.len(), 2);
        assert!((100..=112).contains(&turns[1]), "{turns:?}");
    }

    #[test]
    fn a_short_peak_is_nothing() {
        assert_eq!(turns(500, |step| if step % 50 == 20 { (0.1, 0.9, 1) } else { (0.1, 0.2, 0) }), []);
    }

    /// Whatever there is to do, it turns at most once a window.
    #[test]
    fn never_goes_to_and_fro() {
        let mut random: u32 = 7;
        let todo: Vec<_> = (0..5_000)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (
                    f64::from(random >> 28) / 16.0,
                    f64::from(random >> 20 & 15) / 16.0,
                    u64::from(random >> 8 & 15),
                )
            })
            .collect();
        let turns = turns(todo.len(), |step| todo[step]);
        let back = turns.chunks(2).filter_map(|pair| Some(pair.get(1)? - pair[0]));
        assert!(back.min().is_none_or(|steps| steps >= 12), "{turns:?}");
    }
}
