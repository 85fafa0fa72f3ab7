//! From rows to a graph of trust: through views, policies, bodies, operators, casts, types, aggregates and triggers.
//! `finish` reads the snapshot off it.

use std::collections::{HashMap, HashSet};

use super::finish::is_named;
use super::graph::{Graph, Node};
use super::rows::{FunctionRow, Oid, Rows, TreeRow};
use super::sources::Read;
use super::{Catalog, FunctionConfig, listed};
use crate::analyse::{self, Part};
use crate::builtin;
use crate::effects::Effects;
use crate::facts::ObjectName;
use crate::outline::Outline;

/// Objects below this oid come with the server.
pub(super) const FIRST_USER_OID: Oid = 16384;

/// Functions of PostgreSQL's own extensions that are volatile because they draw random numbers, and do nothing else.
const DRAWS_NUMBERS: [&str; 7] = [
    "gen_random_bytes",
    "gen_random_uuid",
    "gen_salt",
    "normal_rand",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
];

/// Functions of PostgreSQL's own extensions that are declared STABLE or IMMUTABLE and run SQL from a string.
const RUNS_STRINGS: [&str; 9] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstab_hash",
    "crosstabn",
    "xpath_list",
    "xpath_table",
];

pub(super) fn build(rows: &Rows, config: &FunctionConfig, version: u64, before: &Read) -> Catalog {
    let mut builder = Builder { rows, config, graph: Graph::default(), names: Names::new(rows) };
    builder.functions();
    builder.types();
    builder.operators();
    builder.relations();
    builder.trees();
    builder.writing();
    builder.finish(version, before)
}

pub(super) struct Builder<'r> {
    pub(super) rows: &'r Rows,
    pub(super) config: &'r FunctionConfig,
    pub(super) graph: Graph,
    names: Names<'r>,
}

/// Rows by name, for what the text of a function's body names.
struct Names<'r> {
    functions: HashMap<&'r str, Vec<&'r FunctionRow>, foldhash::fast::RandomState>,
    relations: HashMap<&'r str, Vec<(&'r str, Oid)>, foldhash::fast::RandomState>,
    types: HashMap<&'r str, Vec<Oid>, foldhash::fast::RandomState>,
    operators: HashMap<&'r str, Vec<Oid>, foldhash::fast::RandomState>,
    /// Functions whose body is among the trees.
    bodies: HashSet<Oid, foldhash::fast::RandomState>,
}

impl<'r> Names<'r> {
    fn new(rows: &'r Rows) -> Names<'r> {
        let mut names = Names {
            functions: HashMap::default(),
            relations: HashMap::default(),
            types: HashMap::default(),
            operators: HashMap::default(),
            bodies: rows.trees.iter().filter(|tree| tree.owner == "body").map(|tree| tree.oid).collect(),
        };
        for row in &rows.functions {
            names.functions.entry(&row.name).or_default().push(row);
        }
        for row in &rows.relations {
            names.relations.entry(&row.name).or_default().push((&row.schema, row.oid));
        }
        for row in &rows.types {
            names.types.entry(&row.name).or_default().push(row.oid);
        }
        for row in &rows.operators {
            names.operators.entry(&row.symbol).or_default().push(row.oid);
        }
        names
    }
}

impl Builder<'_> {
    fn configured(list: &[String], row: &FunctionRow) -> bool {
        listed(list, Some(&row.schema), &row.name)
    }

    fn functions(&mut self) {
        for row in &self.rows.functions {
            let node = Node::Function(row.oid);
            let stateless = Self::configured(&self.config.stateless, row);
            if !stateless {
                self.graph.depends(Node::State(row.oid), node);
            }
            let denied = Self::configured(&self.config.write, row);
            if !denied && Self::configured(&self.config.read_only, row) {
                continue;
            }
            for id in &row.types {
                self.graph.depends(node, Node::Type(*id));
            }
            let draws = draws_numbers(row);
            let strings = row.extension && RUNS_STRINGS.contains(&row.name.to_ascii_lowercase().as_str());
            let bad = denied
                || strings
                || sets_in_c(row)
                || row.volatility == "v" && !draws
                || !self.trusted_language(row);
            self.graph.bad_if(node, bad);
        }
        for row in &self.rows.aggregates {
            let node = Node::Function(row.aggregate);
            self.calls(node, row.function, support_is_harmless(&row.function_name));
        }
    }

