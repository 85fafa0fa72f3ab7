//! Many clients of mixed behaviour through one pgsplit, for a long time, while nodes go away and come back.
//!
//! Each client keeps a model of its own session and compares it with what it sees behind every step. At the end every
//! row is counted, and nothing of anybody may be left: on the servers, on the pool's connections, or in the process.
//! `SOAK_SECONDS`, `SOAK_CLIENTS` and `SOAK_SEED` in the environment say how long, how many, and by which choices;
//! with the same seed every client takes the same choices, as long as it meets the same luck.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a failed test panics, also in its helpers, and a long one says how far it is"
)]

mod audit;
mod catalogue;
mod client;
mod identity;
mod ledger;
mod line;
mod look;
mod model;
mod objects;
mod others;
mod prepared;
mod random;
mod rare;
mod settings;
mod shared;
mod steps;
mod transactions;
mod world;
mod writes;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pgsplit_testkit::{Cluster, Proxy, wait};

use client::Client;
use ledger::Ledger;
use shared::{Curfew, Shared, pause};

/// What memory may have grown by between the end of the first part and the end of all: a part, and KiB.
const GROWTH: (f64, u64) = (0.1, 4 * 1024);
/// Sessions of each account that may be tied to a connection at once.
const TIED: [i64; 2] = [8, 6];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_and_nothing_leaks_for_long() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("SOAK_SEED", u64::from(now.subsec_nanos()));
    let seconds = number("SOAK_SECONDS", 60);
    let clients = number("SOAK_CLIENTS", 200) as usize;
    eprintln!("SOAK_SEED={seed} SOAK_SECONDS={seconds} SOAK_CLIENTS={clients}");

    let cluster = world::cluster();
    let proxy = world::proxy(&cluster);
    let shared = Shared::new(proxy.port(), seed, clients, TIED);
    let stage = Stage { cluster: &cluster, proxy: &proxy, shared: &shared };
    let mut ledgers: Vec<_> = (0..clients).map(|_| Ledger::default()).collect();
    audit::quiet(&proxy);
    let files = audit::files(&cluster, &proxy);

    // A first part, so that whatever is kept for good is there; the second one, longer, adds nothing to it.
    let first = Duration::from_secs(seconds / 5);
    stage.part(0, &mut ledgers, first, false);
    audit::quiet(&proxy);
    let before = audit::memory(&proxy);
    stage.part(1, &mut ledgers, Duration::from_secs(seconds) - first, true);

    audit::audit(&cluster, &proxy, &ledgers);
    let after = audit::memory(&proxy);
    let written: usize = ledgers.iter().map(|ledger| ledger.written.len()).sum();
    let keys: u64 = ledgers.iter().map(Ledger::keys).sum();
    eprintln!("{written} of {keys} rows were written; memory {before} KiB, then {after} KiB");
    let most = (before as f64 * (1.0 + GROWTH.0)) as u64 + GROWTH.1;
    assert!(after <= most, "memory has grown from {before} to {after} KiB");
    let open = wait::until("files are closed", Duration::from_secs(10), || {
        Ok((audit::files(&cluster, &proxy) <= files).then_some(()))
    });
    assert!(open.is_ok(), "{} files were open before, {} are now", files, audit::files(&cluster, &proxy));
}

/// What a part is played on.
struct Stage<'a> {
    cluster: &'a Cluster,
    proxy: &'a Proxy,
    shared: &'a Shared,
}

impl Stage<'_> {
    /// All clients at once, for so long. Panics with what the first of them saw that was wrong.
    fn part(&self, round: u64, ledgers: &mut [Ledger], time: Duration, faults: bool) {
        let Self { cluster, proxy, shared } = self;
        shared.set_over(false);
        let end = Instant::now() + time;
        std::thread::scope(|scope| {
            let _curfew = Curfew(shared);
            for (id, ledger) in ledgers.iter_mut().enumerate() {
                let life = move || Client::live(shared, id, round, ledger);
                std::thread::Builder::new().stack_size(512 * 1024).spawn_scoped(scope, life).unwrap();
            }
            scope.spawn(move || progress(shared, proxy, end));
            if faults {
                let every = (time / 6).clamp(Duration::from_secs(3), Duration::from_secs(15));
                world::faults(cluster, shared, every, end);
            }
            while Instant::now() < end && !shared.is_over() {
                pause(Duration::from_millis(50));
            }
        });
        let (seed, failures) = (shared.seed, shared.failures.lock().unwrap());
        let told = failures.join("\n\n");
        assert!(failures.is_empty(), "SOAK_SEED={seed}: {} clients failed:\n{told}", failures.len());
    }
}

/// Says every few seconds how far it is.
fn progress(shared: &Shared, proxy: &Proxy, end: Instant) {
    let mut next = Instant::now();
    while Instant::now() < end && !shared.is_over() {
        pause(Duration::from_millis(100));
        if Instant::now() >= next {
            next += Duration::from_secs(5);
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            eprintln!("{left:4} s left, {} KiB: {:?}", audit::memory(proxy), shared.counts());
        }
    }
}
