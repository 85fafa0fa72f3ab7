//! Which names lead to code that may set any custom setting: functions by what their sources name, relations by their
//! triggers, views, policies and defaults. By words alone, so that too much is found and never too little.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::dynamic::{Source, Words};
use super::rows::{FunctionRow, Oid, Rows};
use super::{FunctionConfig, listed};

/// See the module.
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
        self.leads(&Source::of_sql(body))
    }

    fn leads(&self, source: &Source) -> bool {
        source.anything
            || source.any_relation && self.any_relation
            || self.has(source.words.iter().map(|word| &**word))
    }

    pub(super) fn new(rows: &Rows, config: &FunctionConfig) -> Self {
        let sources: Vec<_> = rows.functions.iter().map(|row| (row, source_of(row, config))).collect();
        let mut search =
            Search { rows, reach: Self::default(), functions: Oids::default(), relations: Oids::default() };
        while search.round(&sources) {}
        search.reach
    }
}

type Oids = std::collections::HashSet<Oid, foldhash::fast::RandomState>;

/// What a function may do; `None`: the configuration says that it leaves nothing behind.
fn source_of(row: &FunctionRow, config: &FunctionConfig) -> Option<Source> {
    if listed(&config.stateless, Some(&row.schema), &row.name) {
        return None;
    }
    let source = row.source.as_deref().unwrap_or_default();
    Some(match &*row.language {
        "sql" | "plpgsql" => Source::of_sql(source),
        "c" | "internal" => Source { anything: !row.extension && row.language == "c", ..Source::default() },
        _ => Source::of_other(source),
    })
}

struct Search<'r> {
    rows: &'r Rows,
    reach: Reach,
    functions: Oids,
    relations: Oids,
}

impl Search<'_> {
    /// Looks at everything once more; whether more was found.
    fn round(&mut self, sources: &[(&FunctionRow, Option<Source>)]) -> bool {
        let before = (self.functions.len(), self.relations.len(), self.reach.everywhere);
        for (row, source) in sources {
            if source.as_ref().is_some_and(|source| self.reach.leads(source)) {
                self.function(row);
            }
        }
        let stateless: HashMap<Oid, bool> =
            sources.iter().map(|(row, source)| (row.oid, source.is_none())).collect();
        self.objects(&stateless);
        before != (self.functions.len(), self.relations.len(), self.reach.everywhere)
    }

    fn function(&mut self, row: &FunctionRow) {
        self.functions.insert(row.oid);
        self.reach.names.insert((&*row.name).into());
        // It can be called as a field of any row.
        self.reach.any_relation |= row.takes_row;
    }

    fn objects(&mut self, stateless: &HashMap<Oid, bool>) {
        let rows = self.rows;
        for tree in &rows.trees {
            let leads = tree.functions.iter().any(|id| self.functions.contains(id))
                || tree.relations.iter().any(|id| *id != tree.oid && self.relations.contains(id));
            match &*tree.owner {
                _ if !leads => (),
                "domain" => self.reach.everywhere = true,
                "arguments" | "body" => {
                    let function = rows.functions.iter().find(|row| row.oid == tree.oid);
                    if let Some(row) = function.filter(|row| stateless.get(&row.oid) != Some(&true)) {
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
