//! Catalogs of real databases: read, reported as outdated, polled, refused, parked.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{LIMIT, Watched};
use pgsplit_cluster::CatalogHandle;
use pgsplit_sql::Catalog;
use pgsplit_testkit::wait;

fn fresh(watched: &Watched, handle: &CatalogHandle) -> Arc<Catalog> {
    watched.runtime.block_on(handle.fresh(watched.deadline()))
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    wait::until(what, LIMIT, || Ok(condition().then_some(()))).unwrap();
}

#[test]
fn a_catalog_follows_its_database() {
    let watched = Watched::start("catalog", 0);
    let primary = watched.servers.primary();
    primary.sql("app", "CREATE FUNCTION f() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'").unwrap();
    let handle = watched.cluster.catalog("app").unwrap();
    assert_eq!((handle.database(), handle.load().version()), ("app", 0));
    assert!(handle.is_stale());
    let first = fresh(&watched, &handle);
    assert_eq!((first.version(), handle.is_stale()), (1, false));

    reported(&watched, &handle);
    suspected(&watched, &handle);
    polled(&watched, &handle);
    passes_locks(&watched, &handle);
    survives_a_restart(&watched, &handle);
}

fn reported(watched: &Watched, handle: &CatalogHandle) {
    let primary = watched.servers.primary();
    for (step, statement) in DDL.iter().enumerate() {
        let before = handle.load();
        primary.sql("app", statement).unwrap();
        let _ = handle.outdated();
        let after = fresh(watched, handle);
        // The watcher's own look may have come between.
        assert!(after.version() > before.version(), "step {step}: {statement}");
        assert!(!handle.is_stale());
        assert_eq!(handle.load().version(), after.version());
    }
    let before = handle.load();
    primary
        .sql("app", "INSERT INTO t (v) VALUES (1); VACUUM ANALYZE t; CREATE TEMP TABLE x (v int)")
        .unwrap();
    let _ = handle.outdated();
    assert_eq!(fresh(watched, handle).version(), before.version(), "no change of the catalog");
}

/// What hidden code may have changed is read without anybody waiting for it, and only its mark is behind.
fn suspected(watched: &Watched, handle: &CatalogHandle) {
    let before = handle.load();
    watched.servers.primary().sql("app", "CREATE TABLE hidden (v int)").unwrap();
    let seen = handle.mark();
    let mark = handle.suspect();
    assert!(handle.is_settled(seen) && !handle.is_stale());
    until("the mark is settled", || handle.is_settled(mark));
    assert!(handle.load().version() > before.version());
}

const DDL: [&str; 12] = [
    "CREATE TABLE t (v int, w text)",
    "ALTER FUNCTION f() VOLATILE",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "CREATE VIEW s AS SELECT f()",
    "ALTER TABLE t RENAME COLUMN w TO x",
    "ALTER TABLE t ALTER v SET DEFAULT f()",
    "CREATE POLICY p ON t USING (v = f())",
    "DROP POLICY p ON t",
    "CREATE DOMAIN d AS int CHECK (value > 0); CREATE TYPE e AS ENUM ('a')",
    "ALTER TYPE e ADD VALUE 'b'",
    "CREATE SCHEMA aside; ALTER TABLE t SET SCHEMA aside; ALTER TABLE aside.t SET SCHEMA public",
    "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
];

fn polled(watched: &Watched, handle: &CatalogHandle) {
    let before = handle.load();
    watched.servers.primary().sql("app", "CREATE TABLE past_the_proxy (v int)").unwrap();
    until("a change past the proxy is found", || handle.load().version() > before.version());
    assert_ne!(handle.load().key(), before.key());
}

/// A migration may hold a table for long: that other tables have changed is read all the same.
fn passes_locks(watched: &Watched, handle: &CatalogHandle) {
    let primary = watched.servers.primary();
    primary
        .sql(
            "app",
            "CREATE TABLE kept (v int); CREATE VIEW over_kept AS SELECT v, now() FROM kept;
             CREATE FUNCTION of_kept() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM kept; END",
        )
        .unwrap();
    let holder = primary.connection_string("postgres", "app");
    let (holder, connection) =
        watched.runtime.block_on(tokio_postgres::connect(&holder, tokio_postgres::NoTls)).unwrap();
    watched.runtime.spawn(connection);
    let hold = "BEGIN; LOCK TABLE kept, over_kept IN ACCESS EXCLUSIVE MODE";
    watched.runtime.block_on(holder.batch_execute(hold)).unwrap();
    let before = handle.load();
    primary.sql("app", "CREATE TABLE meanwhile (v int)").unwrap();
    let _ = handle.outdated();
    assert!(fresh(watched, handle).version() > before.version());
    watched.runtime.block_on(holder.batch_execute("COMMIT")).unwrap();
}

fn survives_a_restart(watched: &Watched, handle: &CatalogHandle) {
    let before = handle.load();
    watched.servers.primary().restart().unwrap();
    watched.until("the primary is back", |view| view.generation > 1 && view.primary.is_some());
    let _ = handle.outdated();
    assert_eq!(fresh(watched, handle).version(), before.version(), "the same rows");
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let watched = Watched::start("refused", 0);
    let primary = watched.servers.primary();
    primary.sql("postgres", "CREATE DATABASE closed").unwrap();
    primary.sql("postgres", "REVOKE CONNECT ON DATABASE closed FROM public").unwrap();
    let (closed, missing) =
        (watched.cluster.catalog("closed").unwrap(), watched.cluster.catalog("missing").unwrap());
    for handle in [&closed, &missing] {
        assert_eq!(fresh(&watched, handle).version(), 0);
        assert!(handle.is_stale());
    }
    assert!(watched.cluster.metrics().catalog_failures.get() >= 2);

    primary.sql("postgres", "GRANT CONNECT ON DATABASE closed TO pgsplit").unwrap();
    until("a database that was opened is read", || closed.load().version() == 1);
    primary.sql("postgres", "CREATE DATABASE missing").unwrap();
    until("a database that was created is read", || missing.load().version() == 1);
}

#[test]
fn a_database_that_nobody_asks_for_is_left_alone() {
    let watched = Watched::with("idle", 0, None, |settings| {
        settings.catalog_idle = Duration::from_millis(300);
    });
    let handle = watched.cluster.catalog("app").unwrap();
    assert_eq!(fresh(&watched, &handle).version(), 1);
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'";
    until("the connection is given up", || {
        watched.servers.primary().sql("postgres", connections).unwrap() == "0"
    });
    assert_eq!(handle.load().version(), 0, "nothing is believed that is not watched");
    assert_eq!(fresh(&watched, &handle).version(), 2);
}
