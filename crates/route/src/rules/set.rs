//! All rules, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pgsplit_config as config;
use pgsplit_sql::facts::Noted;
use pgsplit_sql::{Catalog, Facts, Marker};

use super::counters::Counters;
use super::mask::{MOST_RULES, Mask, depend, hold};
use super::path::SearchPath;
use super::people::{SessionCondition, Speaker};
use super::rule::Rule;
use super::text::{Holds, Text};
use super::words::{WordCondition, Words, kept};

/// A rule's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// The rules of one configuration.
#[derive(Debug)]
pub struct Rules {
    generation: u64,
    rules: Box<[Rule]>,
    /// Of rules that were there once, by name: one that comes back goes on counting.
    gone: Box<[(Arc<str>, Arc<Counters>)]>,
    /// Those that change nothing.
    shadow: Mask,
    /// Those that ask neither for tags nor for a hint.
    wordless: Mask,
    /// The tags that any of them asks for.
    tags: Box<[Box<str>]>,
    asks_for_words: bool,
    asks_for_application: bool,
}

/// The rules that a statement meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found {
    /// The first that decides.
    pub rule: Option<RuleId>,
    /// Those before it that would have decided, were they not in shadow mode. Only the first of them counts.
    pub shadow: Option<RuleId>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(&[], &[], None)
    }
}

impl Rules {
    /// Makes rules ready. `nodes` are the names of the configured nodes, in order; a rule that was there `before`, or before
    /// that, goes on counting. Rules beyond [`MOST_RULES`] are left out; the configuration's checks refuse them.
    #[must_use]
    pub fn new(rules: &[config::Rule], nodes: &[&str], before: Option<&Self>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut gone: Vec<_> = before.into_iter().flat_map(Self::counted).collect();
        let mut counters = |name: &str| {
            let same = gone.iter().position(|(known, _)| **known == *name);
            same.map(|at| gone.remove(at).1).unwrap_or_default()
        };
        let ready = |rule: &config::Rule| Rule::new(rule, nodes, counters(&rule.name));
        let rules: Box<[Rule]> = rules.iter().take(MOST_RULES).map(ready).collect();
        gone.truncate(MOST_RULES);
        let mask = |holds: fn(&Rule) -> bool| {
            let mut mask = Mask::NONE;
            rules.iter().enumerate().filter(|(_, rule)| holds(rule)).for_each(|(at, _)| mask.add(at));
            mask
        };
        let conditions = || rules.iter().flat_map(|rule| &rule.words);
        let mut tags: Vec<Box<str>> = conditions().flat_map(|condition| condition.asks_for()).collect();
        tags.sort_unstable();
        tags.dedup();
        let asks_for_application = rules
            .iter()
            .flat_map(|rule| &rule.session)
            .any(|condition| matches!(condition, SessionCondition::ApplicationName(_)));
        Self {
            generation: NEXT.fetch_add(1, Ordering::Relaxed),
            shadow: mask(|rule| rule.shadow),
            wordless: mask(|rule| rule.words.is_empty()),
            asks_for_words: conditions().next().is_some(),
            tags: tags.into(),
            asks_for_application,
            gone: gone.into(),
            rules,
        }
    }

    /// The counters of all rules that are or were there, by name.
    fn counted(&self) -> impl Iterator<Item = (Arc<str>, Arc<Counters>)> {
        let present = self.rules.iter().map(|rule| (rule.name.clone(), rule.counters.clone()));
        present.chain(self.gone.iter().cloned())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Tells this set from all others.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule at a place.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0))
    }

    /// Whether a rule asks for a hint of this word.
    #[must_use]
    pub fn knows_hint(&self, word: &str) -> bool {
        let words = Words { hint: Some(word), tags: None };
        let hint = |condition: &WordCondition| matches!(condition, WordCondition::Hint(_));
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.words);
        conditions.any(|condition| hint(condition) && condition.check(&words))
    }

    /// Whether any rule asks for the application_name, which may change during a session.
    #[must_use]
    pub fn asks_for_application(&self) -> bool {
        self.asks_for_application
    }

    /// The shares of the sessions that rules take, in 10,000 parts.
    pub fn shares(&self) -> impl Iterator<Item = u64> {
        self.rules.iter().flat_map(|rule| &rule.session).filter_map(|condition| match condition {
            SessionCondition::Percent(parts, _) => Some(*parts),
            _ => None,
        })
    }

    /// The rules whose conditions on the session hold.
    #[must_use]
    pub fn of_session(&self, speaker: &Speaker<'_>) -> Mask {
        let mut mask = Mask::NONE;
        for (at, rule) in self.rules.iter().enumerate() {
            if rule.session.iter().all(|condition| condition.check(speaker)) {
                mask.add(at);
            }
        }
        mask
    }

    /// The rules whose conditions on tags and hints hold.
    #[must_use]
    pub fn of_words(&self, words: &Words<'_>) -> Mask {
        if !self.asks_for_words || words.hint.is_none() && words.tags.is_none() {
            return self.wordless;
        }
        kept(self.generation, &self.tags, words, || {
            let mut mask = self.wordless;
            for (at, rule) in self.rules.iter().enumerate() {
                if rule.words.iter().all(|condition| condition.check(words)) {
                    mask.add(at);
                }
            }
            mask
        })
    }

    /// The first rule that holds. `noted` is of the text, the sets are what [`Rules::of_session`] and
    /// [`Rules::of_words`] have answered, and `path` is asked only where a name could mean several relations.
    pub fn find(
        &self,
        facts: &Facts,
        catalog: &Catalog,
        session: Mask,
        words: Mask,
        path: impl FnOnce() -> Arc<SearchPath>,
    ) -> Found {
        let noted =
            if facts.noted.generation == self.generation { facts.noted } else { self.mark(facts, catalog) };
        let meeting = hold(&noted).and(session).and(words);
        let mut found = Found::default();
        if meeting.is_empty() {
            return found;
        }
        let doubtful = depend(&noted);
        let (mut ask, mut known) = (Some(path), None::<Arc<SearchPath>>);
        for at in meeting.iter() {
            if doubtful.has(at) {
                let path = &**known.get_or_insert_with(|| ask.take().map(|ask| ask()).unwrap_or_default());
                let text = Text { facts, catalog, path: Some(path) };
                if self.rules.get(at).is_none_or(|rule| holds(rule, text) != Holds::Yes) {
                    continue;
                }
            }
            let id = u16::try_from(at).ok().map(RuleId);
            if !self.shadow.has(at) {
                found.rule = id;
                return found;
            }
            found.shadow = found.shadow.or(id);
        }
        found
    }
}

/// Whether all of a rule's conditions on the text hold.
pub(crate) fn holds(rule: &Rule, text: Text<'_>) -> Holds {
    let mut worst = Holds::Yes;
    for condition in &rule.text {
        worst = worst.min(condition.check(text));
        if worst == Holds::No {
            break;
        }
    }
    worst
}

impl Marker for Rules {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn mark(&self, facts: &Facts, catalog: &Catalog) -> Noted {
        let (mut hold, mut depend) = (Mask::NONE, Mask::NONE);
        let text = Text { facts, catalog, path: None };
        for (at, rule) in self.rules.iter().enumerate() {
            match holds(rule, text) {
                Holds::No => continue,
                Holds::Depends => depend.add(at),
                Holds::Yes => {}
            }
            hold.add(at);
        }
        Noted { generation: self.generation, hold: hold.bits(), depend: depend.bits() }
    }
}
