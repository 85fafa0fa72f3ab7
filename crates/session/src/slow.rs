//! `log.slow`: a line in the log for each unit of the client's messages that took longer.

use std::time::{Duration, Instant};

use pgsplit_route::{Decision, NodeId, RuleId};

use crate::session::Session;

/// How a unit was carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub began: Instant,
    pub took: Duration,
    /// Whose connection it had.
    pub node: Option<NodeId>,
    /// The rule that matched, also where it did not decide.
    pub rule: Option<RuleId>,
    /// It has tied its session to the connection.
    pub pinned: bool,
}

impl Session {
    /// Logs a unit that has taken longer than `log.slow`. What was sent as a literal is never logged, nor are parameters.
    pub(crate) fn note_slow(&self, decision: &Decision, course: &Course) {
        if self.settings.slow.is_some_and(|slow| course.took > slow) {
            self.log_slow(decision, course);
        }
    }

    #[cold]
    fn log_slow(&self, decision: &Decision, course: &Course) {
        let view = self.shared.view.load();
        let facts = self.tally.first.as_deref();
        let statement =
            facts.map_or_else(|| "(a call by number, or nothing executed)".into(), |facts| facts.text());
        let text = String::from_utf8_lossy;
        let tags = text(self.tally.tags());
        let fingerprint = facts.map(|facts| format!("{:016x}", facts.fingerprint));
        tracing::warn!(
            target: "pgsplit::slow",
            duration_ms = milliseconds(course.took),
            wait_ms = milliseconds(self.tally.waited()),
            node = course.node.and_then(|node| view.node(node)).map(|node| &*node.name),
            side = course.node.map(|node| Self::side(&view, decision.target, node)),
            reason = decision.reason.to_string(),
            rule = course.rule.and_then(|id| self.settings.rules.get(id)).map(|rule| &*rule.name),
            user = &*text(&self.users.key.user),
            database = &*text(&self.users.key.database),
            fingerprint = fingerprint.as_deref(),
            tags = Some(&*tags).filter(|tags| !tags.is_empty()),
            failed = self.tally.failed,
            statement = &*statement,
            "slow statement"
        );
    }
}

/// In thousandths of them.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
