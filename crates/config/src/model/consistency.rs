//! `[consistency]`: how new a replica's answer must be.

use std::time::Duration;

use serde::Deserialize;

use crate::units::duration;

/// `[consistency]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consistency {
    /// What a read must see.
    pub level: ConsistencyLevel,
    /// A replica further behind gets no reads at any level.
    #[serde(deserialize_with = "duration")]
    pub max_lag: Duration,
    /// How long a read may wait for a replica to catch up; then `routing.fallback` holds.
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
}

impl Default for Consistency {
    fn default() -> Self {
        Self {
            level: ConsistencyLevel::Causal,
            max_lag: Duration::from_secs(10),
            wait: Duration::from_millis(5),
        }
    }
}

/// What a read must see; each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsistencyLevel {
    /// Any state within `max_lag`.
    Eventual,
    /// The session's own writes, and never an older state than it has read.
    Session,
    /// Every write acknowledged through this proxy before the read began.
    Causal,
    /// Every write acknowledged by anyone before the read began.
    Strict,
}
