//! Nodes that are not there, die, fall behind, and come back.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::peer::message::query;
use pgsplit_testkit::{Account, Cluster, Proxy, StopMode};

use crate::Scene;
use crate::tools::{ON_PRIMARY, TRUSTING, WHERE, client, code, proxy, run, sample, until, value};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("a replica that is down at the start", down_at_start),
        ("a replica that is killed under load", killed),
        ("a replica that is frozen under load", frozen),
        ("a replica that falls behind", behind),
        ("no replica at all", no_replica),
        ("the primary restarts", primary_restarts),
        ("the primary is away", primary_away),
        ("what VACUUM and its like note in the catalogs", vacuum),
    ]
}

/// VACUUM commits without a flush, so that replicas are behind for longer than after other statements; and ANALYZE,
/// CLUSTER and REINDEX change nothing but catalogs, too.
fn vacuum(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut a = proxy.client(&Account::POSTGRES, "app").unwrap();
    let known = "SELECT concat_ws(' ', relpages, reltuples, relallvisible, relfilenode) FROM pg_class \
                 WHERE relname IN ('loaded', 'of_loaded') ORDER BY relname";
    for round in 0..10 {
        run(&mut a, &["CREATE TABLE loaded (id int)", "CREATE INDEX of_loaded ON loaded (id)"]);
        for utility in
            ["VACUUM loaded", "ANALYZE loaded", "CLUSTER loaded USING of_loaded", "REINDEX TABLE loaded"]
        {
            run(&mut a, &["INSERT INTO loaded SELECT generate_series(1, 2000)", utility]);
            let seen = value(&mut a, known);
            assert_eq!(
                seen,
                cluster.primary().sql("app", &format!("{known} LIMIT 1")).unwrap(),
                "{round}: {utility}"
            );
        }
        run(&mut a, &["DROP TABLE loaded"]);
    }
}

