//! `[routing]`: what goes to replicas, and what is known about functions and triggers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::one_or_many::list;
use crate::units::{duration, size};

/// `[routing]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// Where proved reads go.
    pub reads: Reads,
    /// When `reads = "spill"` sends reads to replicas.
    pub spill: Spill,
    /// Where transactions that are declared READ ONLY go.
    pub read_only_transactions: ReadOnlyTransactions,
    /// What happens to a read that no replica may answer.
    pub fallback: Fallback,
    /// Whether hints in comments and `SET pgsplit.target` count.
    pub hints: bool,
    /// Functions that are trusted although the catalog calls them volatile.
    #[serde(deserialize_with = "list")]
    pub functions_read_only: Vec<String>,
    /// Functions that are never trusted.
    #[serde(deserialize_with = "list")]
    pub functions_write: Vec<String>,
    /// Functions that leave no session state behind.
    #[serde(deserialize_with = "list")]
    pub functions_stateless: Vec<String>,
    /// Tables that a table's triggers write; a table that is not named here may write all.
    pub triggers: BTreeMap<String, Vec<String>>,
    /// Memory for facts and statement statistics, in bytes.
    #[serde(deserialize_with = "size")]
    pub cache: usize,
    /// Repeating reads that a node failed to answer.
    pub retry: Retry,
    /// Whether decisions are carried out.
    pub mode: RoutingMode,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            reads: Reads::Replica,
            spill: Spill::default(),
            read_only_transactions: ReadOnlyTransactions::Primary,
            fallback: Fallback::Primary,
            hints: true,
            functions_read_only: Vec::new(),
            functions_write: Vec::new(),
            functions_stateless: Vec::new(),
            triggers: BTreeMap::new(),
            cache: 64 << 20,
            retry: Retry::default(),
            mode: RoutingMode::Enforce,
        }
    }
}

/// Where proved reads go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// To the replicas.
    Replica,
    /// To the primary; rules opt in.
    Primary,
    /// To the replicas once the primary is busy.
    Spill,
}

/// When the primary counts as busy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spill {
    /// Reads on the primary take longer than this.
    #[serde(deserialize_with = "duration")]
    pub read_latency: Duration,
    /// Share of the primary's connections in use, above 0 and up to 1.
    pub load: f64,
    /// Time over which both are averaged.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
}

impl Default for Spill {
    fn default() -> Self {
        Self { read_latency: Duration::from_millis(100), load: 0.7, window: Duration::from_secs(60) }
    }
}

/// Where transactions that are declared READ ONLY go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadOnlyTransactions {
    /// To the primary.
    Primary,
    /// To one replica for their whole length.
    Replica,
}

/// What happens to a read that no replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// It goes to the primary.
    Primary,
    /// It waits for a replica.
    Wait,
    /// It fails.
    Error,
}

/// Repeating reads that a node failed to answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Share of reads that may be repeats, 0 to 1.
    pub budget: f64,
    /// Bytes of an answer held back so that it can still be repeated.
    #[serde(deserialize_with = "size")]
    pub buffer: usize,
}

impl Default for Retry {
    fn default() -> Self {
        Self { budget: 0.1, buffer: 64 << 10 }
    }
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoutingMode {
    /// They are.
    Enforce,
    /// They are taken and counted, and everything goes to the primary.
    Shadow,
}
