//! Nodes that come and go by a reload while clients read.

use std::fs;
use std::process::Stdio;

use pgsplit_testkit::{Account, Cluster, wait};

use crate::stage::{console, proxy, said};

const ROUNDS: usize = 5;

pub(crate) fn come_and_go(cluster: &Cluster) {
    cluster.pgbench_init(1).unwrap();
    cluster.wait_caught_up().unwrap();
    let proxy = proxy(cluster, "");
    let mut console = console(&proxy);
    let both = fs::read_to_string(proxy.config()).unwrap();
    let replica = cluster.replica(0);
    let listed = format!(", \"{}\"", replica.address());
    let alone = both.replace(&listed, "");
    assert_ne!(alone, both, "{both}");
    let mut bench = cluster.command(&cluster.postgres().program("pgbench"));
    bench.args(["-n", "-c", "8", "-j", "2", "-T", "120", "-S", "-M", "extended"]);
    bench.arg(proxy.connection_string(&Account::APP, "app"));
    let mut bench = bench.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    let reads = |several: bool| {
        wait::until("the replica's connections", wait::LIMIT, || {
            Ok(((replica.sql("postgres", backends)? != "0") == several).then_some(()))
        })
    };
    reads(true).unwrap();
    for _ in 0..ROUNDS {
        fs::write(proxy.config(), &alone).unwrap();
        console.rows("RELOAD").unwrap();
        assert_eq!(console.rows("SHOW NODES").unwrap().len(), 1);
        reads(false).unwrap();
        assert!(bench.try_wait().unwrap().is_none(), "the load has ended");
        // By another name, as one that a rule may name.
        let named = format!(
            "{both}\n[[rules]]\nname = 'r'\nmatch.tables = 'none'\ntarget = '{}'\n",
            replica.address()
        );
        fs::write(proxy.config(), named).unwrap();
        console.rows("RELOAD").unwrap();
        assert_eq!(console.rows("SHOW NODES").unwrap().len(), 2);
        reads(true).unwrap();
    }
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_statements_failed_total", &[]), 0.0);
    assert_eq!(metrics.by_label("pgsplit_node_up", "node").len(), 2, "those that are gone are not shown");
    bench.kill().unwrap();
    let (_, said) = said(&bench.wait_with_output().unwrap());
    assert!(!said.contains("ERROR") && !said.contains("FATAL"), "{said}");
}
