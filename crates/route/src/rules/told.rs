//! Every rule with the reason why it matched a statement, or did not: what `explain` prints. The conditions are asked in
//! the same way as on the data path.

use pgsplit_sql::{Catalog, Facts};

use super::path::SearchPath;
use super::people::{SessionCondition, Speaker};
use super::rule::Rule;
use super::set::Rules;
use super::text::{Holds, Text, TextCondition, part};
use super::words::{WordCondition, Words};

/// What is told of one rule.
#[derive(Debug)]
pub struct Told<'r> {
    /// The rule.
    pub rule: &'r Rule,
    /// What became of it.
    pub outcome: TellOf,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TellOf {
    /// It is the first that holds.
    Decides,
    /// It would have decided, and is in shadow mode.
    Shadow,
    /// It holds, and this rule before it has decided.
    TooLate(String),
    /// These of its keys do not hold, each with what was found instead.
    Not(Vec<(String, String)>),
}

impl Rules {
    /// Asks every rule, also those behind the one that decides.
    #[must_use]
    pub fn tell<'r>(
        &'r self,
        facts: &Facts,
        catalog: &Catalog,
        speaker: &Speaker<'_>,
        words: Words<'_>,
        path: &SearchPath,
    ) -> Vec<Told<'r>> {
        let text = Text { facts, catalog, path: Some(path) };
        let mut decided: Option<&Rule> = None;
        let told = self.iter().map(|rule| {
            let failed = failed(rule, text, speaker, words);
            let outcome = match decided {
                _ if !failed.is_empty() => TellOf::Not(failed),
                Some(first) => TellOf::TooLate(first.name.to_string()),
                None if rule.shadow => TellOf::Shadow,
                None => {
                    decided = Some(rule);
                    TellOf::Decides
                }
            };
            Told { rule, outcome }
        });
        told.collect()
    }
}

fn failed(rule: &Rule, text: Text<'_>, speaker: &Speaker<'_>, words: Words<'_>) -> Vec<(String, String)> {
    let of_text = rule.text.iter().filter(|condition| condition.check(text) != Holds::Yes);
    let of_words = rule.words.iter().filter(|condition| !condition.check(&words));
    let of_session = rule.session.iter().filter(|condition| !condition.check(speaker));
    let of_text = of_text.map(|condition| (condition.key().to_owned(), found_in_text(condition, text)));
    let of_words = of_words.map(|condition| (condition.key(), found_in_words(condition, words)));
    let of_session =
        of_session.map(|condition| (condition.key().to_owned(), found_in_session(condition, speaker)));
    of_text.chain(of_words).chain(of_session).collect()
}

fn found_in_text(condition: &TextCondition, text: Text<'_>) -> String {
    let facts = text.facts;
    match condition {
        TextCondition::OnlyTables(_) if facts.is_read() && facts.reads.any => {
            "what it reads is not known in full".to_owned()
        }
        TextCondition::Tables(_) | TextCondition::OnlyTables(_) => {
            let names = listed(facts.touched().map(|name| match &name.schema {
                Some(schema) => format!("{schema}.{}", name.name),
                None => name.name.to_string(),
            }));
            names.map_or_else(|| "it touches no table".to_owned(), |names| format!("it touches {names}"))
        }
        TextCondition::Functions(_) => listed(facts.functions.iter().map(ToString::to_string))
            .map_or_else(|| "it calls no function".to_owned(), |names| format!("it calls {names}")),
        TextCondition::Commands(_) => {
            let commands = listed(facts.statements.iter().map(|one| one.command.keywords().to_owned()));
            format!("it is {}", commands.unwrap_or_default())
        }
        TextCondition::Fingerprint(_) | TextCondition::SameAs(_) => {
            format!("its fingerprint is {:016x}", facts.fingerprint)
        }
        TextCondition::Percent(parts, salt) => {
            let percent = |parts: u64| parts as f64 / 100.0;
            let (own, most) = (percent(part(facts.fingerprint, *salt)), percent(*parts));
            format!("its fingerprint is at {own} of 100, the rule takes those below {most}")
        }
    }
}

fn found_in_words(condition: &WordCondition, words: Words<'_>) -> String {
    let tag = |name: &str| match words.tags.and_then(|tags| tags.get(name)) {
        Some(value) => format!("its tag `{name}` is `{value}`"),
        None => format!("it has no tag `{name}`"),
    };
    match condition {
        WordCondition::Route(routes) => {
            let method = routes.iter().any(|route| route.has_method());
            let has_route = words.tags.is_some_and(|tags| tags.get("route").is_some());
            if method && has_route { format!("{}, {}", tag("route"), tag("method")) } else { tag("route") }
        }
        WordCondition::Tag(name, _) => tag(name),
        WordCondition::Hint(_) => {
            words.hint.map_or_else(|| "it has no hint".to_owned(), |hint| format!("its hint is `{hint}`"))
        }
    }
}

fn found_in_session(condition: &SessionCondition, speaker: &Speaker<'_>) -> String {
    let told = |what: &str, found: &str| match found {
        "" => format!("no {what} is given"),
        found => format!("the {what} is `{found}`"),
    };
    match condition {
        SessionCondition::User(_) => told("user", speaker.user),
        SessionCondition::Database(_) => told("database", speaker.database),
        SessionCondition::ApplicationName(_) => told("application_name", speaker.application_name),
        SessionCondition::Client(_) => {
            told("client", &speaker.client.map(|client| client.to_string()).unwrap_or_default())
        }
        SessionCondition::Percent(parts, _) => {
            let percent = *parts as f64 / 100.0;
            match speaker.share {
                Some(_) => format!("the session is not among the {percent} of 100 that it takes"),
                None => format!("it takes {percent} of 100 sessions, and no session is given"),
            }
        }
    }
}

/// Names with commas between, each once; `None` when there are none.
fn listed(names: impl Iterator<Item = String>) -> Option<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    (!all.is_empty()).then(|| all.join(", "))
}
