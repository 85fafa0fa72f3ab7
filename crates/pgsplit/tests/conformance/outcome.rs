//! What became of the tests of one run.

use std::collections::BTreeMap;
use std::time::Duration;

/// What became of a test. Where one is reported twice, as when its clean-up fails, the later of these counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Skipped,
    Passed,
    /// It would have failed but for lines on the list of exceptions.
    Excepted,
    Failed,
}

/// What became of a suite's tests.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    tests: BTreeMap<String, Outcome>,
    /// How long the suite ran, without the making of clusters.
    pub(crate) time: Duration,
}

impl Outcomes {
    pub(crate) fn add(&mut self, test: &str, outcome: Outcome) {
        let known = self.tests.entry(test.to_owned()).or_insert(outcome);
        *known = outcome.max(*known);
    }

    pub(crate) fn replace(&mut self, test: &str, outcome: Outcome) {
        self.tests.insert(test.to_owned(), outcome);
    }

    pub(crate) fn of(&self, test: &str) -> Option<Outcome> {
        self.tests.get(test).copied()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    pub(crate) fn failed(&self) -> Vec<String> {
        self.tests.iter().filter(|(_, o)| **o == Outcome::Failed).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn count(&self, outcome: Outcome) -> usize {
        self.tests.values().filter(|known| **known == outcome).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.tests.len()
    }
}
