//! `[pool]`: server connections and the clients that share them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::units::{duration, duration_or_off};

/// `[pool]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// When a server connection goes back to the pool.
    pub mode: PoolMode,
    /// Most clients at a time.
    pub max_clients: usize,
    /// Most connections to the primary per (user, database).
    pub primary_connections: usize,
    /// Most connections to each replica per (user, database).
    pub replica_connections: usize,
    /// Most connections per node over all pools.
    pub max_connections: MaxConnections,
    /// Connections kept open per pool although idle.
    pub min_idle: usize,
    /// Longest wait for a server connection, then error 53300.
    #[serde(deserialize_with = "duration")]
    pub wait: Duration,
    /// A connection idle for longer is closed.
    #[serde(deserialize_with = "duration_or_off")]
    pub idle_timeout: Option<Duration>,
    /// A connection older than this (with jitter) is closed when it is idle next.
    #[serde(deserialize_with = "duration_or_off")]
    pub lifetime: Option<Duration>,
    /// Prepared statements kept per server connection.
    pub prepared_statements: usize,
    /// Client logins in progress at a time.
    pub logins: usize,
    /// Clients in the queue for a server connection.
    pub waiting: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            mode: PoolMode::Transaction,
            max_clients: 10_000,
            primary_connections: 60,
            replica_connections: 40,
            max_connections: MaxConnections::Auto,
            min_idle: 0,
            wait: Duration::from_secs(5),
            idle_timeout: Some(Duration::from_secs(600)),
            lifetime: Some(Duration::from_secs(3600)),
            prepared_statements: 500,
            logins: 32,
            waiting: 20_000,
        }
    }
}

/// When a server connection goes back to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// After each transaction.
    Transaction,
    /// When the client leaves.
    Session,
}

/// The limit of connections to one node over all pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxConnections {
    /// The server's own limit less its reserved ones and 10.
    Auto,
    /// This many.
    Limit(usize),
}

impl<'de> Deserialize<'de> for MaxConnections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AutoOrLimit;
        impl de::Visitor<'_> for AutoOrLimit {
            type Value = MaxConnections;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number of connections")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<MaxConnections, E> {
                match text {
                    "auto" => Ok(MaxConnections::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<MaxConnections, E> {
                usize::try_from(number)
                    .map(MaxConnections::Limit)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(AutoOrLimit)
    }
}
