//! One rule, made ready for matching.

use std::sync::Arc;
use std::time::Duration;

use pgsplit_config as config;
use pgsplit_config::{ConsistencyLevel, RuleMode, Sticky};
use pgsplit_sql::scan;

use super::aim::Aim;
use super::counters::Counters;
use super::pattern::{NamePattern, Network, Pattern};
use super::people::{PARTS, SessionCondition};
use super::text::TextCondition;
use super::web::RoutePattern;
use super::words::WordCondition;

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// Why it is there.
    pub why: Option<Box<str>>,
    /// Where it sends what it matches; `None` leaves that to the rest of the decision.
    pub aim: Option<Aim>,
    /// Instead of `consistency.level`.
    pub consistency: Option<ConsistencyLevel>,
    /// Instead of `consistency.max_lag`.
    pub max_lag: Option<Duration>,
    /// Instead of `timeouts.query`.
    pub timeout: Option<Duration>,
    /// It changes nothing.
    pub shadow: bool,
    /// What became of what it matched.
    pub counters: Arc<Counters>,
    pub(crate) text: Vec<TextCondition>,
    pub(crate) words: Vec<WordCondition>,
    pub(crate) session: Vec<SessionCondition>,
}

impl Rule {
    pub(crate) fn new(rule: &config::Rule, nodes: &[&str], counters: Arc<Counters>) -> Self {
        let of = &rule.matching;
        Self {
            name: rule.name.as_str().into(),
            why: rule.why.as_deref().map(Into::into),
            aim: rule.target.as_ref().map(|target| Aim::new(target, nodes)),
            consistency: rule.consistency,
            max_lag: rule.max_lag,
            timeout: rule.timeout,
            shadow: rule.mode == RuleMode::Shadow,
            counters,
            text: text(rule),
            words: words(of),
            session: session(rule),
        }
    }
}

impl Rule {
    /// The tables that its conditions name in full, with their schemas where those are given.
    pub fn tables(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.text
            .iter()
            .filter_map(|condition| match condition {
                TextCondition::Tables(names) | TextCondition::OnlyTables(names) => Some(names),
                _ => None,
            })
            .flatten()
            .filter_map(NamePattern::plain)
    }

    /// The functions that its conditions name in full.
    pub fn functions(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        self.text
            .iter()
            .filter_map(|condition| match condition {
                TextCondition::Functions(names) => Some(names),
                _ => None,
            })
            .flatten()
            .filter_map(NamePattern::plain)
    }
}

fn patterns(list: &[String]) -> Vec<Pattern> {
    list.iter().map(|text| Pattern::new(text)).collect()
}

fn text(rule: &config::Rule) -> Vec<TextCondition> {
    let of = &rule.matching;
    let names = |list: &[String]| list.iter().map(|text| NamePattern::new(text)).collect::<Vec<_>>();
    let upper = |list: &[String]| list.iter().map(|text| Pattern::new(&text.to_ascii_uppercase())).collect();
    let hexadecimal = |text: &String| u64::from_str_radix(text, 16).ok();
    let conditions = [
        (!of.tables.is_empty()).then(|| TextCondition::Tables(names(&of.tables))),
        (!of.only_tables.is_empty()).then(|| TextCondition::OnlyTables(names(&of.only_tables))),
        (!of.functions.is_empty()).then(|| TextCondition::Functions(names(&of.functions))),
        (!of.commands.is_empty()).then(|| TextCondition::Commands(upper(&of.commands))),
        (!of.fingerprint.is_empty())
            .then(|| TextCondition::Fingerprint(of.fingerprint.iter().filter_map(hexadecimal).collect())),
        (!of.same_as.is_empty())
            .then(|| TextCondition::SameAs(of.same_as.iter().map(|sql| fingerprint(sql)).collect())),
        share(rule, Sticky::Statement).map(|(parts, salt)| TextCondition::Percent(parts, salt)),
    ];
    conditions.into_iter().flatten().collect()
}

/// The fingerprint of a text, as facts have it.
#[must_use]
pub fn fingerprint(sql: &str) -> u64 {
    let text = scan::around(sql.as_bytes()).text;
    let mut canonical = Vec::new();
    match scan::normalise(text, &mut canonical) {
        scan::Form::Broken => scan::fingerprint(text),
        _ => scan::fingerprint(&canonical),
    }
}

fn words(of: &config::Match) -> Vec<WordCondition> {
    let routes = || of.route.iter().map(|text| RoutePattern::new(text)).collect();
    let route = (!of.route.is_empty()).then(|| WordCondition::Route(routes()));
    let hint = (!of.hint.is_empty()).then(|| WordCondition::Hint(patterns(&of.hint)));
    let tags =
        of.tags.iter().map(|(name, values)| WordCondition::Tag(name.as_str().into(), patterns(values)));
    route.into_iter().chain(tags).chain(hint).collect()
}

/// Of the parts that there are, those that the rule takes, and what keeps its parts apart from other rules'.
fn share(rule: &config::Rule, of: Sticky) -> Option<(u64, u64)> {
    // Validated: above 0 and at most 100.
    let parts = (rule.percent / 100.0 * PARTS as f64).round() as u64;
    (parts < PARTS && rule.sticky == of).then(|| (parts, scan::fingerprint(rule.name.as_bytes())))
}

fn session(rule: &config::Rule) -> Vec<SessionCondition> {
    let of = &rule.matching;
    let networks = || of.client.iter().filter_map(|text| Network::new(text)).collect();
    let conditions = [
        (!of.user.is_empty()).then(|| SessionCondition::User(patterns(&of.user))),
        (!of.database.is_empty()).then(|| SessionCondition::Database(patterns(&of.database))),
        (!of.application_name.is_empty())
            .then(|| SessionCondition::ApplicationName(patterns(&of.application_name))),
        (!of.client.is_empty()).then(|| SessionCondition::Client(networks())),
        share(rule, Sticky::Session).map(|(parts, salt)| SessionCondition::Percent(parts, salt)),
    ];
    conditions.into_iter().flatten().collect()
}
