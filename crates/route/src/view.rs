//! What the data path knows of the cluster at one moment. The control plane publishes it whole; it is never
//! changed in place, but for the counters behind [`Node::outstanding`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::balance::Balance;
use crate::marks::Marks;
use crate::progress::Progress;

/// Most nodes that a process may have in its life, those that a reload has taken away included.
pub const MOST_NODES: usize = 64;

/// A node's number, which no other node gets while the process lives; index into [`View::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The index into [`View::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A position in the write-ahead log (`pg_lsn`), in bytes. Only positions of one incarnation compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = std::num::ParseIntError;

    /// Reads PostgreSQL's text form `16/B374D848`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once('/').unwrap_or(("", text));
        Ok(Self((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?))
    }
}

/// What a node said it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Not asked yet, or never answered.
    Unknown,
    /// Not in recovery, belongs to the cluster and has the highest timeline seen.
    Primary,
    /// In recovery, streaming from the cluster's primary.
    Replica,
    /// Answers, but belongs to another cluster, an older timeline, or claims to be a second primary.
    Rejected,
}

impl Role {
    /// The name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Rejected => "rejected",
        }
    }
}

/// Whether the control plane reaches the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// No probe has ended yet.
    Unknown,
    /// The last probe was answered in time.
    Up,
    /// Ejected: consecutive probes, or a connection of the data path, failed.
    Down,
    /// A reload has taken it away.
    Gone,
}

/// One server of the cluster, as last seen.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its place in the configuration.
    pub id: NodeId,
    /// The node of the configuration whose name it goes by: itself, but for the further servers of a name that leads to several.
    pub named: NodeId,
    /// Its name in metrics and rules.
    pub name: Arc<str>,
    /// `host:port` as configured.
    pub address: Arc<str>,
    /// What the name resolved to, when it last did. The data path connects to the first.
    pub resolved: Arc<[SocketAddr]>,
    /// Its zone, empty when none is configured.
    pub zone: Arc<str>,
    /// Share of the reads relative to other replicas; 0: no reads.
    pub weight: u32,
    /// What it said it is.
    pub role: Role,
    /// Whether it is reached.
    pub state: NodeState,
    /// It let a probe's deadline pass: frozen, or cut off. Not judged yet, and used only where nothing else will do.
    pub silent: bool,
    /// How much of its weight it is given, of [`Node::WHOLE`]: less after it has come back.
    pub share: u32,
    /// Replayed (replica) or flushed (primary) position.
    pub position: Lsn,
    /// Bytes behind the primary's last known position.
    pub lag_bytes: u64,
    /// Time since the replica was last known to be current; zero while it is.
    pub lag: Duration,
    /// Lag is within `consistency.max_lag`.
    pub within_max_lag: bool,
    /// `server_version_num`, 0 while unknown.
    pub version: u32,
    /// `max_connections` less the reserved ones, 0 while unknown.
    pub connection_limit: u32,
    /// Statements in flight through this proxy; survives the view.
    pub outstanding: Arc<AtomicU32>,
    /// How far it is, as the sampler knows it; survives the view.
    pub progress: Arc<Progress>,
}

impl Node {
    /// The whole of a share.
    pub const WHOLE: u32 = 1024;

    /// A node of which nothing is known yet but its name, and where it is. `id` is its place in the configuration.
    #[must_use]
    pub fn new(id: u16, name: &str, address: &str) -> Self {
        Self {
            id: NodeId(id),
            named: NodeId(id),
            name: name.into(),
            address: address.into(),
            resolved: Arc::new([]),
            zone: "".into(),
            weight: 1,
            role: Role::Unknown,
            state: NodeState::Unknown,
            silent: false,
            share: Self::WHOLE,
            position: Lsn::default(),
            lag_bytes: 0,
            lag: Duration::ZERO,
            within_max_lag: true,
            version: 0,
            connection_limit: 0,
            outstanding: Arc::default(),
            progress: Arc::default(),
        }
    }

    /// The same node, reached and in this role.
    #[must_use]
    pub fn up(self, role: Role) -> Self {
        Self { role, state: NodeState::Up, ..self }
    }

    /// It is still one of the configuration.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.state != NodeState::Gone
    }

    /// A replica that is reached.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.role == Role::Replica && self.state == NodeState::Up
    }

    /// It is reached, and has answered the last probe.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.state == NodeState::Up && !self.silent
    }

    /// A replica that may be given a read now.
    #[must_use]
    pub fn takes_reads(&self) -> bool {
        self.is_replica() && self.within_max_lag && self.weight > 0
    }

    /// Statements in flight.
    #[must_use]
    pub fn load(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }
}

/// The cluster at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// All nodes, those that are gone included, by [`NodeId`].
    pub nodes: Vec<Node>,
    /// The node that takes writes, if one is known and reached.
    pub primary: Option<NodeId>,
    /// Counts changes of primary; connections of an older generation to the primary are closed.
    pub generation: u64,
    /// When tables were written; survives the view.
    pub marks: Arc<Marks>,
    /// How reads are shared out among replicas.
    pub balance: Balance,
}

impl View {
    /// The node that takes writes, if it answers.
    #[must_use]
    pub fn writable(&self) -> Option<NodeId> {
        self.primary.filter(|id| self.node(*id).is_some_and(Node::answers))
    }

    /// The nodes of the configuration.
    pub fn listed(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_listed())
    }

    /// The node with this id.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }
}
