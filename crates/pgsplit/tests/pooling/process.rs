//! The process: many idle clients, its end, and a new configuration under load.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Cluster, Signal};

use crate::Scene;
use crate::tools::{ON_PRIMARY, client, connections, proxy, run, sample, until, value};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("idle clients cost little", idle_clients),
        ("SIGTERM drains", drain),
        ("SIGTERM while a statement runs", drain_active),
        ("SIGHUP under load", reload),
    ]
}

/// Most memory that an idle client may cost.
const IDLE_CLIENT: u64 = 3 * 1024;

#[allow(clippy::print_stderr, reason = "a figure that is worth seeing")]
fn idle_clients(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let logged_in = |count: usize| -> Vec<RawClient> { (0..count).map(|_| client(&proxy)).collect() };
    let mut all = logged_in(100);
    // They have all been busy once, so that what is never given back shows.
    all.iter_mut().for_each(|client| run(client, &["SELECT 1"]));
    let before = memory(proxy.pid());
    let mut more = logged_in(1000);
    more.iter_mut().for_each(|client| run(client, &["SELECT 1", "SET work_mem = '5MB'", "SELECT 1"]));
    let after = memory(proxy.pid());
    let each = after.saturating_sub(before) / 1000;
    eprintln!("       an idle client costs {each} bytes ({before} to {after} for 1000)");
    assert!(each <= IDLE_CLIENT, "an idle client costs {each} bytes");
}

/// Proportional set size in bytes.
fn memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn drain(cluster: &Cluster) {
    let mut proxy = proxy(cluster, "[timeouts]\ndrain = '20s'");
    let (mut idle, mut busy, mut begun) = (client(&proxy), client(&proxy), client(&proxy));
    run(&mut idle, &["SELECT 1", ON_PRIMARY]);
    run(&mut busy, &["BEGIN", "INSERT INTO counted VALUES (4711)"]);
    run(&mut begun, &["BEGIN"]);
    proxy.signal(Signal::TERM);
    let told = idle.read_to_end().unwrap();
    assert_eq!(told.iter().filter_map(|m| m.field(b'C')).collect::<Vec<_>>(), ["57P01"], "{told:?}");
    // Nobody new gets in.
    assert!(
        RawClient::connect(proxy.address())
            .and_then(|mut c| c.login("app", "app-secret", "app", &[]))
            .is_err()
    );
    run(&mut busy, &["INSERT INTO counted VALUES (4711)", "COMMIT"]);
    let told = busy.read_to_end().unwrap();
    assert_eq!(told.iter().filter_map(|m| m.field(b'C')).collect::<Vec<_>>(), ["57P01"], "{told:?}");
    run(&mut begun, &[ON_PRIMARY, "ROLLBACK"]);
    assert_eq!(begun.read_to_end().unwrap().len(), 1);
    assert_eq!(proxy.wait_for_end().unwrap(), Some(0));
    assert_eq!(cluster.primary().sql("app", "SELECT count(*) FROM counted WHERE v = 4711").unwrap(), "2");
    until("its connections are gone", || connections(cluster.primary(), "app") == 0);
}

fn drain_active(cluster: &Cluster) {
    let mut proxy = proxy(cluster, "[timeouts]\ndrain = '20s'");
    let mut a = client(&proxy);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| value(&mut a, "SELECT 7, pg_sleep(1), txid_current()"));
        until("it runs", || sample(&proxy, "pgsplit_client_connections", &[("state", "active")]) == 1.0);
        proxy.signal(Signal::TERM);
        assert_eq!(running.join().unwrap(), "7");
    });
    assert_eq!(proxy.wait_for_end().unwrap(), Some(0));
    // One that does not finish is disconnected when the time is over.
    let mut proxy = crate::tools::proxy(cluster, "[timeouts]\ndrain = '500ms'");
    let mut a = client(&proxy);
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_for_end().unwrap(), Some(0));
    assert!(a.read_to_end().is_ok());
    until("its transaction is gone", || connections(cluster.primary(), "app") == 0);
}

fn reload(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 4\nreplica_connections = 4");
    let original = fs::read_to_string(proxy.config()).unwrap();
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for at in 0..8 {
            let (proxy, stop, done) = (&proxy, &stop, &done);
            scope.spawn(move || {
                let mut client = client(proxy);
                run(&mut client, &["SET work_mem = '5MB'"]);
                while !stop.load(Ordering::Relaxed) {
                    let text = if at % 2 == 0 {
                        "SELECT count(*) FROM counted"
                    } else {
                        "INSERT INTO counted VALUES (1)"
                    };
                    run(&mut client, &[text, "BEGIN", ON_PRIMARY, "COMMIT"]);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 1..=6 {
            let most = 1 + round % 4;
            let text = original.replace("primary_connections = 4", &format!("primary_connections = {most}"));
            // Every third one has an error: it must change nothing.
            let text = if round % 3 == 0 { text.replace("[pool]", "[pool]\nno_such_key = 1") } else { text };
            fs::write(proxy.config(), text).unwrap();
            let before = done.load(Ordering::Relaxed);
            proxy.signal(Signal::HUP);
            let good = if round % 3 == 0 { 0.0 } else { 1.0 };
            until("it was read", || sample(&proxy, "pgsplit_config_last_reload_successful", &[]) == good);
            until("the load goes on", || done.load(Ordering::Relaxed) > before + 20);
        }
        stop.store(true, Ordering::Relaxed);
    });
    // What was read last and was right is in force: 2 connections.
    let mut clients: Vec<_> = (0..2).map(|_| client(&proxy)).collect();
    clients.iter_mut().for_each(|client| run(client, &["BEGIN", ON_PRIMARY]));
    until("no more connections than that", || connections(cluster.primary(), "app") <= 2);
    clients.iter_mut().for_each(|client| run(client, &["COMMIT"]));
}
