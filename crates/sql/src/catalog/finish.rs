//! From the graph of trust to the snapshot that names are looked up in.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

use super::build::{Builder, FIRST_USER_OID, is_harmless};
use super::graph::{Node, reach};
use super::reach::{Reach, Sought};
use super::rows::{FunctionRow, Oid, RelationRow, Rows};
use super::sources::{Read, Sources};
use super::{Catalog, Function, FunctionConfig, Further, Map, Relation, Set};
use crate::builtin;
use crate::facts::ObjectName;

type Bad = HashSet<Node, foldhash::fast::RandomState>;
type Edges = HashMap<Oid, Vec<Oid>, foldhash::fast::RandomState>;

impl Builder<'_> {
    /// Relations that are bad for where they are stored: only the primary has them, or each node its own.
    fn elsewhere(&self) -> impl Iterator<Item = Node> {
        let relations = self.rows.relations.iter().filter(|row| {
            row.persistence != "p" || matches!(&*row.kind, "f" | "S") || (row.kind == "m" && !row.populated)
        });
        let views = self.rows.trees.iter().filter(|tree| {
            let harmless = |name: &String| name.split_once('.').is_some_and(|(s, n)| builtin::relation(s, n));
            !tree.system_relations.iter().all(harmless)
        });
        relations.map(|row| Node::Read(row.oid)).chain(views.map(|tree| owner(&tree.owner, tree.oid)))
    }

    /// What reads relations that its name does not show: functions with bodies in SQL, views of the system catalogs, and
    /// all that runs or reads them.
    fn readers(&self) -> Bad {
        let functions = self.rows.functions.iter().filter(|row| !matches!(&*row.language, "c" | "internal"));
        let views = self.rows.trees.iter().filter(|tree| !tree.system_relations.is_empty());
        let functions = functions.map(|row| Node::Function(row.oid));
        self.graph.dependents(functions.chain(views.map(|tree| owner(&tree.owner, tree.oid))))
    }

    pub(super) fn finish(self, version: u64, before: &Read) -> Catalog {
        let code = self.graph.closure([]);
        let bad = self.graph.closure(self.elsewhere());
        let readers = self.readers();
        let reading = |node: Node| readers.contains(&node);
        let operators_that_read = self.rows.operators.iter().filter(|row| reading(Node::Operator(row.oid)));
        let types_that_read = self.rows.types.iter().filter(|row| reading(Node::Type(row.oid)));
        let members_that_read =
            self.rows.functions.iter().filter(|row| row.takes_row && reading(Node::Function(row.oid)));
        let further = Further {
            operators: operators_that_read.map(|row| (&*row.symbol).into()).collect(),
            types: types_that_read.map(|row| (&*row.name).into()).collect(),
            members: members_that_read.map(|row| (&*row.name).into()).collect(),
        };
        let functions = self.finished_functions(&bad);
        let untrusted = |row: &&FunctionRow| bad.contains(&Node::Function(row.oid));
        let members: Set = self
            .rows
            .functions
            .iter()
            .filter(untrusted)
            .filter(|row| row.takes_row)
            .map(|row| (&*row.name).into())
            .collect();
        let operators = self.rows.operators.iter().filter(|row| bad.contains(&Node::Operator(row.oid)));
        let types = self.rows.types.iter().filter(|row| bad.contains(&Node::Type(row.oid)));
        let sources = Sources::new(self.rows, self.config, before);
        Catalog {
            version,
            key: key(self.rows, self.config),
            known: true,
            config: self.config.clone(),
            relations: self.finished_relations(&bad, &code, &readers),
            functions,
            members,
            operators: operators.map(|row| (&*row.symbol).into()).collect(),
            types: types.map(|row| (&*row.name).into()).collect(),
            tainted: self.tainted(&bad).map(|why| why.into()),
            custom_settings: self.rows.custom_settings.iter().map(|name| (&**name).into()).collect(),
            unnamed: Reach::new(&sources, Sought::Anything),
            leaving: Reach::new(&sources, Sought::Leaving),
            altering: Reach::new(&sources, Sought::Altering),
            read: sources.read(),
            asks_sequences: self.rows.asks_sequences,
            asynchronous: self.rows.asynchronous,
            event_triggers: self.rows.event_triggers,
            further,
        }
    }

    fn finished_functions(&self, bad: &Bad) -> Map<Vec<Function>> {
        let mut found: Map<Vec<Function>> = Map::default();
        for row in &self.rows.functions {
            found.entry((&*row.name).into()).or_default().push(Function {
                schema: (&*row.schema).into(),
                trusted: !bad.contains(&Node::Function(row.oid)),
                stateless: !bad.contains(&Node::State(row.oid)),
            });
        }
        found
    }

    fn finished_relations(&self, bad: &Bad, code: &Bad, readers: &Bad) -> Map<Vec<Relation>> {
        let names: HashMap<Oid, ObjectName> = self
            .rows
            .relations
            .iter()
            .map(|row| {
                (row.oid, ObjectName { schema: Some((&*row.schema).into()), name: (&*row.name).into() })
            })
            .collect();
        let (mut reads, mut writes) = (Edges::default(), Edges::default());
        for tree in self.rows.trees.iter().filter(|tree| matches!(&*tree.owner, "view" | "policy")) {
            reads.entry(tree.oid).or_default().extend(&tree.relations);
        }
        for tree in self.rows.trees.iter().filter(|tree| tree.owner == "view") {
            writes.entry(tree.oid).or_default().extend(&tree.relations);
        }
        for edge in &self.rows.edges {
            writes.entry(edge.from).or_default().push(edge.to);
            if edge.kind == "inherits" {
                reads.entry(edge.from).or_default().push(edge.to);
            }
        }
        for (table, written) in &self.config.triggers {
            for from in self.rows.relations.iter().filter(|row| is_named(row, table)) {
                let named = |row: &&RelationRow| written.iter().any(|name| is_named(row, name));
                let to = self.rows.relations.iter().filter(named).map(|row| row.oid);
                writes.entry(from.oid).or_default().extend(to);
            }
        }
        let closure = |edges: &Edges, oid: Oid| -> Box<[ObjectName]> {
            let all = reach([oid], |oid| edges.get(&oid).into_iter().flatten().copied());
            all.iter().filter_map(|oid| names.get(oid).cloned()).collect()
        };
        let mut found: Map<Vec<Relation>> = Map::default();
        for row in &self.rows.relations {
            found.entry((&*row.name).into()).or_default().push(Relation {
                schema: (&*row.schema).into(),
                bad: bad.contains(&Node::Read(row.oid)),
                code: code.contains(&Node::Read(row.oid)),
                writing_code: code.contains(&Node::Written(row.oid)),
                reads_further: readers.contains(&Node::Read(row.oid)),
                reaches_further: code.contains(&Node::Further(row.oid)),
                reads: closure(&reads, row.oid),
                writes: closure(&writes, row.oid),
            });
        }
        found
    }

    /// Code that runs without any name in the text: sorting and hashing, and casts between types of the server itself.
    fn tainted(&self, bad: &Bad) -> Option<&str> {
        // Comparisons hide in IN, BETWEEN, CASE, USING, DISTINCT and more.
        let comparison = |symbol: &str| matches!(symbol, "=" | "<>" | "<" | ">" | "<=" | ">=");
        let mut operators = self.rows.operators.iter().filter(|row| bad.contains(&Node::Operator(row.oid)));
        if let Some(operator) = operators.find(|row| comparison(&row.symbol)) {
            return Some(&operator.symbol);
        }
        let in_c: HashSet<Oid> = self
            .rows
            .functions
            .iter()
            .filter(|f| f.extension && matches!(&*f.language, "c" | "internal"))
            .map(|f| f.oid)
            .collect();
        let untrusted = |function: Oid| bad.contains(&Node::Function(function)) && !in_c.contains(&function);
        let support = self
            .rows
            .operator_classes
            .iter()
            .find(|row| untrusted(row.function))
            .map(|row| &*row.function_name);
        support.or_else(|| {
            let builtin = |id: Oid| id < FIRST_USER_OID;
            let between_builtins =
                self.rows.casts.iter().filter(|row| builtin(row.source) && builtin(row.target));
            let mut casts = between_builtins.filter(|row| match builtin(row.function) {
                true => !is_harmless(&row.function_name),
                false => untrusted(row.function),
            });
            casts.next().map(|row| &*row.function_name)
        })
    }
}

/// What a stored expression belongs to.
fn owner(kind: &str, oid: Oid) -> Node {
    match kind {
        "domain" => Node::Type(oid),
        "arguments" | "body" => Node::Function(oid),
        _ => Node::Read(oid),
    }
}

/// Whether a name of the configuration, with or without a schema, is this relation's.
pub(super) fn is_named(row: &RelationRow, name: &str) -> bool {
    match name.split_once('.') {
        Some((schema, name)) => row.schema == schema && row.name == name,
        None => row.name == name,
    }
}

fn key(rows: &Rows, config: &FunctionConfig) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
    rows.hash(&mut hasher);
    config.hash(&mut hasher);
    hasher.finish()
}
