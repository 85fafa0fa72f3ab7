//! Roles, lag and death of real nodes.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::time::{Duration, Instant};

use common::{Watched, is, node, runtime, settings, start, until};
use pgsplit_cluster::Login;
use pgsplit_route::{NodeId, NodeState, Role};
use pgsplit_testkit::{Account, Cluster as Servers, StopMode};

#[test]
fn replicas_lag_die_and_return() {
    let watched = Watched::start("watched", 2);
    finds_roles(&watched);
    a_paused_replica_leaves(&watched);
    a_killed_replica_leaves(&watched);
    a_frozen_replica_leaves(&watched);
    a_reported_failure_counts_at_once(&watched);
    a_restarted_primary_is_another_life(&watched);
}

fn finds_roles(watched: &Watched) {
    let view = watched.view();
    assert!(is(&view, 0, Role::Primary, NodeState::Up), "{view:#?}");
    assert!(is(&view, 1, Role::Replica, NodeState::Up) && is(&view, 2, Role::Replica, NodeState::Up));
    assert_eq!((view.primary, view.generation), (Some(NodeId(0)), 1));
    let primary = watched.node(0);
    assert_eq!(primary.version / 10_000, watched.servers.postgres().version());
    assert_eq!(primary.connection_limit, 97);
    assert_eq!(primary.resolved[..], [([127, 0, 0, 1], watched.servers.primary().port()).into()]);
    assert!(primary.position.0 > 0);
    watched.until("idle replicas without lag", |view| {
        view.nodes.iter().all(|node| node.lag.is_zero() && node.within_max_lag)
    });
}

fn a_paused_replica_leaves(watched: &Watched) {
    watched.servers.replica(0).pause_replay().unwrap();
    watched.servers.primary().sql("app", "CREATE TABLE t (v int)").unwrap();
    watched.until("a paused replica is beyond max_lag", |view| {
        let paused = view.node(NodeId(1)).unwrap();
        !paused.within_max_lag && !paused.takes_reads() && paused.lag_bytes > 0
    });
    let view = watched.view();
    assert!(is(&view, 1, Role::Replica, NodeState::Up), "slow, not dead");
    assert!(view.node(NodeId(1)).unwrap().lag > Duration::from_millis(500));
    assert!(view.node(NodeId(2)).unwrap().takes_reads());
    watched.servers.replica(0).resume_replay().unwrap();
    watched.until("a resumed replica catches up", |view| view.node(NodeId(1)).unwrap().takes_reads());
}

fn a_killed_replica_leaves(watched: &Watched) {
    watched.servers.replica(1).kill9().unwrap();
    let killed = Instant::now();
    watched.until("a killed replica is down", |view| is(view, 2, Role::Replica, NodeState::Down));
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert!(!watched.node(2).takes_reads());
    watched.servers.replica(1).start().unwrap();
    watched.until("a restarted replica takes reads", |view| view.node(NodeId(2)).unwrap().takes_reads());
    assert_eq!(watched.view().generation, 1);
}

fn a_frozen_replica_leaves(watched: &Watched) {
    watched.servers.replica(1).freeze().unwrap();
    watched.until("a frozen replica is down", |view| is(view, 2, Role::Replica, NodeState::Down));
    watched.servers.replica(1).thaw().unwrap();
    watched.until("a thawed replica takes reads", |view| view.node(NodeId(2)).unwrap().takes_reads());
}

fn a_reported_failure_counts_at_once(watched: &Watched) {
    let metrics = &watched.cluster.metrics().nodes[1];
    let (probes, changes) = (metrics.probes.get(), metrics.state_changes.get());
    watched.cluster.report_failure(NodeId(1));
    watched.until("the node is asked at once and is back", |view| {
        is(view, 1, Role::Replica, NodeState::Up) && metrics.probes.get() > probes
    });
    assert_eq!((metrics.reported.get(), metrics.state_changes.get()), (1, changes + 2));
}

fn a_restarted_primary_is_another_life(watched: &Watched) {
    watched.servers.primary().restart().unwrap();
    watched.until("a restarted primary has another generation", |view| {
        view.generation == 2 && view.primary == Some(NodeId(0))
    });
    watched.servers.primary().stop(StopMode::Immediate).unwrap();
    watched.until("a stopped primary is none", |view| view.primary.is_none());
    assert!(is(&watched.view(), 0, Role::Primary, NodeState::Down));
    assert!(watched.node(1).takes_reads() && watched.node(2).takes_reads(), "reads go on without a primary");
    watched.servers.primary().start().unwrap();
    let found = watched.runtime.block_on(watched.cluster.wait_primary(watched.deadline()));
    assert_eq!(found, Some(NodeId(0)));
}

