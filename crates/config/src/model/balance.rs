//! `[balance]`: which of the replicas that qualify.

use serde::Deserialize;

/// `[balance]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// How one is chosen.
    pub policy: BalancePolicy,
    /// Where this proxy runs: nodes of the same zone come first.
    pub zone: Option<String>,
}

/// How a replica is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum BalancePolicy {
    /// Of two at random, the one with fewer requests in progress.
    #[default]
    LeastOutstanding,
    /// Of two at random, the faster one.
    Latency,
    /// Each in turn.
    RoundRobin,
}
