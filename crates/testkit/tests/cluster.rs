//! The kit's own promises, against real servers: replication, every way to disturb a node, and that
//! nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use pgsplit_testkit::{Account, Cluster, Error, Node, StopMode, wait};

const SHORT: Duration = Duration::from_millis(300);

/// Processes that work in a directory or below it.
fn processes_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    entries.filter(|p| fs::read_link(p.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory))).collect()
}

fn gone(directory: &Path) -> bool {
    !directory.exists() && processes_in(directory).is_empty()
}

fn value(node: &Node) -> String {
    node.sql("app", "SELECT max(v) FROM t").unwrap()
}

#[test]
fn replicates_and_can_be_disturbed() {
    let started = Instant::now();
    let cluster =
        Cluster::builder().name("disturbed").replicas(2).setting("work_mem", "5MB").start().unwrap();
    println!("started in {:?}", started.elapsed());
    let (primary, first, second) = (cluster.primary(), cluster.replica(0), cluster.replica(1));

    assert_eq!(primary.sql("app", "SHOW cluster_name; SHOW work_mem").unwrap(), "primary\n5MB");
    assert_eq!(second.sql("app", "SHOW cluster_name; SHOW work_mem").unwrap(), "replica2\n5MB");
    assert!(!primary.in_recovery().unwrap() && first.in_recovery().unwrap());
    let slots = "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots WHERE active";
    assert_eq!(primary.sql("postgres", slots).unwrap(), "replica1,replica2");

    primary.sql("app", "CREATE TABLE t (v int); INSERT INTO t VALUES (1)").unwrap();
    cluster.wait_caught_up().unwrap();
    assert_eq!((value(first), value(second)), ("1".into(), "1".into()));

    pauses_replay(primary, first, second);
    freezes(second);
    crashes(primary, first);
    stops(&cluster, second);
    promotes(primary, first);
}

fn pauses_replay(primary: &Node, paused: &Node, other: &Node) {
    paused.pause_replay().unwrap();
    primary.sql("app", "INSERT INTO t VALUES (2)").unwrap();
    other.wait_caught_up(primary).unwrap();
    assert_eq!((value(paused), value(other)), ("1".into(), "2".into()));
    paused.resume_replay().unwrap();
    paused.wait_caught_up(primary).unwrap();
    assert_eq!(value(paused), "2");
}

fn freezes(node: &Node) {
    node.freeze().unwrap();
    assert!(matches!(node.sql_within("app", "SELECT 1", SHORT), Err(Error::TimeOut { .. })));
    node.thaw().unwrap();
    assert_eq!(node.sql("app", "SELECT 1").unwrap(), "1");
}

fn crashes(primary: &Node, replica: &Node) {
    let (pid, port) = (primary.pid().unwrap(), primary.port());
    primary.kill9().unwrap();
    assert_eq!(primary.pid(), None);
    assert!(primary.sql("app", "SELECT 1").is_err());
    assert!(processes_in(&primary.data_dir()).is_empty());
    assert_eq!(value(replica), "2");

    primary.start().unwrap();
    assert_ne!(primary.pid().unwrap(), pid);
    assert_eq!(primary.port(), port);
    assert!(primary.log().contains("database system was interrupted"));
    primary.sql("app", "INSERT INTO t VALUES (3)").unwrap();
    replica.wait_caught_up(primary).unwrap();
    assert_eq!(value(replica), "3");
}

fn stops(cluster: &Cluster, replica: &Node) {
    for mode in [StopMode::Smart, StopMode::Fast, StopMode::Immediate] {
        replica.stop(mode).unwrap();
        assert_eq!(replica.pid(), None);
        cluster.wait_caught_up().unwrap();
        replica.start().unwrap();
        replica.start().unwrap();
    }
    cluster.wait_caught_up().unwrap();
    replica.restart().unwrap();
    assert_eq!(value(replica), "3");
}

fn promotes(old: &Node, new: &Node) {
    new.promote().unwrap();
    new.sql("app", "INSERT INTO t VALUES (4)").unwrap();
    assert_eq!((value(new), value(old)), ("4".into(), "3".into()));
}

#[test]
fn accounts_can_do_what_they_are_for() {
    let cluster = Cluster::builder()
        .name("accounts")
        .access("host all trusted 127.0.0.1/32 trust")
        .file("note", "for the server alone")
        .start()
        .unwrap();
    let primary = cluster.primary();
    let psql = |user: &str, database: &str, text: &str| {
        let mut command = Command::new(cluster.postgres().program("psql"));
        command.args(["-XAtq", "-c", text, "-d", &primary.connection_string(user, database)]);
        let output = command.env("PGCONNECT_TIMEOUT", "10").output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(psql("app", "app", "CREATE TABLE t (v int); SELECT count(*) FROM t"), "0\n");
    primary.sql("postgres", "CREATE DATABASE later").unwrap();
    let verifier = "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'app'";
    for database in ["postgres", "app", "later"] {
        assert_eq!(psql("pgsplit", database, verifier), "SCRAM-SHA-256$\n");
    }
    assert!(psql("app", "app", verifier).contains("permission denied"));
    // Passwords count: whoever has none is refused.
    primary.sql("postgres", "CREATE ROLE stranger LOGIN").unwrap();
    assert!(psql("stranger", "app", "SELECT 1").contains("password"));
    primary.sql("postgres", "CREATE ROLE trusted LOGIN").unwrap();
    assert_eq!(psql("trusted", "app", "SELECT current_user"), "trusted\n");
    assert_eq!(primary.sql("app", "SELECT pg_read_file('note')").unwrap(), "for the server alone");
    assert!(primary.sql("app", "SELEC 1").unwrap_err().to_string().contains("syntax error"));

    let before = primary.connections().unwrap();
    let mut held = Command::new(cluster.postgres().program("psql"))
        .args(["-XAtq", "-d", &primary.connection_string(Account::APP.user(), "app")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("one more connection", wait::LIMIT, || {
        Ok((primary.connections()? == before + 1).then_some(()))
    })
    .unwrap();
    drop(held.stdin.take());
    held.wait().unwrap();
    let transactions = primary.transactions("app").unwrap();
    psql("app", "app", "SELECT 1");
    wait::until("one more transaction", wait::LIMIT, || {
        Ok((primary.transactions("app")? > transactions).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_dropped_cluster_leaves_nothing_even_frozen_killed_or_panicking() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let owner = std::thread::spawn(move || {
        let cluster = Cluster::builder().name("dropped").replicas(2).start().unwrap();
        cluster.replica(0).freeze().unwrap();
        cluster.replica(1).kill9().unwrap();
        let directory = fs::canonicalize(cluster.directory()).unwrap();
        assert!(!processes_in(&directory).is_empty());
        sender.send(directory).unwrap();
        panic!("on purpose");
    });
    assert!(owner.join().is_err());
    let directory = receiver.recv().unwrap();
    assert!(gone(&directory), "left behind: {:?}", processes_in(&directory));
}

/// Not a test by itself: the process that the next one kills.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn owner_to_be_killed() {
    let cluster = Cluster::builder().name("orphaned").replicas(1).start().unwrap();
    cluster.replica(0).freeze().unwrap();
    println!("\ndirectory {}", fs::canonicalize(cluster.directory()).unwrap().display());
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_killed_owner_leaves_nothing() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_to_be_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let directory = lines.find_map(|line| line.strip_prefix("directory ").map(PathBuf::from)).unwrap();
    assert!(processes_in(&directory).len() > 5);
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait::until("the guardian's work", wait::LIMIT, || Ok(gone(&directory).then_some(()))).unwrap();
}
