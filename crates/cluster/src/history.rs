//! Where the primary was, and when: turns a replica's position into a lag in time.
//!
//! Positions are compared, never clocks of two machines, so an idle primary makes no lag.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pgsplit_route::Lsn;

/// A stretch of time during which the primary was seen at one position.
struct Run {
    position: Lsn,
    last: Instant,
}

/// The primary's positions of one incarnation, oldest first.
pub(crate) struct History {
    runs: VecDeque<Run>,
    depth: usize,
}

/// How far a position is behind the newest one of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Nothing is known of the primary.
    NoPrimary,
    /// The time from when the position was last the primary's to the primary's last answer; zero while current.
    Exactly(Duration),
    /// Older than everything remembered.
    AtLeast(Duration),
}

impl History {
    /// Remembers enough to tell lags up to `span` apart when a position comes every `interval`.
    pub(crate) fn new(span: Duration, interval: Duration) -> Self {
        Self { runs: VecDeque::new(), depth: Self::depth(span, interval) }
    }

    /// Remembers as much as for another span from now on.
    pub(crate) fn set_span(&mut self, span: Duration, interval: Duration) {
        self.depth = Self::depth(span, interval);
        self.runs.drain(..self.runs.len().saturating_sub(self.depth));
    }

    fn depth(span: Duration, interval: Duration) -> usize {
        let wanted = span.as_millis() / interval.as_millis().max(1);
        // Room for probes that come early because somebody asked for them.
        usize::try_from(wanted).unwrap_or(MAX_DEPTH).saturating_mul(2).clamp(64, MAX_DEPTH)
    }

    /// The primary was at `position`.
    pub(crate) fn add(&mut self, position: Lsn, at: Instant) {
        match self.runs.back_mut() {
            Some(newest) if newest.position >= position => newest.last = newest.last.max(at),
            _ => {
                if self.runs.len() == self.depth {
                    self.runs.pop_front();
                }
                self.runs.push_back(Run { position, last: at });
            }
        }
    }

    /// Positions of another incarnation compare with nothing.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
    }

    /// The primary's newest known position.
    pub(crate) fn newest(&self) -> Option<Lsn> {
        self.runs.back().map(|run| run.position)
    }

    /// How far behind `replayed` is. Time stops with the primary's last answer, so that replicas stay usable while
    /// there is no primary to fall behind.
    pub(crate) fn behind(&self, replayed: Lsn) -> Behind {
        let (Some(oldest), Some(newest)) = (self.runs.front(), self.runs.back()) else {
            return Behind::NoPrimary;
        };
        let reached = self.runs.partition_point(|run| run.position <= replayed);
        match reached.checked_sub(1).and_then(|index| self.runs.get(index)) {
            Some(run) => Behind::Exactly(newest.last.saturating_duration_since(run.last)),
            None => Behind::AtLeast(newest.last.saturating_duration_since(oldest.last)),
        }
    }
}

/// 24 bytes each.
const MAX_DEPTH: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_primary_makes_no_lag() {
        let (mut history, start) = (History::new(10 * SECOND, SECOND), Instant::now());
        history.add(Lsn(100), start);
        history.add(Lsn(100), start + 60 * SECOND);
        assert_eq!(history.behind(Lsn(100)), Behind::Exactly(Duration::ZERO));
        assert_eq!(history.behind(Lsn(120)), Behind::Exactly(Duration::ZERO));
    }

    #[test]
    fn lag_counts_from_when_the_replica_was_last_current() {
        let (mut history, start) = (History::new(10 * SECOND, SECOND), Instant::now());
        history.add(Lsn(100), start);
        history.add(Lsn(100), start + 60 * SECOND);
        history.add(Lsn(200), start + 61 * SECOND);
        history.add(Lsn(300), start + 65 * SECOND);
        assert_eq!(history.behind(Lsn(100)), Behind::Exactly(5 * SECOND));
        assert_eq!(history.behind(Lsn(250)), Behind::Exactly(4 * SECOND));
        assert_eq!(history.behind(Lsn(99)), Behind::AtLeast(5 * SECOND));
    }

    #[test]
    fn without_a_primary_nothing_is_said() {
        let mut history = History::new(SECOND, SECOND);
        assert_eq!(history.behind(Lsn(1)), Behind::NoPrimary);
        history.add(Lsn(5), Instant::now());
        history.clear();
        assert_eq!(history.behind(Lsn(1)), Behind::NoPrimary);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut history, start) = (History::new(SECOND, SECOND), Instant::now());
        for step in 0..1000 {
            history.add(Lsn(step), start + SECOND * u32::try_from(step).unwrap());
        }
        assert_eq!(history.runs.len(), 64);
        assert_eq!(history.behind(Lsn(1)), Behind::AtLeast(63 * SECOND));
    }
}
