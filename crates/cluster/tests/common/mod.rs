//! A real cluster with a control plane beside it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part; a failed step is a failed test"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pgsplit_cluster::{AllowedRole, Cluster, Login, NodeSettings, Settings};
use pgsplit_route::{Node, NodeId, NodeState, Role, View};
use pgsplit_testkit::{Account, Cluster as Servers, Node as Server, wait};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Servers, a control plane that watches them, and the runtime of its tasks.
pub(crate) struct Watched {
    pub(crate) cluster: Cluster,
    pub(crate) runtime: Runtime,
    pub(crate) servers: Servers,
}

impl Watched {
    pub(crate) fn start(name: &str, replicas: usize) -> Self {
        Self::with(name, replicas, None, |_| {})
    }

    pub(crate) fn with(
        name: &str,
        replicas: usize,
        state_file: Option<PathBuf>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let servers = Servers::builder().name(name).replicas(replicas).start().unwrap();
        let mut settings = settings(servers.nodes());
        change(&mut settings);
        let runtime = runtime();
        let cluster = start(&runtime, settings, state_file);
        Self { cluster, runtime, servers }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.cluster.view().load_full()
    }

    pub(crate) fn node(&self, index: u16) -> Node {
        self.view().node(NodeId(index)).unwrap().clone()
    }

    pub(crate) fn until(&self, what: &str, condition: impl FnMut(&View) -> bool) {
        until(&self.cluster, what, condition);
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + LIMIT
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let stopping = async { tokio::time::timeout(LIMIT, self.cluster.shutdown()).await };
        let stopped = self.runtime.block_on(stopping);
        assert!(stopped.is_ok() || std::thread::panicking(), "the control plane does not stop");
    }
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn settings(servers: &[Server]) -> Settings {
    let nodes = servers.iter().map(|server| node(server.name(), server.port())).collect();
    let account = Account::PGSPLIT;
    let login = Login { user: account.user().into(), password: Some(account.password().into()) };
    Settings {
        interval: Duration::from_millis(50),
        max_lag: Duration::from_millis(500),
        catalog_interval: Duration::from_millis(200),
        ..Settings::new(nodes, login)
    }
}

pub(crate) fn node(name: &str, port: u16) -> NodeSettings {
    NodeSettings {
        host: "127.0.0.1".into(),
        port,
        name: name.into(),
        zone: "".into(),
        weight: 1,
        role: AllowedRole::Auto,
    }
}

pub(crate) fn start(runtime: &Runtime, settings: Settings, state_file: Option<PathBuf>) -> Cluster {
    let _inside = runtime.enter();
    let cluster = Cluster::start(settings, state_file);
    assert!(runtime.block_on(cluster.wait_ready(Instant::now() + LIMIT)));
    cluster
}

pub(crate) fn until(cluster: &Cluster, what: &str, mut condition: impl FnMut(&View) -> bool) {
    let waited = wait::until(what, LIMIT, || Ok(condition(&cluster.view().load()).then_some(())));
    assert!(waited.is_ok(), "not seen: {what}; {:#?}", cluster.view().load());
}

pub(crate) fn is(view: &View, index: u16, role: Role, state: NodeState) -> bool {
    view.node(NodeId(index)).is_some_and(|node| node.role == role && node.state == state)
}
