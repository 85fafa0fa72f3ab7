//! `[[rules]]`: the first match wins; no rule can send a possible write to a replica.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::ConsistencyLevel;
use crate::date::Date;
use crate::one_or_many::{OneOrMany, list};
use crate::units::optional_duration;

/// A rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) why: Option<String>,
    #[serde(default, rename = "match")]
    pub(crate) matching: Match,
    pub(crate) target: Option<Target>,
    pub(crate) consistency: Option<ConsistencyLevel>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) max_lag: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) timeout: Option<Duration>,
    pub(crate) percent: Option<f64>,
    #[serde(default)]
    pub(crate) sticky: Sticky,
    pub(crate) expires: Option<Date>,
    #[serde(default)]
    pub(crate) mode: RuleMode,
}

/// `match`: every key that is not empty must hold; a list holds if one member does; `*` and `?` are wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Touches any of these tables.
    #[serde(deserialize_with = "list")]
    pub tables: Vec<String>,
    /// Touches tables, and none but these.
    #[serde(deserialize_with = "list")]
    pub only_tables: Vec<String>,
    /// Calls any of these functions.
    #[serde(deserialize_with = "list")]
    pub functions: Vec<String>,
    /// Is one of these commands (SELECT, COPY, ...).
    #[serde(deserialize_with = "list")]
    pub commands: Vec<String>,
    /// The sqlcommenter tag `route`: `[method] path`, with `:params` and `*`.
    #[serde(deserialize_with = "list")]
    pub route: Vec<String>,
    /// Any sqlcommenter tag by its name.
    #[serde(deserialize_with = "tags")]
    pub tags: BTreeMap<String, Vec<String>>,
    /// The word of the statement's hint.
    #[serde(deserialize_with = "list")]
    pub hint: Vec<String>,
    /// The session's user.
    #[serde(deserialize_with = "list")]
    pub user: Vec<String>,
    /// The session's database.
    #[serde(deserialize_with = "list")]
    pub database: Vec<String>,
    /// The session's application_name.
    #[serde(deserialize_with = "list")]
    pub application_name: Vec<String>,
    /// The client's address: an IP address or a CIDR block.
    #[serde(deserialize_with = "list")]
    pub client: Vec<String>,
    /// The statement's fingerprint, as logs and metrics show it.
    #[serde(deserialize_with = "list")]
    pub fingerprint: Vec<String>,
    /// Has the same fingerprint as this text.
    #[serde(deserialize_with = "list")]
    pub same_as: Vec<String>,
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let tags = BTreeMap::<String, OneOrMany<String>>::deserialize(deserializer)?;
    Ok(tags.into_iter().map(|(name, values)| (name, values.0)).collect())
}

/// Where a rule sends what it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The primary.
    Primary,
    /// A replica, by the balancing policy.
    Replica,
    /// One of these nodes, by name, whichever role it has now.
    Nodes(Vec<String>),
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names: Vec<String> = list(deserializer)?;
        Ok(match names.as_slice() {
            [one] if one == "primary" => Self::Primary,
            [one] if one == "replica" => Self::Replica,
            _ => Self::Nodes(names),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Replica => f.write_str("replica"),
            Self::Nodes(names) => f.write_str(&names.join(", ")),
        }
    }
}

/// What stays in or out of a rule's `percent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    /// A statement, by its fingerprint: of all sessions, or of none.
    #[default]
    Statement,
    /// A session, with all statements that the rule matches.
    Session,
}

/// Whether a rule is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleMode {
    /// It is.
    #[default]
    Enforce,
    /// What it would do is counted; nothing changes.
    Shadow,
}
