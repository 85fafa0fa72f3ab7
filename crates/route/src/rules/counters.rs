//! What became of the statements that a rule matched. A thread counts in a place of its own; whoever shows the figures
//! adds them up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use crate::decide::Target;
use crate::latency::{Latency, SharedLatency};
use crate::places::Places;
use crate::reason::Reason;

/// A rule's counters. They live on through reloads, by the rule's name.
#[derive(Debug, Default)]
pub struct Counters(Places<Place>);

/// One thread's figures.
#[derive(Debug, Default)]
struct Place {
    targets: [AtomicU64; Target::NAMES.len()],
    kept: [AtomicU64; Reason::NAMES.len()],
    shadow: [AtomicU64; Target::NAMES.len()],
    stale: AtomicU64,
    errors: AtomicU64,
    /// When a statement last ended, in microseconds since [`BEGAN`]; 0: never.
    last: AtomicU64,
    /// By target; only for a rule that this thread has met.
    times: OnceLock<Box<[SharedLatency; Target::NAMES.len()]>>,
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The sum of a rule's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Statements by where they went, as in [`Target::NAMES`].
    pub targets: [u64; Target::NAMES.len()],
    /// Statements that the rule would have sent to a replica and that went to the primary, by [`Reason::index`].
    pub kept: [u64; Reason::NAMES.len()],
    /// Of a rule in shadow mode: statements by where they would have gone, as in [`Target::NAMES`].
    pub shadow: [u64; Target::NAMES.len()],
    /// Of a rule in shadow mode: reads that would have gone to a replica that had not all they must see at that moment.
    pub stale: u64,
    /// Statements that ended with an error.
    pub errors: u64,
    /// How long they took, by where they went, as in [`Target::NAMES`].
    pub times: [Latency<u64>; Target::NAMES.len()],
    /// When the last of them ended.
    pub last: Option<Instant>,
}

impl Figures {
    /// All statements that the rule matched.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.targets.iter().chain(&self.shadow).sum()
    }
}

/// How a statement ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Where it ran.
    pub target: Target,
    /// When it came.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// It ended with an error.
    pub failed: bool,
}

impl Counters {
    fn place(&self) -> Option<&Place> {
        self.0.own()
    }

    /// A statement went there; `kept` is why it did not go to a replica although the rule says so.
    pub fn hit(&self, target: Target, kept: Option<&Reason>) {
        let Some(place) = self.place() else { return };
        add(place.targets.get(target.index()));
        if let Some(why) = kept {
            add(place.kept.get(why.index()));
        }
    }

    /// A statement would have gone there, were the rule not in shadow mode.
    pub fn shadow(&self, target: usize) {
        add(self.place().and_then(|place| place.shadow.get(target)));
    }

    /// A read would have gone to a replica that had not all it must see, were the rule not in shadow mode.
    pub fn stale(&self) {
        add(self.place().map(|place| &place.stale));
    }

    /// A statement that the rule matched has ended.
    pub fn ended(&self, ended: Ended) {
        let Some(place) = self.place() else { return };
        if ended.failed {
            add(Some(&place.errors));
        }
        let since = (ended.began + ended.took).saturating_duration_since(*BEGAN);
        place.last.store(u64::try_from(since.as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        if let Some(times) = place.times.get_or_init(Box::default).get(ended.target.index()) {
            times.observe(ended.took);
        }
    }

    /// The sum over all threads.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (mut sum, mut last) = (Figures::default(), 0);
        for place in self.0.iter() {
            add_up(&mut sum.targets, &place.targets);
            add_up(&mut sum.kept, &place.kept);
            add_up(&mut sum.shadow, &place.shadow);
            sum.stale += place.stale.load(Ordering::Relaxed);
            sum.errors += place.errors.load(Ordering::Relaxed);
            last = last.max(place.last.load(Ordering::Relaxed));
            for (sum, times) in sum.times.iter_mut().zip(place.times.get().iter().flat_map(|all| all.iter()))
            {
                times.add_to(sum);
            }
        }
        sum.last = (last > 0).then(|| *BEGAN + Duration::from_micros(last));
        sum
    }
}

fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn add_up(sum: &mut [u64], counters: &[AtomicU64]) {
    for (sum, counter) in sum.iter_mut().zip(counters) {
        *sum += counter.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn threads_are_added_up() {
        let counters = Arc::new(Counters::default());
        let threads = (0..20).map(|_| {
            let counters = counters.clone();
            std::thread::spawn(move || {
                counters.hit(Target::Primary, Some(&Reason::NoReplica));
                counters.shadow(1);
            })
        });
        threads.for_each(|thread| thread.join().unwrap());
        let figures = counters.figures();
        assert_eq!((figures.targets, figures.shadow, figures.hits()), ([20, 0], [0, 20], 40));
        assert_eq!(figures.kept[Reason::NoReplica.index()], 20);
        assert_eq!((figures.last, figures.times[0].count()), (None, 0));
    }

    #[test]
    fn what_has_ended_is_counted_where_it_ran() {
        let counters = Counters::default();
        let took = Duration::from_millis(3);
        let target = Target::Replica(crate::NodeId(1));
        let began = Instant::now();
        counters.ended(Ended { target, began, took, failed: false });
        counters.ended(Ended { target: Target::Held, began, took, failed: true });
        counters.stale();
        let figures = counters.figures();
        assert_eq!((figures.errors, figures.stale), (1, 1));
        assert_eq!(figures.times.map(|times| times.count()), [1, 1]);
        assert!(figures.last.is_some_and(|last| last <= Instant::now() + took && last >= began));
    }
}
