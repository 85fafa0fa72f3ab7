//! pgbench: its set-up, reads on the replicas and TPC-B on the primary in the three protocol modes, and a thousand
//! clients. Where the work was done is seen in pgsplit's metrics and in the servers' own statistics.

use std::time::Duration;

use pgsplit_testkit::{Samples, wait};

use crate::compare::Running;
use crate::scripts::clean;
use crate::stage::{BENCH, CONNECTIONS, Stage};

const SCALE: u32 = 10;
const MODES: [&str; 3] = ["simple", "extended", "prepared"];
const LIMIT: Duration = Duration::from_secs(60);

/// Runs pgbench through pgsplit and returns what it says of the transactions that it has processed.
fn pgbench(stage: &Stage, arguments: &[&str]) -> u64 {
    let program = stage.cluster.postgres().program("pgbench");
    // A thousand sockets are more than the usual soft limit of open files.
    let mut command = clean("sh".as_ref());
    command.args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#]).arg(program).args(arguments);
    command.arg(stage.proxied(BENCH));
    let output =
        Running::start(&mut command, "").finish(LIMIT).expect_success(&format!("pgbench {arguments:?}"));
    for trouble in ["error", "abort", "terminated", "fatal"] {
        let said = output.errors.lines().find(|line| line.to_lowercase().contains(trouble));
        assert_eq!(said, None, "pgbench {arguments:?}");
    }
    let processed =
        output.text.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "));
    let failed = output.text.lines().find_map(|line| line.strip_prefix("number of failed transactions: "));
    assert!(failed.is_none_or(|count| count.starts_with("0 ")), "{}", output.text);
    processed.map_or(0, |count| count.split('/').next().unwrap_or(count).trim().parse().unwrap())
}

pub(crate) fn initialise(stage: &Stage) {
    pgbench(stage, &["-i", "-q", "-s", &SCALE.to_string()]);
    stage.cluster.wait_caught_up().unwrap();
    let count = stage.cluster.replica(0).sql(BENCH, "SELECT count(*) FROM pgbench_accounts").unwrap();
    assert_eq!(count, (SCALE * 100_000).to_string());
}

/// Transactions that each node has counted in the database.
fn transactions(stage: &Stage) -> [u64; 3] {
    [0, 1, 2].map(|node| stage.cluster.node(node).transactions(BENCH).unwrap())
}

fn decided(since: &Samples, now: &Samples, target: &str) -> u64 {
    now.decisions_since(since).iter().filter(|(to, ..)| to == target).map(|(.., count)| count).sum()
}

/// Reads: all of them on the replicas, and each replica has its share.
fn reads(stage: &Stage, arguments: &[&str]) {
    let (before, metrics) = (transactions(stage), stage.metrics());
    let processed = pgbench(stage, arguments);
    assert!(processed > 0, "nothing was processed");
    let now = stage.metrics();
    let (replica, primary) = (decided(&metrics, &now, "replica"), decided(&metrics, &now, "primary"));
    assert!(replica >= processed, "{processed} processed, {replica} decisions for a replica");
    // pgbench itself asks a few things first, of the catalog.
    assert!(primary <= 10, "{primary} decisions for the primary: {:?}", now.decisions_since(&metrics));
    // A server's session reports what it did within a second, or once it is idle within ten.
    let counted = wait::until("the replicas have counted all reads", wait::LIMIT, || {
        let counted = transactions(stage);
        let replicas = [counted[1] - before[1], counted[2] - before[2]];
        Ok((replicas[0] + replicas[1] >= processed).then_some(replicas))
    })
    .unwrap();
    let share = counted[0] as f64 / (counted[0] + counted[1]) as f64;
    println!("  {arguments:?}: {processed} reads, {:.1} % on the first replica", share * 100.0);
    assert!((0.45..=0.55).contains(&share), "reads are not spread evenly: {counted:?}");
}

/// TPC-B: all of it on the primary.
fn writes(stage: &Stage, arguments: &[&str]) {
    let (before, metrics) = (transactions(stage), stage.metrics());
    let rows = || stage.cluster.primary().sql(BENCH, "SELECT count(*) FROM pgbench_history").unwrap();
    let history: u64 = rows().parse().unwrap();
    let processed = pgbench(stage, arguments);
    assert!(processed > 0, "nothing was processed");
    println!("  {arguments:?}: {processed} transactions");
    let now = stage.metrics();
    assert!(decided(&metrics, &now, "primary") >= processed);
    assert!(decided(&metrics, &now, "replica") <= 10, "{:?}", now.decisions_since(&metrics));
    wait::until("the primary has counted all transactions", wait::LIMIT, || {
        Ok((transactions(stage)[0] - before[0] >= processed).then_some(()))
    })
    .unwrap();
    // With -n pgbench does not empty the history first, so every acknowledged transaction is in it.
    assert_eq!(
        rows().parse::<u64>().unwrap() - history,
        processed,
        "acknowledged transactions are missing, or too many"
    );
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers) \
                AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)";
    assert_eq!(stage.cluster.primary().sql(BENCH, sums).unwrap(), "t");
}

pub(crate) fn select_only(stage: &Stage) {
    for mode in MODES {
        reads(stage, &["-n", "-S", "-M", mode, "-c", "32", "-j", "2", "-T", "3"]);
    }
}

pub(crate) fn tpc_b(stage: &Stage) {
    for mode in MODES {
        writes(stage, &["-n", "-M", mode, "-c", "32", "-j", "2", "-T", "3"]);
    }
}

/// A thousand clients on a hundred server connections. Each connects once and works in one mode.
pub(crate) fn a_thousand(stage: &Stage) {
    reads(stage, &["-n", "-S", "-M", "prepared", "-c", "1000", "-j", "2", "-T", "5"]);
    writes(stage, &["-n", "-M", "simple", "-c", "1000", "-j", "2", "-T", "5"]);
    let open: Vec<u64> = stage
        .cluster
        .nodes()
        .iter()
        .map(|node| {
            let asked = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = '{BENCH}' AND usename = 'app'"
            );
            node.sql("postgres", &asked).unwrap().parse().unwrap()
        })
        .collect();
    let most = u64::from(CONNECTIONS);
    assert!(open[0] <= most && open[1] + open[2] <= most, "server connections by node: {open:?}");
}
