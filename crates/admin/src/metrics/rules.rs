//! What became of the statements that rules matched. The names of rules are bounded: there are 256 at most.

use std::fmt::Error;
use std::sync::Arc;
use std::time::SystemTime;

use pgsplit_route::rules::Figures;
use pgsplit_route::{Reason, Target};
use pgsplit_session::Shared;
use prometheus_client::encoding::EncodeLabelSet;

use crate::console::wall;
use crate::page::{Page, family};

#[derive(Debug, EncodeLabelSet)]
struct RuleLabels {
    rule: Arc<str>,
}

#[derive(Debug, EncodeLabelSet)]
struct RuleTargetLabels {
    rule: Arc<str>,
    target: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct RuleReasonLabels {
    rule: Arc<str>,
    reason: &'static str,
}

/// The families of rules; none where there are no rules.
pub(crate) fn write(page: &mut Page<'_>, shared: &Shared) -> Result<(), Error> {
    let settings = shared.settings.load();
    let rules: Vec<_> =
        settings.rules.iter().map(|rule| (rule.name.clone(), rule.counters.figures())).collect();
    if rules.is_empty() {
        return Ok(());
    }
    let by_target = |figures: fn(&Figures) -> &[u64; Target::NAMES.len()]| {
        rules.iter().flat_map(move |(rule, sums)| {
            let targets = Target::NAMES.into_iter().zip(figures(sums));
            targets.map(|(target, count)| (RuleTargetLabels { rule: rule.clone(), target }, *count))
        })
    };
    page.counters(
        family("rule_hits", "Statements that a rule matched, by where they went"),
        by_target(|figures| &figures.targets),
    )?;
    page.counters(
        family("rule_shadow", "Statements that a rule in shadow mode matched, by where it would send them"),
        by_target(|figures| &figures.shadow),
    )?;
    let kept = rules.iter().flat_map(|(rule, figures)| {
        let reasons = Reason::NAMES.into_iter().zip(&figures.kept);
        reasons.map(|(reason, count)| (RuleReasonLabels { rule: rule.clone(), reason }, *count))
    });
    page.counters(
        family(
            "rule_kept",
            "Statements that a rule would send to a replica and that did not go there, by reason",
        ),
        kept,
    )?;
    let errors = rules.iter().map(|(rule, figures)| (RuleLabels { rule: rule.clone() }, figures.errors));
    page.counters(
        family("rule_errors", "Statements that a rule matched and that ended with an error"),
        errors,
    )?;
    let stale = rules.iter().map(|(rule, figures)| (RuleLabels { rule: rule.clone() }, figures.stale));
    page.counters(
        family(
            "rule_shadow_stale",
            "Reads that a rule in shadow mode matched and that would have missed something on a replica that did not wait",
        ),
        stale,
    )?;
    let times = rules.iter().flat_map(|(rule, figures)| {
        let targets = Target::NAMES.into_iter().zip(&figures.times);
        targets.map(|(target, times)| (RuleTargetLabels { rule: rule.clone(), target }, times))
    });
    page.latencies(
        family("rule_duration", "Time of statements that a rule matched, by where they ran"),
        times,
    )?;
    let last = rules.iter().map(|(rule, figures)| {
        let since = figures.last.and_then(|last| wall(last).duration_since(SystemTime::UNIX_EPOCH).ok());
        (RuleLabels { rule: rule.clone() }, since.unwrap_or_default().as_secs_f64())
    });
    page.gauges(
        family("rule_last_hit_timestamp", "When a statement that a rule matched last ended; 0: never")
            .seconds(),
        last,
    )
}
