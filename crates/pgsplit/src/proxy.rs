//! The running proxy: control plane, pools, listeners and metrics of one configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use pgsplit_admin::Sources;
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::Config;
use pgsplit_net::ListenAddr;
use pgsplit_pool::{Environment, Pools};
use pgsplit_route::{Node, View};
use pgsplit_session::Shared;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{ControlPlane, Reporter, Users};
use crate::wiring::{self, Tls};
use crate::workers::Workers;
use crate::{listen, unsupported};

/// What is left to do after the last client may take this long.
const LAST_STEPS: Duration = Duration::from_secs(2);

/// A proxy that serves clients.
#[derive(Debug)]
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    control: Arc<ControlPlane>,
    sessions: TaskTracker,
    /// Dropped last, with what still runs on them.
    workers: Arc<Workers>,
    services: TaskTracker,
    /// No more clients.
    stop: CancellationToken,
    /// Nothing more at all.
    end: CancellationToken,
    addresses: Vec<ListenAddr>,
    http: Option<SocketAddr>,
}

impl Proxy {
    /// Starts all of it. Clients may connect when this returns; a cluster that does not answer is no error, since it
    /// may come up later.
    pub(crate) async fn start(config: &Config, state_file: Option<PathBuf>) -> anyhow::Result<Self> {
        unsupported::refuse(config)?;
        let tls = Tls::load(config)?;
        let users = Users::of(config)?;
        // Before anything else runs: a port that is taken should be told at once.
        let listeners = listen::bind(config).await?;
        let http = match &config.http {
            Some(address) => Some(listen::bind_http(address).await?),
            None => None,
        };
        let cluster = Cluster::start(Settings::from_config(config, tls.control()), state_file);
        // Every node's first probe ends, or times out, within this.
        cluster.wait_ready(Instant::now() + 2 * config.health.timeout).await;

        let control = ControlPlane::new(cluster.clone(), users);
        let shared = share(config, tls, &control)?;
        let mut proxy = Self {
            shared,
            control,
            sessions: TaskTracker::new(),
            workers: Arc::new(Workers::start(config.workers)?),
            services: TaskTracker::new(),
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
            addresses: listeners.iter().map(|listener| listener.local_addr().clone()).collect(),
            http: None,
        };
        proxy.look_after_pools();
        if let Some(listener) = http {
            proxy.http = Some(listener.local_addr().context("http")?);
            proxy.serve_http(listener);
        }
        for listener in listeners {
            let (shared, stop) = (proxy.shared.clone(), proxy.stop.clone());
            let hosts = listen::Hosts { workers: proxy.workers.clone(), sessions: proxy.sessions.clone() };
            proxy.services.spawn(listen::accept(listener, shared, hosts, stop));
        }
        Ok(proxy)
    }

    fn look_after_pools(&self) {
        let (pools, end) = (self.shared.pools.clone(), self.end.clone());
        self.services.spawn(async move {
            end.run_until_cancelled(pools.look_after()).await;
        });
    }

    fn serve_http(&self, listener: tokio::net::TcpListener) {
        let sources = Sources {
            shared: self.shared.clone(),
            control: self.control.clone(),
            version: env!("CARGO_PKG_VERSION"),
        };
        let end = self.end.clone();
        self.services.spawn(async move {
            if let Err(error) = pgsplit_admin::serve(listener, sources, end.cancelled_owned()).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }

    /// Puts the changeable parts of a new configuration into force, all or none of them.
    pub(crate) fn reload(&self, config: &Config) -> anyhow::Result<()> {
        unsupported::refuse(config)?;
        let tls = Tls::load(config)?;
        let users = Users::of(config)?;
        let environment = self.shared.pools.environment();
        environment.settings.store(Arc::new(wiring::pool(config)));
        environment.tls.store(Arc::new(tls.servers));
        self.shared.tls.store(Arc::new(tls.clients));
        self.shared.settings.store(Arc::new(wiring::session(config)));
        self.control.set_users(users);
        Ok(())
    }

    /// Remembers how a reload went, for the metrics.
    pub(crate) fn reloaded(&self, successful: bool) {
        self.control.reloaded(successful);
    }

    /// The cluster as it is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.shared.view.load_full()
    }

    /// Where clients connect.
    pub(crate) fn addresses(&self) -> &[ListenAddr] {
        &self.addresses
    }

    /// The port of the first TCP address.
    pub(crate) fn port(&self) -> Option<u16> {
        self.addresses.iter().find_map(listen::port)
    }

    /// How many clients are connected.
    pub(crate) fn clients(&self) -> usize {
        self.shared.registry.len()
    }

    /// Statements so far, by the node's role and name.
    pub(crate) fn statements(&self) -> Vec<(Arc<str>, u64)> {
        let view = self.shared.view.load();
        let counters = self.shared.metrics.statements.iter().map(|counter| counter.load(Ordering::Relaxed));
        let label = |node: &Node| format!("{} {}", node.role.name(), node.name).into();
        view.nodes.iter().map(label).zip(counters).collect()
    }

    /// Where the metrics are.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Takes no more clients, and waits until those that are there have finished what they do, at most this long.
    /// True when all have gone.
    pub(crate) async fn drain(&self, most: Duration) -> bool {
        self.stop.cancel();
        self.sessions.close();
        self.shared.drain();
        timeout(most, self.sessions.wait()).await.is_ok()
    }

    /// Closes the server connections and ends the control plane.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.shared.pools.close();
        self.end.cancel();
        self.services.close();
        let _ = timeout(LAST_STEPS, async {
            self.control.cluster().shutdown().await;
            self.services.wait().await;
        })
        .await;
    }
}

fn share(config: &Config, tls: Tls, control: &Arc<ControlPlane>) -> anyhow::Result<Arc<Shared>> {
    let cluster = control.cluster();
    let environment = Environment::new(
        cluster.view().clone(),
        wiring::pool(config),
        tls.servers,
        Arc::default(),
        Box::new(Reporter(cluster.clone())),
    );
    let (cache, logins) = (config.routing.cache, config.pool.logins);
    let settings = wiring::session(config);
    Shared::new(Pools::new(environment), control.clone(), settings, tls.clients, cache, logins)
        .context("random numbers cannot be had from the system")
}
