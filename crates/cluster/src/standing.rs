//! What a login would meet: the role's and the database's rights, limits and settings, as a fingerprint.
//!
//! A pool's connections have logged in before, so a later client's login asks nothing of a server. When the fingerprint
//! has changed since, the pool begins anew, and the next login hears of it in a server's own words. Answers are kept for a
//! moment, and those who ask for one pair at the same time share one question.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::verifier::Verifiers;

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// Pairs of role and database whose answers are kept.
const CACHED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Everything in it may be read by anybody. A role or database that does not exist has no row.
const QUESTION: &str = "\
SELECT pg_catalog.concat_ws('|', r.oid, r.rolcanlogin, r.rolconnlimit, r.rolsuper, d.oid, d.datallowconn, d.datconnlimit, \
 pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT'), \
 (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.setdatabase, s.setrole, s.setconfig), '|' \
   ORDER BY s.setdatabase, s.setrole) FROM pg_catalog.pg_db_role_setting s \
  WHERE s.setrole IN (0, r.oid) AND s.setdatabase IN (0, d.oid))) \
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d WHERE r.rolname = $1 AND d.datname = $2";

/// The answer for one pair; its lock is held while a server is asked.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Arc<str>)>>>;

pub(crate) struct Standings {
    verifiers: Arc<Verifiers>,
    slots: Mutex<LruCache<(String, String), Slot>>,
}

impl Standings {
    pub(crate) fn new(verifiers: Arc<Verifiers>) -> Self {
        Self { verifiers, slots: Mutex::new(LruCache::new(CACHED)) }
    }

    /// The fingerprint; empty when there is no such role or database.
    pub(crate) async fn get(&self, user: &str, database: &str) -> Result<Arc<str>, Error> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get_or_insert((user.to_owned(), database.to_owned()), Slot::default).clone()
        };
        let work = async {
            let mut held = slot.lock().await;
            if let Some((at, found)) = &*held
                && at.elapsed() < BELIEVED
            {
                return Ok(found.clone());
            }
            let begun = Instant::now();
            let rows = self.verifiers.rows(QUESTION, &[&user, &database]).await?;
            let found: Arc<str> = rows.first().map_or(Ok(""), |row| row.try_get(0))?.into();
            *held = Some((begun, found.clone()));
            Ok(found)
        };
        timeout(LIMIT, work).await.unwrap_or(Err(Error::Timeout(LIMIT)))
    }

    /// A role or a database may have been changed: servers are asked again.
    pub(crate) fn forget(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
