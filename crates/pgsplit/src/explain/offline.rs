//! The answer from the text alone.

use std::sync::Arc;

use pgsplit_config::Config;
use pgsplit_route::{Reason, Target};
use pgsplit_sql::catalog::{FunctionConfig, RelationRow, Rows};
use pgsplit_sql::{Analyzer, Catalog, Facts, NotRead, Verdict};

use super::answer::{Answer, Assumption, Background};

/// A statement that reads more tables gets no assumption.
const MOST_TABLES: usize = 64;
/// The first object identifier that a user's table can have (`FirstNormalObjectId` in access/transam.h).
const FIRST_OID: i64 = 16_384;
/// One text is analysed a few times.
const CACHE: usize = 64 << 10;

pub(super) fn explain(config: Option<&Config>, sql: &str) -> Answer {
    let functions = config.map(functions).unwrap_or_default();
    let analyzer = Analyzer::new(CACHE);
    let empty = Arc::new(Catalog::build(&Rows::default(), &functions, 1));
    let facts = analyzer.facts(sql.as_bytes(), &empty);
    let (target, reason) = decision(&facts);
    Answer {
        sql: sql.to_owned(),
        target,
        reason,
        candidates: Vec::new(),
        background: Background::Offline { assumption: assume(&analyzer, &functions, sql, &facts) },
        facts,
        notes: vec![
            "Asked without --live: the tables, views and functions of the database are unknown, and what is unknown \
             goes to the primary."
                .to_owned(),
        ],
    }
}

fn functions(config: &Config) -> FunctionConfig {
    FunctionConfig {
        read_only: config.routing.functions_read_only.clone(),
        write: config.routing.functions_write.clone(),
        stateless: config.routing.functions_stateless.clone(),
    }
}

fn decision(facts: &Facts) -> (&'static str, Reason) {
    let [primary, replica] = Target::NAMES;
    match &facts.verdict {
        Verdict::Read => (replica, Reason::Read),
        Verdict::NotRead(why) => (primary, Reason::NotRead(why.clone())),
    }
}

/// Takes one unknown relation after the other for an ordinary table, until something else decides.
fn assume(analyzer: &Analyzer, functions: &FunctionConfig, sql: &str, facts: &Facts) -> Option<Assumption> {
    let mut verdict = facts.verdict.clone();
    let mut tables: Vec<String> = Vec::new();
    while let Verdict::NotRead(NotRead::Relation(name)) = &verdict {
        if tables.len() == MOST_TABLES || tables.iter().any(|known| **known == **name) {
            return None;
        }
        tables.push(name.to_string());
        let rows = Rows { relations: ordinary(&tables, sql), ..Rows::default() };
        let catalog = Arc::new(Catalog::build(&rows, functions, 1));
        let facts = analyzer.facts(sql.as_bytes(), &catalog);
        verdict = facts.verdict.clone();
        let (target, reason) = decision(&facts);
        if !matches!(verdict, Verdict::NotRead(NotRead::Relation(_))) {
            return Some(Assumption { tables, target, reason });
        }
    }
    None
}

/// Rows for tables of these names, in `public` and in every schema that the text may mean.
fn ordinary(tables: &[String], sql: &str) -> Vec<RelationRow> {
    let words = sql.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    let mut schemas: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    schemas.push("public".to_owned());
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
