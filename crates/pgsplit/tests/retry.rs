//! Reads that are run again elsewhere: the whole table of SQLSTATEs by a function that fails on the nodes it is told,
//! errors behind the first rows, refusals that are remembered, the budget, and what ends it: a cancel request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::message::{self, bind, describe, execute, parse, query, sync};
use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Proxy, wait};

/// `flaky(n, 5, code, nodes)` fails on those nodes from row 5 on; elsewhere it tells the node.
const SETUP: &str = "
CREATE TABLE counted (v int);
GRANT ALL ON counted TO app;
CREATE FUNCTION flaky(n int, fails_at int, code text, nodes text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF n >= fails_at AND current_setting('cluster_name') = ANY (string_to_array(nodes, ',')) THEN
    RAISE EXCEPTION 'planted' USING ERRCODE = code;
  END IF;
  RETURN current_setting('cluster_name');
END $$;
CREATE FUNCTION writes(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO counted VALUES (n); RETURN current_setting('cluster_name'); END $$;
CREATE FUNCTION stubborn() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_sleep(30);
  RETURN 'slept';
EXCEPTION WHEN query_canceled THEN RAISE EXCEPTION 'planted' USING ERRCODE = '40001';
END $$;
CREATE FUNCTION node_name() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$;
";
const REPLICAS: &str = "replica1,replica2";

fn cluster() -> Cluster {
    let cluster = Cluster::builder().name("retry").replicas(2).start().unwrap();
    cluster.primary().sql("app", SETUP).unwrap();
    cluster.wait_caught_up().unwrap();
    cluster
}

fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    const TRUSTED: &str = "['flaky', 'writes', 'stubborn', 'node_name']";
    let settings = format!(
        "routing.functions_read_only = {TRUSTED}\nrouting.functions_stateless = {TRUSTED}\n\
         consistency.level = 'eventual'\n{settings}"
    );
    Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &settings).unwrap()
}

