//! What all sessions share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pgsplit_auth::MockSecret;
use pgsplit_config::{Address, ConsistencyLevel};
use pgsplit_net::ServerTls;
use pgsplit_pool::Pools;
use pgsplit_route::{Aim, Marks, Rules, SpillLimits, View};
use pgsplit_sql::Analyzer;
use tokio::sync::Semaphore;

use crate::changes::Changes;
use crate::control::Control;
use crate::login::Verifiers;
use crate::metrics::Metrics;
use crate::patience::Fallback;
use crate::refusals::Refusals;
use crate::registry::Registry;
use crate::statistics::Statistics;

/// What a client must do to get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Prove its password.
    Scram,
    /// Show a certificate whose common name is the user's name.
    Cert,
    /// Nothing; for tests.
    Trust,
}

/// The part of the configuration that sessions read; replaced as a whole by a reload.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// How clients log in.
    pub auth: AuthMethod,
    /// Most clients.
    pub max_clients: usize,
    /// `pool.mode = "session"`: a session keeps its connection.
    pub session_pooling: bool,
    /// Proved reads stay on the primary (`routing.reads = "primary"`), but for those that a hint or a rule sends away.
    pub reads_on_primary: bool,
    /// They leave it while it is busy (`routing.reads = "spill"`).
    pub spill: Option<SpillLimits>,
    /// Everything goes to the primary; where it would have gone is counted (`routing.mode = "shadow"`).
    pub shadow: bool,
    /// Comments and `pgsplit.target` may say where a statement goes.
    pub hints: bool,
    /// The rules, which are also the analyzer's marker.
    pub rules: Arc<Rules>,
    /// What reads must see, where neither session nor rule says.
    pub consistency: ConsistencyLevel,
    /// Longest login.
    pub login: Duration,
    /// A client that is idle for so long outside a transaction is disconnected.
    pub idle_client: Option<Duration>,
    /// A client that is idle for so long inside a transaction is disconnected.
    pub idle_transaction: Option<Duration>,
    /// A statement that runs for so long is cancelled.
    pub query: Option<Duration>,
    /// What takes longer is logged.
    pub slow: Option<Duration>,
    /// Transactions that are declared READ ONLY may run on a replica.
    pub read_only_on_replica: bool,
    /// How long a statement waits for a primary to appear.
    pub failover_wait: Duration,
    /// The consoles of other processes that serve the same clients.
    pub peers: Arc<[Address]>,
    /// How long a read waits for a replica to catch up.
    pub consistency_wait: Duration,
    /// What happens to it then.
    pub fallback: Fallback,
    /// How long it waits where that is to wait.
    pub replica_wait: Duration,
    /// Bytes of a read's answer that are held back so that it can be run again elsewhere.
    pub retry_buffer: usize,
    /// What each read adds to the budget of repeats: [`pgsplit_route::retry::Budget::earning`].
    pub retry_earning: u32,
}

/// Statement statistics have this part of the cache's bytes: one in so many.
const STATISTICS: usize = 8;

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// The cluster, as the control plane sees it.
    pub view: Arc<ArcSwap<View>>,
    /// When tables were written.
    pub marks: Arc<Marks>,
    /// Server connections.
    pub pools: Arc<Pools>,
    /// Facts of texts.
    pub analyzer: Analyzer,
    /// The control plane.
    pub control: Arc<dyn Control>,
    /// The configuration.
    pub settings: ArcSwap<SessionSettings>,
    /// TLS towards clients.
    pub tls: ArcSwap<ServerTls>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Statements served.
    pub statistics: Statistics,
    /// What replicas have refused.
    pub refusals: Refusals,
    /// Connected clients.
    pub registry: Registry,
    /// Logins in progress.
    pub(crate) logins: Semaphore,
    pub(crate) mock: MockSecret,
    pub(crate) verifiers: Verifiers,
    pub(crate) changes: Changes,
    spilled: AtomicBool,
    /// Counts alarms: those who wait for a node look whether they still may.
    pub(crate) alarms: AtomicU64,
    draining: AtomicBool,
}

impl Shared {
    /// Puts it together; `logins` is the most logins in progress.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        pools: Arc<Pools>,
        control: Arc<dyn Control>,
        settings: SessionSettings,
        tls: ServerTls,
        cache_bytes: usize,
        logins: usize,
    ) -> Result<Arc<Self>, pgsplit_auth::Error> {
        // `routing.cache` is for both.
        let analyzer = Analyzer::new(cache_bytes - cache_bytes / STATISTICS);
        analyzer.set_marker(settings.rules.clone());
        let view = pools.environment().view.load();
        let marks = view.marks.clone();
        drop(view);
        Ok(Arc::new(Self {
            view: pools.environment().view.clone(),
            marks,
            pools,
            statistics: Statistics::new(cache_bytes / STATISTICS),
            analyzer,
            control,
            settings: ArcSwap::from_pointee(settings),
            tls: ArcSwap::from_pointee(tls),
            metrics: Arc::default(),
            refusals: Refusals::default(),
            registry: Registry::default(),
            logins: Semaphore::new(logins),
            mock: MockSecret::new()?,
            verifiers: Verifiers::default(),
            changes: Changes::default(),
            spilled: AtomicBool::new(false),
            alarms: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        }))
    }

    /// Whether a word may stand in `pgsplit.target`: the name of a node, or a word that a rule asks for.
    pub(crate) fn knows_target(&self, word: &str) -> bool {
        Aim::of_word(word, &self.view.load()).is_some() || self.settings.load().rules.knows_hint(word)
    }

    /// Puts settings into force. Texts are marked by their rules from now on.
    pub fn set_settings(&self, settings: SessionSettings) {
        self.analyzer.set_marker(settings.rules.clone());
        self.settings.store(Arc::new(settings));
    }

    /// Reads go to the replicas because the primary is busy, or come back. True when that is a change.
    pub fn spill(&self, spilled: bool) -> bool {
        self.spilled.swap(spilled, Ordering::Relaxed) != spilled
    }

    /// Whether reads go to the replicas because the primary is busy.
    #[must_use]
    pub fn is_spilled(&self) -> bool {
        self.spilled.load(Ordering::Relaxed)
    }

    /// A node does not answer, or the primary is another one: connections that must not be used are closed, and whoever
    /// waits for such a node does so no longer.
    pub fn alarm(&self) {
        self.pools.revise();
        self.alarms.fetch_add(1, Ordering::AcqRel);
        self.registry.all().iter().for_each(|client| client.wake());
    }

    /// No new clients; idle ones are told to go, the others when their transaction has ended.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.registry.all().iter().for_each(|client| client.close());
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
