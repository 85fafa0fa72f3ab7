//! What the statements that were served tell: one by one, and by table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pgsplit_route::rules::SearchPath;
use pgsplit_session::Shared;
use pgsplit_session::statistics::{Route, Side, Statement};
use pgsplit_sql::Catalog;
use pgsplit_sql::facts::ObjectName;

use super::table::{Column, Kind, Value};

pub(super) const STATEMENTS: &[Column] = &[
    ("calls", Kind::Int),
    ("primary", Kind::Int),
    ("replica", Kind::Int),
    ("reason", Kind::Text),
    ("errors", Kind::Int),
    ("rows", Kind::Int),
    ("pins", Kind::Int),
    ("primary_p50_ms", Kind::Real),
    ("primary_p99_ms", Kind::Real),
    ("replica_p50_ms", Kind::Real),
    ("replica_p99_ms", Kind::Real),
    ("last_call", Kind::Time),
    ("database", Kind::Text),
    ("fingerprint", Kind::Text),
    ("statement", Kind::Text),
];
pub(super) const TABLES: &[Column] = &[
    ("database", Kind::Text),
    ("table", Kind::Text),
    ("reads", Kind::Int),
    ("writes", Kind::Int),
    ("read_share", Kind::Real),
    ("replica_reads", Kind::Int),
    ("replica_share", Kind::Real),
];

pub(super) const ROUTES: &[Column] = &[
    ("route", Kind::Text),
    ("calls", Kind::Int),
    ("primary", Kind::Int),
    ("replica", Kind::Int),
    ("errors", Kind::Int),
    ("primary_p50_ms", Kind::Real),
    ("primary_p99_ms", Kind::Real),
    ("replica_p50_ms", Kind::Real),
    ("replica_p99_ms", Kind::Real),
    ("last_call", Kind::Time),
];

/// Of a longer text only the beginning is shown.
const SHOWN: usize = 2_000;

pub(super) fn statements(shared: &Shared) -> Vec<Vec<Value>> {
    shared.statistics.all().statements.iter().map(|one| statement(one)).collect()
}

fn statement(one: &Statement) -> Vec<Value> {
    let [primary, replica] = &one.sides;
    vec![
        one.calls().into(),
        primary.calls().into(),
        replica.calls().into(),
        one.reason().into(),
        one.errors.into(),
        one.rows.into(),
        one.pins.into(),
        percentile(primary, 0.5),
        percentile(primary, 0.99),
        percentile(replica, 0.5),
        percentile(replica, 0.99),
        one.last.into(),
        (*one.database).into(),
        format!("{:016x}", one.facts.fingerprint).into(),
        one.facts.text().chars().take(SHOWN).collect::<String>().into(),
    ]
}

pub(super) fn routes(shared: &Shared) -> Vec<Vec<Value>> {
    let row = |one: Route| {
        let [primary, replica] = &one.sides;
        vec![
            (*one.name).into(),
            (primary.calls() + replica.calls()).into(),
            primary.calls().into(),
            replica.calls().into(),
            one.errors.into(),
            percentile(primary, 0.5),
            percentile(primary, 0.99),
            percentile(replica, 0.5),
            percentile(replica, 0.99),
            one.last.into(),
        ]
    };
    shared.statistics.routes().into_iter().map(row).collect()
}

fn percentile(side: &Side, share: f64) -> Value {
    time(side.times.quantile(share))
}

/// A time in microseconds, if there is one.
pub(super) fn time(micros: Option<f64>) -> Value {
    micros.map(|micros| Duration::from_secs_f64(micros / 1e6)).into()
}

#[derive(Default)]
struct Use {
    reads: u64,
    writes: u64,
    replica_reads: u64,
}

/// A statement that reads a table and writes another counts once for each of them.
pub(super) fn tables(shared: &Shared) -> Vec<Vec<Value>> {
    let mut tables: BTreeMap<(String, String), Use> = BTreeMap::new();
    let statements = shared.statistics.all().statements;
    let mut catalogs: BTreeMap<&str, Arc<Catalog>> = BTreeMap::new();
    for one in &statements {
        let load = || Arc::clone(&shared.control.catalog(&one.database).load());
        let catalog = catalogs.entry(&one.database).or_insert_with(load);
        // A view's tables have their schemas with them, what is written in the text perhaps not.
        let named = |names: &[ObjectName]| -> BTreeSet<String> {
            names.iter().map(|name| full_name(one, catalog, name)).collect()
        };
        let key = |name: &String| (one.database.to_string(), name.clone());
        let (written, read) = (named(&one.facts.writes.names), named(&one.facts.reads.names));
        for name in &written {
            tables.entry(key(name)).or_default().writes += one.calls();
        }
        for name in read.difference(&written) {
            let table = tables.entry(key(name)).or_default();
            table.reads += one.calls();
            table.replica_reads += one.sides.get(1).map_or(0, Side::calls);
        }
    }
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_key(|(_, used)| std::cmp::Reverse(used.reads + used.writes));
    let row = |((database, table), used): ((String, String), Use)| {
        vec![
            database.into(),
            table.into(),
            used.reads.into(),
            used.writes.into(),
            share(used.reads, used.reads + used.writes),
            used.replica_reads.into(),
            share(used.replica_reads, used.reads),
        ]
    };
    tables.into_iter().map(row).collect()
}

/// A table by one name, however its callers say it: with its schema, unless that is `public`.
fn full_name(statement: &Statement, catalog: &Catalog, name: &ObjectName) -> String {
    let found = || {
        let (caller, _) = statement.callers.shares().next()?;
        let path = SearchPath::new(caller.search_path.as_deref(), &caller.user);
        path.resolve(catalog, &name.name)
    };
    match name.schema.as_deref().or_else(found) {
        Some("public") | None => name.name.to_string(),
        Some(schema) => format!("{schema}.{}", name.name),
    }
}

/// In thousandths.
fn share(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Null } else { Value::Real((part as f64 / whole as f64 * 1e3).round() / 1e3) }
}