fn client(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

fn console(proxy: &Proxy) -> RawClient {
    let mut client = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    client.login(Account::PGSPLIT.user(), Account::PGSPLIT.password(), "pgsplit", &[]).unwrap();
    client
}

fn code(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E').and_then(|error| error.field(b'C'))
}

fn tags(answer: &[Message]) -> String {
    answer.iter().map(|message| char::from(message.tag)).collect()
}

fn repeats(proxy: &Proxy, cause: &str) -> f64 {
    proxy.metrics().unwrap().sum("pgsplit_retries_total", &[("cause", cause)])
}

fn fails(code: &str, nodes: &str) -> String {
    format!("SELECT flaky(1, 1, '{code}', '{nodes}')")
}

#[test]
fn reads_run_again_elsewhere_as_the_table_says() {
    let cluster = cluster();
    let proxy = proxy(&cluster, "");
    every_code(&proxy);
    another_replica_first(&proxy);
    behind_the_first_rows(&proxy);
    in_the_extended_protocol(&proxy);
    on_the_primary_errors_are_final(&proxy);
    never_in_a_transaction(&proxy);
    a_refusal_is_remembered(&proxy, &cluster);
    a_cancel_request_ends_it(&proxy, &cluster);
    whoever_is_ended_on_the_primary_is_told_so(&proxy, &cluster);
}

fn every_code(proxy: &Proxy) {
    let mut client = client(proxy);
    for (cause, times, codes) in [
        ("wrong-node", 1.0, &["0A000", "55000", "XX000"][..]),
        (
            "not-replayed",
            1.0,
            &["42P01", "42703", "42883", "42704", "42501", "22P02", "22023", "3F000", "57P04"],
        ),
        ("transient", 2.0, &["40001", "40P01", "57P01", "57P03", "53200", "53300", "58030", "XX001"]),
        ("broken", 2.0, &["08006"]),
    ] {
        for code in codes {
            let before = repeats(proxy, cause);
            let rows = client.rows(&fails(code, REPLICAS)).unwrap_or_else(|error| panic!("{code}: {error}"));
            assert_eq!(rows[0][0].as_deref(), Some("primary"), "{code}");
            assert_eq!(repeats(proxy, cause) - before, times, "{code}");
        }
    }
    for own in ["57014", "25P02", "P0001", "22012", "23505", "08P01"] {
        let before = proxy.metrics().unwrap().sum("pgsplit_retries_total", &[]);
        assert_eq!(code(&client.query(&fails(own, REPLICAS)).unwrap()).as_deref(), Some(own));
        assert_eq!(proxy.metrics().unwrap().sum("pgsplit_retries_total", &[]), before, "{own}");
    }
}

fn another_replica_first(proxy: &Proxy) {
    let mut client = client(proxy);
    for _ in 0..20 {
        let rows = client.rows(&fails("40001", "replica1")).unwrap();
        assert_eq!(rows[0][0].as_deref(), Some("replica2"));
    }
}

/// As long as the answer fits into the buffer; then its beginning is with the client.
fn behind_the_first_rows(proxy: &Proxy) {
    let mut client = client(proxy);
    let text = format!("SELECT flaky(g, 5, '40001', '{REPLICAS}') FROM generate_series(1, 10) g");
    let answer = client.query(&text).unwrap();
    assert_eq!(tags(&answer), "TDDDDDDDDDDCZ", "{answer:?}");
    let mut rows = answer.iter().filter(|message| message.tag == b'D');
    assert!(rows.all(|row| row.columns().unwrap() == [Some("primary".to_owned())]), "{answer:?}");

    let text = format!(
        "SELECT repeat('x', 1000) || flaky(g, 300, '40001', '{REPLICAS}') FROM generate_series(1, 400) g"
    );
    let answer = client.query(&text).unwrap();
    assert_eq!(code(&answer).as_deref(), Some("40001"));
    assert!(tags(&answer).starts_with("TDDD"), "{}", tags(&answer));
    assert!(tags(&answer).ends_with("EZ"));
}

fn in_the_extended_protocol(proxy: &Proxy) {
    let mut client = client(proxy);
    let text = format!("SELECT flaky(g, $1::int, '40001', '{REPLICAS}') FROM generate_series(1, 3) g");
    for round in 0..3 {
        let mut batch = vec![bind("", "s", &[Some("2")]), describe(b'P', ""), execute("", 0), sync()];
        if round == 0 {
            batch.insert(0, parse("s", &text, &[]));
        }
        client.send_all(&batch).unwrap();
        let answer = client.read_until(b'Z').unwrap();
        assert_eq!(tags(&answer), if round == 0 { "12TDDDCZ" } else { "2TDDDCZ" }, "{answer:?}");
        assert_eq!(answer[answer.len() - 3].columns().unwrap(), [Some("primary".to_owned())]);
    }
}

fn on_the_primary_errors_are_final(proxy: &Proxy) {
    let mut client = client(proxy);
    for own in ["40001", "42P01", "25006", "53300"] {
        let text = format!("/* pgsplit: primary */ {}", fails(own, "primary"));
        assert_eq!(code(&client.query(&text).unwrap()).as_deref(), Some(own));
    }
}

fn never_in_a_transaction(proxy: &Proxy) {
    let mut client = client(proxy);
    client.rows("BEGIN").unwrap();
    assert_eq!(code(&client.query(&fails("40001", "primary")).unwrap()).as_deref(), Some("40001"));
    client.rows("ROLLBACK").unwrap();
}

fn a_refusal_is_remembered(proxy: &Proxy, cluster: &Cluster) {
    let (mut client, mut console) = (client(proxy), console(proxy));
    assert_eq!(console.rows("SHOW REFUSALS").unwrap().len(), 0);
    for n in 1..=3 {
        assert_eq!(client.rows(&format!("SELECT writes({n})")).unwrap()[0][0].as_deref(), Some("primary"));
    }
    assert_eq!(repeats(proxy, "refused"), 1.0, "the second one was not tried on a replica");
    let known = console.rows("SHOW REFUSALS").unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0][2..5], ["2", "app", "app"].map(|text| Some(text.to_owned())));
    assert!(known[0][6].as_ref().unwrap().contains("writes"), "{known:?}");
    let decisions = |proxy: &Proxy| {
        let labels = [("target", "primary"), ("reason", "refused")];
        proxy.metrics().unwrap().sum("pgsplit_routing_decisions_total", &labels)
    };
    let before = decisions(proxy);
    client.rows("SELECT writes(4)").unwrap();
    assert_eq!(decisions(proxy) - before, 1.0);
    // What explains and compares knows of it.
    let explained = |console: &mut RawClient, sql: &str| {
        let rows = console.rows(&format!("EXPLAIN ROUTE DATABASE app {sql}")).unwrap();
        let lines: Vec<_> = rows.into_iter().flatten().flatten().collect();
        lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let text = explained(&mut console, "SELECT writes(9)");
    assert!(text.contains("reason refused") && text.contains("a replica has refused it lately"), "{text}");
    let text = explained(&mut console, "SELECT node_name()");
    assert!(text.contains("reason read"), "{text}");
    let file = std::fs::read_to_string(proxy.config()).unwrap().replace('\'', "''");
    let moved = console
        .rows(&format!(
            "DIFF '{file}\n[routing.retry]\n[[rules]]\nname = ''all''\n\
        match.user = ''*''\ntarget = ''primary''\n'"
        ))
        .unwrap();
    let moves = |name: &str| moved.iter().any(|row| row[8].as_ref().unwrap().contains(name));
    assert!(moves("flaky") && !moves("writes"), "{moved:?}");
    console.query("RESET REFUSALS").unwrap();
    assert!(explained(&mut console, "SELECT writes(9)").contains("reason read"));
    assert_eq!(console.rows("SHOW REFUSALS").unwrap().len(), 0);
    client.rows("SELECT writes(5)").unwrap();
    assert_eq!(repeats(proxy, "refused"), 2.0, "replicas are tried again");
    let written = cluster.primary().sql("app", "SELECT string_agg(v::text, ',' ORDER BY v) FROM counted");
    assert_eq!(written.unwrap(), "1,2,3,4,5", "each once");
}

