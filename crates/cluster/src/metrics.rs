//! Counters of the control plane. Read by whoever exports them; nothing here decides anything.

use std::sync::atomic::{AtomicU64, Ordering};

use pgsplit_route::{MOST_NODES, NodeId};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One node's counters.
#[derive(Debug, Default)]
pub struct NodeMetrics {
    /// Probes that ended.
    pub probes: Counter,
    /// Probes without an answer in time.
    pub failures: Counter,
    /// Failures that the data path reported.
    pub reported: Counter,
    /// Times that it was something else than before.
    pub role_changes: Counter,
    /// Times that it went down or came back.
    pub state_changes: Counter,
}

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    /// By node; of those that may come, too.
    pub nodes: Vec<NodeMetrics>,
    /// Catalogs read.
    pub catalog_reads: Counter,
    /// Looks for changes or reads of catalogs that failed.
    pub catalog_failures: Counter,
    /// Verifiers asked for.
    pub lookups: Counter,
    /// Verifiers that had to be asked of a server.
    pub lookup_queries: Counter,
    /// Look-ups without an answer.
    pub lookup_failures: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            nodes: (0..MOST_NODES).map(|_| NodeMetrics::default()).collect(),
            catalog_reads: Counter::default(),
            catalog_failures: Counter::default(),
            lookups: Counter::default(),
            lookup_queries: Counter::default(),
            lookup_failures: Counter::default(),
        }
    }

    pub(crate) fn with(&self, node: NodeId, count: impl FnOnce(&NodeMetrics)) {
        if let Some(metrics) = self.nodes.get(node.index()) {
            count(metrics);
        }
    }
}
