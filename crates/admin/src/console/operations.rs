//! What the console asks of the process, and what only the binary can do: it knows the configuration.

use std::fmt;
use std::time::{Duration, SystemTime};

use pgsplit_session::Later;

use super::fault::Fault;

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As in the file, `pool.wait`.
    pub key: String,
    /// Its value as the file would have it; secrets are hidden.
    pub value: String,
    /// Whether a reload changes it.
    pub reloads: bool,
}

/// One difference between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its value before; `None` when it was not there.
    pub old: Option<String>,
    /// Its value afterwards; `None` when it is not there any more.
    pub new: Option<String>,
    /// Whether it is in force now, or only after a restart.
    pub reloads: bool,
}

/// Where the configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The file.
    pub file: String,
    /// A hash of all settings, secrets included.
    pub hash: u64,
    /// When it came into force.
    pub at: SystemTime,
    /// What came of the last reload, if it was refused.
    pub refused: Option<String>,
    /// Until when it must be confirmed.
    pub unconfirmed: Option<SystemTime>,
}

/// A rule as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleLine {
    /// Its name.
    pub name: String,
    /// What it matches, as the file has it.
    pub matching: String,
    /// Where it sends what matches.
    pub target: Option<String>,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
}

/// A statement that would go elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// Its fingerprint.
    pub fingerprint: u64,
    /// The database.
    pub database: String,
    /// Calls seen.
    pub calls: u64,
    /// Its share of all calls seen, between 0 and 1.
    pub share: f64,
    /// Where it goes now, and why.
    pub from: (String, String),
    /// Where it would go, and why.
    pub to: (String, String),
    /// Its text, literals hidden.
    pub statement: String,
    /// Why it may go to a replica, if it would.
    pub proof: Option<Proof>,
}

/// Why a statement may go to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It is proved to be a read.
    Read,
    /// It counts as a read because `routing.functions_read_only` has this function.
    Trusted(String),
    /// It is no read. There is no such statement.
    None,
}

impl Proof {
    /// As the console says it.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Read => "read".to_owned(),
            Self::Trusted(function) => format!("trusted:{function}"),
            Self::None => "none".to_owned(),
        }
    }
}

/// What the console needs of the binary.
pub trait Operations: fmt::Debug + Send + Sync {
    /// Whether this user may come in.
    fn admits(&self, user: &str) -> bool;

    /// All settings in force, in the order of the documentation.
    fn settings(&self) -> Vec<Setting>;

    /// Where they came from.
    fn loaded(&self) -> Loaded;

    /// The rules in order.
    fn rules(&self) -> Vec<RuleLine>;

    /// Where a statement would go and why, in lines of at most 80 characters.
    fn explain<'a>(&'a self, database: &'a str, sql: &'a str) -> Later<'a, Result<Vec<String>, Fault>>;

    /// Reads the configuration again; it goes back by itself after `confirm` unless it is confirmed.
    fn reload(&self, confirm: Option<Duration>) -> Later<'_, Result<Vec<Change>, Fault>>;

    /// Keeps what was reloaded.
    fn confirm(&self) -> Later<'_, Result<(), Fault>>;

    /// The statements seen that would go elsewhere with this configuration.
    fn diff<'a>(&'a self, text: &'a str) -> Later<'a, Result<Vec<Moved>, Fault>>;
}
