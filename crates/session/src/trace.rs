//! What is told of decisions in the session itself: `pgsplit.trace` and `SHOW pgsplit.last`.

use pgsplit_route::{Decision, NodeId, RuleId, Target, View};
use pgsplit_wire::{PgError, Severity};

use crate::session::Session;
use crate::turn::Attempt;

/// A decision that was carried out.
#[derive(Debug)]
pub(crate) struct Last {
    pub node: NodeId,
    pub decision: Decision,
    /// The rule that matched, also where it did not decide, and of which rules.
    pub rule: Option<RuleId>,
    pub generation: u64,
}

impl Session {
    /// Remembers a decision, and says it if the session has asked for that.
    pub(crate) fn note_decision(&mut self, attempt: &Attempt, decision: Decision) {
        self.begun = None;
        if attempt.ask.prepares {
            self.begun = Some(Box::new(decision));
            return;
        }
        let Some(link) = &self.link else { return };
        self.last = Some(Last {
            node: link.server.node,
            decision,
            rule: attempt.ask.found.rule,
            generation: self.settings.rules.generation(),
        });
        self.notice =
            self.state.settings.own.now().trace.then(|| format!("pgsplit: {}", self.last_decision()).into());
    }

    /// What goes on after a Flush: if only preparations came before it, what it executes is where they went.
    pub(crate) fn note_execution(&mut self, attempt: &Attempt) {
        if !attempt.ask.prepares
            && let Some(decision) = self.begun.take()
        {
            self.count_rules(attempt, &decision);
            self.note_decision(attempt, *decision);
        }
    }

    /// The last statement's decision in words.
    pub(crate) fn last_decision(&self) -> String {
        let Some(last) = &self.last else { return String::new() };
        let view = self.shared.view.load();
        let node = view.node(last.node).map_or("unknown", |node| &*node.name);
        let side = Self::side(&view, last.decision.target, last.node);
        let rules = &self.settings.rules;
        let rule = last.rule.filter(|_| rules.generation() == last.generation).and_then(|id| rules.get(id));
        let rule = rule.map(|rule| format!(" rule={}", rule.name)).unwrap_or_default();
        format!("node={node} target={side} reason={}{rule}", last.decision.reason)
    }

    /// What the node was that a unit of this target ran on.
    pub(crate) fn side(view: &View, target: Target, node: NodeId) -> &'static str {
        match target {
            Target::Replica(_) => "replica",
            Target::Held if view.primary != Some(node) => "replica",
            _ => "primary",
        }
    }

    /// Says what `pgsplit.trace` asks for, before the end of the answer.
    pub(crate) fn say_trace(&mut self) {
        if let Some(text) = self.notice.take() {
            PgError::notice(Severity::Notice, *b"00000", text).encode(&mut self.outbox);
        }
    }
}
