//! What the facts need to know of one database: an immutable snapshot of its relations, functions, operators and types.
//!
//! The cluster's control plane reads [`Rows`] by the statements in [`queries`] on the primary and builds a snapshot from
//! them; the data path looks names up in it. Names without a schema are matched against every schema, so that no
//! search_path can fool it: a name is as bad as its worst bearer.

mod body;
mod build;
mod dynamic;
mod finish;
mod graph;
mod quiet;
mod reach;
mod rows;
mod sources;

pub mod queries;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::builtin;
use crate::command::Name;
use crate::facts::ObjectName;
use crate::outline::Outline;

pub(crate) use body::{Body, body};
pub(crate) use dynamic::runs_text;
pub use rows::*;

type Map<V> = HashMap<Name, V, foldhash::fast::RandomState>;
type Set = HashSet<Name, foldhash::fast::RandomState>;

/// What the configuration says about functions, by name, with or without a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FunctionConfig {
    /// Trusted as harmless on a standby, whatever the catalog says.
    pub read_only: Vec<String>,
    /// Never trusted, whatever the catalog says.
    pub write: Vec<String>,
    /// Leave no session state behind.
    pub stateless: Vec<String>,
    /// What the triggers of a table write, by the table's name; those of a table that is not named may write all.
    pub triggers: BTreeMap<String, Vec<String>>,
}

/// An immutable snapshot of one database's catalog.
#[derive(Debug)]
pub struct Catalog {
    version: u64,
    key: u64,
    known: bool,
    config: FunctionConfig,
    relations: Map<Vec<Relation>>,
    functions: Map<Vec<Function>>,
    /// Functions of rows that are not trusted, by name.
    members: Set,
    /// Symbols of operators that are not trusted.
    operators: HashSet<Box<str>, foldhash::fast::RandomState>,
    /// Types whose input, checks or casts are not trusted.
    types: Set,
    /// Why nothing at all is proved: code that no text names may run anywhere.
    tainted: Option<Arc<str>>,
    custom_settings: Box<[Box<str>]>,
    /// What leads to code that may set any custom setting.
    unnamed: reach::Reach,
    /// What leads to code that may leave something in the session.
    leaving: reach::Reach,
    /// What leads to code that may change the catalog.
    altering: reach::Reach,
    /// What was read of the sources of functions.
    read: sources::Read,
    asks_sequences: bool,
    asynchronous: bool,
    event_triggers: bool,
    further: Further,
}

/// What reads relations that no text names, besides views and called functions.
#[derive(Debug, Default)]
struct Further {
    operators: HashSet<Box<str>, foldhash::fast::RandomState>,
    types: Set,
    /// Functions of rows.
    members: Set,
}

#[derive(Debug)]
struct Relation {
    schema: Name,
    /// A standby cannot read it, or code that is not trusted runs when it is read.
    bad: bool,
    /// Code that is not trusted runs when it is read.
    code: bool,
    /// Code that is not known to leave no session state runs when it is written.
    writing_code: bool,
    /// Reading it may read relations that `reads` does not name: functions, the system catalogs.
    reads_further: bool,
    /// Writing it may write relations that `writes` does not name: triggers, rules, functions.
    reaches_further: bool,
    /// It and what is read with it.
    reads: Box<[ObjectName]>,
    /// It and what may be written with it.
    writes: Box<[ObjectName]>,
}

#[derive(Debug)]
struct Function {
    schema: Name,
    trusted: bool,
    stateless: bool,
}

/// What is known of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKnown {
    /// No relation of that name is known.
    Unknown,
    /// A standby reads it as the primary does.
    Harmless,
    /// A system relation that a standby reads as the primary does; it depends on any DDL.
    HarmlessSystem,
    /// It does not.
    Bad,
}

/// What is known of a user's function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKnown {
    /// No function of that name is known.
    Unknown,
    /// All of that name are harmless on a standby.
    Trusted,
    /// One of that name may not be.
    Untrusted,
}

impl Catalog {
    /// A catalog that knows nothing: no relation and no function of a user is proved harmless.
    pub fn unknown() -> Catalog {
        Catalog {
            version: 0,
            key: 0,
            known: false,
            config: FunctionConfig::default(),
            relations: Map::default(),
            functions: Map::default(),
            members: Set::default(),
            operators: HashSet::default(),
            types: Set::default(),
            tainted: None,
            custom_settings: Box::default(),
            unnamed: reach::Reach::default(),
            leaving: reach::Reach::default(),
            altering: reach::Reach::default(),
            read: sources::Read::default(),
            asks_sequences: false,
            asynchronous: true,
            event_triggers: true,
            further: Further::default(),
        }
    }