#[test]
fn a_promoted_replica_takes_over_and_the_old_primary_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgsplit.state");
    let watched = Watched::with("promoted", 2, Some(file.clone()), |_| {});
    let before = watched.view().generation;
    let mut changes = watched.cluster.primary();
    changes.borrow_and_update();

    watched.servers.replica(0).promote().unwrap();
    watched.until("the promoted replica is the primary", |view| view.primary == Some(NodeId(1)));
    let view = watched.view();
    assert_eq!(view.generation, before + 1);
    assert!(is(&view, 0, Role::Rejected, NodeState::Up), "an older timeline");
    assert!(is(&view, 2, Role::Rejected, NodeState::Up), "still follows the old primary");
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow().node, Some(NodeId(1)));

    watched.servers.primary().restart().unwrap();
    let probes = watched.cluster.metrics().nodes[0].probes.get();
    watched.until("the old primary was asked again", |view| {
        watched.cluster.metrics().nodes[0].probes.get() > probes + 5
            && is(view, 0, Role::Rejected, NodeState::Up)
    });
    assert_eq!((watched.view().primary, watched.view().generation), (Some(NodeId(1)), before + 1));

    remembers_the_timeline(&watched.servers, &file);
}

/// A later control plane that reaches nothing but the old primary does not take it for the present one.
fn remembers_the_timeline(servers: &Servers, file: &std::path::Path) {
    assert!(std::fs::read_to_string(file).unwrap().contains("timeline = 2"));
    let runtime = runtime();
    for (state_file, role) in [(Some(file.to_owned()), Role::Rejected), (None, Role::Primary)] {
        let alone = start(&runtime, settings(&servers.nodes()[..1]), state_file);
        until(&alone, "the old primary is judged", |view| is(view, 0, role, NodeState::Up));
        assert_eq!(alone.view().load().primary.is_some(), role == Role::Primary);
        runtime.block_on(alone.shutdown());
    }
}

#[test]
fn strangers_and_the_dead_do_not_count() {
    let (ours, theirs) = (
        Servers::builder().name("ours").replicas(1).start().unwrap(),
        Servers::builder().name("theirs").start().unwrap(),
    );
    let mut settings = settings(ours.nodes());
    settings.nodes.push(node("stranger", theirs.primary().port()));
    // A port that nothing listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    settings.nodes.push(node("dead", closed));
    // Takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    settings.nodes.push(node("silent", silent.local_addr().unwrap().port()));
    settings.nodes.push(node("nowhere", 5432));
    settings.nodes[5].host = "no.such.host.invalid".into();

    let runtime = runtime();
    let begun = Instant::now();
    let cluster = start(&runtime, settings, None);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let view = cluster.view().load_full();
    assert!(
        is(&view, 0, Role::Primary, NodeState::Up) && is(&view, 1, Role::Replica, NodeState::Up),
        "{view:#?}"
    );
    assert!(is(&view, 2, Role::Rejected, NodeState::Up), "another system");
    for index in 3..6 {
        assert!(is(&view, index, Role::Unknown, NodeState::Down), "{index}: {view:#?}");
    }
    runtime.block_on(cluster.shutdown());
}

#[test]
fn a_login_without_rights_still_finds_roles() {
    let servers = Servers::builder().name("rights").replicas(1).start().unwrap();
    servers.primary().sql("postgres", "REVOKE CONNECT ON DATABASE postgres FROM public").unwrap();
    servers.wait_caught_up().unwrap();
    let mut settings = settings(servers.nodes());
    settings.login =
        Login { user: Account::APP.user().into(), password: Some(Account::APP.password().into()) };
    let runtime = runtime();
    let cluster = start(&runtime, settings, None);
    let view = cluster.view().load_full();
    assert!(
        is(&view, 0, Role::Primary, NodeState::Up) && is(&view, 1, Role::Replica, NodeState::Up),
        "{view:#?}"
    );

    let mut wrong = common::settings(servers.nodes());
    wrong.login.password = Some("wrong".into());
    let refused = start(&runtime, wrong, None);
    let view = refused.view().load_full();
    assert!(is(&view, 0, Role::Unknown, NodeState::Down), "{view:#?}");
    runtime.block_on(async { tokio::join!(cluster.shutdown(), refused.shutdown()) });
}
