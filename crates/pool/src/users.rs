//! All pools: one set for each (user, database), and what they share.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use foldhash::fast::RandomState;
use pgsplit_net::ClientTls;
use pgsplit_route::{MOST_NODES, NodeId, View};

use crate::budget::Budget;
use crate::error::OpenError;
use crate::listing::{Connection, Listing};
use crate::login::{Credentials, KeyCache};
use crate::metrics::Metrics;
use crate::params::Params;
use crate::pool::{Gauges, Pool};
use crate::settings::Settings;
use crate::statements::Statements;

/// Who logs in, and where: what a connection cannot change afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Role name.
    pub user: Box<[u8]>,
    /// Database name.
    pub database: Box<[u8]>,
}

/// `[pool]` and the time-outs that belong to it.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Most connections of a (user, database) on the primary.
    pub primary_connections: usize,
    /// Most connections of a (user, database) on each replica.
    pub replica_connections: usize,
    /// Most connections on a node over all pools; `None`: what the server allows, less 10.
    pub max_connections: Option<usize>,
    /// Connections kept open.
    pub min_idle: usize,
    /// Longest wait for a connection.
    pub wait: Duration,
    /// An idle connection is closed after this time.
    pub idle_timeout: Option<Duration>,
    /// A connection is closed after about this time.
    pub lifetime: Option<Duration>,
    /// Server-side statements kept on each connection.
    pub prepared_statements: NonZeroUsize,
    /// Most clients in the queues.
    pub waiting: usize,
    /// Longest time to connect and log in.
    pub connect: Duration,
    /// New connections are asked for the search_path that they begin with: somebody wants to know what names mean.
    pub asks_search_path: bool,
}

/// Who wants to know when a node fails.
pub trait Report: fmt::Debug + Send + Sync {
    /// A connection to this node could not be opened.
    fn node_failed(&self, node: NodeId, error: &OpenError);

    /// Something hints at a change of this node.
    fn hint(&self, node: NodeId);
}

/// What all pools share.
#[derive(Debug)]
pub struct Environment {
    /// The cluster, as the control plane sees it.
    pub view: Arc<ArcSwap<View>>,
    /// The configuration.
    pub settings: ArcSwap<PoolSettings>,
    /// TLS towards servers.
    pub tls: ArcSwap<ClientTls>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Told of failures.
    pub report: Box<dyn Report>,
    /// Keys derived from configured passwords.
    pub(crate) keys: KeyCache,
    /// The connections that there are.
    pub(crate) listing: Listing,
    /// Clients in all queues.
    pub(crate) waiting: AtomicUsize,
}

