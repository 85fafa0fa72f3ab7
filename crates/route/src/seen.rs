//! What one session has seen, so that it never reads an older state: on the primary, by table; on a replica, as a whole.
//!
//! What the primary showed at one moment, and the session's own writes, are covered by the first sample begun after that
//! moment. What a replica showed was on the primary before, so the same holds; but until then the session is safe on that
//! very replica, as long as it lives: replay never goes back within a life.

use crate::level::Level;
use crate::marks::{Marks, Need};
use crate::view::{Lsn, Node, NodeId};

/// No replica is in this life.
const NO_LIFE: u64 = u64::MAX;

/// What a session has seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// What covers all that was seen on the primary.
    primary: Need,
    /// Of which tables: a set of bits, as in [`pgsplit_sql::Tables::mask`].
    tables: u64,
    /// What covers what was seen there longer ago, which replicas have reached since: one that comes back may lack it.
    before: Need,
    /// Of which tables.
    tables_before: u64,
    replica: Option<Stay>,
}

/// A replica that was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// The replica.
    pub node: NodeId,
    /// The life in which it was read from.
    pub life: u64,
    /// What covers all that it showed.
    pub need: Need,
}

impl Seen {
    /// The primary has shown or taken something of these tables; `now` covers this moment.
    pub fn on_primary(&mut self, tables: u64, now: Need) {
        if tables != 0 {
            self.tables |= tables;
            self.primary = now;
        }
    }

    /// A replica has shown something. `reached` says whether, in this life, it has reached what covers a need. Where it has
    /// not, a read that asked for little (the level `eventual`) was shown less than there was before, perhaps: no replica
    /// is safe then that does not cover both.
    pub fn on_replica(&mut self, node: NodeId, life: u64, now: Need, reached: impl FnOnce(Need) -> bool) {
        let has_all = match self.replica {
            Some(stay) => (stay.node, stay.life) == (node, life) || reached(stay.need),
            None => true,
        };
        self.replica = Some(Stay { node, life: if has_all { life } else { NO_LIFE }, need: now });
    }

    /// What a replica must be for a read of these tables at this level. `marked` is what was marked of them when the read
    /// arrived, `position` what the session or a hint asks for besides.
    #[must_use]
    pub fn wanted(&self, level: Level, marked: Need, marks: &Marks, tables: u64, position: Lsn) -> Wanted {
        let (need, stay) = match level {
            Level::Eventual => (Need::NONE, None),
            Level::Session => (self.need(tables), self.replica),
            Level::Causal => (marked.and(self.need(tables)), self.replica),
            Level::Strict => (marks.need_of_all().and(self.need(tables)), None),
        };
        Wanted { need, position, stay }
    }

    /// What a read of these tables must see, besides what the level asks for.
    #[must_use]
    pub fn need(&self, tables: u64) -> Need {
        let of = |seen: u64, need| if seen & tables == 0 { Need::NONE } else { need };
        of(self.tables, self.primary).and(of(self.tables_before, self.before))
    }

    /// What covers all that was written and seen on the primary.
    #[must_use]
    pub fn primary(&self) -> Need {
        self.primary
    }

    /// The replica that was read from last.
    #[must_use]
    pub fn replica(&self) -> Option<Stay> {
        self.replica
    }

    /// Puts what these replicas have reached aside: a newer need is not for it.
    pub fn settle<'n>(&mut self, mut replicas: impl Iterator<Item = &'n Node>) {
        if self.tables != 0 && replicas.all(|node| self.primary.is_met_by(node.progress.reached())) {
            self.tables_before |= self.tables;
            self.before = self.primary;
            self.tables = 0;
        }
    }
}

/// What a replica must be to be read from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// The samples that it must have reached.
    pub need: Need,
    /// The position that it must have replayed; zero for none.
    pub position: Lsn,
    /// The replica that qualifies without having reached the need there.
    pub stay: Option<Stay>,
}

impl Wanted {
    /// Nothing: any replica will do.
    pub const NOTHING: Self = Self { need: Need::NONE, position: Lsn(0), stay: None };

    /// Whether a replica is known to be that far.
    #[must_use]
    pub fn is_met_by(&self, node: &Node) -> bool {
        let (progress, reached) = (&node.progress, node.progress.reached());
        let stays = |stay: Stay| stay.node == node.id && stay.life == progress.life();
        self.need.is_met_by(reached)
            && (self.position == Lsn(0) || progress.replayed() >= self.position)
            && self.stay.is_none_or(|stay| stays(stay) || stay.need.is_met_by(reached))
    }

    /// The same without a replica to stay on.
    #[must_use]
    pub fn anywhere(&self) -> Self {
        let stay = self.stay.map_or(Need::NONE, |stay| stay.need);
        Self { need: self.need.and(stay), position: self.position, stay: None }
    }

    /// Whether any replica will do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.need.is_none() && self.position == Lsn(0) && self.stay.is_none()
    }

    /// The newest epoch that a replica may have to reach.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.need.newest().max(self.stay.map_or(0, |stay| stay.need.newest()))
    }
}
