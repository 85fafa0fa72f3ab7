//! The primary is lost and a replica promoted, while clients read and write. Replication to that replica is synchronous, so
//! that nothing which was acknowledged may be missing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use pgsplit_testkit::{Cluster, StopMode};

use crate::ledger::{Ledger, rows};
use crate::load::Seen;
use crate::{Door, client, cluster, code, proxy, sample, until};

pub(crate) type Scene = (&'static str, fn());

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("the primary is killed", || lost("killed", &|cluster| cluster.primary().kill9().unwrap())),
        ("the primary is stopped", || {
            lost("stopped", &|cluster| cluster.primary().stop(StopMode::Fast).unwrap());
        }),
        ("the primary is frozen and thawed", frozen),
        ("transactions of an old primary", transactions),
    ]
}

const WRITERS: usize = 4;
const READERS: usize = 4;

/// Has clients read and write while something is done.
pub(crate) fn under_load(door: Door<'_>, act: impl FnOnce(&Seen, &Ledger)) -> Ledger {
    let (seen, ledger) = (Seen::default(), Ledger::default());
    std::thread::scope(|scope| {
        for number in 0..READERS {
            let seen = &seen;
            scope.spawn(move || seen.read(door, number));
        }
        for writer in 0..WRITERS {
            let ledger = &ledger;
            scope.spawn(move || ledger.write(door, writer));
        }
        let acted = catch_unwind(AssertUnwindSafe(|| act(&seen, &ledger)));
        seen.end();
        ledger.end();
        if let Err(panic) = acted {
            resume_unwind(panic);
        }
    });
    seen.longest();
    ledger
}

/// Commits wait for the first replica.
fn synchronous(cluster: &Cluster) {
    let primary = cluster.primary();
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'replica1'").unwrap();
    primary.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let state = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    until("replication is synchronous", || primary.sql("postgres", state).unwrap() == "1");
}

/// Promotes the first replica. Returns the time from when it takes writes to when one through the proxy is acknowledged.
fn promote(cluster: &Cluster, ledger: &Ledger) -> Duration {
    let begun = Instant::now();
    cluster.replica(0).promote().unwrap();
    println!("  promoted in {:.1?}", begun.elapsed());
    let (accepts, before) = (Instant::now(), ledger.acknowledged());
    until("writes are accepted", || ledger.acknowledged() > before);
    let took = accepts.elapsed();
    println!("  writes accepted {took:.1?} after the new primary");
    assert!(took < Duration::from_secs(1), "{took:?}");
    took
}

fn lost(name: &str, act: &dyn Fn(&Cluster)) {
    let cluster = cluster(name);
    synchronous(&cluster);
    let proxy = proxy(&cluster, "");
    let ledger = under_load(&|| client(&proxy), |seen, ledger| {
        ledger.go_on(100);
        act(&cluster);
        // Reads do not need the primary.
        seen.go_on(500);
        promote(&cluster, ledger);
        ledger.go_on(200);
        seen.go_on(200);
    });
    ledger.check(cluster.replica(0));
}

/// The old primary knows nothing of it: it is sent nothing new.
fn frozen() {
    let cluster = cluster("frozen");
    synchronous(&cluster);
    let proxy = proxy(&cluster, "");
    let mut old = None;
    let ledger = under_load(&|| client(&proxy), |seen, ledger| {
        ledger.go_on(100);
        cluster.primary().freeze().unwrap();
        seen.go_on(500);
        promote(&cluster, ledger);
        let promoted = Instant::now();
        cluster.primary().thaw().unwrap();
        ledger.go_on(200);
        let address = cluster.primary().address();
        let rejected = [("node", address.as_str()), ("role", "rejected")];
        until("the old primary is known", || sample(&proxy, "pgsplit_node_role", &rejected) == 1.0);
        ledger.go_on(200);
        old = Some(promoted);
    });
    ledger.check(cluster.replica(0));
    let later = ledger.sent_after(old.unwrap());
    assert!(later.len() > 100, "{}", later.len());
    let there = rows(cluster.primary());
    assert!(later.iter().all(|key| !there.contains_key(key)), "the old primary was sent something new");
    let connected = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle'";
    until("no idle connection to it is left", || {
        cluster.primary().sql("postgres", connected).unwrap() == "0"
    });
}

/// A transaction on a primary that is none any more ends, and its client is told at once.
fn transactions() {
    let cluster = cluster("transactions");
    let proxy = proxy(&cluster, "");
    let mut idle = client(&proxy);
    idle.rows("BEGIN").unwrap();
    idle.rows("INSERT INTO ledger VALUES (1, 1)").unwrap();
    cluster.primary().freeze().unwrap();
    cluster.replica(0).promote().unwrap();
    // Without a word from the client, and although the server says nothing.
    let told = idle.read_to_end().unwrap();
    assert_eq!(code(&told).as_deref(), Some("08006"), "{told:?}");
    let mut next = client(&proxy);
    next.rows("INSERT INTO ledger VALUES (1, 2)").unwrap();
    assert_eq!(rows(cluster.replica(0)).into_keys().collect::<Vec<_>>(), [(1, 2)]);
    cluster.primary().thaw().unwrap();
}
