//! Conditions on the text alone: they are looked at once for all texts that share their facts.

use pgsplit_sql::facts::ObjectName;
use pgsplit_sql::{Catalog, Facts, scan};

use super::path::SearchPath;
use super::pattern::{NamePattern, Pattern};
use super::people::PARTS;

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TextCondition {
    Tables(Vec<NamePattern>),
    OnlyTables(Vec<NamePattern>),
    Functions(Vec<NamePattern>),
    Commands(Vec<Pattern>),
    Fingerprint(Vec<u64>),
    SameAs(Vec<u64>),
    /// Of 10,000 equal parts of all fingerprints, how many; and what keeps the parts of rules apart.
    Percent(u64, u64),
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    No,
    /// If a name without a schema means what it would have to mean.
    Depends,
    Yes,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// A text, and what its names mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub facts: &'a Facts,
    pub catalog: &'a Catalog,
    /// Of the session, once there is one.
    pub path: Option<&'a SearchPath>,
}

impl TextCondition {
    pub(crate) fn check(&self, text: Text<'_>) -> Holds {
        let facts = text.facts;
        match self {
            Self::Tables(patterns) => {
                let best = facts.touched().map(|table| text.any(patterns, table)).max();
                best.unwrap_or(Holds::No)
            }
            Self::OnlyTables(patterns) => {
                let known = !facts.is_read() || !facts.reads.any;
                let spoken_for =
                    |table: &&ObjectName| table.schema.is_none() || !text.is_ambiguous(&table.name);
                let worst = facts.touched().filter(spoken_for).map(|table| text.any(patterns, table)).min();
                worst.filter(|_| known).unwrap_or(Holds::No)
            }
            Self::Functions(patterns) => {
                let calls =
                    |pattern: &NamePattern| facts.functions.iter().any(|call| text.calls(pattern, call));
                patterns.iter().any(calls).into()
            }
            Self::Commands(patterns) => facts
                .statements
                .iter()
                .any(|one| {
                    let keywords = one.command.keywords().to_ascii_uppercase();
                    patterns.iter().any(|pattern| pattern.matches(&keywords))
                })
                .into(),
            Self::Fingerprint(all) | Self::SameAs(all) => all.contains(&facts.fingerprint).into(),
            Self::Percent(parts, salt) => (part(facts.fingerprint, *salt) < *parts).into(),
        }
    }

    /// The key in the configuration.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Tables(_) => "match.tables",
            Self::OnlyTables(_) => "match.only_tables",
            Self::Functions(_) => "match.functions",
            Self::Commands(_) => "match.commands",
            Self::Fingerprint(_) => "match.fingerprint",
            Self::SameAs(_) => "match.same_as",
            Self::Percent(..) => "percent",
        }
    }
}

/// In which of 10,000 equal parts a fingerprint is. Sticky: with a higher share those that were in stay in.
pub(crate) fn part(fingerprint: u64, salt: u64) -> u64 {
    let mixed = scan::fingerprint(&(fingerprint ^ salt).to_le_bytes());
    mixed % PARTS
}

impl Text<'_> {
    fn any(self, patterns: &[NamePattern], table: &ObjectName) -> Holds {
        patterns.iter().map(|pattern| self.touches(pattern, table)).max().unwrap_or(Holds::No)
    }

    fn touches(self, pattern: &NamePattern, table: &ObjectName) -> Holds {
        let name = &*table.name;
        if !pattern.names(name) {
            return Holds::No;
        }
        match &table.schema {
            _ if !pattern.has_schema() => Holds::Yes,
            // It stands for one of several of that name, and what is written decides which.
            Some(_) if self.is_ambiguous(name) => Holds::No,
            Some(schema) => pattern.in_schema(schema).into(),
            None => self.means(pattern, name),
        }
    }

    /// Whether a call may be of a function; without a schema it may be of any that has such a function.
    fn calls(self, pattern: &NamePattern, call: &ObjectName) -> bool {
        let known = || self.catalog.function_schemas(&call.name).any(|schema| pattern.in_schema(schema));
        pattern.matches(call) && (call.schema.is_some() || !pattern.has_schema() || known())
    }

    /// Whether a name without a schema means a relation in one of the pattern's schemas.
    fn means(self, pattern: &NamePattern, name: &str) -> Holds {
        let all = self.catalog.schemas(name).count();
        let fitting = self.catalog.schemas(name).filter(|schema| pattern.in_schema(schema)).count();
        match self.path.and_then(|path| path.resolve(self.catalog, name)) {
            _ if fitting == all => Holds::Yes,
            _ if fitting == 0 => Holds::No,
            Some(schema) => pattern.in_schema(schema).into(),
            None if self.path.is_some() => Holds::No,
            None => Holds::Depends,
        }
    }

    /// Whether a name is written without a schema and there are several of it.
    fn is_ambiguous(self, name: &str) -> bool {
        self.catalog.schemas(name).nth(1).is_some()
            && self.facts.touched().any(|other| other.schema.is_none() && *other.name == *name)
    }
}
