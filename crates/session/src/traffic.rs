//! What every statement counts: where it went and why, on which node it ran, how long it took. By thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgsplit_pool::Histogram;
use pgsplit_route::{Decision, MOST_NODES, NodeId, Places, Reason, Target};

/// Decisions by [`Target::index`] and [`Reason::index`].
pub type Decisions<T> = [[T; Reason::NAMES.len()]; Target::NAMES.len()];

/// Counters of all statements.
#[derive(Debug, Default)]
pub struct Traffic(Places<Place>);

/// One thread's.
#[derive(Debug)]
struct Place {
    decisions: Decisions<AtomicU64>,
    shadow: Decisions<AtomicU64>,
    nodes: [AtomicU64; MOST_NODES],
    durations: [Histogram; Target::NAMES.len()],
}

impl Default for Place {
    fn default() -> Self {
        Self {
            decisions: Default::default(),
            shadow: Default::default(),
            nodes: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: Default::default(),
        }
    }
}

impl Traffic {
    /// Counts a unit on the node that runs it.
    pub fn ran_on(&self, node: NodeId) {
        add(self.0.own().and_then(|place| place.nodes.get(node.index())));
    }

    /// Counts a decision.
    pub fn decided(&self, decision: &Decision) {
        add(self.0.own().and_then(|place| of(&place.decisions, decision)));
    }

    /// Counts a decision that was not carried out.
    pub fn would_have(&self, decision: &Decision) {
        add(self.0.own().and_then(|place| of(&place.shadow, decision)));
    }

    /// A unit was answered: the time from its last byte to ReadyForQuery.
    pub fn took(&self, target: Target, time: Duration) {
        if let Some(histogram) = self.0.own().and_then(|place| place.durations.get(target.index())) {
            histogram.observe(time);
        }
    }

    /// Decisions so far.
    #[must_use]
    pub fn decisions(&self) -> Decisions<u64> {
        self.sum(|place| &place.decisions)
    }

    /// With `routing.mode = "shadow"`: where statements would have gone that went to the primary instead.
    #[must_use]
    pub fn shadow(&self) -> Decisions<u64> {
        self.sum(|place| &place.shadow)
    }

    /// Units by the node that they ran on, by the place of the node in the view.
    #[must_use]
    pub fn by_node(&self) -> Vec<u64> {
        let of = |at: usize| self.0.iter().filter_map(|place| place.nodes.get(at)).map(load).sum();
        (0..MOST_NODES).map(of).collect()
    }

    /// How long units took, by [`Target::index`].
    #[must_use]
    pub fn durations(&self) -> [Histogram; Target::NAMES.len()] {
        std::array::from_fn(|at| {
            let sum = Histogram::default();
            self.0.iter().filter_map(|place| place.durations.get(at)).for_each(|one| sum.add(one));
            sum
        })
    }

    fn sum(&self, part: impl Fn(&Place) -> &Decisions<AtomicU64>) -> Decisions<u64> {
        let mut sum = Decisions::default();
        for place in self.0.iter() {
            let counters = part(place).iter().flatten();
            sum.iter_mut().flatten().zip(counters).for_each(|(sum, counter)| *sum += load(counter));
        }
        sum
    }
}

fn of<'c>(counters: &'c Decisions<AtomicU64>, decision: &Decision) -> Option<&'c AtomicU64> {
    counters.get(decision.target.index())?.get(decision.reason.index())
}

fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_apart_and_are_added_up() {
        let traffic = Traffic::default();
        let decision = Decision { target: Target::Replica(NodeId(2)), reason: Reason::Read };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    traffic.decided(&decision);
                    traffic.ran_on(NodeId(2));
                    traffic.took(decision.target, Duration::from_micros(50));
                });
            }
        });
        assert_eq!(traffic.decisions()[1][Reason::Read.index()], 3);
        assert_eq!(traffic.shadow(), Decisions::default());
        assert_eq!((traffic.by_node()[2], traffic.by_node()[1]), (3, 0));
        assert_eq!(traffic.durations()[1].counts()[0], 3);
    }
}
