//! Replicas that fail while 32 clients read.

use std::time::{Duration, Instant};

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy, StopMode};

use crate::load::under_reads;
use crate::{client, proxy, sample, until};

pub(crate) type Scene = (&'static str, fn(&Cluster));

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("a replica is killed", killed),
        ("a replica is frozen", frozen),
        ("a replica is restarted", restarted),
        ("a replica has no room", full),
        ("sessions are terminated", terminated),
        ("a slow statement", slow),
    ]
}

/// All nodes run, follow and have caught up.
pub(crate) fn heal(cluster: &Cluster) {
    for node in cluster.nodes() {
        node.start().unwrap();
        let _ = node.thaw();
    }
    cluster.wait_caught_up().unwrap();
}

pub(crate) fn takes_reads(proxy: &Proxy, cluster: &Cluster, replica: usize) -> bool {
    let address = cluster.replica(replica).address();
    sample(proxy, "pgsplit_node_takes_reads", &[("node", &address)]) == 1.0
}

pub(crate) fn ran_on(proxy: &Proxy, cluster: &Cluster, replica: usize) -> f64 {
    sample(proxy, "pgsplit_queries_total", &[("node", &cluster.replica(replica).address())])
}

fn killed(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    under_reads(&proxy, |seen| {
        seen.go_on(500);
        cluster.replica(0).kill9().unwrap();
        seen.go_on(2_000);
        cluster.replica(0).start().unwrap();
        until("it takes reads again", || takes_reads(&proxy, cluster, 0));
        let before = ran_on(&proxy, cluster, 0);
        until("it is given some", || ran_on(&proxy, cluster, 0) > before);
    });
}

/// A frozen server gives no error. Who waits for it is sent elsewhere when it lets a probe wait: after the time between
/// two probes and the deadline of one, at most.
fn frozen(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let longest = under_reads(&proxy, |seen| {
        seen.go_on(500);
        cluster.replica(0).freeze().unwrap();
        until("it is missed", || sample(&proxy, "pgsplit_retries_total", &[("cause", "silent")]) > 0.0);
        seen.go_on(2_000);
        cluster.replica(0).thaw().unwrap();
        until("it takes reads again", || takes_reads(&proxy, cluster, 0));
        let before = ran_on(&proxy, cluster, 0);
        until("it is given some", || ran_on(&proxy, cluster, 0) > before);
    });
    // 500 ms and 1 s are the defaults; the rest is for a busy machine.
    assert!(longest < Duration::from_millis(500 + 1_000 + 1_000), "{longest:?}");
}

fn restarted(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    under_reads(&proxy, |seen| {
        for replica in [0, 1] {
            seen.go_on(500);
            cluster.replica(replica).stop(StopMode::Fast).unwrap();
            seen.go_on(1_000);
            cluster.replica(replica).start().unwrap();
            until("it takes reads again", || takes_reads(&proxy, cluster, replica));
        }
    });
}

/// Others have all its connections: it answers a login with 53300.
fn full(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let taken: Vec<_> = std::iter::repeat_with(|| {
        let mut client = RawClient::connect(("127.0.0.1", cluster.replica(0).port())).ok()?;
        client.login(Account::APP.user(), Account::APP.password(), "app", &[]).ok()?;
        Some(client)
    })
    .take_while(Option::is_some)
    .collect();
    assert!(taken.len() > 10, "{}", taken.len());
    under_reads(&proxy, |seen| {
        seen.go_on(2_000);
        drop(taken);
        let before = ran_on(&proxy, cluster, 0);
        until("it is given some", || ran_on(&proxy, cluster, 0) > before + 100.0);
    });
}

/// As an administrator does it: the server says 57P01 and hangs up.
fn terminated(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    under_reads(&proxy, |seen| {
        for node in [cluster.replica(0), cluster.replica(1), cluster.primary()] {
            seen.go_on(500);
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
            node.sql("postgres", end).unwrap();
        }
        seen.go_on(500);
    });
}

/// Slow is not frozen: the node answers its probes, so the statement is left alone.
fn slow(cluster: &Cluster) {
    let proxy = proxy(cluster, "health.interval = '100ms'\nhealth.timeout = '300ms'");
    let mut client = client(&proxy);
    client.rows("SELECT node_name()").unwrap();
    let before = sample(&proxy, "pgsplit_retries_total", &[]);
    let began = Instant::now();
    assert_eq!(client.rows("SELECT pg_sleep(3), node_name()").unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(5), "it ran once: {:?}", began.elapsed());
    assert_eq!(sample(&proxy, "pgsplit_retries_total", &[]), before);
}