    /// Whether a function's language allows trust; notes what the body of one in SQL depends on.
    fn trusted_language(&mut self, row: &FunctionRow) -> bool {
        match (&*row.kind, &*row.language) {
            ("a", _) => true,
            // Extensions give built-in functions names of their own (citext_in is textin).
            ("f" | "w", "c" | "internal") => row.extension,
            ("f", "sql") if self.names.bodies.contains(&row.oid) => true,
            ("f", "sql") => {
                let body = row.source.as_deref().unwrap_or_default();
                analyse::parts(body.as_bytes())
                    .is_some_and(|parts| parts.iter().all(|part| self.body(row.oid, part)))
            }
            _ => false,
        }
    }

    /// Whether a statement of a function's body is a read as far as its text goes; notes what else it depends on.
    fn body(&mut self, oid: Oid, part: &Part) -> bool {
        let Ok(shape) = &part.shape else { return false };
        let node = Node::Function(oid);
        for name in &shape.functions {
            let known = self.names.functions.get(&*name.name).into_iter().flatten();
            let candidates: Vec<Oid> = known.map(|row| row.oid).collect();
            if candidates.is_empty() && !analyse::builtin_is_harmless(name, shape, &part.outline) {
                return false;
            }
            candidates.into_iter().for_each(|id| self.graph.depends(node, Node::Function(id)));
        }
        for name in &shape.relations {
            let known = self.names.relations.get(&*name.name).into_iter().flatten();
            let candidates: Vec<Oid> = known
                .filter(|(s, _)| name.schema.as_deref().is_none_or(|n| n == *s))
                .map(|(_, id)| *id)
                .collect();
            let system = builtin::relation(name.schema.as_deref().unwrap_or("pg_catalog"), &name.name);
            if candidates.is_empty() && !system && !shape.with.contains(&name.name) {
                return false;
            }
            candidates.into_iter().for_each(|id| self.graph.depends(node, Node::Read(id)));
        }
        self.unnamed(node, &part.outline);
        true
    }

    /// What a text reaches without naming a function: operators, types, fields that may be functions.
    fn unnamed(&mut self, node: Node, outline: &Outline) {
        for symbol in &outline.operators {
            for id in self.names.operators.get(&**symbol).into_iter().flatten() {
                self.graph.depends(node, Node::Operator(*id));
            }
        }
        for word in &outline.words {
            for id in self.names.types.get(&**word).into_iter().flatten() {
                self.graph.depends(node, Node::Type(*id));
            }
        }
        for member in &outline.members {
            let known = self.names.functions.get(&**member).into_iter().flatten();
            known
                .filter(|row| row.takes_row)
                .for_each(|row| self.graph.depends(node, Node::Function(row.oid)));
        }
    }

    /// `node` calls a function; a built-in one is judged by the caller.
    fn calls(&mut self, node: Node, function: Oid, builtin_is_harmless: bool) {
        match function >= FIRST_USER_OID {
            true => self.graph.depends(node, Node::Function(function)),
            false => self.graph.bad_if(node, !builtin_is_harmless),
        }
    }

    fn types(&mut self) {
        for row in &self.rows.types {
            let node = Node::Type(row.oid);
            row.parts.iter().for_each(|part| self.graph.depends(node, Node::Type(*part)));
            row.functions.iter().for_each(|id| self.graph.depends(node, Node::Function(*id)));
            if row.relation != 0 {
                self.graph.depends(Node::Read(row.relation), node);
            }
        }
        for row in &self.rows.casts {
            for side in [row.source, row.target] {
                if side >= FIRST_USER_OID {
                    self.calls(Node::Type(side), row.function, is_harmless(&row.function_name));
                }
            }
        }
    }

