//! The table, and the differences by the tests' names.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use crate::outcome::{Outcome, Outcomes};

/// What all suites have come to.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(&'static str, Outcomes, Outcomes)>);

impl Report {
    pub(crate) fn add(&mut self, suite: &'static str, direct: Outcomes, proxied: Outcomes) {
        assert!(
            direct.count(Outcome::Passed) > 0,
            "{suite}: nothing has passed directly, so nothing is compared"
        );
        self.0.push((suite, direct, proxied));
    }

    /// Tests whose outcome through pgsplit is not that of the direct connection. One that fails directly proves nothing.
    pub(crate) fn differences(&self) -> Vec<String> {
        let each = self.0.iter();
        each.flat_map(|(suite, direct, proxied)| differences_of(suite, direct, proxied)).collect()
    }
}

/// Tests of one suite whose outcomes differ.
fn differences_of(suite: &str, direct: &Outcomes, proxied: &Outcomes) -> Vec<String> {
    let mut differences = Vec::new();
    for name in direct.names().filter(|name| differ(direct.of(name), proxied.of(name))) {
        let through = proxied.of(name).map_or("not run".to_owned(), |outcome| format!("{outcome:?}"));
        differences.push(format!("  {suite}: {name}: {}", through.to_lowercase()));
    }
    let new = proxied.failed().into_iter().filter(|name| direct.of(name).is_none());
    differences.extend(new.map(|name| format!("  {suite}: {name}: failed, and not run directly")));
    differences
}

fn differ(direct: Option<Outcome>, proxied: Option<Outcome>) -> bool {
    match (direct, proxied) {
        (Some(Outcome::Failed), _) | (Some(Outcome::Passed), Some(Outcome::Excepted)) => false,
        (direct, proxied) => direct != proxied,
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let head = ["suite", "tests", "directly", "through pgsplit", "time", "through", "ratio"];
        let [suite, tests, directly, through, time, proxied, ratio] = head;
        writeln!(f, "{suite:20} {tests:>6} {directly:>9} {through:>16} {time:>8} {proxied:>8} {ratio:>6}")?;
        for (suite, direct, proxied) in &self.0 {
            let passed =
                |outcomes: &Outcomes| outcomes.count(Outcome::Passed) + outcomes.count(Outcome::Excepted);
            let (tests, ratio) = (direct.len(), proxied.time.as_secs_f64() / direct.time.as_secs_f64());
            let (seconds, through) = (seconds(direct.time), seconds(proxied.time));
            let (direct, proxied, excepted) =
                (passed(direct), passed(proxied), proxied.count(Outcome::Excepted));
            write!(
                f,
                "{suite:20} {tests:>6} {direct:>9} {proxied:>16} {seconds:>8} {through:>8} {ratio:>6.2}"
            )?;
            if excepted > 0 {
                write!(f, "  ({excepted} by the list of exceptions)")?;
            }
            writeln!(f)?;
        }
        for (suite, direct, _) in self.0.iter().filter(|(_, direct, _)| !direct.failed().is_empty()) {
            writeln!(f, "{suite}: not counted, as they fail directly too: {}", direct.failed().join(", "))?;
        }
        let differences = self.differences();
        writeln!(f, "differences: {}", differences.len())?;
        differences.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
