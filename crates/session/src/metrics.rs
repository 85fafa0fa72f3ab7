//! What sessions count: plain atomics, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use pgsplit_pool::Histogram;
use pgsplit_route::PinReason;
use pgsplit_route::retry::Cause;

use crate::traffic::Traffic;

/// Counters of all sessions.
#[derive(Debug, Default)]
pub struct Metrics {
    /// What every statement counts.
    pub traffic: Traffic,
    /// With `routing.mode = "shadow"`: reads that would have missed something on a replica that did not wait.
    pub shadow_stale: AtomicU64,
    /// Sessions that became pinned, by the place in [`PinReason::ALL`].
    pub pins: [AtomicU64; PinReason::ALL.len()],
    /// Sessions pinned at the moment, by the place in [`PinReason::ALL`].
    pub pinned: [AtomicU64; PinReason::ALL.len()],
    /// Reads on the primary, and those that took longer than `routing.spill` allows; only with `routing.reads = "spill"`.
    pub primary_reads: [AtomicU64; 2],
    /// Units that ended in an error.
    pub failed: AtomicU64,
    /// Reads run again on another node, by [`Cause::index`].
    pub retries: [AtomicU64; Cause::NAMES.len()],
    /// Reads that the budget did not let run again.
    pub retries_denied: AtomicU64,
    /// How long reads waited for a replica to catch up; only those that had to.
    pub consistency_wait: Histogram,
    /// Reads that no replica was far enough for when they came.
    pub stale_prevented: AtomicU64,
    /// Reads that failed because no replica caught up.
    pub consistency_errors: AtomicU64,
    /// Connections brought into another session's settings.
    pub replays: AtomicU64,
    /// Connections examined for state that the text did not show.
    pub examinations: AtomicU64,
    /// Client connections accepted.
    pub accepted: AtomicU64,
    /// Logins that failed.
    pub login_failures: AtomicU64,
    /// Statements that were answered without a server (BEGIN, an empty transaction).
    pub local_answers: AtomicU64,
    /// Connections that broke while a statement ran on them.
    pub broken: AtomicU64,
}

impl Metrics {
    /// Counts a read that is run again.
    pub fn retried(&self, cause: Cause) {
        if let Some(counter) = self.retries.get(cause.index()) {
            Self::count(counter);
        }
    }

    /// Counts a read on the primary.
    pub fn read_on_primary(&self, slow: bool) {
        let [all, of_them] = &self.primary_reads;
        Self::count(all);
        if slow {
            Self::count(of_them);
        }
    }

    /// Counts a change of a session's pin.
    pub fn pin_changed(&self, from: Option<PinReason>, to: Option<PinReason>) {
        let place = |pin: PinReason| PinReason::ALL.iter().position(|known| *known == pin);
        if let Some(counter) = from.and_then(place).and_then(|at| self.pinned.get(at)) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(at) = to.and_then(place) {
            for counters in [&self.pins, &self.pinned] {
                if let Some(counter) = counters.get(at) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Adds one to a counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
