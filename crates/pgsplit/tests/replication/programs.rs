//! PostgreSQL's own programs.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use pgsplit_testkit::{Cluster, wait};

use crate::Stage;

/// Runs a program of the installation to its end, which must be a good one.
fn run(stage: &Stage, program: &str, arguments: &[&str]) -> Output {
    let mut command = stage.cluster.command(&stage.cluster.postgres().program(program));
    // The programs wait for WAL by themselves; whatever goes wrong must not hang the test.
    let output = command.args(arguments).env("PGCONNECT_TIMEOUT", "10").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output
}

fn path(directory: &Path) -> &str {
    directory.to_str().unwrap()
}

pub(crate) fn identify_system(stage: &Stage) {
    for (kind, database) in [("database", "app"), ("true", "app"), ("on", "postgres"), ("1", "nowhere")] {
        let [direct, through] = stage.ways(database).map(|(_, way)| {
            let to = format!("{way} replication={kind}");
            run(stage, "psql", &["-XAtd", &to, "-c", "IDENTIFY_SYSTEM"]).stdout
        });
        // The position moves on by itself.
        let fields = |answer: &[u8]| {
            let text = String::from_utf8_lossy(answer).trim_end().to_owned();
            let fields: Vec<_> = text.split('|').map(str::to_owned).collect();
            assert_eq!(fields.len(), 4, "{text}");
            (fields[0].clone(), fields[1].clone(), fields[3].clone())
        };
        assert_eq!(fields(&direct), fields(&through), "replication={kind}");
    }
}

pub(crate) fn pg_basebackup(stage: &Stage) {
    let [_, (_, through)] = stage.ways("replication");
    let data = stage.cluster.directory().join("backup");
    run(stage, "pg_basebackup", &["-D", path(&data), "-X", "stream", "-c", "fast", "-d", &through]);
    run(stage, "pg_verifybackup", &[path(&data)]);
    fs::remove_dir_all(data).unwrap();
}

/// Some rows, and where the log stands behind them.
fn write(stage: &Stage, text: &str) -> String {
    let write = format!("INSERT INTO note SELECT '{text}' FROM generate_series(1, 100)");
    stage.cluster.primary().sql("app", &write).unwrap();
    stage.cluster.primary().sql("app", "SELECT pg_current_wal_flush_lsn()").unwrap()
}

pub(crate) fn pg_receivewal(stage: &Stage) {
    let [(_, direct), (_, through)] = stage.ways("replication");
    for (slot, way) in [("wal_direct", &direct), ("wal_through", &through)] {
        run(stage, "pg_receivewal", &["--create-slot", "-S", slot, "-d", way]);
    }
    let mut received = Vec::new();
    for (slot, way) in [("wal_direct", direct), ("wal_through", through)] {
        let wal = stage.cluster.directory().join(slot);
        let made = stage.cluster.command(Path::new("mkdir")).arg(&wal).status().unwrap();
        assert!(made.success());
        let end = write(stage, slot);
        // It stops at the first record beyond.
        write(stage, slot);
        run(stage, "pg_receivewal", &["-D", path(&wal), "-S", slot, "-E", &end, "-n", "-d", &way]);
        let segment = fs::read_dir(&wal).unwrap().flatten().map(|entry| entry.path()).next().unwrap();
        received.push((fs::read(&segment).unwrap(), end));
    }
    // What both have of the log is the same, byte for byte.
    let [(direct, end), (through, _)] = &received[..] else { panic!("two were received") };
    let low = u64::from_str_radix(end.split_once('/').unwrap().1, 16).unwrap() % (16 << 20);
    let low = usize::try_from(low).unwrap();
    assert!(low > 0 && direct[..low] == through[..low], "the first {low} bytes differ");
    for slot in ["wal_direct", "wal_through"] {
        let drop = format!("SELECT pg_drop_replication_slot('{slot}')");
        stage.cluster.primary().sql("app", &drop).unwrap();
    }
}

pub(crate) fn pg_recvlogical(stage: &Stage) {
    let ways = stage.ways("app");
    for (way, to) in &ways {
        run(stage, "pg_recvlogical", &["--create-slot", "-P", "test_decoding", "-S", way, "-d", to]);
    }
    let end = write(stage, "decoded");
    let [direct, through] = ways.map(|(way, to)| {
        let decoded = ["--start", "-E", &end, "-n", "-f", "-", "-S", way, "-d", &to];
        let output = run(stage, "pg_recvlogical", &decoded).stdout;
        run(stage, "pg_recvlogical", &["--drop-slot", "-S", way, "-d", &to]);
        String::from_utf8(output).unwrap()
    });
    assert!(direct.lines().filter(|line| line.contains("'decoded'")).count() == 100, "{direct}");
    assert_eq!(direct, through);
}

/// Another cluster subscribes: the first copy, and what comes after it.
pub(crate) fn a_subscription(stage: &Stage) {
    let subscriber = Cluster::builder().name("subscriber").start().unwrap();
    let [_, (_, through)] = stage.ways("app");
    let node = subscriber.primary();
    node.sql("app", "CREATE TABLE item (id int PRIMARY KEY, name text)").unwrap();
    node.sql("app", &format!("CREATE SUBSCRIPTION items CONNECTION '{through}' PUBLICATION items")).unwrap();
    let wait = |what: &str, question: &str, answer: &str| {
        wait::until(what, Duration::from_secs(20), || {
            Ok((node.sql("app", question)? == answer).then_some(()))
        })
        .unwrap();
    };
    wait("the first copy", "SELECT count(*) FROM item", "100");
    let change = "INSERT INTO item VALUES (101, 'new'); UPDATE item SET name = 'other' WHERE id = 1; \
                  DELETE FROM item WHERE id = 2";
    stage.cluster.primary().sql("app", change).unwrap();
    wait(
        "the changes",
        "SELECT count(*) || ' ' || max(id) || ' ' || min(name) FROM item WHERE id <> 2",
        "100 101 name 10",
    );
    wait("the update", "SELECT name FROM item WHERE id = 1", "other");
    node.sql("app", "DROP SUBSCRIPTION items").unwrap();
    let left = stage
        .cluster
        .primary()
        .sql("app", "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'");
    assert_eq!(left.unwrap(), "0", "the subscription's slots are dropped");
}
