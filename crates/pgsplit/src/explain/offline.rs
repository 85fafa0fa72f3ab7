//! The answer from the text alone.

use std::sync::Arc;

use pgsplit_config::Config;
use pgsplit_route::{Node, NodeId, Role, View};
use pgsplit_sql::catalog::{FunctionConfig, RelationRow, Rows};
use pgsplit_sql::{Catalog, NotRead, Verdict};

use super::answer::{Answer, Assumption, Background};
use super::consider::{Considered, Ground, consider};
use super::question::Question;
use crate::wiring;

/// A statement that reads more tables gets no assumption.
const MOST_TABLES: usize = 64;
/// The first object identifier that a user's table can have (`FirstNormalObjectId` in access/transam.h).
const FIRST_OID: i64 = 16_384;

pub(super) fn explain(config: Option<&Config>, question: &Question) -> Answer {
    let (ground, functions) = ground(config);
    let empty = Arc::new(Catalog::build(&Rows::default(), &functions, 1));
    let known = consider(question, &ground, &empty);
    let assumed = assume(question, &ground, &functions, &known);
    let mut answer = Answer::new(question, &known, &ground);
    // Without servers it is not known which nodes are up.
    answer.candidates = Vec::new();
    answer.background = Background::Offline {
        assumption: assumed.map(|(tables, considered)| {
            answer.rules.clone_from(&considered.rules);
            Assumption {
                tables,
                target: Answer::target(&considered, &ground),
                reason: considered.decision.reason,
            }
        }),
    };
    answer.notes.push(
        "Asked without --live: the tables, views and functions of the database are unknown, and what is unknown \
         goes to the primary."
            .to_owned(),
    );
    answer
}

/// What a statement comes to when everything that it names is an ordinary table; what a configuration's tests ask.
pub(crate) fn as_if_known(config: &Config, question: &Question) -> (Considered, Ground) {
    let (ground, functions) = ground(Some(config));
    let empty = Arc::new(Catalog::build(&Rows::default(), &functions, 1));
    let known = consider(question, &ground, &empty);
    let assumed = assume(question, &ground, &functions, &known);
    (assumed.map_or(known, |(_, considered)| considered), ground)
}

/// Rules, and nodes that are all up: the first is the primary.
fn ground(config: Option<&Config>) -> (Ground, FunctionConfig) {
    let rules = config.map(wiring::rules).unwrap_or_default();
    let pairs: Vec<(String, String)> = match config {
        Some(config) => config.nodes.iter().map(|n| (n.name.clone(), n.address.to_string())).collect(),
        None => ["primary", "replica"].map(|name| (name.to_owned(), name.to_owned())).into(),
    };
    let role = |at| if at == 0 { Role::Primary } else { Role::Replica };
    let node = |(at, (name, address)): (u16, &(String, String))| Node::new(at, name, address).up(role(at));
    let mut nodes: Vec<Node> = (0..).zip(&pairs).map(node).collect();
    if nodes.len() == 1 {
        // What a replica could be sent is of interest also where there is none yet.
        nodes.push(Node::new(1, "replica", "replica").up(Role::Replica));
    }
    let view = View { nodes, primary: Some(NodeId(0)), generation: 1, ..View::default() };
    (Ground::new(config, rules, Arc::new(view)), config.map(functions).unwrap_or_default())
}

fn functions(config: &Config) -> FunctionConfig {
    FunctionConfig {
        read_only: config.routing.functions_read_only.clone(),
        write: config.routing.functions_write.clone(),
        triggers: config.routing.triggers.clone(),
        stateless: config.routing.functions_stateless.clone(),
    }
}

/// Takes one unknown relation after the other for an ordinary table, until something else decides.
fn assume(
    question: &Question,
    ground: &Ground,
    functions: &FunctionConfig,
    known: &Considered,
) -> Option<(Vec<String>, Considered)> {
    let mut verdict = known.facts.verdict.clone();
    let mut tables: Vec<String> = Vec::new();
    while let Verdict::NotRead(NotRead::Relation(name)) = &verdict {
        if tables.len() == MOST_TABLES || tables.iter().any(|known| **known == **name) {
            return None;
        }
        tables.push(name.to_string());
        let rows = Rows { relations: ordinary(&tables, &question.sql), ..Rows::default() };
        let catalog = Arc::new(Catalog::build(&rows, functions, 1));
        let considered = consider(question, ground, &catalog);
        verdict = considered.facts.verdict.clone();
        if !matches!(verdict, Verdict::NotRead(NotRead::Relation(_))) {
            return Some((tables, considered));
        }
    }
    None
}

/// Rows for tables of these names, in `public` and in every schema that the text may mean.
fn ordinary(tables: &[String], sql: &str) -> Vec<RelationRow> {
    let mut schemas: Vec<String> = vec!["public".to_owned()];
    // A word before a dot may be a schema.
    for (at, _) in sql.match_indices('.') {
        let before = sql.get(..at).unwrap_or_default().trim_end_matches('"');
        let word = before.rsplit(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$')).next();
        schemas.extend(word.filter(|word| !word.is_empty()).map(str::to_owned));
        schemas.extend(word.filter(|word| !word.is_empty()).map(str::to_lowercase));
    }
    schemas.sort_unstable();
    schemas.dedup();
    let pairs = tables.iter().flat_map(|name| schemas.iter().map(move |schema| (name, schema)));
    (FIRST_OID..)
        .zip(pairs)
        .map(|(oid, (name, schema))| RelationRow {
            oid,
            schema: schema.clone(),
            name: name.clone(),
            kind: "r".to_owned(),
            persistence: "p".to_owned(),
            populated: true,
        })
        .collect()
}
