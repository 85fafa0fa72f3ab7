//! What sessions count: plain atomics, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use pgsplit_pool::Histogram;
use pgsplit_route::retry::Cause;
use pgsplit_route::{Decision, NodeId, PinReason, Reason, Target};

/// Counters of all sessions.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Decisions, by [`Target::index`] and [`Reason::index`].
    pub decisions: [[AtomicU64; Reason::NAMES.len()]; Target::NAMES.len()],
    /// With `routing.mode = "shadow"`: where statements would have gone that went to the primary instead, likewise.
    pub shadow: [[AtomicU64; Reason::NAMES.len()]; Target::NAMES.len()],
    /// Of these, reads that would have missed something on a replica that did not wait.
    pub shadow_stale: AtomicU64,
    /// Units by the node that they ran on, by the place of the node in the view.
    pub statements: Box<[AtomicU64]>,
    /// From a unit's last byte from the client to ReadyForQuery, by [`Target::index`].
    pub duration: [Histogram; Target::NAMES.len()],
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
    /// Counters at zero, for all nodes that may come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            statements: (0..pgsplit_route::MOST_NODES).map(|_| AtomicU64::new(0)).collect(),
            ..Self::default()
        }
    }

    /// Counts a unit on the node that runs it.
    pub fn ran_on(&self, node: NodeId) {
        if let Some(counter) = self.statements.get(node.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

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

    /// Counts a decision.
    pub fn decided(&self, decision: &Decision) {
        add(&self.decisions, decision);
    }

    /// Counts a decision that was not carried out.
    pub fn would_have(&self, decision: &Decision) {
        add(&self.shadow, decision);
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

fn add(counters: &[[AtomicU64; Reason::NAMES.len()]; Target::NAMES.len()], decision: &Decision) {
    if let Some(counter) =
        counters.get(decision.target.index()).and_then(|by| by.get(decision.reason.index()))
    {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
