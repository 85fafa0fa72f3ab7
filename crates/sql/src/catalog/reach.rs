//! Which names lead to code of a kind, such as code that may set any custom setting: functions by what their sources name,
//! relations by their triggers, views, policies and defaults. By words alone, so that too much is found and never too
//! little.

use std::hash::BuildHasher;

use super::build::{FIRST_USER_OID, support_is_harmless};
use super::dynamic::{Source, Words, is_lasting, runs_text};
use super::quiet::{self, Doings, Language};
use super::rows::{FunctionRow, Oid, Rows, TreeRow};
use super::sources::{Code, Sources};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    /// Code that may set any custom setting.
    Anything,
    /// Code that may leave something in the session.
    Leaving,
    /// Code that may change the catalog.
    Altering,
}

impl Sought {
    fn is_in(self, doings: Doings) -> bool {
        match self {
            Self::Anything => false,
            Self::Leaving => doings.leaves,
            Self::Altering => doings.alters,
        }
    }

    /// Whether a function does it by itself.
    fn is_done_by(self, code: &Code<'_>) -> bool {
        self == Self::Anything && code.anything || self.is_in(code.doings)
    }

    /// Whether a function of the server does it, of which a user's object makes use.
    fn is_builtin(self, name: &str) -> bool {
        let unknown = || if support_is_harmless(name) { Doings::default() } else { Doings::ALL };
        match self {
            Self::Anything => name == "set_config" || runs_text(name) || is_lasting(name),
            _ => self.is_in(quiet::of_builtin(name).unwrap_or_else(unknown)),
        }
    }

    /// Whether such a function is behind an operator, a cast or an aggregate, so that no text need name it.
    fn is_behind_objects(self, rows: &Rows) -> bool {
        let is = |id: Oid, name: &str| id < FIRST_USER_OID && self.is_builtin(name);
        // Many of the server's functions are for its operators only, and on no list.
        let listed = |id, name: &str| is(id, name) && quiet::of_builtin(name).is_some();
        rows.operators.iter().any(|row| listed(row.function, &row.function_name))
            || rows.casts.iter().any(|row| listed(row.function, &row.function_name))
            || rows.operator_classes.iter().any(|row| listed(row.function, &row.function_name))
            || rows.aggregates.iter().any(|row| is(row.function, &row.function_name))
    }

    /// Whether a stored expression calls such a function, or leads to the server's own relations.
    fn is_called_by(self, tree: &TreeRow) -> bool {
        // A view of the settings sets what is updated in it.
        let settings = tree.system_relations.iter().any(|name| name.ends_with(".pg_settings"));
        let catalogs = !tree.system_relations.is_empty() && (tree.writes || tree.owner == "view");
        tree.builtins.iter().any(|name| self.is_builtin(name))
            || match self {
                Self::Anything => false,
                Self::Leaving => settings || tree.writes && catalogs,
                Self::Altering => catalogs,
            }
    }
}

/// Names that lead to what is sought.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Code that no text names may do it: operators, casts, types.
    everywhere: bool,
    /// Functions and relations.
    names: Words,
    /// Relations are among the names.
    any_relation: bool,
}

impl Reach {
    /// Whether nothing leads there.
    pub(super) fn is_empty(&self) -> bool {
        !self.everywhere && self.names.is_empty()
    }

    /// A number that differs where the names do; 0 for none.
    pub(super) fn key(&self) -> u64 {
        let hasher = foldhash::fast::FixedState::default();
        let names = self.names.iter().fold(0, |sum: u64, name| sum.wrapping_add(hasher.hash_one(name)));
        names.wrapping_add(u64::from(self.everywhere)).wrapping_add(u64::from(self.any_relation) << 1)
    }

