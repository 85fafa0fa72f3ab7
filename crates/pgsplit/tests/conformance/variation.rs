//! What the environment asks for: which suites, with which configuration, and what is the matter with one replica.

use std::env;
use std::fmt::{Display, Formatter, Result};

/// What is the matter with the first replica while a suite runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// It is frozen: connections stay open, nothing answers.
    Paused,
    /// It is dead.
    Killed,
    /// It shows what happened [`LAG`] ago, so that reads of what was written go elsewhere.
    Lagging,
}

/// How far a lagging replica lags.
pub(crate) const LAG: &str = "3s";

/// `CONFORMANCE_SUITES` (names or parts of names, separated by blanks; all by default), `CONFORMANCE_MODE` (`enforce`,
/// `shadow`: `routing.mode`), `CONFORMANCE_POOL` (`transaction`, `session`: `pool.mode`), `CONFORMANCE_REPLICA` (`well`,
/// `paused`, `killed`, `lagging`). `CONFORMANCE_TESTS` picks tests within the suites in Python, for whoever works on one.
#[derive(Debug)]
pub(crate) struct Variation {
    suites: Vec<String>,
    pub(crate) routing_mode: String,
    pub(crate) pool_mode: String,
    pub(crate) trouble: Trouble,
}

impl Variation {
    pub(crate) fn from_environment() -> Self {
        let ask = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let one_of = |name: &str, known: &[&str]| {
            let value = ask(name).unwrap_or_else(|| known[0].to_owned());
            assert!(known.contains(&&*value), "{name} is one of {known:?}, not {value:?}");
            value
        };
        let trouble = match &*one_of("CONFORMANCE_REPLICA", &["well", "paused", "killed", "lagging"]) {
            "paused" => Trouble::Paused,
            "killed" => Trouble::Killed,
            "lagging" => Trouble::Lagging,
            _ => Trouble::None,
        };
        Self {
            suites: ask("CONFORMANCE_SUITES")
                .map(|names| names.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            routing_mode: one_of("CONFORMANCE_MODE", &["enforce", "shadow"]),
            pool_mode: one_of("CONFORMANCE_POOL", &["transaction", "session"]),
            trouble,
        }
    }

    /// Whether the suite of that name is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.suites.is_empty() || self.suites.iter().any(|part| name.contains(part.as_str()))
    }
}

impl Display for Variation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let suites = if self.suites.is_empty() { "all suites".to_owned() } else { self.suites.join(", ") };
        let replica = match self.trouble {
            Trouble::None => "both replicas well",
            Trouble::Paused => "one replica paused",
            Trouble::Killed => "one replica killed",
            Trouble::Lagging => "one replica lagging",
        };
        let (routing, pool) = (&self.routing_mode, &self.pool_mode);
        write!(f, "{suites}; routing.mode = \"{routing}\", pool.mode = \"{pool}\", {replica}")
    }
}
