//! Nodes that fail under load. Replicas are killed, frozen, restarted and filled up while clients read, and none of those
//! whose answer had not begun sees an error; the primary is killed, frozen or stopped and a replica promoted while clients
//! read and write, and every acknowledged write is there afterwards, none of them twice.
//!
//! `FAILOVER` in the environment picks the scenes whose name contains it; figures are printed with `--nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]
#![allow(clippy::print_stdout, reason = "what was seen")]

#[path = "failover/ledger.rs"]
mod ledger;
#[path = "failover/load.rs"]
mod load;
#[path = "failover/partition.rs"]
mod partition;
#[path = "failover/patroni.rs"]
mod patroni;
#[path = "failover/primary.rs"]
mod primary;
#[path = "failover/replicas.rs"]
mod replicas;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Proxy, wait};

/// Long enough for whatever is awaited, a node that Patroni loses included.
const SOON: Duration = Duration::from_secs(90);

fn cluster(name: &str) -> Cluster {
    let builder = Cluster::builder().name(name).replicas(2).setting("max_connections", "100");
    let cluster = builder.start().unwrap();
    let setup = "CREATE TABLE ledger (writer int, n int); CREATE TABLE still (id int PRIMARY KEY, v text); \
        INSERT INTO still SELECT g, 'v' || g FROM generate_series(1, 1000) g; GRANT ALL ON ledger, still TO app; \
        CREATE FUNCTION node_name() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$";
    cluster.primary().sql("app", setup).unwrap();
    cluster.wait_caught_up().unwrap();
    cluster
}

fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    let settings = format!(
        "routing.functions_read_only = ['node_name']\nrouting.functions_stateless = ['node_name']\n{settings}"
    );
    let program = PROGRAM.lock().unwrap().clone();
    let program = program.as_deref().unwrap_or(Path::new(env!("CARGO_BIN_EXE_pgsplit")));
    Proxy::start(program, cluster, &settings).unwrap()
}

/// What runs instead of pgsplit, if something else does.
static PROGRAM: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A way in.
type Door<'d> = &'d (dyn Fn() -> RawClient + Sync);

fn client(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

fn code(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E').and_then(|error| error.field(b'C'))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    wait::until(what, SOON, || Ok(holds().then_some(()))).unwrap();
}

fn sample(proxy: &Proxy, name: &str, labels: &[(&str, &str)]) -> f64 {
    proxy.metrics().unwrap().sum(name, labels)
}

fn wanted(name: &str) -> bool {
    name.contains(&std::env::var("FAILOVER").unwrap_or_default())
}

#[test]
fn replicas_fail_and_nobody_sees_it() {
    let scenes = replicas::scenes().into_iter().filter(|(name, _)| wanted(name)).collect::<Vec<_>>();
    if scenes.is_empty() {
        return;
    }
    let cluster = cluster("replicas");
    for (name, scene) in scenes {
        println!("{name}");
        scene(&cluster);
        replicas::heal(&cluster);
    }
}

#[test]
fn a_replica_takes_over_and_nothing_is_lost() {
    for (name, scene) in primary::scenes().into_iter().filter(|(name, _)| wanted(name)) {
        println!("{name}");
        scene();
    }
}

#[test]
fn a_replica_is_cut_off_and_nobody_sees_it() {
    if wanted("a replica is cut off") {
        partition::play();
    }
}

/// `make patroni`: a cluster of three nodes under Patroni and etcd.
#[test]
#[ignore = "needs PATRONI_DIR, where scripts/patroni-cluster has installed Patroni and etcd"]
fn patroni_fails_over_and_nothing_is_lost() {
    patroni::play();
}

/// What is known to be wrong is found: each of the ways to get it wrong, planted on purpose. What is in flight when a
/// primary dies is a matter of luck, so some have several chances.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_are_found() {
    use std::os::unix::fs::PermissionsExt;
    use std::panic::catch_unwind;
    for (bug, scene, chances) in [("retry-write", "killed", 5), ("stale-connection", "transactions", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("pgsplit");
        let script =
            format!("#!/bin/sh\nPGSPLIT_PLANTED={bug} exec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_pgsplit"));
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        *PROGRAM.lock().unwrap() = Some(program);
        let scenes = primary::scenes();
        let (_, play) = scenes.iter().find(|(name, _)| name.contains(scene)).unwrap();
        let found = (0..chances).any(|_| catch_unwind(play).is_err());
        *PROGRAM.lock().unwrap() = None;
        assert!(found, "{bug} was not found");
        println!("planted {bug}: found");
    }
}