    /// Whether a text with these words does.
    pub(super) fn has<'w>(&self, mut words: impl Iterator<Item = &'w str>) -> bool {
        self.everywhere || !self.names.is_empty() && words.any(|word| self.names.contains(word))
    }

    /// Whether a DO block does.
    pub(super) fn has_block(&self, body: &str) -> bool {
        let source = Source::of_sql(body, Language::PlPgSql);
        source.anything || self.is_named_in(&source)
    }

    fn is_named_in(&self, source: &Source) -> bool {
        source.any_relation && self.any_relation || self.has(source.words.iter().map(|word| &**word))
    }

    pub(super) fn new(sources: &Sources<'_>, sought: Sought) -> Self {
        let mut search = Search {
            sources,
            by_themselves: sources.rows.trees.iter().map(|tree| sought.is_called_by(tree)).collect(),
            reach: Self { everywhere: sought.is_behind_objects(sources.rows), ..Self::default() },
            functions: Oids::default(),
            relations: Oids::default(),
        };
        for code in sources.all.iter().filter(|code| sought.is_done_by(code)) {
            search.function(code.row);
        }
        if sought != Sought::Anything {
            // What a rule does is not known.
            search.relations.extend(sources.rows.rules.iter().map(|rule| rule.relation));
        }
        while search.round() {}
        search.reach
    }
}

type Oids = std::collections::HashSet<Oid, foldhash::fast::RandomState>;

struct Search<'r> {
    sources: &'r Sources<'r>,
    /// Which of the trees do it without any function of a user.
    by_themselves: Vec<bool>,
    reach: Reach,
    functions: Oids,
    relations: Oids,
}

impl Search<'_> {
    /// Looks at everything once more; whether more was found.
    fn round(&mut self) -> bool {
        let before = (self.functions.len(), self.relations.len(), self.reach.everywhere);
        let sources = self.sources;
        for code in &sources.all {
            if !self.functions.contains(&code.row.oid) && self.reach.is_named_in(&code.source) {
                self.function(code.row);
            }
        }
        self.objects();
        before != (self.functions.len(), self.relations.len(), self.reach.everywhere)
    }

    fn function(&mut self, row: &FunctionRow) {
        self.functions.insert(row.oid);
        self.reach.names.insert((&*row.name).into());
        // It can be called as a field of any row.
        self.reach.any_relation |= row.takes_row;
    }

    fn objects(&mut self) {
        let rows = self.sources.rows;
        for (at, tree) in rows.trees.iter().enumerate() {
            let leads = self.by_themselves.get(at) == Some(&true)
                || tree.functions.iter().any(|id| self.functions.contains(id))
                || tree.relations.iter().any(|id| *id != tree.oid && self.relations.contains(id));
            match &*tree.owner {
                _ if !leads => (),
                "domain" => self.reach.everywhere = true,
                "arguments" | "body" => {
                    if let Some(row) = self.sources.function(tree.oid) {
                        self.function(row);
                    }
                }
                _ => drop(self.relations.insert(tree.oid)),
            }
        }
        let behind = |id: &Oid| self.functions.contains(id);
        self.reach.everywhere |= rows.operators.iter().any(|row| behind(&row.function))
            || rows.casts.iter().any(|row| behind(&row.function))
            || rows.types.iter().any(|row| row.functions.iter().any(behind))
            || rows.operator_classes.iter().any(|row| behind(&row.function))
            || rows.aggregates.iter().any(|row| behind(&row.function));
        for trigger in rows.triggers.iter().filter(|trigger| behind(&trigger.function)) {
            self.relations.insert(trigger.relation);
        }
        if !self.functions.is_empty() {
            // What a rule does is not known.
            self.relations.extend(rows.rules.iter().map(|rule| rule.relation));
        }
        for edge in &rows.edges {
            if self.relations.contains(&edge.to) {
                self.relations.insert(edge.from);
            }
        }
        for row in rows.relations.iter().filter(|row| self.relations.contains(&row.oid)) {
            self.reach.names.insert((&*row.name).into());
        }
        self.reach.any_relation |= !self.relations.is_empty();
    }
}
