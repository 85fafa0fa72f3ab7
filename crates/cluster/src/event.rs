//! What changed by one judgement: to be logged and counted once each, and acted upon.

use pgsplit_route::{NodeId, NodeState, Role};

use crate::state_file::Remembered;

/// Why an answering node is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// It descends from another `initdb`.
    OtherSystem,
    /// A newer timeline was seen, or the node cannot show that it follows it.
    OldTimeline,
    /// Another node claims the same timeline, or took its place.
    Disputed,
    /// The configuration forbids what it is.
    NotAllowed,
}

impl Rejection {
    /// For the log.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::OtherSystem => "its system identifier is not the cluster's",
            Self::OldTimeline => "it is not known to be on the newest timeline",
            Self::Disputed => "another node claims its timeline",
            Self::NotAllowed => "its configured role forbids it",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A node is reached again, or no longer.
    State { node: NodeId, from: NodeState, to: NodeState },
    /// A node has let a probe's deadline pass.
    Silent { node: NodeId },
    /// A node is something else than before.
    Role { node: NodeId, from: Role, to: Role, why: Option<Rejection> },
    /// Writes go elsewhere, or nowhere.
    Primary { node: Option<NodeId>, generation: u64, timeline: u32 },
    /// Several nodes claim to be the primary of one timeline.
    Disputed { timeline: u32, nodes: Vec<NodeId> },
    /// A higher timeline than ever before: to be remembered.
    Timeline(Remembered),
    /// The login lacks `pg_monitor`.
    NotMonitor { node: NodeId },
}

impl Event {
    /// Whether those who wait for a node's answer should look whether they still may.
    pub(crate) fn is_alarming(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Primary { .. } => true,
            Self::State { to, .. } => matches!(to, NodeState::Down | NodeState::Gone),
            _ => false,
        }
    }
}
