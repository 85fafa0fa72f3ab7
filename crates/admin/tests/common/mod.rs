//! A data path without servers: a view that the test makes up, and counters that it moves.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a failed test panics, also in its helper functions")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use pgsplit_admin::{ControlFigures, ControlSource, NodeFigures, Reload, Sources};
use pgsplit_net::{ClientTls, ServerTls};
use pgsplit_pool::{Environment, OpenError, PoolSettings, Pools, Report};
use pgsplit_route::{Need, Node, NodeId, Role, Sample, View};
use pgsplit_session::{AuthMethod, CatalogSource, Control, Fallback, Later, SessionSettings, Shared, Stored};
use pgsplit_sql::Catalog;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Nobody;

impl Report for Nobody {
    fn node_failed(&self, _node: NodeId, _error: &OpenError) {}

    fn hint(&self, _node: NodeId) {}
}

impl Control for Nobody {
    fn catalog(&self, _database: &str) -> Arc<dyn CatalogSource> {
        Arc::new(Nobody)
    }

    fn stored<'a>(&'a self, _user: &'a str) -> Later<'a, Result<Option<Stored>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn forget(&self, _user: &str) {}

    fn standing<'a>(&'a self, _user: &'a str, _database: &'a str) -> Later<'a, Option<Arc<str>>> {
        Box::pin(async { None })
    }

    fn forget_standings(&self) {}

    fn vacate(&self, _database: &str) {}

    fn wait_primary(&self, _most: Duration) -> Later<'_, bool> {
        Box::pin(async { false })
    }

    fn wait_positions<'a>(
        &'a self,
        _need: Need,
        _confirm: Option<(NodeId, u64)>,
        _most: Duration,
        _holds: &'a (dyn Fn() -> bool + Sync),
    ) -> Later<'a, bool> {
        Box::pin(async { false })
    }

    fn sampled(&self, _epoch: u64) -> Option<Sample> {
        None
    }
}

impl CatalogSource for Nobody {
    fn load(&self) -> Guard<Arc<Catalog>> {
        Guard::from_inner(Arc::new(Catalog::unknown()))
    }

    fn is_stale(&self) -> bool {
        false
    }

    fn outdated(&self) -> u64 {
        0
    }

    fn suspect(&self) -> u64 {
        0
    }

    fn mark(&self) -> u64 {
        0
    }

    fn is_settled(&self, _mark: u64) -> bool {
        true
    }

    fn settled(&self, _mark: u64) -> Later<'_, ()> {
        Box::pin(async {})
    }

    fn fresh(&self) -> Later<'_, Arc<Catalog>> {
        Box::pin(async { Guard::into_inner(self.load()) })
    }
}

impl ControlSource for Nobody {
    fn figures(&self) -> ControlFigures {
        let node = NodeFigures { probes: 5, failures: 1, ..NodeFigures::default() };
        let reload =
            Reload { successful: true, success: SystemTime::UNIX_EPOCH + MINUTE, ..Reload::default() };
        ControlFigures { nodes: vec![node; 2], lookups: 3, reload, ..ControlFigures::default() }
    }
}

/// A node that is up.
fn node(id: u16, name: &str, role: Role) -> Node {
    Node {
        lag_bytes: 4096,
        lag: Duration::from_millis(1500),
        outstanding: Arc::new(AtomicU32::new(2)),
        ..Node::new(id, name, "127.0.0.1:1").up(role)
    }
}

/// A primary and a replica with an awkward name.
pub(crate) fn view() -> View {
    let nodes = vec![node(0, "db1", Role::Primary), node(1, "a\"b\\c", Role::Replica)];
    View { nodes, primary: Some(NodeId(0)), generation: 3, ..View::default() }
}

/// What the pages are made from.
pub(crate) fn sources(view: View) -> Sources {
    let settings = PoolSettings {
        primary_connections: 1,
        replica_connections: 1,
        max_connections: None,
        min_idle: 0,
        wait: MINUTE,
        idle_timeout: None,
        lifetime: None,
        prepared_statements: NonZeroUsize::MIN,
        waiting: 1,
        connect: MINUTE,
        asks_search_path: false,
    };
    let view = Arc::new(ArcSwap::from_pointee(view));
    let environment =
        Environment::new(view, settings, ClientTls::disabled(), Arc::default(), Box::new(Nobody));
    let sessions = SessionSettings {
        auth: AuthMethod::Trust,
        max_clients: 10,
        session_pooling: false,
        reads_on_primary: false,
        shadow: false,
        hints: true,
        rules: Arc::default(),
        consistency: pgsplit_config::ConsistencyLevel::Causal,
        login: MINUTE,
        idle_client: None,
        idle_transaction: None,
        query: None,
        slow: None,
        failover_wait: MINUTE,
        read_only_on_replica: false,
        peers: Arc::default(),
        consistency_wait: Duration::ZERO,
        fallback: Fallback::Primary,
        replica_wait: MINUTE,
        spill: None,
        retry_buffer: 0,
        retry_earning: 0,
    };
    let pools = Pools::new(environment);
    let shared = Shared::new(pools, Arc::new(Nobody), sessions, ServerTls::disabled(), 1 << 16, 4).unwrap();
    Sources { shared, control: Arc::new(Nobody), version: "1.2.3" }
}
