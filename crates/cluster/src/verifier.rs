//! Looks up what a client's login is checked against, in the servers' own role catalog.
//!
//! Answers are kept for a short time, and those who ask for one role at the same time share one question. Not for:
//! checking passwords, which is `pgsplit-auth`.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use lru::LruCache;
use pgsplit_route::{MOST_NODES, NodeId, NodeState, Role};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Timestamp, ToSql, Type};

use crate::cluster::Shared;
use crate::error::Error;
use crate::sql::identifier;

/// Roles whose answers are kept.
const CACHED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Connections for look-ups, per node that is asked.
const CONNECTIONS: usize = 4;

/// What a look-up found.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// The role exists. Whether it may log in is the servers' to say.
    Role(Arc<Verifier>),
    /// There is none of that name.
    NoSuchRole,
}

/// A role's login.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// `rolpassword`: a SCRAM verifier, an MD5 hash, or none.
    pub secret: Option<String>,
    /// The password is not valid from then on; none: for ever.
    pub valid_until: Option<SystemTime>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("valid_until", &self.valid_until).finish_non_exhaustive()
    }
}

/// The answer for one role; its lock is held while a server is asked.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Lookup)>>>;

pub(crate) struct Verifiers {
    shared: Arc<Shared>,
    slots: Mutex<LruCache<String, Slot>>,
    pools: Vec<OnceLock<Pool>>,
}

impl Verifiers {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let pools = (0..MOST_NODES).map(|_| OnceLock::new()).collect();
        Self { shared, slots: Mutex::new(LruCache::new(CACHED)), pools }
    }

    pub(crate) async fn get(&self, user: &str) -> Result<Lookup, Error> {
        let metrics = &self.shared.metrics;
        metrics.lookups.add_one();
        let limit = self.shared.settings.verifier_timeout;
        let found = timeout_at(Instant::now() + limit, self.cached(user)).await;
        let found = found.unwrap_or(Err(Error::Timeout(limit)));
        if found.is_err() {
            metrics.lookup_failures.add_one();
        }
        found
    }

    async fn cached(&self, user: &str) -> Result<Lookup, Error> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.get_or_insert_mut_ref(user, Slot::default))
        };
        let mut held = slot.lock().await;
        match &*held {
            Some((at, found)) if at.elapsed() < self.shared.settings.verifier_ttl => Ok(found.clone()),
            _ => {
                let begun = Instant::now();
                let found = self.ask_anyone(user).await?;
                *held = Some((begun, found.clone()));
                Ok(found)
            }
        }
    }

    pub(crate) fn forget(&self, user: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).pop(user);
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.pools.iter().filter_map(OnceLock::get).for_each(Pool::close);
    }

    async fn ask_anyone(&self, user: &str) -> Result<Lookup, Error> {
        let Some(query) = &self.shared.settings.verifier_query else { return Ok(Lookup::NoSuchRole) };
        match &self.rows(query, &[&user]).await?[..] {
            [] => Ok(Lookup::NoSuchRole),
            [row] => read(row),
            _ => Err(Error::Answer("auth.query returned several rows for one role".into())),
        }
    }

    /// What a question of the control plane's own is answered with. The primary is asked first: it knows the newest.
    pub(crate) async fn rows(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let view = self.shared.view.load_full();
        let replicas =
            view.nodes.iter().filter(|node| node.role == Role::Replica && node.state == NodeState::Up);
        let mut last = Error::NoServer;
        for node in view.primary.into_iter().chain(replicas.map(|node| node.id)) {
            match self.ask(node, query, values).await {
                Err(error) if is_nodes_own(&error) => last = error,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    async fn ask(
        &self,
        node: NodeId,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let Some(pool) = self.pool(node)? else { return Err(Error::NoServer) };
        let lent = Lent(Some(pool.get().await.map_err(pool_error)?));
        let Some(client) = &lent.0 else { return Err(Error::NoServer) };
        self.shared.metrics.lookup_queries.add_one();
        let rows = client.query(query, values).await;
        let rows = rows.map_err(|error| self.explain(error, node))?;
        lent.give_back();
        Ok(rows)
    }

    fn pool(&self, node: NodeId) -> Result<Option<&Pool>, Error> {
        let (Some(cell), Some(settings)) = (self.pools.get(node.index()), self.shared.roster.get(node))
        else {
            return Ok(None);
        };
        if let Some(pool) = cell.get() {
            return Ok(Some(pool));
        }
        let mut config = self.shared.connector.config(&settings, self.shared.database(node));
        config.connect_timeout(self.shared.settings.verifier_timeout / 2);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, self.shared.connector.tls(), recycling);
        let pool = Pool::builder(manager).max_size(CONNECTIONS).build();
        let pool = pool.map_err(|error| Error::Answer(error.to_string()))?;
        Ok(Some(cell.get_or_init(|| pool)))
    }

    fn explain(&self, error: tokio_postgres::Error, node: NodeId) -> Error {
        if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return error.into();
        }
        let user = identifier(&self.shared.settings.login.user);
        let database = identifier(self.shared.database(node));
        Error::Denied {
            reason: error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned()),
            grant: format!(
                "GRANT SELECT (rolname, rolpassword, rolvaliduntil) ON pg_catalog.pg_authid \
                 TO {user}; -- in database {database}, or the rights that auth.query needs"
            ),
        }
    }
}

/// A connection that is closed, not given back, when its question was not answered: the next one to borrow it would
/// wait behind that question.
struct Lent(Option<Object>);

impl Lent {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// Another node may do better: this one is not reached, or has no room. What it says about the statement or the
/// login, the others would say too.
fn is_nodes_own(error: &Error) -> bool {
    match (error, error.code()) {
        (_, Some(code)) => ["08", "53", "57", "58", "XX"].iter().any(|class| code.code().starts_with(class)),
        (Error::Server(_) | Error::Timeout(_) | Error::NoServer, None) => true,
        _ => false,
    }
}

fn pool_error(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Closed => Error::NoServer,
        other => Error::Answer(other.to_string()),
    }
}

fn read(row: &Row) -> Result<Lookup, Error> {
    if !(2..=3).contains(&row.len()) {
        return Err(Error::Answer(format!(
            "auth.query must return name, verifier and, if wanted, expiry; it returned {} columns",
            row.len()
        )));
    }
    // A function that returns one record answers with NULLs for a role that it does not find.
    if row.try_get::<_, Option<&str>>(0)?.is_none() {
        return Ok(Lookup::NoSuchRole);
    }
    let valid_until = match row.columns().get(2) {
        None => None,
        Some(column) if *column.type_() == Type::TIMESTAMPTZ => match row.try_get(2)? {
            None | Some(Timestamp::PosInfinity) => None,
            Some(Timestamp::NegInfinity) => Some(SystemTime::UNIX_EPOCH),
            Some(Timestamp::Value(time)) => Some(time),
        },
        Some(column) => {
            let found = column.type_();
            return Err(Error::Answer(format!("auth.query's third column must be timestamptz, not {found}")));
        }
    };
    Ok(Lookup::Role(Arc::new(Verifier { secret: row.try_get(1)?, valid_until })))
}
