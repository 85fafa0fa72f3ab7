//! The control plane as sessions, pools and the admin pages see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arc_swap::{ArcSwap, Guard};
use pgsplit_admin::{ControlFigures, ControlSource, NodeFigures, Reload};
use pgsplit_auth::StoredPassword;
use pgsplit_cluster::{CatalogHandle, Cluster, Lookup};
use pgsplit_config::Config;
use pgsplit_pool::{OpenError, Report};
use pgsplit_route::{Need, NodeId, Sample};
use pgsplit_session::{CatalogSource, Control, Later, Stored};
use pgsplit_sql::Catalog;
use tokio::time::Instant;

/// How long a statement waits for facts that a change of the catalog has outdated; then it is taken for one that may
/// write.
const FRESH_WAIT: Duration = Duration::from_secs(1);

/// The control plane of this process.
pub(crate) struct ControlPlane {
    cluster: Cluster,
    users: ArcSwap<Users>,
    reload: Mutex<Reload>,
}

impl ControlPlane {
    pub(crate) fn new(cluster: Cluster, users: Users) -> Arc<Self> {
        let reload = Mutex::new(Reload { success: SystemTime::now(), ..Reload::default() });
        Arc::new(Self { cluster, users: ArcSwap::from_pointee(users), reload })
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Replaces the users file's contents.
    pub(crate) fn set_users(&self, users: Users) {
        self.users.store(Arc::new(users));
    }

    /// Remembers how a reload went, if there was one, and what is in force.
    pub(crate) fn reloaded(&self, successful: Option<bool>, hash: u64) {
        let mut reload = self.reload.lock().unwrap_or_else(PoisonError::into_inner);
        reload.hash = hash;
        match successful {
            Some(true) => {
                reload.accepted += 1;
                reload.success = SystemTime::now();
            }
            Some(false) => reload.refused += 1,
            None => return,
        }
        reload.successful = successful == Some(true);
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlPlane").finish_non_exhaustive()
    }
}

impl Control for ControlPlane {
    fn catalog(&self, database: &str) -> Arc<dyn CatalogSource> {
        match self.cluster.catalog(database) {
            Ok(handle) => Arc::new(Watched(handle)),
            Err(error) => {
                tracing::warn!(database, %error, "no catalog: everything in this database goes to the primary");
                Arc::new(Unwatched(Arc::new(Catalog::unknown())))
            }
        }
    }

    fn stored<'a>(&'a self, user: &'a str) -> Later<'a, Result<Option<Stored>, String>> {
        Box::pin(async move {
            let stored = |password: StoredPassword| Stored { password, expired: false };
            let users = self.users.load_full();
            if let Some(password) = users.named.get(user) {
                return Ok(Some(stored(password.clone())));
            }
            // The console is needed most when no server answers.
            let own = users.own.as_ref().filter(|(name, _)| name == user).map(|(_, own)| stored(own.clone()));
            let role = match self.cluster.verifier(user).await {
                Ok(Lookup::Role(role)) => role,
                Ok(_) => return Ok(own),
                Err(error) => return own.map(Some).ok_or_else(|| error.to_string()),
            };
            // PostgreSQL too treats a role without a password as one whose password is wrong.
            let Some(secret) = &role.secret else { return Ok(None) };
            let password = StoredPassword::parse(secret).map_err(|error| error.to_string())?;
            let expired = role.valid_until.is_some_and(|until| until <= SystemTime::now());
            Ok(Some(Stored { password, expired }))
        })
    }

    fn forget(&self, user: &str) {
        self.cluster.forget(user);
    }

