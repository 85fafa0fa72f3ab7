//! A replica that is cut off while 32 clients read: packets to it and from it are dropped, so no connection ends and none
//! can be opened. It is played in a network namespace, which only root can make.

use std::process::{Command, Stdio};
use std::time::Duration;

use pgsplit_testkit::Node;

use crate::load::under_reads;
use crate::replicas::{ran_on, takes_reads};
use crate::{cluster, proxy, sample, until};

/// Says to this program that it runs in a network of its own.
const INSIDE: &str = "FAILOVER_INSIDE";
/// The test's name.
const NAME: &str = "a_replica_is_cut_off_and_nobody_sees_it";

/// Runs the test of this name in a network of its own, where such a thing can be made.
pub(crate) fn play() {
    if std::env::var_os(INSIDE).is_some() {
        return cut_off();
    }
    let can = |command: &str| {
        let made = Command::new("unshare").args(["-n", "sh", "-c", command]).stderr(Stdio::null()).output();
        made.is_ok_and(|output| output.status.success())
    };
    if !can("ip link set lo up && iptables -A INPUT -p tcp --dport 1 -j DROP") {
        println!("skipped: needs root, ip and iptables");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let inside = format!("ip link set lo up && exec '{}' --exact {NAME} --nocapture", own.display());
    let status = Command::new("unshare").args(["-n", "sh", "-c", &inside]).env(INSIDE, "1").status().unwrap();
    assert!(status.success(), "{status}");
}

/// Drops whatever goes to this node or comes from it, or lets it pass again.
fn packets(node: &Node, how: &str) {
    for side in ["--dport", "--sport"] {
        let mut command = Command::new("iptables");
        command.args([how, "INPUT", "-p", "tcp", side, &node.port().to_string(), "-j", "DROP"]);
        assert!(command.status().unwrap().success(), "{command:?}");
    }
}

fn cut_off() {
    let cluster = cluster("partition");
    let proxy = proxy(&cluster, "");
    let longest = under_reads(&proxy, |seen| {
        seen.go_on(500);
        packets(cluster.replica(0), "-A");
        until("it is missed", || sample(&proxy, "pgsplit_retries_total", &[("cause", "silent")]) > 0.0);
        until("it is down", || !takes_reads(&proxy, &cluster, 0));
        seen.go_on(5_000);
        packets(cluster.replica(0), "-D");
        until("it takes reads again", || takes_reads(&proxy, &cluster, 0));
        let before = ran_on(&proxy, &cluster, 0);
        until("it is given some", || ran_on(&proxy, &cluster, 0) > before);
    });
    // As for one that is frozen.
    assert!(longest < Duration::from_millis(500 + 1_000 + 1_000), "{longest:?}");
}
