//! The table of decisions: the first line that applies decides.

use pgsplit_sql::Verdict;

use crate::balance::{Excluded, pick};
use crate::reason::{PinReason, Reason};
use crate::view::{NodeId, View};

/// What the decision needs to know of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionView {
    /// It is tied to one connection, and why.
    pub pinned: Option<PinReason>,
    /// A transaction is open on a server connection, or begins with this statement.
    pub in_transaction: bool,
    /// Its default isolation is SERIALIZABLE.
    pub serializable: bool,
    /// Its settings make the scanner's reading of a text unreliable (`standard_conforming_strings` off, or a client
    /// encoding whose characters can contain ASCII bytes).
    pub unreadable: bool,
}

/// Where a statement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The connection that the session holds already.
    Held,
    /// The primary.
    Primary,
    /// This replica.
    Replica(NodeId),
}

impl Target {
    /// The names of all targets, for counters made in advance. [`Target::index`] points into it.
    pub const NAMES: [&'static str; 2] = ["primary", "replica"];

    /// The target's place in [`Target::NAMES`]; a held connection counts as the primary, where all of them are.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Held | Self::Primary => 0,
            Self::Replica(_) => 1,
        }
    }
}

/// Where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where the statement goes.
    pub target: Target,
    /// The line of the table that applied.
    pub reason: Reason,
}

impl Decision {
    fn new(target: Target, reason: Reason) -> Self {
        Self { target, reason }
    }
}

/// Decides for one unit: a simple query, or everything between two Syncs. `verdict` holds for all of it; `random`
/// is any number, for the choice among equals; `excluded` are nodes that have failed this unit already.
#[must_use]
pub fn decide(
    verdict: &Verdict,
    session: SessionView,
    view: &View,
    excluded: Excluded,
    random: u32,
) -> Decision {
    if let Some(why) = session.pinned {
        return Decision::new(Target::Held, Reason::Pinned(why));
    }
    if session.in_transaction {
        return Decision::new(Target::Held, Reason::Transaction);
    }
    if let Verdict::NotRead(why) = verdict {
        return Decision::new(Target::Primary, Reason::NotRead(why.clone()));
    }
    if session.unreadable {
        return Decision::new(Target::Primary, Reason::NotRead(pgsplit_sql::NotRead::Unparsed));
    }
    if session.serializable {
        return Decision::new(Target::Primary, Reason::Serializable);
    }
    match pick(view, excluded, random) {
        Some(node) => Decision::new(Target::Replica(node), Reason::Read),
        None => Decision::new(Target::Primary, Reason::NoReplica),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::view;
    use pgsplit_sql::NotRead;

    fn ask(verdict: &Verdict, session: SessionView, replicas: u16) -> (Target, String) {
        let decision = decide(verdict, session, &view(replicas), Excluded::default(), 7);
        (decision.target, decision.reason.to_string())
    }

    #[test]
    fn first_line_that_applies_decides() {
        let plain = SessionView::default();
        let write = Verdict::NotRead(NotRead::Write);
        assert_eq!(ask(&write, plain, 2), (Target::Primary, "write".into()));
        assert_eq!(ask(&Verdict::Read, plain, 0), (Target::Primary, "no-replica".into()));
        assert!(matches!(ask(&Verdict::Read, plain, 2).0, Target::Replica(_)));
        let pinned = SessionView { pinned: Some(PinReason::Listen), in_transaction: true, ..plain };
        assert_eq!(ask(&Verdict::Read, pinned, 2), (Target::Held, "pinned:listen".into()));
        let open = SessionView { in_transaction: true, ..plain };
        assert_eq!(ask(&Verdict::Read, open, 2), (Target::Held, "transaction".into()));
        let serializable = SessionView { serializable: true, ..plain };
        assert_eq!(ask(&Verdict::Read, serializable, 2), (Target::Primary, "serializable".into()));
        let unreadable = SessionView { unreadable: true, ..plain };
        assert_eq!(ask(&Verdict::Read, unreadable, 2), (Target::Primary, "unparsed".into()));
        let function = Verdict::NotRead(NotRead::Function("f".into()));
        assert_eq!(ask(&function, plain, 2), (Target::Primary, "function:f".into()));
    }
}
