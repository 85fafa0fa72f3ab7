//! What became of the statements that a rule matched. A thread counts in a place of its own; whoever shows the figures
//! adds them up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::decide::Target;
use crate::reason::Reason;

/// Places for threads. Where there are more threads, some share one.
const PLACES: usize = 16;

/// A rule's counters. They live on through reloads, by the rule's name.
#[derive(Debug, Default)]
pub struct Counters([Place; PLACES]);

/// One thread's figures, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place {
    targets: [AtomicU64; Target::NAMES.len()],
    kept: [AtomicU64; Reason::NAMES.len()],
    shadow: [AtomicU64; Target::NAMES.len()],
    errors: AtomicU64,
}

/// The sum of a rule's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Statements by where they went, as in [`Target::NAMES`].
    pub targets: [u64; Target::NAMES.len()],
    /// Statements that the rule would have sent to a replica and that went to the primary, by [`Reason::index`].
    pub kept: [u64; Reason::NAMES.len()],
    /// Of a rule in shadow mode: statements by where they would have gone, as in [`Target::NAMES`].
    pub shadow: [u64; Target::NAMES.len()],
    /// Statements that ended with an error.
    pub errors: u64,
}

impl Figures {
    /// All statements that the rule matched.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.targets.iter().chain(&self.shadow).sum()
    }
}

thread_local! {
    static OWN: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

impl Counters {
    fn place(&self) -> Option<&Place> {
        self.0.get(OWN.with(|own| *own))
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

    /// A statement that the rule matched ended with an error.
    pub fn error(&self) {
        add(self.place().map(|place| &place.errors));
    }

    /// The sum over all threads.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut sum = Figures::default();
        for place in &self.0 {
            add_up(&mut sum.targets, &place.targets);
            add_up(&mut sum.kept, &place.kept);
            add_up(&mut sum.shadow, &place.shadow);
            sum.errors += place.errors.load(Ordering::Relaxed);
        }
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
    }
}
