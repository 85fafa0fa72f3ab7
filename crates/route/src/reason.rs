//! Why a statement went where it went. The codes are the names in metrics, logs and `explain`; the list is closed.

use std::fmt;
use std::sync::Arc;

use pgsplit_sql::NotRead;

/// Why a session is tied to one server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PinReason {
    /// Temporary tables or other objects in the session's temporary schema.
    TemporaryObject,
    /// A cursor WITH HOLD.
    HoldCursor,
    /// Session-level advisory locks.
    AdvisoryLock,
    /// LISTEN.
    Listen,
    /// LOAD of a library.
    Load,
    /// SQL-level PREPARE.
    Prepared,
    /// A setting whose value the text does not show.
    Setting,
    /// `currval` or `lastval` was asked for in this database.
    Sequence,
    /// `setseed`.
    Seed,
    /// Server-side code that may have left state that could not be examined.
    Opaque,
    /// The catalog was changed, and its facts are not read again yet.
    Ddl,
    /// A base backup, a temporary replication slot or another thing that ends only with the connection.
    Other,
    /// `pool.mode = "session"`.
    SessionMode,
    /// A replication connection.
    Replication,
}

impl PinReason {
    /// All reasons, for counters made in advance.
    pub const ALL: [Self; 14] = [
        Self::TemporaryObject,
        Self::HoldCursor,
        Self::AdvisoryLock,
        Self::Listen,
        Self::Load,
        Self::Prepared,
        Self::Setting,
        Self::Sequence,
        Self::Seed,
        Self::Opaque,
        Self::Ddl,
        Self::Other,
        Self::SessionMode,
        Self::Replication,
    ];

    /// The name after `pinned:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TemporaryObject => "temporary-object",
            Self::HoldCursor => "hold-cursor",
            Self::AdvisoryLock => "advisory-lock",
            Self::Listen => "listen",
            Self::Load => "load",
            Self::Prepared => "prepared",
            Self::Setting => "setting",
            Self::Sequence => "sequence",
            Self::Seed => "seed",
            Self::Opaque => "opaque",
            Self::Ddl => "ddl",
            Self::Other => "other-state",
            Self::SessionMode => "session-mode",
            Self::Replication => "replication",
        }
    }
}

/// The line of the decision table that applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The session is tied to one connection.
    Pinned(PinReason),
    /// A transaction is open on a server connection.
    Transaction,
    /// A comment or `pgsplit.target` asked for it.
    Hint,
    /// A rule of the configuration matched.
    Rule(Arc<str>),
    /// The statement is not proved to be a read.
    NotRead(NotRead),
    /// The session's default isolation is SERIALIZABLE, which no standby offers.
    Serializable,
    /// A replica refused it before.
    Refused,
    /// No replica is known to have seen what the read must see.
    Consistency,
    /// No replica is usable.
    NoReplica,
    /// A transaction declared READ ONLY.
    ReadOnlyTransaction,
    /// A proved read, on a replica.
    Read,
}

impl Reason {
    /// The names of all reasons, for counters made in advance. [`Reason::index`] points into it.
    pub const NAMES: [&'static str; 18] = [
        "pinned",
        "transaction",
        "hint",
        "rule",
        "write",
        "ddl",
        "locking",
        "function",
        "relation",
        "session",
        "serializable",
        "mixed",
        "unparsed",
        "refused",
        "consistency",
        "no-replica",
        "read-only-transaction",
        "read",
    ];

    /// The reason's place in [`Reason::NAMES`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Pinned(_) => 0,
            Self::Transaction => 1,
            Self::Hint => 2,
            Self::Rule(_) => 3,
            Self::NotRead(why) => match why {
                NotRead::Write => 4,
                NotRead::Ddl => 5,
                NotRead::Locking => 6,
                NotRead::Function(_) => 7,
                NotRead::Relation(_) => 8,
                NotRead::Session => 9,
                NotRead::Mixed => 11,
                NotRead::Unparsed => 12,
            },
            Self::Serializable => 10,
            Self::Refused => 13,
            Self::Consistency => 14,
            Self::NoReplica => 15,
            Self::ReadOnlyTransaction => 16,
            Self::Read => 17,
        }
    }

    /// The part before the colon: the label in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        Self::NAMES.get(self.index()).copied().unwrap_or("unparsed")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        match self {
            Self::Pinned(why) => write!(f, ":{}", why.name()),
            Self::Rule(name) | Self::NotRead(NotRead::Function(name) | NotRead::Relation(name)) => {
                write!(f, ":{name}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reason has its line in the documentation, and no line is about none.
    #[test]
    fn pins_are_documented() {
        let page = include_str!("../../../docs/pins.md");
        let mut listed: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(reason, _)| reason)
            .collect();
        let mut known = PinReason::ALL.map(PinReason::name);
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