impl Environment {
    /// Puts it together.
    pub fn new(
        view: Arc<ArcSwap<View>>,
        settings: PoolSettings,
        tls: ClientTls,
        metrics: Arc<Metrics>,
        report: Box<dyn Report>,
    ) -> Arc<Self> {
        Arc::new(Self {
            view,
            settings: ArcSwap::from_pointee(settings),
            tls: ArcSwap::from_pointee(tls),
            metrics,
            report,
            keys: KeyCache::default(),
            listing: Listing::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The client that last ran something that may have written on the connection to a node with this backend.
    #[must_use]
    pub fn writer(&self, node: NodeId, backend: i32) -> Option<i32> {
        self.listing.of_backend(node, backend)?.writer()
    }

    /// Most connections on this node for one pool.
    pub(crate) fn limit(&self, view: &View, node: NodeId, settings: &PoolSettings) -> usize {
        if view.primary == Some(node) { settings.primary_connections } else { settings.replica_connections }
    }

    /// Most connections on this node for one pool, and over all pools.
    pub(crate) fn limits(&self, node: NodeId, settings: &PoolSettings) -> (usize, usize) {
        let view = self.view.load();
        let pool = self.limit(&view, node, settings);
        let server = view.node(node).map_or(0, |node| node.connection_limit as usize);
        let auto = if server == 0 { usize::MAX } else { server.saturating_sub(10).max(1) };
        (pool, settings.max_connections.unwrap_or(auto))
    }
}

/// Start-up values that were answered before, at most.
const LOGINS: usize = 1_000;

/// All connections of one (user, database).
#[derive(Debug)]
pub struct UserPools {
    /// Who and where.
    pub key: PoolKey,
    /// Statements that its sessions hold.
    pub statements: Statements,
    /// Somebody has asked for `currval` or `lastval`.
    pub asks_sequences: AtomicBool,
    credentials: ArcSwap<Credentials>,
    /// Made on first use, by node.
    nodes: Box<[OnceLock<Arc<Pool>>]>,
    environment: Arc<Environment>,
    budgets: Arc<[Arc<Budget>]>,
    /// Itself, for its pools.
    this: Weak<UserPools>,
    logins: Mutex<Logins>,
    search_path: ArcSwapOption<String>,
    era: Era,
}

/// Counts what has changed of rights and defaults since a pool was made: connections that logged in before are closed as
/// soon as nobody holds them.
pub(crate) type Era = Arc<AtomicU64>;

impl UserPools {
    /// The pool on a node.
    #[must_use]
    pub fn pool(&self, node: NodeId) -> Option<&Arc<Pool>> {
        let budget = self.budgets.get(node.index())?;
        let make = || {
            let (environment, era) = (self.environment.clone(), self.era.clone());
            Pool::new(node, self.this.clone(), environment, budget.clone(), era)
        };
        Some(self.nodes.get(node.index())?.get_or_init(make))
    }

    /// The pools that there are.
    fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.nodes.iter().filter_map(OnceLock::get)
    }

    /// What servers are shown at login.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    /// Takes note of what a login would meet now (rights, limits, defaults of settings). When that is not what the logins
    /// so far have met, what they were told is forgotten, and connections that exist serve nobody who comes next.
    pub fn renew(&self, standing: Arc<str>) {
        {
            let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
            let before = logins.standing.replace(standing.clone());
            if before.is_none_or(|before| before == standing) {
                return;
            }
            self.begin_anew(&mut logins);
        }
        self.pools().for_each(|pool| while pool.close_oldest() {});
    }

    fn begin_anew(&self, logins: &mut Logins) {
        logins.exact.clear();
        logins.but_name.clear();
        self.search_path.store(None);
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    /// The search_path of sessions that set none: what the server, the database or the role has it set to. `None` when
    /// nobody has asked.
    #[must_use]
    pub fn search_path(&self) -> Option<Arc<String>> {
        self.search_path.load_full()
    }

    /// A connection that began in this era, and with none of its own, has this search_path.
    pub(crate) fn set_search_path(&self, path: String, era: u64) {
        if era == self.era() && self.search_path.load().as_deref() != Some(&path) {
            self.search_path.store(Some(path.into()));
        }
    }

    /// Connections that were opened unasked serve nobody who comes next.
    fn ask_again(&self) {
        self.begin_anew(&mut self.logins.lock().unwrap_or_else(PoisonError::into_inner));
        self.pools().for_each(|pool| while pool.close_oldest() {});
    }

    /// What a server would report after a login with these settings, if one was asked before, or one whose
    /// `application_name` alone was another.
    #[must_use]
    pub fn reported(&self, base: &Arc<Settings>) -> Option<Arc<Params>> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = logins.exact.get(base) {
            return Some(known.clone());
        }
        let name = base.get(APPLICATION_NAME).filter(|name| is_plain(name))?;
        let mut params = (**logins.but_name.get(&base.without(APPLICATION_NAME))?).clone();
        params.set(APPLICATION_NAME, name);
        Some(logins.remember(base, params))
    }

    /// The one value that stands for these start-up settings, so that sessions and connections that have the same compare by
    /// pointer.
    #[must_use]
    pub fn shared_base(&self, base: Arc<Settings>) -> Arc<Settings> {
        let logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.exact.get_key_value(&base).map_or(base, |(known, _)| known.clone())
    }

    /// Of rights and defaults, now.
    pub(crate) fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    /// Remembers what a server reported after a login with these settings that began in this era; equal reports are one
    /// value.
    pub(crate) fn set_reported(&self, base: &Arc<Settings>, params: Params, era: u64) -> Arc<Params> {
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = logins.exact.get(base).filter(|known| ***known == params) {
            return known.clone();
        }
        if era != self.era() {
            return Arc::new(params);
        }
        let params = logins.remember(base, params);
        if base.get(APPLICATION_NAME).is_some() {
            logins.but_name.insert(base.without(APPLICATION_NAME), params.clone());
        }
        params
    }
}

const APPLICATION_NAME: &[u8] = b"application_name";

/// Whether a server reports the name as it was given (`pg_clean_ascii`, NAMEDATALEN).
fn is_plain(name: &[u8]) -> bool {
    name.len() < 64 && name.iter().all(|b| (32..127).contains(b))
}

/// What servers reported after logins, by the settings of the login.
#[derive(Debug, Default)]
struct Logins {
    exact: Reports,
    /// The same without `application_name`, which may be another for every client.
    but_name: Reports,
    /// What they met, as a fingerprint.
    standing: Option<Arc<str>>,
}

type Reports = HashMap<Arc<Settings>, Arc<Params>, RandomState>;

impl Logins {
    fn remember(&mut self, base: &Arc<Settings>, params: Params) -> Arc<Params> {
        if self.exact.len() >= LOGINS {
            self.exact.clear();
            self.but_name.clear();
        }
        let params = Arc::new(params);
        self.exact.insert(base.clone(), params.clone());
        params
    }
}

/// All pools of the process.
#[derive(Debug)]
pub struct Pools {
    environment: Arc<Environment>,
    budgets: Arc<[Arc<Budget>]>,
    users: Mutex<HashMap<PoolKey, Arc<UserPools>, RandomState>>,
}

impl Pools {
    /// No pools yet.
    #[must_use]
    pub fn new(environment: Arc<Environment>) -> Arc<Self> {
        let budgets = (0..MOST_NODES).map(|_| Arc::default()).collect();
        Arc::new(Self { environment, budgets, users: Mutex::default() })
    }

    /// What the pools share.
    #[must_use]
    pub fn environment(&self) -> &Arc<Environment> {
        &self.environment
    }

    /// The pools of a (user, database), made on first use. Newer credentials replace older ones.
    pub fn get(&self, key: &PoolKey, credentials: Credentials) -> Arc<UserPools> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = users.get(key) {
            if **found.credentials.load() != credentials {
                found.credentials.store(Arc::new(credentials));
            }
            return found.clone();
        }
        let made = Arc::new_cyclic(|weak| UserPools {
            key: key.clone(),
            statements: Statements::default(),
            asks_sequences: AtomicBool::new(false),
            credentials: ArcSwap::from_pointee(credentials),
            nodes: (0..MOST_NODES).map(|_| OnceLock::new()).collect(),
            environment: self.environment.clone(),
            budgets: self.budgets.clone(),
            this: weak.clone(),
            logins: Mutex::default(),
            search_path: ArcSwapOption::empty(),
            era: Era::default(),
        });
        users.insert(key.clone(), made.clone());
        made
    }

    /// These settings hold from now on.
    pub fn configure(&self, settings: PoolSettings) {
        let asks = settings.asks_search_path;
        let before = self.environment.settings.swap(Arc::new(settings));
        if asks && !before.asks_search_path {
            let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.values().for_each(|users| users.ask_again());
        }
    }

    /// Every pool with what is in it.
    #[must_use]
    pub fn gauges(&self) -> Vec<(PoolKey, NodeId, Gauges)> {
        let all: Vec<_> =
            self.users.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.iter()
            .flat_map(|users| users.pools().map(|pool| (users.key.clone(), pool.node(), pool.gauges())))
            .collect()
    }

    /// The share of a node's connections that are in use, and what it would be if all that is in use anywhere were there.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "connections")]
    pub fn usage(&self, node: NodeId) -> (f64, f64) {
        let settings = self.environment.settings.load();
        let (limit, most) = self.environment.limits(node, &settings);
        let (mut here, mut all, mut room) = (0, 0, 0);
        for (_, place, gauges) in self.gauges() {
            all += gauges.busy;
            if place == node {
                here += gauges.busy;
                room += limit;
            }
        }
        let room = room.min(most).max(1) as f64;
        (here as f64 / room, all as f64 / room)
    }

    /// Every connection that there is.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.environment.listing.all()
    }

