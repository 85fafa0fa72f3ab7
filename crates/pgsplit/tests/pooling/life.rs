//! How connections end, and clients that end before them.

use pgsplit_testkit::peer::message::query;
use pgsplit_testkit::{Account, Cluster};

use crate::Scene;
use crate::tools::{ON_PRIMARY, client, code, connections, proxy, run, sample, terminate, until, value};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("idle connections are closed", idle_timeout),
        ("connections do not grow old", lifetime),
        ("stock is kept", min_idle),
        ("a connection in the making outlives its client", in_the_making),
        ("connections that were terminated while idle", terminated),
        ("a connection that is terminated under a client", terminated_in_use),
        ("pool.mode = session", session_mode),
        ("a database that nobody is connected to is dropped", dropped_database),
    ]
}

fn idle_timeout(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nidle_timeout = '500ms'");
    let mut a = client(&proxy);
    run(&mut a, &[ON_PRIMARY, "SELECT 1"]);
    assert!(connections(cluster.primary(), "app") >= 1);
    until("idle connections are closed", || cluster.nodes().iter().all(|node| connections(node, "app") == 0));
    run(&mut a, &[ON_PRIMARY, "SELECT 1"]);
    // A connection in a transaction is not idle.
    run(&mut a, &["BEGIN"]);
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    run(&mut a, &["SELECT pg_sleep(1.5)"]);
    assert_eq!(value(&mut a, "SELECT pg_backend_pid()"), pid);
    run(&mut a, &["COMMIT"]);
}

fn lifetime(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nlifetime = '1s'");
    let mut a = client(&proxy);
    let pid = value(&mut a, ON_PRIMARY);
    assert_eq!(value(&mut a, ON_PRIMARY), pid, "it is used again while it is young");
    // In use all the time, so that it is never idle for long.
    until("another connection", || value(&mut a, ON_PRIMARY) != pid);
    assert!(sample(&proxy, "pgsplit_server_connections_closed_total", &[]) >= 1.0);
    assert_eq!(connections(cluster.primary(), "app"), 1);
}

fn min_idle(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nmin_idle = 3\nidle_timeout = '300ms'");
    let mut a = client(&proxy);
    until("three connections", || connections(cluster.primary(), "app") == 3);
    run(&mut a, &[ON_PRIMARY]);
    terminate(cluster.primary());
    until("three connections again", || connections(cluster.primary(), "app") == 3);
    drop(a);
    until("no stock without clients", || connections(cluster.primary(), "app") == 0);
}

/// The server does not answer for a while: whoever the login was for has gone by then, and the next one finds it.
fn in_the_making(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 3\n[health]\ntimeout = '60s'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    cluster.primary().freeze().unwrap();
    b.send(&query(ON_PRIMARY)).unwrap();
    until("a connection is being opened", || {
        sample(&proxy, "pgsplit_server_connections", &[("state", "opening")]) == 1.0
    });
    drop(b);
    cluster.primary().thaw().unwrap();
    until("it is there, and idle", || {
        sample(
            &proxy,
            "pgsplit_server_connections",
            &[("state", "idle"), ("node", &cluster.primary().address())],
        ) == 1.0
    });
    assert_eq!(sample(&proxy, "pgsplit_server_connections", &[("state", "opening")]), 0.0);
    let before = sample(&proxy, "pgsplit_server_connections_opened_total", &[]);
    run(&mut client(&proxy), &[ON_PRIMARY]);
    assert_eq!(
        sample(&proxy, "pgsplit_server_connections_opened_total", &[]),
        before,
        "no new login was needed"
    );
    run(&mut a, &["COMMIT"]);
}

fn terminated(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 4");
    let mut clients: Vec<_> = (0..4).map(|_| client(&proxy)).collect();
    for _ in 0..5 {
        clients.iter_mut().for_each(|client| run(client, &["BEGIN", ON_PRIMARY]));
        clients.iter_mut().for_each(|client| run(client, &["COMMIT", "SELECT 1"]));
        cluster.nodes().iter().for_each(terminate);
        // No client sees an error, whether it reads or writes.
        clients
            .iter_mut()
            .for_each(|client| run(client, &["SELECT 1", ON_PRIMARY, "INSERT INTO counted VALUES (1)"]));
    }
    // A restart leaves no connection alive either.
    cluster.replica(0).restart().unwrap();
    clients.iter_mut().for_each(|client| run(client, &["SELECT 1", "SELECT 2"]));
}

/// The one that was in use tells its own client and nobody else.
fn terminated_in_use(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN"]);
    let pid = value(&mut a, "SELECT pg_backend_pid()");
    run(&mut b, &["BEGIN", ON_PRIMARY]);
    cluster.primary().sql("app", &format!("SELECT pg_terminate_backend({pid}, 5000)")).unwrap();
    let told = a.read_to_end().unwrap();
    assert_eq!(told[0].field(b'C').as_deref(), Some("57P01"), "{told:?}");
    run(&mut b, &[ON_PRIMARY, "COMMIT"]);
    until("its place is free", || sample(&proxy, "pgsplit_server_connections", &[("state", "busy")]) == 0.0);
}

fn session_mode(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nmode = 'session'\nprimary_connections = 2\nwait = '300ms'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    let pid = value(&mut a, ON_PRIMARY);
    let other = value(&mut b, ON_PRIMARY);
    assert_ne!(pid, other);
    for _ in 0..5 {
        assert_eq!(value(&mut a, ON_PRIMARY), pid);
        assert_eq!(value(&mut b, ON_PRIMARY), other);
    }
    assert_eq!(sample(&proxy, "pgsplit_pinned_sessions", &[("reason", "session-mode")]), 2.0);
    let mut c = client(&proxy);
    assert!(c.rows(ON_PRIMARY).unwrap_err().to_string().starts_with("53300"));
    // State lives as long as the session, and no longer.
    run(&mut a, &["CREATE TEMP TABLE mine (v int)", "SET work_mem = '5MB'", "SELECT * FROM mine"]);
    drop(a);
    until("the connection is free", || c.rows(ON_PRIMARY).is_ok());
    assert!(c.rows("SELECT * FROM mine").is_err());
    assert_eq!(value(&mut c, "SHOW work_mem"), "4MB");
    assert!(proxy.client(&Account::APP, "app").is_ok(), "logging in costs no connection");
}

/// The proxy's own idle connections, and the one that it watches the catalog through, are in nobody's way; a client is.
fn dropped_database(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let root = |database: &str| proxy.client(&Account::POSTGRES, database).unwrap();
    let mut admin = root("postgres");
    run(&mut admin, &["CREATE DATABASE dropped"]);
    let mut a = root("dropped");
    run(&mut a, &["CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)", "SELECT * FROM t"]);
    drop(a);
    run(&mut admin, &["ALTER DATABASE dropped RENAME TO renamed"]);
    let mut a = root("renamed");
    run(&mut a, &["SELECT * FROM t", "BEGIN", "INSERT INTO t VALUES (2)"]);
    assert_eq!(code(&admin.query("DROP DATABASE renamed").unwrap()).as_deref(), Some("55006"));
    run(&mut a, &["COMMIT"]);
    drop(a);
    run(
        &mut admin,
        &["CREATE DATABASE copied TEMPLATE renamed", "DROP DATABASE renamed", "DROP DATABASE copied"],
    );
}