    fn operators(&mut self) {
        for row in &self.rows.operators {
            // Built-in functions behind users' operators may be of those that only operators call.
            let harmless = !matches!(builtin::function(&row.function_name), builtin::Function::Special(_));
            self.calls(Node::Operator(row.oid), row.function, harmless);
        }
    }

    fn relations(&mut self) {
        for edge in &self.rows.edges {
            if edge.kind == "inherits" {
                self.graph.depends(Node::Read(edge.from), Node::Read(edge.to));
            }
            self.both(edge.from, edge.to);
        }
        for row in &self.rows.relations {
            // Writing also runs policies, and UPDATE and DELETE read.
            self.graph.depends(Node::Written(row.oid), Node::Read(row.oid));
            self.graph.depends(Node::Further(row.oid), Node::Read(row.oid));
        }
    }

    /// Writing one relation also writes another.
    fn both(&mut self, from: Oid, to: Oid) {
        self.graph.depends(Node::Written(from), Node::Written(to));
        self.graph.depends(Node::Further(from), Node::Further(to));
    }

    fn trees(&mut self) {
        for tree in &self.rows.trees {
            match &*tree.owner {
                "view" | "policy" => self.tree(Node::Read(tree.oid), tree),
                "domain" => self.tree(Node::Type(tree.oid), tree),
                "arguments" | "body" => self.tree(Node::Function(tree.oid), tree),
                "write" => {
                    let node = Node::Written(tree.oid);
                    for id in &tree.functions {
                        self.graph.depends(node, Node::State(*id));
                        self.graph.depends(Node::Further(tree.oid), Node::Function(*id));
                    }
                    let leaves_state = |name: &String| !default_is_plain(name);
                    self.graph.bad_if(node, tree.builtins.iter().any(leaves_state));
                }
                _ => (),
            }
            if tree.owner == "view" {
                // An update through it is one of the server's own relations, and that of pg_settings sets.
                self.graph.bad_if(Node::Written(tree.oid), !tree.system_relations.is_empty());
                tree.relations.iter().filter(|id| **id != tree.oid).for_each(|id| self.both(tree.oid, *id));
            }
        }
    }

    /// A stored expression that runs when `node` is used. Configured functions keep their trust.
    fn tree(&mut self, node: Node, tree: &TreeRow) {
        if let Node::Function(oid) = node {
            let row = self.rows.functions.iter().find(|row| row.oid == oid);
            if row.is_some_and(|row| Self::configured(&self.config.read_only, row)) {
                return;
            }
        }
        tree.functions.iter().for_each(|id| self.graph.depends(node, Node::Function(*id)));
        tree.operators.iter().for_each(|id| self.graph.depends(node, Node::Operator(*id)));
        tree.types.iter().for_each(|id| self.graph.depends(node, Node::Type(*id)));
        tree.relations.iter().for_each(|id| self.graph.depends(node, Node::Read(*id)));
        let bad_builtin = tree.builtins.iter().any(|name| !tree_call_is_harmless(name, tree));
        self.graph.bad_if(node, tree.locks || tree.writes || bad_builtin);
    }

    fn writing(&mut self) {
        for row in &self.rows.rules {
            self.graph.bad_if(Node::Written(row.relation), true);
            self.graph.bad_if(Node::Further(row.relation), true);
        }
        let functions: HashMap<Oid, &FunctionRow> =
            self.rows.functions.iter().map(|row| (row.oid, row)).collect();
        for trigger in &self.rows.triggers {
            let (written, further) = (Node::Written(trigger.relation), Node::Further(trigger.relation));
            let row = functions.get(&trigger.function);
            // The triggers of PostgreSQL itself change the row at hand only.
            let plain = match row {
                Some(row) => self.trigger_is_plain(row, [written, further]),
                None => trigger.function < FIRST_USER_OID,
            };
            let stateless = row.is_some_and(|row| Self::configured(&self.config.stateless, row));
            self.graph.bad_if(written, !plain && !stateless);
            let known = self.config.triggers.keys().any(|name| {
                self.rows.relations.iter().any(|row| row.oid == trigger.relation && is_named(row, name))
            });
            self.graph.bad_if(further, !plain && !known);
        }
        for (table, targets) in &self.config.triggers {
            for from in self.rows.relations.iter().filter(|row| is_named(row, table)) {
                for to in self.rows.relations.iter().filter(|row| targets.iter().any(|t| is_named(row, t))) {
                    self.graph.depends(Node::Further(from.oid), Node::Further(to.oid));
                }
            }
        }
    }