    /// Connections on a node over all pools, those being opened included.
    #[must_use]
    pub fn open_on(&self, node: NodeId) -> usize {
        self.budgets.get(node.index()).map_or(0, |budget| budget.open())
    }

    /// The cluster has changed: what is idle and of an older generation is closed, and those who wait for a node that does
    /// not answer go elsewhere.
    pub fn revise(&self) {
        let view = self.environment.view.load_full();
        let all: Vec<_> =
            self.users.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.iter().flat_map(|users| users.pools()).for_each(|pool| pool.revise(&view));
    }

    /// Looks after the idle connections until the future is dropped.
    pub async fn look_after(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            self.tidy();
        }
    }

    fn tidy(&self) {
        let generation = self.environment.view.load().generation;
        let settings = self.environment.settings.load_full();
        let all: Vec<_> =
            self.users.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for users in &all {
            // Stock is kept only for those that have clients.
            let min_idle = if Arc::strong_count(users) > 2 { settings.min_idle } else { 0 };
            users.pools().for_each(|pool| pool.tidy(generation, settings.idle_timeout, min_idle));
        }
        drop(all);
        self.forget_unused();
    }

    /// A (user, database) without clients and connections is forgotten.
    fn forget_unused(&self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, pools| {
            Arc::strong_count(pools) > 1 || pools.pools().any(|pool| pool.gauges() != Gauges::default())
        });
    }

    /// Closes all idle connections, for the end of the process.
    pub fn close(&self) {
        let users = std::mem::take(&mut *self.users.lock().unwrap_or_else(PoisonError::into_inner));
        for pool in users.values().flat_map(|users| users.pools()) {
            while pool.close_oldest() {}
        }
    }

    /// Closes the idle connections to a database, whoever logged in, unless a client is there who might want one. True
    /// when none is left to be closed.
    pub fn vacate(&self, database: &str) -> bool {
        let found: Vec<_> = {
            let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            let there = users.iter().filter(|(key, _)| *key.database == *database.as_bytes());
            let found: Vec<_> = there.map(|(_, pools)| pools).collect();
            if found.iter().any(|pools| Arc::strong_count(pools) > 1) {
                return false;
            }
            found.into_iter().cloned().collect()
        };
        for pool in found.iter().flat_map(|users| users.pools()) {
            while pool.close_oldest() {}
        }
        found.iter().flat_map(|users| users.pools()).all(|pool| pool.gauges() == Gauges::default())
    }

    /// Clients waiting in all queues.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.environment.waiting.load(Ordering::Relaxed)
    }
}
