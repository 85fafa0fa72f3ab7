//! One run: a cluster with pgsplit in front, clients and faults for some time, and what it came to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use pgsplit_testkit::{Cluster, Proxy};

use crate::audit;
use crate::chaos::{self, Fault};
use crate::model::{CELLS, CLIENTS, Model, TABLES, parts, table};
use crate::random::Random;
use crate::session::Session;

/// What is played.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) time: Duration,
    /// Of a hundred operations, how many write.
    pub(crate) writes: usize,
    /// Of a hundred writes, how many are done some time before the Sync that commits them, beyond their usual share.
    pub(crate) flushes: usize,
    /// Of a thousand writes, how many end their own connection once they are committed.
    pub(crate) deaths: usize,
    /// The longest pause between two operations, in milliseconds.
    pub(crate) pause: usize,
    /// So many clients do not wait for the flush of their commits. A primary that crashes may lose those.
    pub(crate) asynchronous: usize,
    /// What happens to replicas.
    pub(crate) replicas: &'static [Fault],
    /// What happens to the primary.
    pub(crate) primary: &'static [Fault],
    /// More of the configuration.
    pub(crate) level: &'static str,
    /// A bug on purpose: the first violation ends the run.
    pub(crate) bug: Option<&'static str>,
}

/// Everything, at a pace that replicas can follow.
pub(crate) const USUAL: Plan = Plan {
    time: Duration::from_secs(40),
    writes: 35,
    flushes: 5,
    deaths: 2,
    pause: 12,
    asynchronous: 0,
    replicas: chaos::REPLICA,
    primary: chaos::PRIMARY,
    level: "",
    bug: None,
};

/// The seed of this run, which repeats its choices; times are never the same.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("GUARANTEES_SEED").ok().map(|text| text.parse().unwrap());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = given.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs());
    println!("GUARANTEES_SEED={seed}");
    seed
}

/// A cluster with two replicas, and the tables.
pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::builder().name("guarantees").replicas(2).start().unwrap();
    let mut setup = String::from(
        "CREATE TABLE ledger (operation bigint NOT NULL); CREATE INDEX ON ledger (operation); \
         GRANT ALL ON ledger TO app; ",
    );
    for at in 0..TABLES {
        let rows: Vec<_> = (0..CLIENTS * CELLS)
            .filter(|cell| table(*cell) == at)
            .flat_map(|cell| (0..parts(cell)).map(move |part| format!("({cell}, {part}, 0)")))
            .collect();
        setup += &format!(
            "CREATE TABLE cells{at} (id int, part int, version bigint NOT NULL, PRIMARY KEY (id, part)); \
             INSERT INTO cells{at} VALUES {}; GRANT ALL ON cells{at} TO app; ",
            rows.join(", ")
        );
    }
    cluster.primary().sql("app", &setup).unwrap();
    cluster.wait_caught_up().unwrap();
    cluster
}

/// What a run came to.
pub(crate) struct Came {
    /// By guarantee.
    pub(crate) violations: BTreeMap<String, u64>,
    pub(crate) reads: u64,
    pub(crate) on_replicas: u64,
}

/// Plays a plan on a cluster of its own.
pub(crate) fn play(plan: &Plan, seed: u64) -> Came {
    let (cluster, model) = (cluster(), Model::new(plan.bug.is_some()));
    let directory = tempfile::tempdir().unwrap();
    let program = program(directory.path(), plan.bug);
    let proxy = Proxy::start(&program, &cluster, plan.level).unwrap();
    let before = proxy.metrics().unwrap();
    thread::scope(|scope| {
        let model = &model;
        let proxy = &proxy;
        let mut threads = Vec::new();
        for (number, node) in cluster.nodes().iter().enumerate() {
            let faults = if number == 0 { plan.primary } else { plan.replicas };
            if faults.is_empty() {
                continue;
            }
            let random = Random::new(seed, 1_000 + number as u64);
            threads.push(scope.spawn(move || chaos::trouble(model, node, faults, random)));
        }
        for number in 0..CLIENTS {
            threads.push(scope.spawn(move || Session::play(model, plan, proxy, number, seed)));
        }
        let until = Instant::now() + plan.time;
        while Instant::now() < until && !model.is_over() && !threads.iter().any(|one| one.is_finished()) {
            thread::park_timeout(Duration::from_millis(50));
        }
        model.end.store(true, SeqCst);
    });
    audit::audit(&model, &cluster);
    let decisions = proxy.metrics().unwrap().decisions_since(&before);
    let on_replicas =
        decisions.iter().filter(|(target, ..)| target == "replica").map(|(.., count)| count).sum();
    report(&model, on_replicas, &proxy);
    Came { violations: model.counted("violation"), reads: model.total("read"), on_replicas }
}

fn report(model: &Model, on_replicas: u64, proxy: &Proxy) {
    let (reads, writes) = (model.total("read"), model.total("write"));
    println!("{} operations: {writes} writes, {reads} reads; on replicas: {on_replicas}", reads + writes);
    for kind in ["read", "write", "told", "doubt", "error", "session", "fault", "ahead", "violation"] {
        println!("  {kind}: {:?}", model.counted(kind));
    }
    println!("  {} violations", model.total("violation"));
    model.found().iter().for_each(|violation| println!("  {violation}"));
    if model.total("violation") > 0 {
        let log = proxy.log();
        let from = log.lines().count().saturating_sub(40);
        log.lines().skip(from).for_each(|line| println!("    {line}"));
    }
}

/// pgsplit, or one with a bug.
fn program(directory: &Path, bug: Option<&str>) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let pgsplit = env!("CARGO_BIN_EXE_pgsplit");
    let Some(bug) = bug else { return PathBuf::from(pgsplit) };
    let program = directory.join("pgsplit");
    let script = format!("#!/bin/sh\nPGSPLIT_PLANTED={bug} exec '{pgsplit}' \"$@\"\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}
