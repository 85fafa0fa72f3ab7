//! The marketplace as a Prisma application (`tests/prisma` at the top of the repository): its migrations, then its main
//! flows over HTTP. Answers are the same as on a direct connection; routes arrive at the servers as tags.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pgsplit_testkit::{Account, Node};

use crate::compare::{LIMIT, Running, assert_same};
use crate::scripts::{clean, repository};
use crate::stage::{Stage, uri};

/// How many routes the flows go through.
const ROUTES: usize = 34;
/// The scaling plan's "routes to replica". Nothing of them may run on the primary.
const ON_REPLICAS: [&str; 5] = [
    "GET /api/projects",
    "GET /api/rankings",
    "GET /api/regions",
    "GET /api/reviews/contractors/:id",
    "GET /api/blog/posts",
];

/// Directly, and through pgsplit in both of Prisma's ways: each statement unnamed, and each under a name that is kept
/// (`statementNameGenerator`).
pub(crate) fn marketplace(stage: &Stage) {
    assert_installed();
    let primary = stage.cluster.primary();
    let database = |name: &str| {
        let make = format!("CREATE DATABASE {name} OWNER {}", Account::APP.user());
        let log = format!("ALTER DATABASE {name} SET log_statement = 'all'");
        [make, log].iter().for_each(|text| drop(primary.sql("postgres", text).unwrap()));
        stage.cluster.wait_caught_up().unwrap();
    };
    database("prisma_direct");
    let direct = run(&uri(primary.port(), "prisma_direct"), "unnamed");
    for mode in ["unnamed", "named"] {
        let name = format!("prisma_{mode}");
        database(&name);
        let proxied = stage.reading_on_replicas(|| run(&stage.proxied(&name), mode));
        assert_same(stage, &format!("Prisma, {mode} statements"), &direct, &proxied);
        if mode == "unnamed" {
            routes_arrive(stage, &name);
        } else {
            routes_are_taken_off(stage, &name);
        }
    }
}

/// Migrations first, in a process of their own, as at a deployment.
fn run(uri: &str, mode: &str) -> String {
    let program = |script: &str, arguments: &[&str]| {
        let newer = repository().join("target/node/node");
        let mut command = clean(if newer.exists() { &newer } else { Path::new("node") });
        command.args(["--import", "tsx", script]).args(arguments).current_dir(home());
        Running::start(&mut command, "").finish(LIMIT).expect_success(script).text
    };
    program("src/migrations.ts", &["deploy", uri]) + &program("src/main.ts", &[uri, mode])
}

/// Statements of the database by route, read from the servers' own logs.
fn routes_arrive(stage: &Stage, database: &str) {
    let [primary, replica1, replica2] = [0, 1, 2].map(|node| statements(stage.cluster.node(node), database));
    let on_replicas: Vec<_> = replica1.iter().chain(&replica2).collect();
    for (route, texts) in &on_replicas {
        let write = texts.iter().find(|text| !text.starts_with("SELECT"));
        assert_eq!(write, None, "{route} sent this to a replica");
    }
    let names: BTreeSet<_> = primary.keys().chain(on_replicas.iter().map(|(route, _)| *route)).collect();
    assert_eq!(names.len(), ROUTES, "routes seen: {names:#?}");
    for route in ON_REPLICAS {
        assert!(on_replicas.iter().any(|(name, _)| *name == route), "{route} was not seen on a replica");
        assert!(!primary.contains_key(route), "{route} ran on the primary: {:?}", primary[route]);
    }
    let count = |statements: &BTreeMap<String, Vec<String>>| statements.values().map(Vec::len).sum::<usize>();
    let counts = [&primary, &replica1, &replica2].map(count);
    println!("  statements with a route, by node: {counts:?}");
}

/// A named statement is shared by its text without tags, so no server hears of routes.
fn routes_are_taken_off(stage: &Stage, database: &str) {
    for node in 0..3 {
        assert_eq!(statements(stage.cluster.node(node), database), BTreeMap::new());
        assert!(stage.cluster.node(node).log().contains(&format!("@{database} LOG:")), "nothing is logged");
    }
}

/// A server's log of one database: each statement's text by its route.
fn statements(node: &Node, database: &str) -> BTreeMap<String, Vec<String>> {
    let (prefix, mut found) =
        (format!("{}@{database} LOG:  ", Account::APP.user()), BTreeMap::<_, Vec<_>>::new());
    // A new entry begins with its time, the further lines of one with a tab.
    for entry in node.log().split("\n2") {
        // `execute <unnamed>: SELECT ...` or `statement: SELECT ...`
        let Some((_, text)) = entry.split_once(&prefix).and_then(|(_, entry)| entry.split_once(": ")) else {
            continue;
        };
        let Some((method, route)) = tag(text, "method").zip(tag(text, "route")) else { continue };
        found.entry(format!("{method} {route}")).or_default().push(text.trim_start().to_owned());
    }
    found
}

/// A tag's value, of those that these routes can have.
fn tag(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(&format!("{name}='"))?;
    Some(rest.split('\'').next()?.replace("%2F", "/").replace("%3A", ":"))
}

fn home() -> PathBuf {
    repository().join("tests/prisma")
}

/// As for the drivers: what is missing or older than its lists is a failure.
fn assert_installed() {
    let read = |path: &str| std::fs::read(home().join(path)).unwrap_or_default();
    let lists = [read("package-lock.json"), read("prisma/schema.prisma")].concat();
    let installed = read("node_modules/.installed") == lists && !lists.is_empty();
    assert!(installed, "Prisma is not installed: run scripts/drivers-setup");
}
