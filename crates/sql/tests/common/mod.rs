//! A small database for the tests: every kind of relation, function, operator and type that matters to a verdict.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::sync::Arc;

use pgsplit_sql::catalog::*;
use pgsplit_sql::{Analyzer, Catalog, Facts};

pub fn relation(oid: Oid, name: &str, kind: &str) -> RelationRow {
    RelationRow {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: kind.into(),
        persistence: "p".into(),
        populated: true,
    }
}

pub fn function(oid: Oid, name: &str, language: &str, volatility: &str, source: &str) -> FunctionRow {
    FunctionRow {
        oid,
        schema: "public".into(),
        name: name.into(),
        kind: "f".into(),
        language: language.into(),
        volatility: volatility.into(),
        source: Some(source.into()),
        ..FunctionRow::default()
    }
}

pub fn tree(owner: &str, oid: Oid) -> TreeRow {
    TreeRow { owner: owner.into(), oid, ..TreeRow::default() }
}

fn relations() -> Vec<RelationRow> {
    let mut relations = vec![
        relation(20001, "t", "r"),
        relation(20002, "u", "r"),
        relation(20003, "unlogged", "r"),
        relation(20004, "sq", "S"),
        relation(20005, "v_ok", "v"),
        relation(20006, "v_volatile", "v"),
        relation(20007, "v_nested", "v"),
        relation(20008, "v_locking", "v"),
        relation(20009, "v_unlogged", "v"),
        relation(20010, "v_tenant", "v"),
        relation(20011, "v_datadir", "v"),
        relation(20012, "v_activity", "v"),
        relation(20013, "mv", "m"),
        relation(20014, "mv_empty", "m"),
        relation(20015, "foreign_t", "f"),
        relation(20016, "part", "p"),
        relation(20017, "part_1", "r"),
        relation(20018, "part_bad", "p"),
        relation(20019, "rls_ok", "r"),
        relation(20020, "rls_bad", "r"),
        relation(20021, "triggered", "r"),
        relation(20022, "touched", "r"),
        relation(20023, "ruled", "r"),
        relation(20024, "child", "r"),
        relation(20025, "with_domain", "r"),
        relation(20026, "accounts", "r"),
        relation(20027, "default_bad", "r"),
        relation(20028, "Mixed Case", "r"),
        RelationRow { schema: "other".into(), ..relation(20029, "accounts", "r") },
        RelationRow { schema: "other".into(), ..relation(20030, "twin", "r") },
        relation(20031, "twin", "r"),
        relation(20032, "parent_of_triggered", "r"),
        relation(20033, "fires_sets", "r"),
        relation(20034, "fires_fires_sets", "r"),
    ];
    for row in &mut relations {
        if matches!(row.oid, 20003 | 20030) {
            row.persistence = "u".into();
        }
        row.populated = row.oid != 20014;
    }
    relations
}

fn functions() -> Vec<FunctionRow> {
    let mut functions = vec![
        function(30001, "f_volatile", "plpgsql", "v", "begin return 1; end"),
        function(30002, "f_stable_plpgsql", "plpgsql", "s", "begin return 1; end"),
        function(30003, "f_sql", "sql", "s", "select a + 1 from t where id = $1"),
        function(30004, "f_sql_nextval", "sql", "s", "select nextval('sq')"),
        function(30005, "f_sql_calls_volatile", "sql", "i", "select f_volatile()"),
        function(30006, "f_sql_calls_sql", "sql", "i", "select f_sql(1) + length('x')"),
        function(30007, "f_sql_writes", "sql", "s", "insert into t values (1); select 1"),
        function(30008, "f_sql_volatile", "sql", "v", "select 1"),
        function(30009, "f_extension", "c", "i", ""),
        function(30010, "f_c", "c", "i", ""),
        function(30011, "f_extension_volatile", "c", "v", ""),
        function(30012, "f_trusted", "plpgsql", "v", "begin return 1; end"),
        function(30013, "f_denied", "sql", "i", "select 1"),
        function(30014, "f_stateless", "plpgsql", "v", "begin return 1; end"),
        function(30015, "op_bad", "plpgsql", "v", ""),
        function(30016, "agg_ok", "internal", "i", ""),
        function(30017, "agg_bad", "internal", "i", ""),
        function(30018, "f_default", "sql", "i", "select $1"),
        function(30019, "tr_log", "plpgsql", "v", "begin insert into log values (1); return new; end"),
        function(30020, "tr_touch", "plpgsql", "v", "begin new.updated := now(); return new; end"),
        function(30021, "lower", "plpgsql", "v", ""),
        function(30022, "fullname", "plpgsql", "v", ""),
        function(30023, "f_atomic", "sql", "s", ""),
        function(30024, "f_atomic_writes", "sql", "s", ""),
        function(30025, "f_recursive", "sql", "s", "select f_recursive($1 - 1)"),
        function(30026, "f_unlogged", "sql", "s", "select count(*) from unlogged"),
        function(30029, "f_sets", "plpgsql", "v", "begin perform set_config('a.b', 'c', false); end"),
        function(30030, "f_calls_sets", "plpgsql", "v", "begin return f_sets(); end"),
        function(30031, "f_makes", "plpgsql", "v", "begin create table x (a int); end"),
        function(30032, "f_unknown_call", "plpgsql", "v", "begin perform who_knows(1); end"),
        function(30035, "isn_weak", "c", "i", ""),
        function(30033, "tr_sets", "plpgsql", "v", "begin set a.b = 1; return new; end"),
        function(
            30034,
            "tr_writes",
            "plpgsql",
            "v",
            "begin insert into fires_sets values (1); return new; end",
        ),
        FunctionRow { kind: "p".into(), ..function(30027, "proc", "plpgsql", "v", "") },
        FunctionRow { kind: "p".into(), ..function(30028, "proc_stateless", "plpgsql", "v", "") },
    ];
    for row in &mut functions {
        row.extension = matches!(row.oid, 30009 | 30011 | 30035);
        row.takes_row = row.oid == 30022;
        if matches!(row.oid, 30016 | 30017) {
            row.kind = "a".into();
        }
    }
    functions
}

