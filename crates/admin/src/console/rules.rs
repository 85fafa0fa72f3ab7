//! The rules, and what became of the statements that they matched.

use std::time::{Instant, SystemTime};

use pgsplit_route::rules::Figures;
use pgsplit_route::{Latency, Reason};

use super::Console;
use super::operations::RuleLine;
use super::statements::time;
use super::table::{Column, Kind, Value};

pub(super) const RULES: &[Column] = &[
    ("position", Kind::Int),
    ("rule", Kind::Text),
    ("mode", Kind::Text),
    ("target", Kind::Text),
    ("match", Kind::Text),
    ("hits", Kind::Int),
    ("primary", Kind::Int),
    ("replica", Kind::Int),
    ("kept", Kind::Int),
    ("kept_why", Kind::Text),
    ("errors", Kind::Int),
    ("primary_p50_ms", Kind::Real),
    ("primary_p99_ms", Kind::Real),
    ("replica_p50_ms", Kind::Real),
    ("replica_p99_ms", Kind::Real),
    ("last_hit", Kind::Time),
    ("shadow_primary", Kind::Int),
    ("shadow_replica", Kind::Int),
    ("shadow_stale", Kind::Int),
];

pub(super) fn rules(console: &Console) -> Vec<Vec<Value>> {
    let settings = console.sources.shared.settings.load();
    let figures = |name: &str| {
        let rule = settings.rules.iter().find(|rule| *rule.name == *name);
        rule.map(|rule| rule.counters.figures()).unwrap_or_default()
    };
    let rules = console.operations.rules().into_iter().enumerate();
    rules.map(|(at, rule)| row(at + 1, figures(&rule.name), rule)).collect()
}

fn row(position: usize, figures: Figures, rule: RuleLine) -> Vec<Value> {
    let [primary, replica] = figures.targets;
    let [shadow_primary, shadow_replica] = figures.shadow;
    let percentile = |times: &Latency<u64>, share| time(times.quantile(share));
    let [on_primary, on_replica] = &figures.times;
    vec![
        position.into(),
        rule.name.into(),
        rule.mode.into(),
        rule.target.into(),
        rule.matching.into(),
        figures.hits().into(),
        primary.into(),
        replica.into(),
        figures.kept.iter().sum::<u64>().into(),
        kept(&figures).into(),
        figures.errors.into(),
        percentile(on_primary, 0.5),
        percentile(on_primary, 0.99),
        percentile(on_replica, 0.5),
        percentile(on_replica, 0.99),
        figures.last.map(wall).into(),
        shadow_primary.into(),
        shadow_replica.into(),
        figures.stale.into(),
    ]
}

/// `write 12, no-replica 3`: the most frequent reason first.
fn kept(figures: &Figures) -> Option<String> {
    let counts = Reason::NAMES.iter().zip(&figures.kept).filter(|(_, count)| **count > 0);
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let told: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The time of day of a moment that has passed.
pub(crate) fn wall(at: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(at.elapsed()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_rule_did_not_get_its_way() {
        let mut figures = Figures::default();
        assert_eq!(kept(&figures), None);
        figures.kept[Reason::NoReplica.index()] = 3;
        figures.kept[Reason::Transaction.index()] = 12;
        assert_eq!(kept(&figures).as_deref(), Some("transaction 12, no-replica 3"));
    }
}
