//! What is counted of a unit: for the rules that it met, and on the thread's sheet of statements.

use std::sync::Arc;
use std::time::Duration;

use pgsplit_route::rules::{Ended, Found, Rule};
use pgsplit_route::{Aim, Among, Decision, Excluded, Reason, Target, Wanted, pick};
use pgsplit_sql::tags::Tags;

use crate::ask::{Ask, address};
use crate::metrics::Metrics;
use crate::session::Session;
use crate::slow::Course;
use crate::statistics::{Caller, Ran};
use crate::turn::Attempt;

impl Session {
    /// Notes what the unit came to on the thread's sheet, and in the log if it was slow.
    pub(crate) fn note(&mut self, decision: &Decision, course: &Course) {
        self.note_slow(decision, course);
        let replica = matches!(decision.target, Target::Replica(_));
        let (failed, rows) = (std::mem::take(&mut self.tally.failed), std::mem::take(&mut self.tally.rows));
        if failed {
            Metrics::count(&self.shared.metrics.failed);
        }
        let Some(first) = self.tally.first.take() else { return };
        let more = self.tally.take_more();
        let mut ran = Ran {
            facts: &first,
            database: &self.database,
            decision,
            replica,
            began: course.began,
            took: course.took,
            failed,
            rows,
            pinned: course.pinned,
            tags: self.tally.tags(),
            caller: &|| self.caller(),
        };
        self.recorder.note(&ran);
        // What a batch came to as a whole is its first statement's.
        (ran.failed, ran.rows, ran.pinned, ran.tags) = (false, 0, false, b"");
        for facts in more {
            self.recorder.note(&Ran { facts: &facts, ..ran });
        }
    }

    /// Who has called what runs now, for the statistics.
    pub(crate) fn caller(&self) -> Caller {
        let text = |bytes: &[u8]| Box::from(String::from_utf8_lossy(bytes));
        let current = self.state.settings.current();
        let own = || self.state.settings.own.now().target.as_deref();
        Caller {
            user: text(&self.users.key.user),
            application_name: current.get(b"application_name").map(text).unwrap_or_default(),
            client: address(self.handle.peer),
            search_path: self.search_path_setting().map(String::into_boxed_str),
            hint: self.tally.hint().or_else(own).map(Into::into),
            tags: Tags::parse(self.tally.tags()).map(Caller::lasting).unwrap_or_default(),
        }
    }

    /// Counts how the unit has ended for the rules that it met.
    pub(crate) fn count_end(&self, ask: Ask, ended: Ended) {
        if ask.prepares {
            return;
        }
        let met = [ask.found.rule, ask.found.shadow];
        for rule in met.into_iter().flatten().filter_map(|id| self.settings.rules.get(id)) {
            rule.counters.ended(ended);
        }
    }

    /// Whether a read that stays on the primary would have missed something, had it gone to a replica without waiting:
    /// one of those that `aim` allows, taken at random.
    pub(crate) fn would_be_stale(&mut self, attempt: &Attempt, aim: Aim, max_lag: Option<Duration>) -> bool {
        let wanted: Wanted = self.needs(attempt.reads);
        let random = self.random();
        let view = self.shared.view.load();
        let among = Among { aim, excluded: Excluded::NONE, max_lag };
        let node = pick(&view, among, &Wanted::NOTHING, random).and_then(|node| view.node(node));
        node.is_some_and(|node| !wanted.is_met_by(node))
    }

    /// Counts what became of the unit for the rules that it met.
    pub(crate) fn count_rules(&mut self, attempt: &Attempt, decision: &Decision) {
        if attempt.ask.prepares {
            return;
        }
        let Found { rule, shadow } = attempt.ask.found;
        if rule.is_none() && shadow.is_none() {
            return;
        }
        let settings = Arc::clone(&self.settings);
        let get = |id| settings.rules.get(id);
        let for_replicas = |rule: &Rule| rule.aim.is_some_and(|aim| aim != Aim::Primary);
        if let Some(rule) = rule.and_then(get) {
            let kept = for_replicas(rule)
                && !matches!(decision.reason, Reason::Rule(_))
                && !matches!(decision.target, Target::Replica(_));
            rule.counters.hit(decision.target, kept.then_some(&decision.reason));
        }
        if let Some(rule) = shadow.and_then(get) {
            let is_read = attempt.verdict == pgsplit_sql::Verdict::Read && decision.target != Target::Held;
            let target = match rule.aim {
                Some(Aim::Primary) => 0,
                Some(_) => usize::from(is_read),
                None => decision.target.index(),
            };
            rule.counters.shadow(target);
            if let Some(aim) = rule.aim.filter(|_| target > 0)
                && self.would_be_stale(attempt, aim, rule.max_lag)
            {
                rule.counters.stale();
            }
        }
    }

    /// With `routing.mode = "shadow"`: counts where the unit would have gone.
    pub(crate) fn count_shadow(&mut self, attempt: &Attempt, decision: &Decision) {
        self.shared.metrics.traffic.would_have(decision);
        if !matches!(decision.target, Target::Replica(_)) && decision.reason != Reason::Consistency {
            return;
        }
        let rule = attempt.ask.rule(&self.settings);
        let (aim, max_lag) = (rule.and_then(|rule| rule.aim), rule.and_then(|rule| rule.max_lag));
        let aim = attempt.ask.hint.or(aim).unwrap_or(Aim::Replica);
        if self.would_be_stale(attempt, aim, max_lag) {
            Metrics::count(&self.shared.metrics.shadow_stale);
        }
    }
}
