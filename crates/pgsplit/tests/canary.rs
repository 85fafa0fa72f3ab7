//! A day of somebody who looks after the marketplace (`docs/canary.md`): a statement goes to the primary and should not.
//! Find out why, prove what a rule would change, move it by a canary and then wholly, see it in the counters, take it
//! back. The scaling plan's load (`benches/marketplace`) runs all the while, and nothing of it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helpers")]

#[path = "canary/application.rs"]
mod application;
#[path = "canary/operator.rs"]
mod operator;

use std::path::Path;

use pgsplit_testkit::{Cluster, Proxy};

use application::{Application, CLIENTS};
use operator::Operator;

const BINARY: &str = env!("CARGO_BIN_EXE_pgsplit");
/// The rule of config/marketplace.toml that the story is about: it means the count, and takes the list as well.
const BEFORE: &str = "[[rules]]\nname = \"unread-count\"\n";
/// Statements that must have passed before something is concluded.
const ENOUGH: i64 = 150;

/// The marketplace's rules, without where it listens and which nodes it has.
fn rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/marketplace.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let rules = text.find("[routing]").and_then(|at| text.get(at..)).unwrap().to_owned();
    assert!(rules.contains(BEFORE), "the rule of the story is gone");
    rules
}

#[test]
fn a_statement_moves_to_the_replicas_and_back() {
    let cluster = Cluster::builder().name("canary").replicas(2).start().unwrap();
    let proxy = Proxy::start(Path::new(BINARY), &cluster, &rules()).unwrap();
    let application = Application::start(&cluster, &proxy);
    let mut sre = Operator::new(&proxy);

    // Which statement is it, where does it go, and why?
    let (fingerprint, text) = sre.wait_for("the list of notifications", |sre| {
        let row = sre.statement()?;
        let primary: i64 = row.get("primary");
        assert_eq!((row.get::<_, i64>("replica"), row.get::<_, &str>("reason")), (0, "rule"));
        (primary > ENOUGH).then(|| (row.get::<_, String>("fingerprint"), row.get::<_, String>("statement")))
    });
    let route = "GET /api/notifications";
    let routes = sre.rows("SHOW ROUTES");
    let shown = routes.iter().find(|row| row.get::<_, &str>("route") == route).unwrap();
    assert_eq!(shown.get::<_, i64>("replica"), 0);
    let tags = "/*method='GET',route='%2Fapi%2Fnotifications'*/";
    let why = sre.lines(&format!("EXPLAIN ROUTE DATABASE app {text} {tags}"));
    assert!(why.contains("reason       rule:unread-count\n"), "{why}");
    assert!(why.contains("unread-count: matches (The number beside the bell must be exact.)"), "{why}");
    assert!(why.lines().all(|line| line.chars().count() <= 80), "{why}");

    // What would a rule change? In shadow nothing; in force this statement, and no other.
    let rule = |more: &str| {
        format!(
            "[[rules]]\nname = \"list-canary\"\nmatch.fingerprint = \"{fingerprint}\"\nmatch.route = \"{route}\"\n\
             target = \"replica\"\n{more}\n\n"
        )
    };
    let nothing = "no statement seen so far would go elsewhere\n";
    assert_eq!(sre.diff(&rule("mode = \"shadow\"")), nothing);
    let whole = sre.diff(&rule(""));
    assert!(whole.starts_with("1 statement would go elsewhere, "), "{whole}");
    assert!(whole.contains("primary (rule:unread-count)\n"), "{whole}");
    assert!(whole.contains(" -> replica (rule:list-canary)\n"), "{whole}");
    assert!(whole.ends_with("none of them is a write that would go to a replica\n"), "{whole}");
    assert!(whole.lines().all(|line| line.chars().count() <= 80), "{whole}");

    // In shadow: counted, and nothing moves.
    sre.put(&rule("mode = \"shadow\""));
    assert!(sre.pgsplit(&["reload"]).contains("rules.list-canary"));
    sre.wait_for("the rule in shadow", |sre| {
        let canary = sre.rule("list-canary")?;
        assert_eq!((canary.of("replica"), canary.of("primary"), canary.of("errors")), (0, 0, 0));
        assert!(canary.of("shadow_stale") <= canary.of("shadow_replica"));
        (canary.of("shadow_replica") > ENOUGH).then_some(())
    });
    assert_eq!(sre.list().replica, 0);

    // Ten in a hundred sessions: two of twenty.
    let canary = rule("percent = 10\nsticky = \"session\"");
    let (calls, of) = (sre.moved_calls(&canary), sre.list().calls());
    assert!((0.09..0.11).contains(&(calls as f64 / of as f64)), "{calls} of {of}");
    sre.put(&canary);
    let before = sre.list();
    let said = sre.pgsplit(&["reload", "--confirm", "5m"]);
    assert!(said.ends_with("goes back in 5m unless confirmed: pgsplit reload --confirmed\n"), "{said}");
    sre.wait_for("the canary", |sre| (sre.rule("list-canary")?.of("replica") > ENOUGH).then_some(()));
    let now = sre.list();
    let (moved, stayed) = (now.replica - before.replica, now.primary - before.primary);
    let share = moved as f64 / (moved + stayed) as f64;
    assert!((0.02..0.35).contains(&share), "{moved} of {}: {CLIENTS} sessions", moved + stayed);
    let shown = sre.rule("list-canary").unwrap();
    assert!(shown.row.get::<_, Option<f64>>("replica_p99_ms").is_some(), "times by side");
    assert!(shown.row.get::<_, Option<std::time::SystemTime>>("last_hit").is_some());
    assert_eq!(shown.of("errors"), 0);
    sre.pgsplit(&["reload", "--confirmed"]);

    // Wholly. What still goes to the primary the rule itself has kept there, because no replica was far enough.
    assert!(sre.moved_calls(&rule("")) > 0);
    sre.put(&rule(""));
    sre.pgsplit(&["reload"]);
    let hits = sre.rule("list-canary").unwrap().of("hits");
    sre.wait_for("all of it", |sre| (sre.rule("list-canary")?.of("hits") > hits + ENOUGH).then_some(()));
    let (kept, before) = (sre.rule("list-canary").unwrap().of("kept"), sre.list());
    sre.wait_for("more of it", |sre| (sre.list().replica > before.replica + 2 * ENOUGH).then_some(()));
    let (now, after) = (sre.list(), sre.rule("list-canary").unwrap());
    assert!(now.primary - before.primary <= after.of("kept") - kept, "{before:?} {now:?} {after:?}");

    // And back.
    sre.put("");
    sre.pgsplit(&["reload"]);
    assert!(sre.rule("list-canary").is_none());
    let before = sre.list();
    sre.wait_for("the way back", |sre| (sre.list().primary > before.primary + ENOUGH).then_some(()));
    let before = sre.list();
    sre.wait_for("more of it", |sre| (sre.list().primary > before.primary + ENOUGH).then_some(()));
    assert_eq!(sre.list().replica, before.replica, "no call goes to a replica any more");

    plan_holds(&sre);
    assert!(application.stop() > 0);
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_statements_failed_total", &[]), 0.0);
    let reloads = |result| metrics.sum("pgsplit_config_reloads_total", &[("result", result)]);
    assert_eq!((reloads("accepted"), reloads("refused")), (4.0, 0.0));
}

/// Whatever the story did: what the plan keeps on the primary was there alone, and replicas have served what is public.
fn plan_holds(sre: &Operator) {
    let mut public = Vec::new();
    for row in sre.rows("SHOW ROUTES") {
        let (route, replica): (&str, i64) = (row.get("route"), row.get("replica"));
        if !route.starts_with("GET ") || route.starts_with("GET /api/auth/") {
            assert_eq!(replica, 0, "{route}");
        } else if replica > 0 {
            public.push(route.to_owned());
        }
    }
    for route in ["/api/projects", "/api/projects/:id", "/api/rankings", "/api/regions", "/api/blog/posts"] {
        assert!(public.contains(&format!("GET {route}")), "{route} is not among {public:?}");
    }
}