    /// Builds the snapshot from rows of the system catalogs.
    pub fn build(rows: &Rows, functions: &FunctionConfig, version: u64) -> Catalog {
        build::build(rows, functions, version, &sources::Read::default())
    }

    /// The same, for the next snapshot of a database: sources of functions that this one has are not read again.
    pub fn rebuild(&self, rows: &Rows, functions: &FunctionConfig, version: u64) -> Catalog {
        build::build(rows, functions, version, &self.read)
    }

    /// Custom settings that functions of this database may set, as far as their sources name them.
    pub fn custom_settings(&self) -> &[Box<str>] {
        &self.custom_settings
    }

    /// Whether a statement with these words may run code that sets a custom setting whose name no source shows.
    pub fn may_set_anything<'w>(&self, words: impl Iterator<Item = &'w str>) -> bool {
        self.unnamed.has(words)
    }

    /// Whether a DO block with this body may.
    pub fn block_may_set_anything(&self, body: &str) -> bool {
        self.unnamed.has_block(body)
    }

    /// Whether code that a statement with these words runs may leave something in the session.
    pub(crate) fn may_leave<'w>(&self, words: impl Iterator<Item = &'w str>) -> bool {
        !self.known || self.leaving.has(words)
    }

    /// Whether code that a statement with these words runs may change the catalog.
    pub(crate) fn may_alter<'w>(&self, words: impl Iterator<Item = &'w str>) -> bool {
        !self.known || self.altering.has(words)
    }

    /// Another number for other such code, or for other names that lead to it.
    pub fn hidden_code(&self) -> u64 {
        self.unnamed.key()
    }

    /// Whether there is such code at all.
    pub fn has_code_that_sets_anything(&self) -> bool {
        !self.unnamed.is_empty()
    }

    /// Whether code that the database keeps asks for `currval` or `lastval`.
    pub fn asks_sequences(&self) -> bool {
        self.asks_sequences
    }

    /// Whether a role, a database or a function may turn `synchronous_commit` off.
    pub fn is_asynchronous(&self) -> bool {
        self.asynchronous
    }

    /// Whether a change of the catalog runs code.
    pub(crate) fn has_event_triggers(&self) -> bool {
        self.event_triggers
    }

    /// Whether there is code at all that may leave something in the session.
    pub(crate) fn has_code_that_leaves(&self) -> bool {
        !self.known || !self.leaving.is_empty()
    }

    /// The version that [`Catalog::build`] was given.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What cached facts are kept under: a hash of all that the snapshot holds. Equal for snapshots that say the same.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Whether it was built from a database, in contrast to [`Catalog::unknown`].
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// What is known of a relation. Without a schema it may be any of that name.
    pub fn relation(&self, schema: Option<&str>, name: &str) -> RelationKnown {
        let user = self.relations(schema, name).map(|r| r.bad).reduce(|a, b| a || b);
        let system = match schema {
            Some(schema @ ("pg_catalog" | "information_schema")) => Some(builtin::relation(schema, name)),
            // pg_catalog comes first in a search_path, so a user's relation of such a name is of no use.
            None if name.starts_with("pg_") => Some(builtin::relation("pg_catalog", name)),
            _ => None,
        };
        match (user, system) {
            (Some(true), _) | (_, Some(false)) => RelationKnown::Bad,
            (_, Some(true)) => RelationKnown::HarmlessSystem,
            (Some(false), None) => RelationKnown::Harmless,
            (None, None) => RelationKnown::Unknown,
        }
    }

    /// The schemas that have a relation of this name.
    pub fn schemas<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.relations(None, name).map(|relation| &*relation.schema)
    }

    /// The schemas that have a user's function of this name.
    pub fn function_schemas<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.functions(None, name).map(|function| &*function.schema)
    }

    /// The names of all relations with their schemas.
    pub fn relation_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.relations.iter().flat_map(|(name, all)| all.iter().map(|r| (&*r.schema, &**name)))
    }

    /// The names of all functions of users with their schemas.
    pub fn function_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.functions.iter().flat_map(|(name, all)| all.iter().map(|f| (&*f.schema, &**name)))
    }

    /// What is known of a user's function. Built-in functions are not asked about here.
    pub fn function(&self, schema: Option<&str>, name: &str) -> FunctionKnown {
        match self.functions(schema, name).map(|f| f.trusted).reduce(|a, b| a && b) {
            None => FunctionKnown::Unknown,
            Some(true) => FunctionKnown::Trusted,
            Some(false) => FunctionKnown::Untrusted,
        }
    }

    /// Whether a user's function of that name is known and all of them leave no session state behind.
    pub fn is_stateless(&self, schema: Option<&str>, name: &str) -> bool {
        listed(&self.config.stateless, schema, name)
            || self.functions(schema, name).map(|f| f.stateless).reduce(|a, b| a && b).unwrap_or(false)
    }

    /// Whether a user's function of this name is not trusted.
    pub(crate) fn may_write(&self, name: &str) -> bool {
        self.function(None, name) == FunctionKnown::Untrusted
    }

    /// Whether the configuration says that a function is trusted, or that it is not.
    pub fn configured(&self, schema: Option<&str>, name: &str) -> Option<bool> {
        let entry = |entry: &str| entry.rsplit('.').next() == Some(name);
        let may_write = schema.is_none() && self.config.write.iter().any(|e| entry(e));
        if may_write || listed(&self.config.write, schema, name) {
            return Some(false);
        }
        listed(&self.config.read_only, schema, name).then_some(true)
    }

    /// Whether an operator of this symbol may run code that is not trusted.
    pub fn is_untrusted_operator(&self, symbol: &str) -> bool {
        self.operators.contains(symbol)
    }

    /// Whether a type of this name may run code that is not trusted.
    pub fn is_untrusted_type(&self, name: &str) -> bool {
        // The array type of `name` is called `_name`.
        self.types.contains(name)
            || name.strip_prefix('_').is_some_and(|element| self.types.contains(element))
    }

    /// Whether `row.name` may call a function that is not trusted.
    pub fn is_untrusted_member(&self, name: &str) -> bool {
        self.members.contains(name)
    }

    /// Why nothing at all is proved, if so: an operator class or an implicit cast that is not trusted.
    pub fn tainted(&self) -> Option<&Arc<str>> {
        self.tainted.as_ref()
    }

    /// Whether reading some relation of this name runs code that is not trusted.
    pub fn reading_runs_code(&self, name: &str) -> bool {
        self.relations(None, name).any(|r| r.code)
    }

    /// Whether writing a relation is known to run no code that may leave session state: no triggers, rules, defaults,
    /// checks and cascades with such code. False for an unknown relation.
    pub fn writing_is_plain(&self, schema: Option<&str>, name: &str) -> bool {
        self.relations(schema, name).map(|r| !r.writing_code).reduce(|a, b| a && b).unwrap_or(false)
    }

    /// Whether writing a relation may write others than [`Catalog::written_with`] names. True for an unknown relation.
    pub fn writing_reaches_further(&self, schema: Option<&str>, name: &str) -> bool {
        self.relations(schema, name).map(|r| r.reaches_further).reduce(|a, b| a || b).unwrap_or(true)
    }

    /// Whether reading a relation may read others than [`Catalog::read_with`] names.
    pub fn reading_reaches_further(&self, schema: Option<&str>, name: &str) -> bool {
        self.relations(schema, name).any(|r| r.reads_further)
    }

    /// Whether operators, types or fields that a text mentions may read relations that it does not name.
    pub(crate) fn mentions_readers(&self, outline: &Outline) -> bool {
        let Further { operators, types, members } = &self.further;
        !operators.is_empty() && outline.operators.iter().any(|symbol| operators.contains(symbol))
            || !types.is_empty() && outline.words.iter().any(|word| types.contains(word))
            || !members.is_empty() && outline.members.iter().any(|member| members.contains(member))
    }

    /// What reading a relation reads: it, a view's and a policy's relations, children and partitions.
    pub fn read_with<'a>(
        &'a self,
        schema: Option<&'a str>,
        name: &'a str,
    ) -> impl Iterator<Item = &'a ObjectName> {
        self.relations(schema, name).flat_map(|r| &r.reads)
    }

    /// What writing a relation may write: it, what foreign keys cascade to, children and partitions, a view's relations.
    pub fn written_with<'a>(
        &'a self,
        schema: Option<&'a str>,
        name: &'a str,
    ) -> impl Iterator<Item = &'a ObjectName> {
        self.relations(schema, name).flat_map(|r| &r.writes)
    }

    fn relations<'a>(&'a self, schema: Option<&'a str>, name: &str) -> impl Iterator<Item = &'a Relation> {
        let all = self.relations.get(name).into_iter().flatten();
        all.filter(move |r| schema.is_none_or(|schema| *r.schema == *schema))
    }

    fn functions<'a>(&'a self, schema: Option<&'a str>, name: &str) -> impl Iterator<Item = &'a Function> {
        let all = self.functions.get(name).into_iter().flatten();
        all.filter(move |f| schema.is_none_or(|schema| *f.schema == *schema))
    }
}

/// Whether a list of names has a function. An entry without a schema stands for that name in any; an entry with one is
/// not met by a name without.
pub(crate) fn listed(list: &[String], schema: Option<&str>, name: &str) -> bool {
    list.iter().any(|entry| match entry.split_once('.') {
        None => entry == name,
        Some((s, n)) => n == name && schema.is_some_and(|schema| schema == s),
    })
}