/// The replica turns the cancel request into an error that would be a reason to try another one.
fn a_cancel_request_ends_it(proxy: &Proxy, cluster: &Cluster) {
    let mut client = RawClient::connect(proxy.address()).unwrap();
    let greeting = client.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
    let key = greeting.iter().find(|message| message.tag == b'K').unwrap();
    let pid = u32::from_be_bytes(key.body[..4].try_into().unwrap());
    let before = proxy.metrics().unwrap().sum("pgsplit_retries_total", &[]);
    client.send(&query("SELECT stubborn()")).unwrap();
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait::until("it sleeps on a replica", Duration::from_secs(15), || {
        let mut replicas = cluster.nodes().iter().skip(1);
        Ok(replicas.any(|node| node.sql("postgres", asleep).unwrap() == "1").then_some(()))
    })
    .unwrap();
    let mut door = RawClient::connect(proxy.address()).unwrap();
    door.send(&message::cancel(pid, &key.body[4..])).unwrap();
    let _ = door.read_to_end();
    assert_eq!(code(&client.read_until(b'Z').unwrap()).as_deref(), Some("57014"));
    assert_eq!(proxy.metrics().unwrap().sum("pgsplit_retries_total", &[]), before);
    client.rows("SELECT 1").unwrap();
}

/// It would run again if the primary had been restarted. It was not, so the session ends as it does directly.
fn whoever_is_ended_on_the_primary_is_told_so(proxy: &Proxy, cluster: &Cluster) {
    let mut client = client(proxy);
    client.send(&query("/* pgsplit: primary */ SELECT stubborn()")).unwrap();
    let asleep = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait::until("it sleeps on the primary", Duration::from_secs(15), || {
        Ok((cluster.primary().sql("postgres", asleep).unwrap() == "1").then_some(()))
    })
    .unwrap();
    let said = client.read_to_end().unwrap();
    assert_eq!(tags(&said), "E", "{said:?}");
    assert_eq!(said[0].field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(code(&said).as_deref(), Some("57P01"));
}

#[test]
fn without_a_budget_only_what_a_replica_cannot_do_runs_again() {
    let cluster = cluster();
    let proxy = proxy(&cluster, "routing.retry = { budget = 0.0, buffer = '64KiB' }");
    let mut client = client(&proxy);
    assert_eq!(code(&client.query(&fails("40001", REPLICAS)).unwrap()).as_deref(), Some("40001"));
    assert_eq!(client.rows(&fails("42P01", REPLICAS)).unwrap()[0][0].as_deref(), Some("primary"));
    assert_eq!(proxy.metrics().unwrap().sum("pgsplit_retries_denied_total", &[]), 1.0);
}

/// A rule names a node that is behind; another replica is not. The read waits for its own, and does not run in circles.
#[test]
fn a_read_waits_for_the_node_that_its_rule_names() {
    let cluster = cluster();
    let (first, second) = (cluster.replica(0), cluster.replica(1));
    let settings = format!(
        "consistency.wait = '5ms'\npool.wait = '400ms'\nrouting.fallback = 'wait'\n\
         [[rules]]\nname = 'own'\ntarget = ['{}']\nconsistency = 'causal'\nmatch.tables = ['counted']\n",
        first.address()
    );
    let proxy = proxy(&cluster, &settings);
    let mut client = client(&proxy);
    const READ: &str = "SELECT count(*), node_name() FROM counted";
    assert_eq!(client.rows(READ).unwrap()[0][1].as_deref(), Some("replica1"));
    first.pause_replay().unwrap();
    client.rows("INSERT INTO counted VALUES (1)").unwrap();
    second.wait_caught_up(cluster.primary()).unwrap();
    let waits = |proxy: &Proxy| proxy.metrics().unwrap().sum("pgsplit_consistency_wait_seconds_count", &[]);
    let (before, began) = (waits(&proxy), Instant::now());
    assert_eq!(code(&client.query(READ).unwrap()).as_deref(), Some("40001"));
    assert!(began.elapsed() >= Duration::from_millis(400), "it has waited: {:?}", began.elapsed());
    // Once as it is, once as the fall-back, and before them once in a while for a free choice.
    assert!(waits(&proxy) - before <= 3.0, "{} waits for one read", waits(&proxy) - before);
    first.resume_replay().unwrap();
    assert_eq!(client.rows(READ).unwrap()[0], [Some("1".to_owned()), Some("replica1".to_owned())]);
}

/// Nothing but the primary is left, and the configuration wants no reads on it.
#[test]
fn without_a_replica_the_fallback_holds() {
    let cluster = cluster();
    for (fallback, least) in [("error", Duration::ZERO), ("wait", Duration::from_millis(400))] {
        let settings = format!("pool.wait = '400ms'\nrouting.fallback = '{fallback}'");
        let proxy = proxy(&cluster, &settings);
        let mut client = client(&proxy);
        client.rows("SELECT node_name()").unwrap();
        for replica in cluster.nodes().iter().skip(1) {
            replica.stop(pgsplit_testkit::StopMode::Fast).unwrap();
        }
        let began = Instant::now();
        assert_eq!(
            code(&client.query("SELECT node_name()").unwrap()).as_deref(),
            Some("40001"),
            "{fallback}"
        );
        assert!(began.elapsed() >= least, "{fallback}: {:?}", began.elapsed());
        client.rows("INSERT INTO counted VALUES (1)").unwrap();
        for replica in cluster.nodes().iter().skip(1) {
            replica.start().unwrap();
        }
        wait::until("reads are answered again", Duration::from_secs(15), || {
            Ok(client.rows("SELECT node_name()").ok())
        })
        .unwrap();
    }
}
