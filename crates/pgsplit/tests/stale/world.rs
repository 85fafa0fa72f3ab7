//! The cluster, the proxy in front of it, and what a run came to.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy, wait};

use crate::chaos::Chaos;
use crate::trial::{Pair, Run};

/// Threads that try at the same time, each with rows of its own.
pub(crate) const PAIRS: usize = 4;

/// A cluster with two replicas and a table to write to.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) reads: usize,
    pub(crate) stale: usize,
    pub(crate) on_replicas: usize,
    pub(crate) waited: usize,
    /// A replica showed a commit before the primary did, which then was read: PostgreSQL's own limit.
    pub(crate) ahead: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, stale, on_replicas, waited, ahead } = self;
        write!(f, "{stale} stale of {reads} reads, {on_replicas} on replicas, {waited} waited, {ahead} ahead")
    }
}

impl World {
    pub(crate) fn start() -> Self {
        let cluster = Cluster::builder().name("stale").replicas(2).start().unwrap();
        cluster
            .primary()
            .sql(
                "app",
                "CREATE TABLE stale (id int PRIMARY KEY, v int NOT NULL); \
                 CREATE TABLE noise (id int PRIMARY KEY, v int NOT NULL); \
                 INSERT INTO stale SELECT g, 0 FROM generate_series(0, 63) g; \
                 INSERT INTO noise SELECT g, 0 FROM generate_series(0, 63) g; \
                 GRANT ALL ON stale, noise TO app",
            )
            .unwrap();
        cluster.wait_caught_up().unwrap();
        Self { cluster }
    }

