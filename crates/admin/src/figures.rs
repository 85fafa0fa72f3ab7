//! What the metrics show of the control plane, which this crate does not know: the binary fills it in.

use std::fmt;
use std::time::SystemTime;

/// What the control plane counts.
#[derive(Debug, Clone, Default)]
pub struct ControlFigures {
    /// By node, in the order of the configuration.
    pub nodes: Vec<NodeFigures>,
    /// Catalogs read.
    pub catalog_reads: u64,
    /// Looks for changes, or reads, of catalogs that failed.
    pub catalog_failures: u64,
    /// Verifiers asked for by logins.
    pub lookups: u64,
    /// Verifiers that had to be asked of a server.
    pub lookup_queries: u64,
    /// Look-ups without an answer.
    pub lookup_failures: u64,
    /// How the configuration came in.
    pub reload: Reload,
}

/// What the control plane counts for one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeFigures {
    /// Probes that ended.
    pub probes: u64,
    /// Probes without an answer in time.
    pub failures: u64,
    /// Failures that the data path reported.
    pub reported: u64,
    /// Changes of role.
    pub role_changes: u64,
    /// Times that it went down or came back.
    pub state_changes: u64,
}

/// The last time that the configuration was read.
#[derive(Debug, Clone, Copy)]
pub struct Reload {
    /// It had no error.
    pub successful: bool,
    /// When it last had none.
    pub success: SystemTime,
    /// Reloads that were put into force.
    pub accepted: u64,
    /// Reloads that were refused, or went back.
    pub refused: u64,
    /// Of all settings in force.
    pub hash: u64,
}

impl Default for Reload {
    fn default() -> Self {
        Self { successful: true, success: SystemTime::UNIX_EPOCH, accepted: 0, refused: 0, hash: 0 }
    }
}

/// Where the figures come from.
pub trait ControlSource: fmt::Debug + Send + Sync {
    /// The figures of this moment.
    fn figures(&self) -> ControlFigures;
}
