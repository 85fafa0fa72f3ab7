//! Samples of the primary's position, and which of them a replica has reached. The sampler's side of [`Marks`].
//!
//! A replica is given one number, the newest epoch whose sample it has replayed. Positions grow with epochs, so it has
//! then replayed every sample before as well, and a read compares numbers without looking at samples.
//!
//! [`Marks`]: crate::Marks

use std::collections::VecDeque;

use crate::marks::Need;
use crate::view::Lsn;

/// Samples kept. When there are more, every other one of the older half goes: a replica that is far behind is then said
/// to have reached less than it has.
const KEPT: usize = 512;

/// The primary's positions at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Counted before the question was sent.
    pub epoch: u64,
    /// WAL flushed.
    pub flushed: Lsn,
    /// WAL inserted.
    pub inserted: Lsn,
    /// Commits do not wait for the flush unless a session says so.
    pub asynchronous: bool,
}

/// The samples of one incarnation of the primary, oldest first.
#[derive(Debug, Default)]
pub struct Samples {
    kept: VecDeque<Sample>,
}

impl Samples {
    /// Adds one. Where commits are asynchronous by default, its inserted position stands for both.
    pub fn add(&mut self, mut sample: Sample) {
        if sample.asynchronous {
            sample.flushed = sample.inserted;
        }
        if let Some(newest) = self.kept.back() {
            if newest.epoch >= sample.epoch {
                return;
            }
            sample.flushed = sample.flushed.max(newest.flushed);
            sample.inserted = sample.inserted.max(newest.inserted);
        }
        if self.kept.len() >= KEPT {
            let mut at = 0;
            self.kept.retain(|_| {
                at += 1;
                at > KEPT / 2 || at % 2 == 0
            });
        }
        self.kept.push_back(sample);
    }

    /// Another incarnation has begun: its positions compare with no other's.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// The newest sample.
    #[must_use]
    pub fn newest(&self) -> Option<&Sample> {
        self.kept.back()
    }

    /// The newest epochs that a replica has reached which has replayed so far; 0 for none.
    #[must_use]
    pub fn reached(&self, replayed: Lsn) -> Need {
        let newest = |position: fn(&Sample) -> Lsn| {
            let count = self.kept.partition_point(|sample| position(sample) <= replayed);
            count.checked_sub(1).and_then(|at| self.kept.get(at)).map_or(0, |sample| sample.epoch)
        };
        Need { flushed: newest(|sample| sample.flushed), inserted: newest(|sample| sample.inserted) }
    }
}
