//! `[timeouts]`: "0" is off.

use std::time::Duration;

use serde::Deserialize;

use crate::units::{duration, duration_or_off};

/// `[timeouts]`; `None` is off.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// TCP and TLS towards a server.
    #[serde(deserialize_with = "duration_or_off")]
    pub connect: Option<Duration>,
    /// A client's login, from its first byte.
    #[serde(deserialize_with = "duration_or_off")]
    pub login: Option<Duration>,
    /// A client that sends nothing outside a transaction.
    #[serde(deserialize_with = "duration_or_off")]
    pub idle_client: Option<Duration>,
    /// A client that sends nothing inside a transaction.
    #[serde(deserialize_with = "duration_or_off")]
    pub idle_transaction: Option<Duration>,
    /// One statement's run.
    #[serde(deserialize_with = "duration_or_off")]
    pub query: Option<Duration>,
    /// How long a stop waits for what runs; zero: not at all.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(5)),
            login: Some(Duration::from_secs(15)),
            idle_client: None,
            idle_transaction: None,
            query: None,
            drain: Duration::from_secs(30),
        }
    }
}