    fn standing<'a>(&'a self, user: &'a str, database: &'a str) -> Later<'a, Option<Arc<str>>> {
        Box::pin(async move { self.cluster.standing(user, database).await.ok() })
    }

    fn forget_standings(&self) {
        self.cluster.forget_standings();
    }

    fn vacate(&self, database: &str) {
        self.cluster.vacate(database);
    }

    fn wait_primary(&self, most: Duration) -> Later<'_, bool> {
        Box::pin(async move { self.cluster.wait_primary(Instant::now() + most).await.is_some() })
    }

    fn wait_positions<'a>(
        &'a self,
        need: Need,
        confirm: Option<(NodeId, u64)>,
        most: Duration,
        holds: &'a (dyn Fn() -> bool + Sync),
    ) -> Later<'a, bool> {
        Box::pin(async move {
            let waited = tokio::time::timeout(most, self.cluster.wait_positions(need, confirm, holds));
            waited.await.is_ok() || holds()
        })
    }

    fn sampled(&self, epoch: u64) -> Option<Sample> {
        self.cluster.sampled(epoch)
    }
}

impl ControlSource for ControlPlane {
    fn figures(&self) -> ControlFigures {
        let metrics = self.cluster.metrics();
        let nodes = metrics.nodes.iter().map(|node| NodeFigures {
            probes: node.probes.get(),
            failures: node.failures.get(),
            reported: node.reported.get(),
            role_changes: node.role_changes.get(),
            state_changes: node.state_changes.get(),
        });
        ControlFigures {
            nodes: nodes.collect(),
            catalog_reads: metrics.catalog_reads.get(),
            catalog_failures: metrics.catalog_failures.get(),
            lookups: metrics.lookups.get(),
            lookup_queries: metrics.lookup_queries.get(),
            lookup_failures: metrics.lookup_failures.get(),
            reload: *self.reload.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// Passes the data path's failures on, so that a node is judged at once.
pub(crate) struct Reporter(pub(crate) Cluster);

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

impl Report for Reporter {
    fn node_failed(&self, node: NodeId, error: &OpenError) {
        tracing::debug!(node = node.index(), %error, "a connection failed");
        self.0.report_failure(node);
    }

    fn hint(&self, node: NodeId) {
        self.0.kick(node);
    }
}

/// The passwords and verifiers that are known without a server.
#[derive(Default)]
pub(crate) struct Users {
    /// Of the users file.
    named: BTreeMap<String, StoredPassword>,
    /// pgsplit's own login.
    own: Option<(String, StoredPassword)>,
}

impl Users {
    /// Reads each entry, so that a broken verifier is found at start and not at a login.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        let users = config.auth.users.iter().map(|(name, secret)| {
            let stored = StoredPassword::parse(secret.expose());
            stored.map(|stored| (name.clone(), stored)).with_context(|| format!("auth.users: user `{name}`"))
        });
        let own = config.auth.password.as_ref().map(|secret| {
            let password = pgsplit_auth::Secret::new(secret.expose());
            (config.auth.user.clone(), StoredPassword::Plain(password))
        });
        Ok(Self { named: users.collect::<anyhow::Result<_>>()?, own })
    }
}

/// A catalog that the control plane watches.
struct Watched(CatalogHandle);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.0.database()).finish()
    }
}

impl CatalogSource for Watched {
    fn load(&self) -> Guard<Arc<Catalog>> {
        self.0.load()
    }

    fn is_stale(&self) -> bool {
        self.0.is_stale()
    }

    fn outdated(&self) -> u64 {
        self.0.outdated()
    }

    fn suspect(&self) -> u64 {
        self.0.suspect()
    }

    fn mark(&self) -> u64 {
        self.0.mark()
    }

    fn is_settled(&self, mark: u64) -> bool {
        self.0.is_settled(mark)
    }

    fn settled(&self, mark: u64) -> Later<'_, ()> {
        Box::pin(self.0.settled(mark))
    }

    fn fresh(&self) -> Later<'_, Arc<Catalog>> {
        Box::pin(self.0.fresh(Instant::now() + FRESH_WAIT))
    }
}

/// The catalog of one database too many: nothing is known, so nothing is proved.
#[derive(Debug)]
struct Unwatched(Arc<Catalog>);

impl CatalogSource for Unwatched {
    fn load(&self) -> Guard<Arc<Catalog>> {
        Guard::from_inner(self.0.clone())
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
        Box::pin(std::future::ready(()))
    }

    fn fresh(&self) -> Later<'_, Arc<Catalog>> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