/// A proxy that is not waited for: the test kit's waits for every node.
struct Unready {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Unready {
    fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let nodes: Vec<_> = cluster.nodes().iter().map(|node| format!("'{}'", node.address())).collect();
        let (user, password) = (Account::PGSPLIT.user(), Account::PGSPLIT.password());
        let config = format!(
            "listen = '127.0.0.1:{port}'\nhttp = 'off'\nadmin = 'off'\nnodes = [{}]\nstate_file = '{}'\n\
             {TRUSTING}[auth]\nuser = '{user}'\npassword = '{password}'\n",
            nodes.join(", "),
            directory.path().join("state").display()
        );
        let file = directory.path().join("pgsplit.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_pgsplit")));
        command
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), port, _directory: directory }
    }

    fn client(&self) -> RawClient {
        let mut client = None;
        until("pgsplit listens", || {
            client = RawClient::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
            client.is_some()
        });
        let mut client = client.unwrap();
        client.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
        client
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn down_at_start(cluster: &Cluster) {
    cluster.replica(0).stop(StopMode::Fast).unwrap();
    let proxy = Unready::start(cluster);
    let began = std::time::Instant::now();
    let mut a = proxy.client();
    for _ in 0..20 {
        assert_eq!(value(&mut a, WHERE), "replica2");
    }
    run(&mut a, &[ON_PRIMARY]);
    assert!(began.elapsed() < Duration::from_secs(8), "nobody waits for it");
    cluster.replica(0).start().unwrap();
    until("it takes reads", || value(&mut a, WHERE) == "replica1");
}

/// A query's answer up to ReadyForQuery, or all that came instead.
fn answered(client: &mut RawClient, text: &str) -> Result<(), String> {
    client.send(&query(text)).map_err(|error| error.to_string())?;
    let mut heard = Vec::new();
    loop {
        let message = client.read_message().map_err(|error| format!("{error}, after {heard:?}"))?;
        match message.tag {
            b'Z' => return Ok(()),
            b'E' => heard.push(format!("{:?} {:?}", message.field(b'C'), message.field(b'M'))),
            tag => heard.push(char::from(tag).to_string()),
        }
        if heard.iter().any(|said| said.starts_with("Some")) {
            return Err(format!("{heard:?}"));
        }
    }
}

/// Clients that read all the time while something is done; none of them may see an error.
fn under_load(proxy: &Proxy, text: &str, act: impl FnOnce(&dyn Fn(u64))) {
    let (stop, done, failures) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (stop, done, failures) = (&stop, &done, &failures);
            scope.spawn(move || {
                let mut client = client(proxy);
                // Connections change hands between sessions with other settings.
                run(&mut client, &[&format!("SET work_mem = '{}MB'", 4 + at % 3)]);
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = answered(&mut client, text) {
                        failures.lock().unwrap().push(error);
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            act(&|more| {
                let goal = done.load(Ordering::Relaxed) + more;
                until("reads go on", || {
                    done.load(Ordering::Relaxed) >= goal || !failures.lock().unwrap().is_empty()
                });
            });
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = passed {
            std::panic::resume_unwind(panic);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

fn killed(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    under_load(&proxy, "SELECT count(*) FROM generate_series(1, 1000)", |go_on| {
        go_on(100);
        for round in 0..2 {
            cluster.replica(round).kill9().unwrap();
            go_on(200);
            cluster.replica(round).start().unwrap();
            until("it takes reads again", || takes_reads(&proxy, cluster, round) == 1.0);
            go_on(100);
        }
    });
}

fn takes_reads(proxy: &Proxy, cluster: &Cluster, replica: usize) -> f64 {
    sample(proxy, "pgsplit_node_takes_reads", &[("node", &cluster.replica(replica).address())])
}

/// A frozen server says nothing: its clients wait until it is judged, and no longer.
fn frozen(cluster: &Cluster) {
    let proxy = proxy(cluster, "[health]\ninterval = '200ms'\ntimeout = '500ms'\neject_after = 2");
    under_load(&proxy, "SELECT 1", |go_on| {
        go_on(100);
        cluster.replica(0).freeze().unwrap();
        until("it is left out", || takes_reads(&proxy, cluster, 0) == 0.0);
        go_on(100);
        cluster.replica(0).thaw().unwrap();
        until("it takes reads again", || takes_reads(&proxy, cluster, 0) == 1.0);
        go_on(100);
    });
}

fn behind(cluster: &Cluster) {
    let proxy = proxy(cluster, &format!("{TRUSTING}[consistency]\nmax_lag = '1s'"));
    let mut a = client(&proxy);
    cluster.replica(0).pause_replay().unwrap();
    until("it is left out", || {
        run(&mut a, &["INSERT INTO counted VALUES (1)"]);
        takes_reads(&proxy, cluster, 0) == 0.0
    });
    // What was just written may still be on its way to the other one.
    until("the other has all", || match value(&mut a, WHERE).as_str() {
        "replica1" => panic!("a read went to the replica that was left out"),
        node => node == "replica2",
    });
    for _ in 0..20 {
        assert_eq!(value(&mut a, WHERE), "replica2");
    }
    cluster.replica(0).resume_replay().unwrap();
    until("it takes reads again", || takes_reads(&proxy, cluster, 0) == 1.0);
    until("and is given some", || value(&mut a, WHERE) == "replica1");
}

fn no_replica(cluster: &Cluster) {
    let proxy = proxy(cluster, TRUSTING);
    let mut a = client(&proxy);
    run(&mut a, &["SELECT 1"]);
    for replica in &cluster.nodes()[1..] {
        replica.stop(StopMode::Immediate).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(value(&mut a, WHERE), "primary");
    }
    assert!(
        sample(&proxy, "pgsplit_routing_decisions_total", &[("target", "primary"), ("reason", "no-replica")])
            > 0.0
    );
    for replica in &cluster.nodes()[1..] {
        replica.start().unwrap();
    }
    until("they take reads again", || value(&mut a, WHERE) != "primary");
}

/// Reads go on all the while; writes that were not sent yet wait for the primary.
fn primary_restarts(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut writer = client(&proxy);
    cluster.primary().sql("app", "TRUNCATE counted").unwrap();
    run(&mut writer, &["INSERT INTO counted VALUES (1)"]);
    under_load(&proxy, "SELECT 1", |go_on| {
        go_on(50);
        cluster.primary().stop(StopMode::Fast).unwrap();
        go_on(100);
        std::thread::scope(|scope| {
            // Its connection ended while it was idle, so this was never sent: it waits and succeeds.
            let waiting = scope.spawn(|| run(&mut writer, &["INSERT INTO counted VALUES (1)"]));
            go_on(100);
            cluster.primary().start().unwrap();
            waiting.join().unwrap();
        });
    });
    assert_eq!(cluster.primary().sql("app", "SELECT count(*) FROM counted").unwrap(), "2");
}

fn primary_away(cluster: &Cluster) {
    // No time to hear of a replica before a read turns to the primary, which is not there.
    let settings = "[health]\nfailover_wait = '700ms'\ninterval = '200ms'\n[consistency]\nwait = '0s'";
    let proxy = proxy(cluster, settings);
    let (mut a, mut b, mut c) = (client(&proxy), client(&proxy), client(&proxy));
    run(&mut b, &["BEGIN", "INSERT INTO counted VALUES (1)"]);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let _ = c.send(&query("INSERT INTO counted SELECT 1 FROM pg_sleep(30)"));
            c.read_to_end().unwrap()
        });
        // The server says so: to pgsplit a statement is active before its first byte is sent.
        let running_there = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        until("it runs", || cluster.primary().sql("app", running_there).unwrap() == "1");
        cluster.primary().kill9().unwrap();
        let told = running.join().unwrap();
        let codes: Vec<_> = told.iter().filter_map(|m| m.field(b'C')).collect();
        // Sent and not answered: whether it was carried out is not known.
        assert_eq!(codes, ["08007"], "{told:?}");
    });
    assert!(!b.read_to_end().unwrap().is_empty(), "the transaction is lost, and its client is told");
    until("the primary is missed", || {
        code(&a.query("INSERT INTO counted VALUES (1)").unwrap()).as_deref() == Some("57P03")
    });
    // Reads and logins go on.
    run(&mut a, &["SELECT 1"]);
    run(&mut client(&proxy), &["SELECT 1"]);
    cluster.primary().start().unwrap();
    until("writes are possible again", || a.rows("INSERT INTO counted VALUES (1)").is_ok());
}
