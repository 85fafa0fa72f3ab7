//! The table of decisions: the first line that applies decides.

use pgsplit_config::ConsistencyLevel;
use pgsplit_sql::Verdict;

use crate::balance::{Among, Excluded, pick};
use crate::reason::{PinReason, Reason};
use crate::rules::{Aim, Rule};
use crate::seen::Wanted;
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

/// What somebody has asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'r> {
    /// What a hint asks for: a comment's, or else the session's `pgsplit.target`.
    pub hint: Option<Aim>,
    /// The rule that matches.
    pub rule: Option<&'r Rule>,
    /// Reads that nobody asks anything for stay on the primary.
    pub reads_on_primary: bool,
    /// What reads must see, where somebody has asked for more or less than is configured.
    pub level: Option<ConsistencyLevel>,
    /// A replica has refused it before.
    pub refused: bool,
}

impl Asked<'_> {
    /// Where it shall go, if that is asked for, and the reason for it when it does.
    fn aim(&self) -> Option<(Aim, Reason)> {
        let of_rule = || self.rule.and_then(|rule| Some((rule.aim?, Reason::Rule(rule.name.clone()))));
        self.hint.map(|aim| (aim, Reason::Hint)).or_else(of_rule)
    }

    /// The replicas that come into question for a read, but for those that have failed it already.
    #[must_use]
    pub fn among(&self, excluded: Excluded) -> Among {
        let aim = self.hint.or_else(|| self.rule?.aim).unwrap_or(Aim::Replica);
        Among { aim, excluded, max_lag: self.rule.and_then(|rule| rule.max_lag) }
    }
}

/// Decides for one unit: a simple query, or everything between two Syncs. `verdict` holds for all of it; `random`
/// is any number, for the choice among equals; `wanted` is what a replica must be; `excluded` are nodes that have failed this unit already.
#[must_use]
pub fn decide(
    verdict: &Verdict,
    session: SessionView,
    asked: Asked<'_>,
    view: &View,
    wanted: &Wanted,
    excluded: Excluded,
    random: u32,
) -> Decision {
    if let Some(why) = session.pinned {
        return Decision::new(Target::Held, Reason::Pinned(why));
    }
    if session.in_transaction {
        return Decision::new(Target::Held, Reason::Transaction);
    }
    let aim = asked.aim();
    if let Some((Aim::Primary, reason)) = aim {
        return Decision::new(Target::Primary, reason);
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
    if asked.refused {
        return Decision::new(Target::Primary, Reason::Refused);
    }
    let (aim, reason) = aim.unwrap_or((Aim::Replica, Reason::Read));
    if reason == Reason::Read && asked.reads_on_primary {
        return Decision::new(Target::Primary, reason);
    }
    let among = asked.among(excluded);
    if let Some(node) = pick(view, among, wanted, random) {
        return Decision::new(Target::Replica(node), reason);
    }
    if let (Aim::Nodes(nodes), Some(primary)) = (aim, view.primary)
        && view.node(primary).is_some_and(|node| nodes.has(node))
    {
        // The node that was asked for is the primary now.
        return Decision::new(Target::Primary, reason);
    }
    let usable = view.nodes.iter().any(|node| among.has(node));
    Decision::new(Target::Primary, if usable { Reason::Consistency } else { Reason::NoReplica })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::view;
    use pgsplit_sql::NotRead;

    fn ask(verdict: &Verdict, session: SessionView, replicas: u16) -> (Target, String) {
        let (asked, view) = (Asked::default(), view(replicas));
        let decision = decide(verdict, session, asked, &view, &Wanted::NOTHING, Excluded::default(), 7);
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

    #[test]
    fn hints_and_rules_come_before_the_proof_and_never_send_a_write_to_a_replica() {
        let rules = crate::rules::tests::rules(
            "[[rules]]\nname = 'p'\ntarget = 'primary'\nmatch.user = 'x'\n\
             [[rules]]\nname = 'r'\ntarget = 'replica'\nmax_lag = '1s'\nmatch.user = 'x'\n\
             [[rules]]\nname = 'n'\ntarget = 'db3:5432'\nmatch.user = 'x'\n\
             [[rules]]\nname = 'first'\ntarget = ['db1:5432']\nmatch.user = 'x'\n",
        );
        let [p, r, n, first] = [0, 1, 2, 3].map(|at| rules.get(crate::RuleId(at)));
        let asked = |hint, rule| Asked { hint, rule, reads_on_primary: true, ..Asked::default() };
        let mut view = view(2);
        let (read, write) = (Verdict::Read, Verdict::NotRead(NotRead::Write));
        let plain = SessionView::default();
        let ask = |view: &View, verdict: &Verdict, session, asked| {
            let decision = decide(verdict, session, asked, view, &Wanted::NOTHING, Excluded::default(), 7);
            (decision.target, decision.reason.to_string())
        };
        let replica = |n| Target::Replica(NodeId(n));
        assert_eq!(ask(&view, &read, plain, asked(None, None)), (Target::Primary, "read".into()));
        assert_eq!(ask(&view, &read, plain, asked(None, p)), (Target::Primary, "rule:p".into()));
        assert_eq!(ask(&view, &write, plain, asked(None, p)), (Target::Primary, "rule:p".into()));
        assert_eq!(ask(&view, &read, plain, asked(None, r)).1, "rule:r");
        assert_eq!(ask(&view, &write, plain, asked(None, r)), (Target::Primary, "write".into()));
        assert_eq!(ask(&view, &read, plain, asked(None, n)), (replica(2), "rule:n".into()));
        assert_eq!(ask(&view, &write, plain, asked(None, n)), (Target::Primary, "write".into()));
        assert_eq!(ask(&view, &read, plain, asked(None, first)), (Target::Primary, "rule:first".into()));
        assert_eq!(ask(&view, &read, plain, asked(Some(Aim::Primary), r)), (Target::Primary, "hint".into()));
        assert_eq!(ask(&view, &read, plain, asked(Some(Aim::Replica), p)).1, "hint");
        assert_eq!(
            ask(&view, &write, plain, asked(Some(Aim::Replica), None)),
            (Target::Primary, "write".into())
        );
        let unreadable = SessionView { unreadable: true, ..plain };
        assert_eq!(ask(&view, &read, unreadable, asked(Some(Aim::Replica), None)).1, "unparsed");
        let serializable = SessionView { serializable: true, ..plain };
        assert_eq!(ask(&view, &read, serializable, asked(None, n)).1, "serializable");
        let open = SessionView { in_transaction: true, ..plain };
        assert_eq!(
            ask(&view, &read, open, asked(Some(Aim::Primary), r)),
            (Target::Held, "transaction".into())
        );
        // A node without weight takes what names it, and a rule may allow another lag than the rest.
        view.nodes[2].weight = 0;
        assert_eq!(ask(&view, &read, plain, asked(None, n)).0, replica(2));
        assert_eq!(ask(&view, &read, plain, asked(None, r)).0, replica(1));
        view.nodes[1].lag = std::time::Duration::from_secs(2);
        assert_eq!(ask(&view, &read, plain, asked(None, r)), (Target::Primary, "no-replica".into()));
        view.nodes[2].within_max_lag = false;
        assert_eq!(ask(&view, &read, plain, asked(None, n)), (Target::Primary, "no-replica".into()));
    }
}
