//! The sources of all functions, for `reach`: each is read once, and what was read is kept for the next catalog, since a
//! change of it hardly ever changes more than one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::build::{draws_numbers, sets_in_c};
use super::dynamic::{Source, runs_text};
use super::quiet::{self, Doings, Language};
use super::rows::{FunctionRow, Oid, Rows};
use super::{FunctionConfig, listed};

/// The most of sources, in bytes of their texts, of which is kept what was read.
const KEPT: usize = 1 << 20;

/// What was read, by the text.
#[derive(Debug, Default)]
pub(super) struct Read(HashMap<Box<str>, (Language, Arc<Source>), foldhash::fast::RandomState>);

impl Read {
    fn source(&self, language: Language, text: &str) -> Arc<Source> {
        match self.0.get(text) {
            Some((known, source)) if *known == language => source.clone(),
            _ => Arc::new(Source::of_sql(text, language)),
        }
    }
}

/// A function that the configuration does not say to leave nothing behind.
pub(super) struct Code<'r> {
    pub(super) row: &'r FunctionRow,
    pub(super) source: Arc<Source>,
    /// It may set any custom setting.
    pub(super) anything: bool,
    pub(super) doings: Doings,
}

/// All of them.
pub(super) struct Sources<'r> {
    pub(super) rows: &'r Rows,
    pub(super) all: Vec<Code<'r>>,
    by_oid: HashMap<Oid, &'r FunctionRow, foldhash::fast::RandomState>,
}

impl<'r> Sources<'r> {
    /// `before` is what was read for the catalog before.
    pub(super) fn new(rows: &'r Rows, config: &FunctionConfig, before: &Read) -> Self {
        let world = World::new(rows);
        let counts = |row: &&FunctionRow| !listed(&config.stateless, Some(&row.schema), &row.name);
        let functions = || rows.functions.iter().filter(counts);
        Self {
            rows,
            all: functions().map(|row| world.code(row, before)).collect(),
            by_oid: functions().map(|row| (row.oid, row)).collect(),
        }
    }

    /// The function, if it is one of them.
    pub(super) fn function(&self, oid: Oid) -> Option<&'r FunctionRow> {
        self.by_oid.get(&oid).copied()
    }

    /// What was read, for the next catalog.
    pub(super) fn read(self) -> Read {
        let mut room = KEPT;
        let kept = self.all.into_iter().filter_map(|code| {
            let text = code.row.source.as_deref()?;
            room = room.checked_sub(text.len())?;
            Some((text.into(), (language(code.row)?, code.source)))
        });
        Read(kept.collect())
    }
}

/// What the functions stand among.
struct World<'r> {
    /// Names that may be called, and those that only look so: a list of columns, a type with a length.
    known: HashSet<&'r str>,
    /// Functions whose body is among the trees.
    bodies: HashSet<Oid>,
    /// A function of a user bears the name of one that quotes what is filled in, and may not quote.
    quotes: bool,
}

impl<'r> World<'r> {
    fn new(rows: &'r Rows) -> Self {
        let functions = || rows.functions.iter().map(|row| &*row.name);
        let relations = rows.relations.iter().map(|row| &*row.name);
        let types = rows.types.iter().map(|row| &*row.name);
        let quoting = ["format", "quote_ident", "quote_literal", "quote_nullable"];
        Self {
            known: functions().chain(relations).chain(types).collect(),
            bodies: rows.trees.iter().filter(|tree| tree.owner == "body").map(|tree| tree.oid).collect(),
            quotes: functions().any(|name| quoting.contains(&name)),
        }
    }

    fn code(&self, row: &'r FunctionRow, before: &Read) -> Code<'r> {
        let text = row.source.as_deref().unwrap_or_default();
        let source = match (language(row), &*row.language) {
            (Some(language), _) => before.source(language, text),
            (None, "c" | "internal" | "sql" | "plpgsql") => Arc::default(),
            _ => Arc::new(Source::of_other(text)),
        };
        let fills = source.fills && self.quotes;
        let bare = row.language == "sql" && text.is_empty() && !self.bodies.contains(&row.oid);
        let compiled = matches!(&*row.language, "c" | "internal") && row.kind != "a";
        let unknown = source.calls.iter().any(|name| !self.known.contains(&**name));
        let unproved = fills || bare || unknown || compiled && !is_quiet_in_c(row);
        Code {
            row,
            anything: source.anything || fills || compiled && row.language == "c" && !row.extension,
            doings: if unproved { Doings::ALL } else { source.doings },
            source,
        }
    }
}

/// Of a function whose source is read. What an aggregate calls is looked at itself; the body of a function in the
/// standard's form is a tree.
fn language(row: &FunctionRow) -> Option<Language> {
    match &*row.language {
        _ if row.kind == "a" || row.source.as_deref().is_none_or(str::is_empty) => None,
        "sql" => Some(Language::Sql),
        "plpgsql" => Some(Language::PlPgSql),
        _ => None,
    }
}

fn is_quiet_in_c(row: &FunctionRow) -> bool {
    let quiet = row.volatility != "v" || draws_numbers(row) || quiet::QUIET_IN_C.contains(&&*row.name);
    row.extension && quiet && !runs_text(&row.name) && !sets_in_c(row)
}
