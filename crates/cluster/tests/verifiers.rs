//! Look-ups of verifiers on real servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::{Watched, runtime, settings, start};
use pgsplit_cluster::{Error, Lookup, Settings, Verifier};
use pgsplit_testkit::{Cluster as Servers, StopMode};

fn lookup(watched: &Watched, user: &str) -> Result<Lookup, Error> {
    watched.runtime.block_on(watched.cluster.verifier(user))
}

fn found(watched: &Watched, user: &str) -> Arc<Verifier> {
    match lookup(watched, user) {
        Ok(Lookup::Role(verifier)) => verifier,
        other => panic!("{user}: {other:?}"),
    }
}

#[test]
fn verifiers_are_found_and_kept_for_a_while() {
    let watched = Watched::start("verifiers", 1);
    let primary = watched.servers.primary();
    assert!(found(&watched, "app").secret.as_ref().unwrap().starts_with("SCRAM-SHA-256$"));
    assert_eq!(found(&watched, "app").valid_until, None);
    assert!(matches!(lookup(&watched, "nobody"), Ok(Lookup::NoSuchRole)));
    // Whether a role may log in is for the server to say, in its own words.
    assert!(matches!(lookup(&watched, "pg_monitor"), Ok(Lookup::Role(role)) if role.secret.is_none()));

    primary
        .sql(
            "postgres",
            "CREATE ROLE past LOGIN VALID UNTIL '2001-01-01 00:00:00+00';
             CREATE ROLE ever LOGIN VALID UNTIL 'infinity'",
        )
        .unwrap();
    let past = found(&watched, "past");
    assert_eq!(past.secret, None);
    assert_eq!(past.valid_until, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(978_307_200)));
    assert_eq!(found(&watched, "ever").valid_until, None);

    let (old, asked) = (found(&watched, "app"), queries(&watched));
    primary.sql("postgres", "ALTER ROLE app PASSWORD 'another'").unwrap();
    assert_eq!((found(&watched, "app"), queries(&watched)), (Arc::clone(&old), asked));
    watched.cluster.forget("app");
    let new = found(&watched, "app");
    assert_ne!(new, old);
    assert!(!format!("{new:?}").contains("SCRAM"));

    many_ask_once(&watched);
    without_a_primary_a_replica_answers(&watched);
}

fn queries(watched: &Watched) -> u64 {
    watched.cluster.metrics().lookup_queries.get()
}

fn many_ask_once(watched: &Watched) {
    watched.cluster.forget("app");
    let before = queries(watched);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let cluster = watched.cluster.clone();
            watched.runtime.spawn(async move { cluster.verifier("app").await.is_ok() })
        })
        .collect();
    for task in waiting {
        assert!(watched.runtime.block_on(task).unwrap());
    }
    assert_eq!(queries(watched), before + 1);
}

fn without_a_primary_a_replica_answers(watched: &Watched) {
    watched.servers.wait_caught_up().unwrap();
    watched.servers.primary().stop(StopMode::Immediate).unwrap();
    watched.cluster.forget("app");
    assert!(found(watched, "app").secret.is_some());
    watched.servers.replica(0).stop(StopMode::Immediate).unwrap();
    watched.cluster.forget("app");
    let begun = Instant::now();
    assert!(lookup(watched, "app").is_err(), "that nobody answers is not that there is no such role");
    assert!(begun.elapsed() < Duration::from_secs(6));
}

#[test]
fn wrong_queries_and_missing_rights_are_told() {
    let servers = Servers::builder().name("queries").start().unwrap();
    let primary = servers.primary();
    primary
        .sql(
            "postgres",
            "REVOKE SELECT ON pg_authid FROM pgsplit;
             CREATE FUNCTION look(name text, OUT n text, OUT p text) SECURITY DEFINER LANGUAGE sql
               AS 'SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1'",
        )
        .unwrap();
    let ask = |query: Option<&str>, user: &str| {
        let runtime = runtime();
        let query = query.map(str::to_owned);
        let cluster = start(&runtime, Settings { verifier_query: query, ..settings(servers.nodes()) }, None);
        let answer = runtime.block_on(cluster.verifier(user));
        runtime.block_on(cluster.shutdown());
        answer
    };
    let default = Settings::new(Vec::new(), settings(&[]).login).verifier_query.unwrap();
    let denied = ask(Some(&default), "app").unwrap_err().to_string();
    assert!(denied.contains("permission denied") && denied.contains("GRANT SELECT (rolname"), "{denied}");
    let grant = denied.split("run: ").nth(1).unwrap();

    let by_function = Some("SELECT n, p FROM look($1)");
    assert!(matches!(ask(by_function, "app"), Ok(Lookup::Role(v)) if v.secret.is_some()));
    assert!(matches!(ask(by_function, "nobody"), Ok(Lookup::NoSuchRole)), "a record of NULLs");
    assert!(matches!(
        ask(Some("SELECT rolname FROM pg_roles WHERE rolname = $1"), "app"),
        Err(Error::Answer(_))
    ));
    assert!(matches!(ask(Some("SELECT $1, 'x', 'tomorrow'"), "app"), Err(Error::Answer(_))));
    assert!(matches!(ask(Some("SELEC"), "app"), Err(Error::Server(_))));
    assert!(matches!(ask(None, "app"), Ok(Lookup::NoSuchRole)));

    primary.sql("postgres", grant).unwrap();
    assert!(matches!(ask(Some(&default), "app"), Ok(Lookup::Role(_))), "what was proposed helps");
}