    fn proxy(&self, extra: &str) -> Proxy {
        Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), &self.cluster, extra).unwrap()
    }

    /// Plays a run: threads that write and read, chaos meanwhile.
    pub(crate) fn play(&self, run: &Run) -> Seen {
        self.play_with(run, &self.proxy(run.level))
    }

    /// The same with a bug.
    #[cfg(feature = "planted")]
    pub(crate) fn play_planted(&self, run: &Run, bug: &str) -> Seen {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("pgsplit");
        let pgsplit = env!("CARGO_BIN_EXE_pgsplit");
        let script = format!("#!/bin/sh\nPGSPLIT_PLANTED={bug} exec '{pgsplit}' \"$@\"\n");
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.play_with(run, &Proxy::start(&program, &self.cluster, run.level).unwrap())
    }

    fn play_with(&self, run: &Run, proxy: &Proxy) -> Seen {
        let before = proxy.metrics().unwrap();
        let (stale, reads, end) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let chaos = scope.spawn(|| Chaos::new(&self.cluster, run.level.len() as u64).reign(&end));
            let noise = run.loaded.then(|| scope.spawn(|| noise(proxy, &end)));
            let pairs: Vec<_> = (0..PAIRS)
                .map(|number| {
                    let (stale, reads) = (&stale, &reads);
                    scope.spawn(move || {
                        let mut pair = Pair::new(self, proxy, run, number);
                        for _ in 0..run.trials.div_ceil(PAIRS) {
                            reads.fetch_add(1, Ordering::Relaxed);
                            stale.fetch_add(usize::from(pair.is_stale()), Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            let ended: Vec<_> = pairs.into_iter().map(|pair| pair.join()).collect();
            end.store(true, Ordering::Relaxed);
            chaos.join().unwrap();
            noise.into_iter().for_each(|noise| noise.join().unwrap());
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
        let after = proxy.metrics().unwrap();
        let on_replicas = |samples: &pgsplit_testkit::Samples| {
            samples.sum("pgsplit_routing_decisions_total", &[("target", "replica")])
        };
        let waited =
            |samples: &pgsplit_testkit::Samples| samples.sum("pgsplit_stale_reads_prevented_total", &[]);
        Seen {
            reads: reads.into_inner(),
            stale: stale.into_inner(),
            on_replicas: (on_replicas(&after) - on_replicas(&before)) as usize,
            waited: (waited(&after) - waited(&before)) as usize,
            ahead: 0,
        }
    }

    /// One session reads a row again and again while others write it: the value must not go down.
    pub(crate) fn watch(&self, level: &str, bypass: bool, trials: usize) -> Seen {
        let proxy = self.proxy(level);
        let end = AtomicBool::new(false);
        let mut seen = Seen::default();
        thread::scope(|scope| {
            let chaos = scope.spawn(|| Chaos::new(&self.cluster, trials as u64).reign(&end));
            let writer = scope.spawn(|| {
                let mut client =
                    if bypass { self.direct() } else { proxy.client(&Account::APP, "app").unwrap() };
                while !end.load(Ordering::Relaxed) {
                    client.query("UPDATE stale SET v = v + 1 WHERE id = 60").unwrap();
                }
            });
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut client = proxy.client(&Account::APP, "app").unwrap();
                let mut last = 0;
                for trial in 0..trials {
                    // Now and then on the primary, so that there is something to go back from.
                    let (value, on_primary) = if trial % 16 == 7 {
                        in_transaction(&mut client)
                    } else {
                        outside(&mut client, last)
                    };
                    seen.reads += 1;
                    if value < last && on_primary {
                        seen.ahead += 1;
                        catches_up(&mut client, last);
                    } else {
                        seen.stale += usize::from(value < last);
                    }
                    last = last.max(value);
                }
            }));
            end.store(true, Ordering::Relaxed);
            writer.join().unwrap();
            chaos.join().unwrap();
            outcome.unwrap();
        });
        let samples = proxy.metrics().unwrap();
        seen.on_replicas = samples.sum("pgsplit_routing_decisions_total", &[("target", "replica")]) as usize;
        seen.waited = samples.sum("pgsplit_stale_reads_prevented_total", &[]) as usize;
        seen
    }

    /// A client of the primary itself.
    pub(crate) fn direct(&self) -> RawClient {
        let port = self.cluster.primary().port();
        let mut client = RawClient::connect(("127.0.0.1", port)).unwrap();
        client.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
        client
    }
}

/// The one number that a query returns.
pub(crate) fn value(client: &mut RawClient, sql: &str) -> i64 {
    let rows = client.rows(sql).unwrap();
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

const WATCHED: &str = "SELECT v FROM stale WHERE id = 60";

/// The watched value, read on the primary.
fn in_transaction(client: &mut RawClient) -> (i64, bool) {
    client.query("BEGIN").unwrap();
    let value = value(client, WATCHED);
    client.query("COMMIT").unwrap();
    (value, true)
}

/// The watched value, read where pgsplit chooses; when it went down, whether that was the primary.
fn outside(client: &mut RawClient, last: i64) -> (i64, bool) {
    let value = value(client, WATCHED);
    let on_primary = value < last && {
        let decision = client.rows("SHOW pgsplit.last").unwrap();
        decision[0][0].as_ref().unwrap().contains("target=primary")
    };
    (value, on_primary)
}

/// A replica has shown a commit to this session a moment before the primary shows it. Then it is in progress there.
fn catches_up(client: &mut RawClient, last: i64) {
    let shown = wait::until("the primary shows what a replica has shown", wait::LIMIT, || {
        let value = in_transaction(client).0;
        assert!(
            value >= last - 1,
            "the primary is more than the one commit in progress behind: {value}, {last}"
        );
        Ok((value >= last).then_some(()))
    });
    shown.unwrap();
}

/// Writes and reads of another table.
fn noise(proxy: &Proxy, end: &AtomicBool) {
    let mut client = proxy.client(&Account::APP, "app").unwrap();
    let mut row = 0;
    while !end.load(Ordering::Relaxed) {
        row = (row + 1) % 64;
        client.query(&format!("UPDATE noise SET v = v + 1 WHERE id = {row}")).unwrap();
        client.query("SELECT sum(v) FROM noise").unwrap();
    }
}
