//! What a statement costs before it is sent: scan, facts (from the cache, and parsed), decision.
//!
//!     cargo bench -p pgsplit-route
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pgsplit_route::{Asked, Excluded, Node, NodeId, Role, SessionView, View, Wanted, decide};
use pgsplit_sql::{Analyzer, Catalog, scan};

const PGBENCH: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";
const PRISMA: &str = r#"SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."status"::text FROM "public"."Project" WHERE ("public"."Project"."status" = CAST($1::text AS "public"."ProjectStatus") AND "public"."Project"."regionId" = $2) ORDER BY "public"."Project"."publishedAt" DESC LIMIT $3 OFFSET $4 /*route='%2Fapi%2Fprojects'*/"#;

fn view() -> View {
    let role = |id| if id == 0 { Role::Primary } else { Role::Replica };
    let node = |id: u16| Node::new(id, &format!("db{id}"), "127.0.0.1:5432").up(role(id));
    View { nodes: (0..3).map(node).collect(), primary: Some(NodeId(0)), generation: 1, ..View::default() }
}

fn benches(c: &mut Criterion) {
    let catalog = Arc::new(Catalog::unknown());
    for (name, text) in [("pgbench", PGBENCH), ("prisma", PRISMA)] {
        let mut key = Vec::new();
        c.bench_function(&format!("scan/{name}"), |b| {
            b.iter(|| {
                key.clear();
                scan::normalise(black_box(text.as_bytes()), &mut key)
            });
        });
        let analyzer = Analyzer::new(1 << 20);
        c.bench_function(&format!("facts, cached/{name}"), |b| {
            b.iter(|| analyzer.facts(black_box(text.as_bytes()), &catalog));
        });
        c.bench_function(&format!("facts, parsed/{name}"), |b| {
            b.iter_batched(
                || Analyzer::new(1 << 14),
                |analyzer| analyzer.facts(black_box(text.as_bytes()), &catalog),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    let view = view();
    let mut random = 1u32;
    c.bench_function("decide", |b| {
        b.iter(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let verdict = black_box(&pgsplit_sql::Verdict::Read);
            let asked = Asked::default();
            decide(
                verdict,
                SessionView::default(),
                asked,
                &view,
                &Wanted::NOTHING,
                Excluded::default(),
                random,
            )
        });
    });
}

criterion_group!(all, benches);
criterion_main!(all);
