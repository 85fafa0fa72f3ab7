//! Rules, tags and hints in the running proxy: one cluster, a proxy for each scene.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]

#[path = "rules/hints.rs"]
mod hints;
#[path = "rules/routing.rs"]
mod routing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Proxy};

/// A scene and its name.
type Scene = (&'static str, fn(&Cluster));

/// All of it, on one cluster. `RULES` in the environment picks the scenes whose name contains it.
#[test]
#[allow(clippy::print_stderr, reason = "shown with --nocapture, and when the test fails")]
fn statements_go_where_rules_and_hints_say() {
    let only = std::env::var("RULES").unwrap_or_default();
    let cluster = Cluster::builder().name("rules").replicas(2).start().unwrap();
    let setup = "CREATE TABLE \"Session\" (id int); CREATE TABLE \"Region\" (id int); CREATE TABLE \"Bid\" (id int); \
                 CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.twin (id int); CREATE TABLE b.twin (id int); \
                 CREATE FUNCTION score(int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1; END'; \
                 CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'; \
                 GRANT ALL ON ALL TABLES IN SCHEMA public, a, b TO app; GRANT USAGE ON SCHEMA a, b TO app";
    cluster.primary().sql("app", setup).unwrap();
    cluster.wait_caught_up().unwrap();
    let mut failures = Vec::new();
    for (name, scene) in routing::scenes().into_iter().chain(hints::scenes()) {
        if !name.contains(&only) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(|| scene(&cluster))).is_ok();
        eprintln!("{} {name}", if passed { "ok    " } else { "FAILED" });
        if !passed {
            failures.push(name);
        }
    }
    assert!(failures.is_empty(), "scenes that failed: {failures:?}");
}

fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    // What is written just before is not what these scenes are about.
    let settings = format!("consistency.level = 'eventual'\n{settings}");
    Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &settings).unwrap()
}

fn client(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

/// The first column of the first row.
fn value(client: &mut RawClient, text: &str) -> String {
    let rows = client.rows(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    rows[0][0].clone().unwrap()
}

fn run(client: &mut RawClient, text: &str) {
    client.rows(text).unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// Runs a statement; where it went and why, as in `replica read`.
fn went(client: &mut RawClient, text: &str) -> String {
    run(client, text);
    last(client)
}

fn last(client: &mut RawClient) -> String {
    let last = value(client, "SHOW pgsplit.last");
    let words = last.split(' ').filter_map(|word| word.split_once('='));
    let of = |wanted: &str| words.clone().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
    format!("{} {}", of("target"), of("reason"))
}

/// The SQLSTATE and message of the answer's error, if there is one.
fn error(answer: &[Message]) -> Option<(String, String)> {
    let error = answer.iter().find(|message| message.tag == b'E')?;
    Some((error.field(b'C')?, error.field(b'M')?))
}

fn tags(answer: &[Message]) -> String {
    answer.iter().map(|message| char::from(message.tag)).filter(|tag| *tag != 'S').collect()
}
