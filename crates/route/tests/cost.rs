//! What a decision costs with 100 rules. `cargo test --release -p pgsplit-route --test cost -- --ignored --nocapture`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgsplit_config::Config;
use pgsplit_route::rules::{Speaker, Words};
use pgsplit_route::{Asked, Excluded, Node, NodeId, Role, Rules, SessionView, View, Wanted, decide};
use pgsplit_sql::{Analyzer, Catalog};

/// The time of one call, the best of some batches.
fn best(mut call: impl FnMut()) -> Duration {
    const CALLS: u32 = 20_000;
    let batch = |_| {
        let begin = Instant::now();
        (0..CALLS).for_each(|_| call());
        begin.elapsed() / CALLS
    };
    (0..50).map(batch).min().unwrap()
}

/// A hundred rules of all kinds. The statement meets the last one.
fn rules() -> Arc<Rules> {
    let mut text = "nodes = ['db1', 'db2', 'db3']\n".to_owned();
    for n in 0..33 {
        let _ = write!(
            text,
            "[[rules]]\nname = 'table{n}'\nmatch.tables = ['Table{n}', 'Other*{n}', 'public.Third{n}']\ntarget = 'primary'\n\
             [[rules]]\nname = 'route{n}'\nmatch.route = ['GET /api/part{n}', '/api/:a/part{n}/*']\ntarget = 'replica'\n\
             [[rules]]\nname = 'user{n}'\nmatch.user = 'user{n}'\nmatch.application_name = 'app*{n}'\ntarget = 'replica'\n"
        );
    }
    text.push_str("[[rules]]\nname = 'last'\nmatch.route = '/api/projects'\ntarget = 'replica'\n");
    let config = Config::parse(&text, Path::new(".")).unwrap().0;
    assert_eq!(config.rules.len(), 100);
    Arc::new(Rules::new(&config.rules, &["db1", "db2", "db3"], None))
}

const PRISMA: &str = r#"SELECT "public"."Project"."id", "public"."Project"."title", "public"."Project"."status"::text FROM "public"."Project" WHERE ("public"."Project"."status" = CAST($1::text AS "public"."ProjectStatus") AND "public"."Project"."regionId" = $2) ORDER BY "public"."Project"."publishedAt" DESC LIMIT $3 OFFSET $4"#;

#[test]
#[ignore = "measures; only an optimised build says something"]
fn a_decision_with_a_hundred_rules() {
    let (analyzer, catalog, rules) = (Analyzer::new(1 << 20), Arc::new(Catalog::unknown()), rules());
    analyzer.set_marker(rules.clone());
    let role = |id| if id == 0 { Role::Primary } else { Role::Replica };
    let node = |id: u16| Node::new(id, &format!("db{id}"), "127.0.0.1:5432").up(role(id));
    let view = View {
        nodes: (0..3).map(node).collect(),
        primary: Some(NodeId(0)),
        generation: 1,
        ..View::default()
    };
    let session = rules.of_session(&Speaker { user: "ann", database: "shop", ..Speaker::default() });
    let tagged = format!("{PRISMA} /*method='GET',route='%2Fapi%2Fprojects'*/");
    let traced: Vec<String> = (0..64)
        .map(|n| {
            format!(
                "{PRISMA} /*method='GET',route='%2Fapi%2Fprojects',traceparent='00-{n:032x}-{n:016x}-01'*/"
            )
        })
        .collect();
    let mut random = 1u32;
    let mut once = |text: &str, facts: &pgsplit_sql::Facts, around: pgsplit_sql::Around<'_>| {
        let (hint, tags) = around.said();
        let words = Words { hint, tags };
        let of_words = rules.of_words(&words);
        let found = rules.find(facts, &catalog, session, of_words, Arc::default);
        assert_eq!(found.rule.is_some(), text.len() > PRISMA.len());
        let rule = found.rule.and_then(|id| rules.get(id));
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let verdict = black_box(&pgsplit_sql::Verdict::Read);
        let asked = Asked { rule, ..Asked::default() };
        black_box(decide(
            verdict,
            SessionView::default(),
            asked,
            &view,
            &Wanted::NOTHING,
            Excluded::default(),
            random,
        ));
    };
    let mut dearest = Duration::ZERO;
    for (name, text) in [("without tags", PRISMA), ("with tags", &tagged), ("with a trace id", &traced[0])] {
        let (facts, around) = analyzer.read(text.as_bytes(), &catalog);
        let decision = best(|| once(text, black_box(&facts), black_box(around)));
        println!("a decision on a cached statement, {name}: {decision:?}");
        dearest = dearest.max(decision);
    }
    let mut n = 0;
    let whole = best(|| {
        n = (n + 1) % traced.len();
        let (facts, around) = analyzer.read(black_box(traced[n].as_bytes()), &catalog);
        once(&traced[n], &facts, around);
    });
    println!("facts and decision, another trace id each time: {whole:?}");
    let facts = analyzer.facts(PRISMA.as_bytes(), &catalog);
    let marked = best(|| {
        black_box(pgsplit_sql::Marker::mark(&*rules, black_box(&facts), &catalog));
    });
    println!("the rules' share of a statement that is met for the first time: {marked:?}");
    assert!(cfg!(debug_assertions) || marked <= Duration::from_micros(5), "{marked:?}");
    assert!(cfg!(debug_assertions) || dearest <= Duration::from_nanos(150), "{dearest:?}");
}
