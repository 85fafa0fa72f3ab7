//! `[health]`: probing the nodes, and what a failure means.

use std::time::Duration;

use serde::Deserialize;

use crate::units::duration;

/// `[health]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// Time between two probes of a node.
    #[serde(deserialize_with = "duration")]
    pub interval: Duration,
    /// A probe that takes longer has failed.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Consecutive failures after which a node gets no statements; an error on the data path counts at once.
    pub eject_after: u32,
    /// Time over which a node that comes back gets its full share; zero: at once.
    #[serde(deserialize_with = "duration")]
    pub slow_start: Duration,
    /// Writes wait this long for a primary to appear.
    #[serde(deserialize_with = "duration")]
    pub failover_wait: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            eject_after: 3,
            slow_start: Duration::from_secs(30),
            failover_wait: Duration::from_secs(45),
        }
    }
}