    /// Whether a trigger function only computes: no statement of SQL in it, and no call but of harmless built-in
    /// functions. Notes what else its text reaches.
    fn trigger_is_plain(&mut self, row: &FunctionRow, nodes: [Node; 2]) -> bool {
        const STATEMENTS: [&str; 24] = [
            "alter",
            "analyze",
            "call",
            "close",
            "copy",
            "create",
            "deallocate",
            "delete",
            "discard",
            "do",
            "drop",
            "execute",
            "fetch",
            "insert",
            "listen",
            "load",
            "lock",
            "merge",
            "notify",
            "open",
            "perform",
            "prepare",
            "reset",
            "select",
        ];
        const MORE: [&str; 8] =
            ["set", "table", "truncate", "unlisten", "update", "values", "with", "vacuum"];
        let Some(outline) = row.source.as_deref().and_then(|source| analyse::outline(source.as_bytes()))
        else {
            return false;
        };
        nodes.into_iter().for_each(|node| self.unnamed(node, &outline));
        let harmless = |call: &ObjectName| {
            call.schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
                && is_harmless(&call.name)
                && !self.names.functions.contains_key(&*call.name)
        };
        row.language == "plpgsql"
            && !outline.strange
            && !STATEMENTS.iter().chain(&MORE).any(|word| outline.has(word))
            && outline.calls.iter().all(harmless)
            && !outline.keyword_calls.iter().any(|name| self.names.functions.contains_key(&**name))
    }
}

pub(super) fn is_harmless(builtin: &str) -> bool {
    builtin::function(builtin) == builtin::Function::Harmless
}

/// Whether a function of an extension is volatile for nothing but random numbers.
pub(super) fn draws_numbers(row: &FunctionRow) -> bool {
    row.extension && row.language == "c" && DRAWS_NUMBERS.contains(&&*row.name)
}

/// Whether a function in C sets something for the session, though it is declared to do nothing.
pub(super) fn sets_in_c(row: &FunctionRow) -> bool {
    let name = row.name.as_str();
    row.language == "c" && (name == "isn_weak" || name.starts_with("set_") || name.contains("_set_"))
}

/// Support functions of aggregates mostly take internal states, so they are on no list of functions to be called.
pub(super) fn support_is_harmless(name: &str) -> bool {
    let parts = ["trans", "accum", "final", "combine", "serial", "avg", "sum", "agg", "inv"];
    is_harmless(name) || parts.iter().any(|part| name.contains(part))
}

/// Whether a built-in function in a default or check leaves no session state but a sequence's.
fn default_is_plain(name: &str) -> bool {
    match builtin::function(name) {
        builtin::Function::Special(effects) => effects.without(Effects::SEQUENCE_USE).is_empty(),
        builtin::Function::Unlisted => support_is_harmless(name),
        _ => true,
    }
}

/// Whether a built-in function in a stored expression is harmless there. Those that only operators call are not on the
/// list of functions to be called, but no operator of PostgreSQL's own is volatile.
fn tree_call_is_harmless(name: &str, tree: &TreeRow) -> bool {
    match builtin::function(name) {
        builtin::Function::Harmless => true,
        builtin::Function::Setting => tree.source.as_deref().is_some_and(analyse::settings_are_harmless),
        _ => false,
    }
}