fn trees() -> Vec<TreeRow> {
    vec![
        TreeRow { relations: vec![20001, 20005], builtins: vec!["int4eq".into()], ..tree("view", 20005) },
        TreeRow { functions: vec![30001], relations: vec![20006], ..tree("view", 20006) },
        TreeRow { relations: vec![20006, 20001], ..tree("view", 20007) },
        TreeRow { locks: true, relations: vec![20001], ..tree("view", 20008) },
        TreeRow { relations: vec![20003], ..tree("view", 20009) },
        TreeRow {
            builtins: vec!["current_setting".into()],
            source: Some("SELECT current_setting('app.tenant'::text) AS x".into()),
            ..tree("view", 20010)
        },
        TreeRow {
            builtins: vec!["current_setting".into()],
            source: Some("SELECT current_setting('data_directory'::text) AS x".into()),
            ..tree("view", 20011)
        },
        TreeRow { system_relations: vec!["pg_catalog.pg_stat_activity".into()], ..tree("view", 20012) },
        TreeRow {
            builtins: vec!["current_setting".into()],
            relations: vec![20002],
            source: Some("(tenant = (current_setting('app.tenant'::text, true))::integer)".into()),
            ..tree("policy", 20019)
        },
        TreeRow { functions: vec![30001], ..tree("policy", 20020) },
        TreeRow { functions: vec![30001], ..tree("domain", 40001) },
        TreeRow { functions: vec![30001], ..tree("arguments", 30018) },
        TreeRow { relations: vec![20001], ..tree("body", 30023) },
        TreeRow { writes: true, relations: vec![20001], ..tree("body", 30024) },
        TreeRow { functions: vec![30001], ..tree("write", 20027) },
        TreeRow { builtins: vec!["nextval".into(), "now".into()], ..tree("write", 20001) },
    ]
}

pub fn rows() -> Rows {
    let edge = |kind: &str, from, to| EdgeRow { kind: kind.into(), from, to };
    let ty = |oid, name: &str, relation, parts| TypeRow {
        oid,
        schema: "public".into(),
        name: name.into(),
        relation,
        parts,
        functions: Vec::new(),
    };
    Rows {
        functions: functions(),
        relations: relations(),
        trees: trees(),
        operators: vec![
            OperatorRow { oid: 50001, symbol: "===".into(), function: 30015, function_name: "op_bad".into() },
            OperatorRow {
                oid: 50002,
                symbol: "<->".into(),
                function: 30009,
                function_name: "f_extension".into(),
            },
        ],
        types: vec![
            ty(40001, "d_bad", 0, vec![]),
            ty(40002, "with_domain", 20025, vec![40001]),
            ty(40003, "d_ok", 0, vec![]),
        ],
        aggregates: vec![
            AggregateRow { aggregate: 30016, function: 177, function_name: "int4pl".into() },
            AggregateRow { aggregate: 30017, function: 30002, function_name: "f_stable_plpgsql".into() },
        ],
        triggers: vec![
            TriggerRow { relation: 20021, function: 30019, function_name: "tr_log".into() },
            TriggerRow { relation: 20022, function: 30020, function_name: "tr_touch".into() },
            TriggerRow { relation: 20033, function: 30033, function_name: "tr_sets".into() },
            TriggerRow { relation: 20034, function: 30034, function_name: "tr_writes".into() },
        ],
        rules: vec![RuleRow { relation: 20023 }],
        edges: vec![
            edge("inherits", 20016, 20017),
            edge("inherits", 20018, 20003),
            edge("cascade", 20001, 20024),
            edge("cascade", 20032, 20021),
        ],
        ..Rows::default()
    }
}

pub fn config() -> FunctionConfig {
    FunctionConfig {
        triggers: std::collections::BTreeMap::new(),
        read_only: vec!["f_trusted".into()],
        write: vec!["f_denied".into()],
        stateless: vec!["f_stateless".into(), "proc_stateless".into()],
    }
}

pub fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::build(&rows(), &config(), 1))
}

/// The facts of a text in the small database, asked for twice: the cache must not change them.
pub fn facts(sql: &str) -> Arc<Facts> {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), catalog());
    let first = analyzer.facts(sql.as_bytes(), &catalog);
    assert_eq!(first, analyzer.facts(sql.as_bytes(), &catalog), "{sql}");
    first
}

/// The verdict in the form of the reason codes.
pub fn verdict(facts: &Facts) -> String {
    facts.not_read().map_or("read".to_owned(), ToString::to_string)
}
