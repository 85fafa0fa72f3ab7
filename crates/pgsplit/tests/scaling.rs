//! Reads grow with the replicas where servers are the bottleneck. Each server is given a service time and a number of
//! slots: every read sleeps, and only so many connections may be open to each replica. What the machine could do
//! otherwise plays no part then.

#![allow(clippy::unwrap_used, reason = "a failed test panics, also in its helpers")]

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgsplit_testkit::{Account, Cluster, Proxy};

/// What each read takes on a server.
const SERVICE: Duration = Duration::from_millis(25);
/// Reads that a replica serves at a time.
const SLOTS: usize = 4;
/// More than all slots together, so that none need be idle.
const CLIENTS: usize = 48;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
/// Replicas, and how many times the throughput of one they have at least.
const GROWTH: [(usize, f64); 2] = [(2, 1.9), (4, 3.6)];
const ATTEMPTS: usize = 3;

#[test]
#[allow(clippy::print_stderr, reason = "figures that are worth seeing")]
fn reads_grow_with_the_replicas() {
    let one = throughput(1);
    let most = SLOTS as f64 / SERVICE.as_secs_f64();
    eprintln!("1 replica: {one:.0} reads/s of {most:.0} that its slots allow");
    for (replicas, least) in GROWTH {
        // A machine that others use may stand still for a while.
        let grown = (0..ATTEMPTS).any(|_| {
            let more = throughput(replicas);
            eprintln!("{replicas} replicas: {more:.0} reads/s, {:.2} times as many", more / one);
            more / one >= least
        });
        assert!(grown, "{replicas} replicas: less than {least} times the throughput of one");
    }
}

/// Reads a second with so many replicas.
fn throughput(replicas: usize) -> f64 {
    let cluster = Cluster::builder().name("scaling").replicas(replicas).start().unwrap();
    let limits =
        format!("[pool]\nreplica_connections = {SLOTS}\n[routing]\nfunctions_read_only = ['pg_sleep']");
    let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), &cluster, &limits).unwrap();
    let (read, count) = (format!("SELECT pg_sleep({})", SERVICE.as_secs_f64()), AtomicU32::new(0));
    let end = Instant::now() + WARM_UP + MEASURED;
    // While connections are opened a read may go to the primary: a replica must be asked again for each of them.
    let before = OnceLock::new();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = proxy.client(&Account::APP, "app").unwrap();
                while Instant::now() < end {
                    client.rows(&read).unwrap();
                    if Instant::now() >= end - MEASURED {
                        before.get_or_init(|| proxy.metrics().unwrap());
                    }
                    if (end - MEASURED..end).contains(&Instant::now()) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let decisions = proxy.metrics().unwrap().decisions_since(before.get().unwrap());
    assert!(decisions.iter().all(|(target, ..)| target == "replica"), "{decisions:?}");
    f64::from(count.into_inner()) / MEASURED.as_secs_f64()
}
