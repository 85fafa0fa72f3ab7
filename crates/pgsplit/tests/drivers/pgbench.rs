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
    // This reads the tables into memory, too, so that no replica is slower than the other at first.
    for node in stage.cluster.nodes() {
        let count = node.sql(BENCH, "SELECT count(*) FROM pgbench_accounts").unwrap();
        assert_eq!(count, (SCALE * 100_000).to_string());
    }
}

/// Transactions that each node has counted in the database.
fn transactions(stage: &Stage) -> [u64; 3] {
    [0, 1, 2].map(|node| stage.cluster.node(node).transactions(BENCH).unwrap())
}

fn decided(since: &Samples, now: &Samples, target: &str) -> u64 {
    now.decisions_since(since).iter().filter(|(to, ..)| to == target).map(|(.., count)| count).sum()
}

/// Waits until the nodes have counted so many transactions more than `before`. A server's session reports what it did
/// within a second, or once it is idle within ten.
fn counted(stage: &Stage, before: [u64; 3], nodes: &[usize], processed: u64) -> Vec<u64> {
    wait::until("the servers have counted all transactions", wait::LIMIT, || {
        let now = transactions(stage);
        let new: Vec<u64> = nodes.iter().map(|&node| now[node] - before[node]).collect();
        Ok((new.iter().sum::<u64>() >= processed).then_some(new))
    })
    .unwrap()
}

/// Reads in these modes: all of them on the replicas, and each replica has half of them, give or take a tenth. A machine
/// that is busy with something else slows one replica down, which then rightly gets less: so there is a second and a
/// third try for the shares, where a bias of ours would show again.
fn reads(stage: &Stage, modes: &[&str], arguments: &[&str]) {
    let even =
        (0..3).map(|_| first_share(stage, modes, arguments)).any(|share| (0.45..=0.55).contains(&share));
    assert!(even, "the first replica never had 45 to 55 % of the reads");
}

/// The first replica's share of them.
fn first_share(stage: &Stage, modes: &[&str], arguments: &[&str]) -> f64 {
    let before = transactions(stage);
    let mut total = 0;
    for mode in modes {
        let metrics = stage.metrics();
        let processed = pgbench(stage, &[&["-n", "-S", "-j", "2", "-M", mode], arguments].concat());
        println!("  -S -M {mode} {arguments:?}: {processed} reads");
        assert!(processed > 0, "nothing was processed");
        let now = stage.metrics();
        let (replica, primary) = (decided(&metrics, &now, "replica"), decided(&metrics, &now, "primary"));
        assert!(replica >= processed, "{processed} processed, {replica} decisions for a replica");
        // pgbench itself asks a few things first, of the catalog.
        assert!(primary <= 10, "{primary} decisions for the primary: {:?}", now.decisions_since(&metrics));
        total += processed;
    }
    let counted = counted(stage, before, &[1, 2], total);
    let share = counted[0] as f64 / (counted[0] + counted[1]) as f64;
    println!("  {:.1} % on the first replica", share * 100.0);
    share
}

/// TPC-B in these modes: all of it on the primary, each acknowledged transaction once.
fn writes(stage: &Stage, modes: &[&str], arguments: &[&str]) {
    let before = transactions(stage);
    let ask = |text: &str| stage.cluster.primary().sql(BENCH, text).unwrap();
    let history = || ask("SELECT count(*) FROM pgbench_history").parse::<u64>().unwrap();
    let rows = history();
    let mut total = 0;
    for mode in modes {
        let metrics = stage.metrics();
        let processed = pgbench(stage, &[&["-n", "-j", "2", "-M", mode], arguments].concat());
        println!("  TPC-B -M {mode} {arguments:?}: {processed} transactions");
        assert!(processed > 0, "nothing was processed");
        let now = stage.metrics();
        assert!(decided(&metrics, &now, "primary") >= processed);
        assert!(decided(&metrics, &now, "replica") <= 10, "{:?}", now.decisions_since(&metrics));
        total += processed;
    }
    // With -n pgbench does not empty the history first, so every acknowledged transaction is in it.
    assert_eq!(history() - rows, total, "acknowledged transactions are missing, or too many");
    let sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(tbalance) FROM pgbench_tellers) \
                AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)";
    assert_eq!(ask(sums), "t");
    counted(stage, before, &[0], total);
}

pub(crate) fn select_only(stage: &Stage) {
    reads(stage, &MODES, &["-c", "32", "-T", "3"]);
}

pub(crate) fn tpc_b(stage: &Stage) {
    writes(stage, &MODES, &["-c", "32", "-T", "3"]);
}

/// Seconds; pgbench counts the logins of a thousand clients in, which cost it most of its CPU.
const TIME_FOR_A_THOUSAND: &str = "12";

/// A thousand clients on a hundred server connections.
pub(crate) fn a_thousand(stage: &Stage) {
    reads(stage, &["prepared"], &["-c", "1000", "-T", TIME_FOR_A_THOUSAND]);
    writes(stage, &["simple"], &["-c", "1000", "-T", TIME_FOR_A_THOUSAND]);
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
