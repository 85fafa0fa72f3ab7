//! What a scan and a hit of the cache cost. Run with `cargo test --release -p pgsplit-sql --test timing -- --ignored --nocapture`.
#![allow(missing_docs)]

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use pgsplit_sql::catalog::{FunctionConfig, RelationRow, TreeRow};
use pgsplit_sql::{Analyzer, Catalog, scan};

/// The time of one call, the best of some batches.
fn best(mut call: impl FnMut()) -> Duration {
    const CALLS: u32 = 2_000;
    let batch = |_| {
        let begin = Instant::now();
        (0..CALLS).for_each(|_| call());
        begin.elapsed() / CALLS
    };
    (0..50).map(batch).min().unwrap_or_default()
}

#[test]
#[ignore = "measures, and proves nothing"]
fn scan_and_hit() {
    let wide = format!("insert into t values ({})", ["'some text', 12345, now()"; 10].join(", "));
    let texts = [
        "select 1",
        "BEGIN",
        "SET search_path = 'a'",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
        "UPDATE pgbench_accounts SET abalance = abalance + -123 WHERE aid = 12345;",
        &wide,
    ];
    let (analyzer, catalog, mut buffer) = (Analyzer::new(1 << 20), common::catalog(), Vec::new());
    for text in texts {
        let scan = best(|| {
            black_box(scan::normalise(black_box(text.as_bytes()), &mut buffer));
        });
        let hit = best(|| {
            black_box(analyzer.facts(black_box(text.as_bytes()), &catalog));
        });
        println!("{:5} bytes: scan {scan:?}, facts {hit:?}: {}", text.len(), &text[..text.len().min(40)]);
    }
}

/// As large as that of PostgreSQL's regression suite, which is read again behind every change of it.
#[test]
#[ignore = "measures, and proves nothing"]
fn a_large_catalog() {
    let mut rows = common::rows();
    rows.rules.clear();
    let audit = "declare n int; begin if tg_op = 'DELETE' then insert into log (v) values (old.id); \
                 elsif new.a is null then n := length(new.b); end if; \
                 execute format('insert into %I values ($1.*)', tg_table_name) using new; return new; end";
    for n in 0..600 {
        rows.functions.push(common::function(90_000 + n, &format!("f_{n}"), "plpgsql", "v", audit));
        let relation = RelationRow {
            oid: 80_000 + n,
            schema: "public".into(),
            name: format!("t_{n}"),
            kind: "r".into(),
            persistence: "p".into(),
            populated: true,
        };
        rows.relations.push(relation);
        let builtins = ["nextval", "now", "int4eq", "texteq", "int4larger", "hashint4"];
        rows.trees.push(TreeRow {
            owner: "write".into(),
            oid: 80_000 + n,
            builtins: builtins.map(Into::into).into(),
            ..TreeRow::default()
        });
    }
    let with = FunctionConfig::default();
    let mut catalog = Catalog::unknown();
    for round in ["for the first time", "again"] {
        let begin = Instant::now();
        for version in 0..20 {
            let before = if round == "again" { &catalog } else { &Catalog::unknown() };
            catalog = black_box(before.rebuild(black_box(&rows), &with, version));
        }
        println!("600 functions, tables and defaults, {round}: {:?}", begin.elapsed() / 20);
    }
}
