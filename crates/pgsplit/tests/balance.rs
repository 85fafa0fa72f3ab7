//! Which replica is chosen, and when reads leave the primary. The choice itself is tested in `pgsplit-route`; here is that
//! the configuration reaches it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy, wait};

fn cluster() -> Cluster {
    let cluster = Cluster::builder().name("balance").replicas(2).start().unwrap();
    let function = "CREATE FUNCTION node_name() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$";
    cluster.primary().sql("app", function).unwrap();
    cluster.wait_caught_up().unwrap();
    cluster
}

fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    let settings = format!(
        "consistency.level = 'eventual'\nrouting.functions_read_only = ['node_name']\n\
         routing.functions_stateless = ['node_name']\n{settings}"
    );
    Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &settings).unwrap()
}

fn node(client: &mut RawClient, text: &str) -> String {
    client.rows(text).unwrap()[0][0].clone().unwrap()
}

fn shares(proxy: &Proxy, reads: u32) -> BTreeMap<String, u32> {
    let mut client = proxy.client(&Account::APP, "app").unwrap();
    let mut shares = BTreeMap::new();
    for _ in 0..reads {
        *shares.entry(node(&mut client, "SELECT node_name()")).or_default() += 1;
    }
    shares
}

#[test]
fn policies_are_followed() {
    let cluster = cluster();
    let turns = shares(&proxy(&cluster, "balance.policy = 'round-robin'"), 20);
    assert_eq!(turns, [("replica1".into(), 10), ("replica2".into(), 10)].into());
    let outstanding = shares(&proxy(&cluster, "balance.policy = 'least-outstanding'"), 400);
    assert!(outstanding.len() == 2 && outstanding.values().all(|share| *share > 120), "{outstanding:?}");
    // The paces of two replicas on one machine are anything; the primary has no part in it.
    let latency = shares(&proxy(&cluster, "balance.policy = 'latency'"), 50);
    assert!(!latency.contains_key("primary"), "{latency:?}");
}

#[test]
fn reads_leave_a_busy_primary_and_come_back() {
    let cluster = cluster();
    let settings = "routing.reads = 'spill'\n\
        routing.spill = { read_latency = '30ms', load = 0.7, window = '3s' }\nhealth.interval = '100ms'";
    let proxy = proxy(&cluster, settings);
    let mut client = proxy.client(&Account::APP, "app").unwrap();
    assert_eq!(node(&mut client, "SELECT node_name()"), "primary");
    let until = |what: &str, client: &mut RawClient, text: &str, on_primary: bool| {
        wait::until(what, Duration::from_secs(20), || {
            Ok(((node(client, text) == "primary") == on_primary).then_some(()))
        })
        .unwrap();
    };
    until("slow reads go to replicas", &mut client, "SELECT node_name(), pg_sleep(0.05)", false);
    assert_eq!(proxy.metrics().unwrap().sum("pgsplit_reads_spilled", &[]), 1.0);
    for _ in 0..5 {
        assert_ne!(node(&mut client, "SELECT node_name()"), "primary", "all reads do");
    }
    let mut console = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    let own = Account::PGSPLIT;
    console.login(own.user(), own.password(), "pgsplit", &[]).unwrap();
    let explained = console.rows("EXPLAIN ROUTE DATABASE app SELECT node_name()").unwrap();
    let explained: Vec<_> = explained.into_iter().flatten().flatten().collect();
    let explained = explained.join("\n");
    assert!(explained.contains("replica (") && explained.contains("The primary is busy"), "{explained}");
    until("they come back when there is nothing to do", &mut client, "SELECT node_name()", true);
    assert_eq!(proxy.metrics().unwrap().sum("pgsplit_reads_spilled", &[]), 0.0);
}
