//! The decision on a question, and everything that led to it: what `explain`, the tests of a configuration and the
//! console's EXPLAIN ROUTE share.

use std::sync::Arc;

use pgsplit_config::{Config, Reads, RoutingMode};
use pgsplit_route::rules::{Rule, SearchPath, Speaker, TellOf, Words};
use pgsplit_route::{Aim, Asked, Decision, Excluded, Level, Rules, SessionView, View, Wanted, decide};
use pgsplit_session::{Refusal, Shared};
use pgsplit_sql::tags::Tags;
use pgsplit_sql::{Analyzer, Catalog, Facts, scan};

use super::question::Question;

/// One text is analysed a few times.
const CACHE: usize = 64 << 10;

/// What holds at the moment in a running proxy, whatever is configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// Reads leave the primary because it is busy.
    pub(crate) spilled: bool,
    /// What replicas have refused.
    pub(crate) refusals: Arc<[Arc<Refusal>]>,
}

impl Moment {
    /// Of a running proxy.
    pub(crate) fn of(shared: &Shared) -> Self {
        Self { spilled: shared.is_spilled(), refusals: shared.refusals.all().into() }
    }

    /// Whether a replica has refused this statement lately; to anyone, where nobody is named.
    fn refused(&self, facts: &Facts, speaker: &Speaker<'_>) -> bool {
        let same = |refusal: &Arc<Refusal>| {
            let who = &refusal.who;
            *who.database == *speaker.database.as_bytes()
                && (speaker.user.is_empty() || *who.user == *speaker.user.as_bytes())
                && refusal.facts.statement() == facts.statement()
        };
        self.refusals.iter().any(same)
    }
}

/// What decisions depend on besides the statement.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) rules: Arc<Rules>,
    pub(crate) view: Arc<View>,
    pub(crate) hints: bool,
    pub(crate) reads_on_primary: bool,
    /// `routing.reads = "spill"`, and the primary is busy.
    pub(crate) spilled: bool,
    pub(crate) shadow: bool,
    level: Level,
    /// Other processes serve the same clients: what they write is only seen by a strict read.
    has_peers: bool,
    moment: Moment,
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
            spilled: false,
            shadow: routing.is_some_and(|routing| routing.mode == RoutingMode::Shadow),
            level: config.map_or(Level::Causal, |config| config.consistency.level.into()),
            has_peers: config.is_some_and(|config| !config.peers.is_empty()),
            moment: Moment::default(),
        }
    }

    /// As configured, at this moment.
    pub(crate) fn now(config: &Config, rules: Arc<Rules>, view: Arc<View>, moment: Moment) -> Self {
        let as_configured = Self::new(Some(config), rules, view);
        let spilled = config.routing.reads == Reads::Spill && moment.spilled;
        Self {
            reads_on_primary: as_configured.reads_on_primary && !spilled,
            spilled,
            moment,
            ..as_configured
        }
    }

    /// What a read must see, and who says so.
    fn level(&self, rule: Option<&Rule>) -> (Level, String) {
        let of_rule = rule.and_then(|rule| Some((rule.consistency?.into(), format!("rule {}", rule.name))));
        let (level, who) = of_rule.unwrap_or((self.level, "consistency.level".to_owned()));
        match level {
            Level::Causal if self.has_peers => (Level::Strict, "causal, and there are peers".to_owned()),
            _ => (level, who),
        }
    }

    /// What a hint asks for.
    pub(crate) fn aim(&self, hint: Option<&str>) -> Option<Aim> {
        hint.filter(|_| self.hints).and_then(|word| Aim::of_word(word, &self.view))
    }

    /// The decision on a statement, and the rule that it meets.
    pub(crate) fn decide(
        &self,
        facts: &Facts,
        catalog: &Catalog,
        speaker: &Speaker<'_>,
        words: Words<'_>,
        path: &SearchPath,
    ) -> (Decision, Option<&Rule>) {
        let words = Words { hint: words.hint.filter(|_| self.hints), ..words };
        let rules = &self.rules;
        let (of_session, of_words) = (rules.of_session(speaker), rules.of_words(&words));
        let found = rules.find(facts, catalog, of_session, of_words, || Arc::new(path.clone()));
        let rule = found.rule.and_then(|id| rules.get(id));
        let hint = self.aim(words.hint);
        let refused = self.moment.refused(facts, speaker);
        let asked =
            Asked { hint, rule, reads_on_primary: self.reads_on_primary, refused, ..Asked::default() };
        let (session, wanted) = (SessionView::default(), Wanted::NOTHING);
        (decide(&facts.verdict, session, asked, &self.view, &wanted, Excluded::NONE, 0), rule)
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
    /// What it must see if it is a read, and who says so.
    pub(crate) level: (Level, String),
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
    let (decision, rule) = ground.decide(&facts, catalog, &speaker, words, &path);
    let aim = ground.aim(hint);
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
        level: ground.level(rule),
        hint: hint.map(str::to_owned),
        tags,
        canonical: String::from_utf8_lossy(canonical).into_owned(),
        facts,
    }
}
