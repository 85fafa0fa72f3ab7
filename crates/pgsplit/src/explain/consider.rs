//! The decision on a question, and everything that led to it: what `explain`, the tests of a configuration and the
//! console's EXPLAIN ROUTE share.

use std::sync::Arc;

use pgsplit_config::{Config, Reads, RoutingMode};
use pgsplit_route::rules::{SearchPath, TellOf, Words};
use pgsplit_route::{Aim, Asked, Decision, Excluded, Rules, SessionView, View, decide};
use pgsplit_sql::tags::Tags;
use pgsplit_sql::{Analyzer, Catalog, Facts, scan};

use super::question::Question;

/// One text is analysed a few times.
const CACHE: usize = 64 << 10;

/// What decisions depend on besides the statement.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) rules: Arc<Rules>,
    pub(crate) view: Arc<View>,
    pub(crate) hints: bool,
    pub(crate) reads_on_primary: bool,
    pub(crate) shadow: bool,
}

impl Ground {
    /// As configured.
    pub(crate) fn new(config: Option<&Config>, rules: Arc<Rules>, view: Arc<View>) -> Self {
        let routing = config.map(|config| &config.routing);
        Self {
            rules,
            view,
            hints: routing.is_none_or(|routing| routing.hints),
            reads_on_primary: routing.is_some_and(|routing| routing.reads != Reads::Replica),
            shadow: routing.is_some_and(|routing| routing.mode == RoutingMode::Shadow),
        }
    }
}

/// What came of a rule.
#[derive(Debug, Clone)]
pub(crate) struct RuleTold {
    pub(crate) name: Arc<str>,
    pub(crate) why: Option<String>,
    pub(crate) outcome: TellOf,
}

/// A decision and what led to it.
#[derive(Debug, Clone)]
pub(crate) struct Considered {
    pub(crate) decision: Decision,
    /// The nodes that it may go to.
    pub(crate) aim: Option<Aim>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) rules: Vec<RuleTold>,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) hint: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    /// What the statement is cached under.
    pub(crate) canonical: String,
}

/// Considers a statement in the light of a catalog.
pub(crate) fn consider(question: &Question, ground: &Ground, catalog: &Arc<Catalog>) -> Considered {
    let analyzer = Analyzer::new(CACHE);
    analyzer.set_marker(ground.rules.clone());
    let facts = analyzer.facts(question.sql.as_bytes(), catalog);
    let (tags, comment) = question.all_tags();
    let hint = question.hint().filter(|_| ground.hints);
    let words = Words { hint, tags: Tags::parse(&comment) };
    let (speaker, rules) = (question.speaker(), &ground.rules);
    let path = SearchPath::new(question.search_path.as_deref(), &question.user);
    let found =
        rules.find(&facts, catalog, rules.of_session(&speaker), rules.of_words(words), || path.clone());
    let rule = found.rule.and_then(|id| rules.get(id));
    let aim = hint.and_then(|word| Aim::of_word(word, &ground.view));
    let asked = Asked { hint: aim, rule, reads_on_primary: ground.reads_on_primary, level: None };
    let decision =
        decide(&facts.verdict, SessionView::default(), asked, &ground.view, Excluded::default(), 0);
    let told = rules.tell(&facts, catalog, &speaker, words, &path);
    let told = told.into_iter().map(|told| RuleTold {
        name: told.rule.name.clone(),
        why: told.rule.why.as_deref().map(str::to_owned),
        outcome: told.outcome,
    });
    let mut canonical = Vec::new();
    let text = scan::around(question.sql.as_bytes()).text;
    let form = scan::normalise(text, &mut canonical);
    let canonical = if form == scan::Form::Broken { text } else { &canonical };
    Considered {
        decision,
        aim: aim.or_else(|| rule.and_then(|rule| rule.aim)),
        rules: told.collect(),
        rule: rule.map(|rule| rule.name.clone()),
        hint: hint.map(str::to_owned),
        tags,
        canonical: String::from_utf8_lossy(canonical).into_owned(),
        facts,
    }
}
