//! The running proxy: control plane, pools, listeners and metrics of one configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use pgsplit_admin::Sources;
use pgsplit_admin::console::{Console, Operations};
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::Config;
use pgsplit_net::{ListenAddr, Listener};
use pgsplit_pool::{Environment, Pools};
use pgsplit_route::{Node, View};
use pgsplit_session::Shared;
use pgsplit_session::statistics::Gathered;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control::{ControlPlane, Reporter, Users};
use crate::explain::Moment;
use crate::reload::{Counts, Minute};
use crate::wiring::{self, Tls};
use crate::workers::Workers;
use crate::{listen, spill, unsupported};

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
    /// Bound at the start, served when there is somebody to answer.
    admin: Mutex<Vec<Listener>>,
    minute: Mutex<Minute>,
}

impl Proxy {
    /// Starts all of it. Clients may connect when this returns; a cluster that does not answer is no error, since it
    /// may come up later.
    pub(crate) async fn start(config: &Config, state_file: Option<PathBuf>) -> anyhow::Result<Arc<Self>> {
        unsupported::refuse(config)?;
        let tls = Tls::load(config)?;
        let users = Users::of(config)?;
        // Before anything else runs: a port that is taken should be told at once.
        let listeners = listen::bind(config).await?;
        let http = match &config.http {
            Some(address) => Some(listen::bind_http(address).await?),
            None => None,
        };
        let admin = listen::bind_admin(config).await?;
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
            admin: Mutex::new(admin),
            minute: Mutex::default(),
        };
        proxy.look_after_pools();
        proxy.look_after_alarms();
        proxy.look_after_spill();
        if let Some(listener) = http {
            proxy.http = Some(listener.local_addr().context("http")?);
            proxy.serve_http(listener);
        }
        for listener in listeners {
            let (shared, stop) = (proxy.shared.clone(), proxy.stop.clone());
            let hosts = listen::Hosts { workers: proxy.workers.clone(), sessions: proxy.sessions.clone() };
            proxy.services.spawn(listen::accept(listener, shared, hosts, stop));
        }
        let proxy = Arc::new(proxy);
        proxy.look_after_counts();
        Ok(proxy)
    }

    fn look_after_pools(&self) {
        let (pools, end) = (self.shared.pools.clone(), self.end.clone());
        self.services.spawn(async move {
            end.run_until_cancelled(pools.look_after()).await;
        });
    }

    /// Tells pools and sessions when a node does not answer, or the primary is another one.
    fn look_after_alarms(&self) {
        let (shared, mut alarms, end) = (self.shared.clone(), self.cluster().alarms(), self.end.clone());
        self.services.spawn(async move {
            end.run_until_cancelled(async {
                while alarms.changed().await.is_ok() {
                    shared.alarm();
                }
            })
            .await;
        });
    }

    /// With `routing.reads = "spill"`: sends reads to the replicas while the primary is busy.
    fn look_after_spill(&self) {
        let (shared, end) = (self.shared.clone(), self.end.clone());
        self.services.spawn(async move {
            end.run_until_cancelled(spill::look_after(&shared)).await;
        });
    }

    fn serve_http(&self, listener: tokio::net::TcpListener) {
        let sources = self.sources();
        let end = self.end.clone();
        self.services.spawn(async move {
            if let Err(error) = pgsplit_admin::serve(listener, sources, end.cancelled_owned()).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }

    /// Serves the admin console, if there is one.
    pub(crate) fn serve_console(&self, operations: Arc<dyn Operations>) {
        let console = Console::new(self.sources(), operations);
        for listener in self.admin.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.services.spawn(console.clone().serve(listener, self.end.clone()));
        }
    }

    /// Runs until it ends, or the proxy does.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.services.spawn(async move {
            end.run_until_cancelled(work).await;
        });
    }

    /// Gathers what threads have noted, and keeps the counts of the last minute.
    fn look_after_counts(self: &Arc<Self>) {
        let proxy = Arc::downgrade(self);
        self.spawn(async move {
            let mut tick = tokio::time::interval(Minute::EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                tick.tick().await;
                let Some(proxy) = proxy.upgrade() else { return };
                proxy.shared.statistics.gather();
                let counts = proxy.counts();
                proxy.minute(|minute| minute.add(counts));
            }
        });
    }

    /// Statements so far and how many failed, and logins that failed among both.
    pub(crate) fn counts(&self) -> Counts {
        let metrics = &self.shared.metrics;
        let calls: u64 = metrics.traffic.decisions().iter().flatten().sum();
        let logins = metrics.login_failures.load(Ordering::Relaxed);
        Counts { calls: calls + logins, failed: metrics.failed.load(Ordering::Relaxed) + logins }
    }

    /// The counts of the last minute.
    pub(crate) fn minute<T>(&self, with: impl FnOnce(&mut Minute) -> T) -> T {
        with(&mut self.minute.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The statements that were served.
    pub(crate) fn seen(&self) -> Gathered {
        self.shared.statistics.all()
    }

    /// The control plane.
    pub(crate) fn cluster(&self) -> &Cluster {
        self.control.cluster()
    }

    /// The rules that are in force.
    pub(crate) fn rules(&self) -> Arc<pgsplit_route::Rules> {
        self.shared.settings.load().rules.clone()
    }

    /// What decisions depend on besides the configuration and the cluster.
    pub(crate) fn moment(&self) -> Moment {
        Moment::of(&self.shared)
    }

    fn sources(&self) -> Sources {
        Sources {
            shared: self.shared.clone(),
            control: self.control.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Puts the changeable parts of a new configuration into force, all or none of them.
    pub(crate) fn apply(&self, config: &Config) -> anyhow::Result<()> {
        unsupported::refuse(config)?;
        let tls = Tls::load(config)?;
        let users = Users::of(config)?;
        let control = Settings::from_config(config, tls.control());
        self.cluster().set_nodes(&control.nodes).context("nodes")?;
        let environment = self.shared.pools.environment();
        self.shared.pools.configure(wiring::pool(config));
        environment.tls.store(Arc::new(tls.servers));
        self.shared.tls.store(Arc::new(tls.clients));
        let rules = wiring::rules_again(config, &self.view(), &self.shared.settings.load().rules);
        self.shared.set_settings(wiring::session(config, rules));
        self.control.set_users(users);
        self.cluster().set_max_lag(config.consistency.max_lag);
        self.cluster().set_balance(control.balance, control.slow_start);
        self.cluster().set_functions((*control.functions).clone());
        Ok(())
    }

    /// Remembers how a reload went, for the metrics, and what is in force now.
    pub(crate) fn reloaded(&self, successful: Option<bool>, hash: u64) {
        self.control.reloaded(successful, hash);
    }

    /// Where the admin console is, before it is served.
    pub(crate) fn admin(&self) -> Option<String> {
        let listeners = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.first().map(|listener| listener.local_addr().to_string())
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
        let counters = self.shared.metrics.traffic.by_node();
        let label = |node: &Node| format!("{} {}", node.role.name(), node.name).into();
        let each = view.nodes.iter().zip(counters).filter(|(node, _)| node.is_listed());
        each.map(|(node, count)| (label(node), count)).collect()
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
    let settings = wiring::session(config, wiring::rules(config));
    Shared::new(Pools::new(environment), control.clone(), settings, tls.clients, cache, logins)
        .context("random numbers cannot be had from the system")
}
