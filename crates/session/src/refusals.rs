//! Statements that a replica has refused (25006) although they were proved to be reads: a function that writes after all.
//! They go to the primary for a while without being tried, for that user and database.
//!
//! Looked up with every read, so while there is none it costs one look at a counter; changed rarely, as a whole.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use pgsplit_pool::PoolKey;
use pgsplit_sql::Facts;

use crate::statistics::ByKey;

/// How long a refusal is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Refusals that are remembered.
const MOST: usize = 1_000;

/// A statement that a replica has refused.
#[derive(Debug)]
pub struct Refusal {
    /// What it runs.
    pub facts: Arc<Facts>,
    /// Who ran it, and where.
    pub who: PoolKey,
    /// When it was refused.
    pub since: SystemTime,
    until: Instant,
    /// How often it was sent to the primary for that.
    pub spared: AtomicU64,
}

impl Refusal {
    /// For how long it is still remembered.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Refusals {
    count: AtomicUsize,
    known: ArcSwap<ByKey<Arc<Refusal>>>,
}

impl Refusals {
    /// Whether a replica has refused this to this user, lately.
    pub(crate) fn has(&self, facts: &Facts, who: &PoolKey) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let known = self.known.load();
        let Some(refusal) = known.get(&key(facts, who)).filter(|refusal| refusal.who == *who) else {
            return false;
        };
        let remembered = refusal.until > Instant::now();
        if remembered {
            refusal.spared.fetch_add(1, Ordering::Relaxed);
        }
        remembered
    }

    /// A replica has refused it. True when that is news.
    pub(crate) fn remember(&self, facts: Arc<Facts>, who: &PoolKey) -> bool {
        // What cannot be told apart from other texts is not remembered.
        if facts.canonical.is_empty() {
            return false;
        }
        let (key, now) = (key(&facts, who), Instant::now());
        let known = self.known.load();
        if known.get(&key).is_some_and(|refusal| refusal.until > now) {
            return false;
        }
        let refusal = Arc::new(Refusal {
            facts,
            who: who.clone(),
            since: SystemTime::now(),
            until: now + REMEMBERED,
            spared: AtomicU64::new(0),
        });
        self.known.rcu(|known| {
            let mut next = ByKey::clone(known);
            next.retain(|_, refusal| refusal.until > now);
            if next.len() >= MOST
                && let Some(oldest) =
                    next.iter().min_by_key(|(_, refusal)| refusal.until).map(|(key, _)| *key)
            {
                next.remove(&oldest);
            }
            next.insert(key, refusal.clone());
            self.count.store(next.len(), Ordering::Relaxed);
            next
        });
        true
    }

    /// All that are remembered, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Refusal>> {
        let now = Instant::now();
        let mut all: Vec<_> = self.known.load().values().filter(|one| one.until > now).cloned().collect();
        all.sort_by_key(|refusal| std::cmp::Reverse(refusal.until));
        all
    }

    /// Forgets them all: replicas are tried again.
    pub fn forget(&self) {
        self.known.store(Arc::default());
        self.count.store(0, Ordering::Relaxed);
    }
}

fn key(facts: &Facts, who: &PoolKey) -> u64 {
    let mut hasher = FixedState::with_seed(5).build_hasher();
    hasher.write_u64(facts.statement());
    hasher.write(&who.user);
    hasher.write_u8(0);
    hasher.write(&who.database);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use pgsplit_sql::{Analyzer, Catalog};

    use super::*;

    fn who(user: &str) -> PoolKey {
        PoolKey { user: user.as_bytes().into(), database: (*b"app").into() }
    }

    #[test]
    fn a_refusal_holds_for_the_statement_and_the_user_until_it_is_forgotten() {
        let (analyzer, catalog) = (Analyzer::new(1 << 20), Arc::new(Catalog::unknown()));
        let facts = |text: &str| analyzer.facts(text.as_bytes(), &catalog);
        let refusals = Refusals::default();
        assert!(!refusals.has(&facts("SELECT f(1)"), &who("a")));
        assert!(refusals.remember(facts("SELECT f(1)"), &who("a")));
        assert!(!refusals.remember(facts("SELECT f(2)"), &who("a")), "the same but for a literal");
        assert!(refusals.has(&facts("SELECT f(3)"), &who("a")));
        assert!(!refusals.has(&facts("SELECT f(3)"), &who("b")));
        assert!(!refusals.has(&facts("SELECT g(3)"), &who("a")));
        assert_eq!(refusals.all()[0].spared.load(Ordering::Relaxed), 1);
        refusals.forget();
        assert!(!refusals.has(&facts("SELECT f(3)"), &who("a")));
        assert!(refusals.all().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let (analyzer, catalog) = (Analyzer::new(1 << 20), Arc::new(Catalog::unknown()));
        let refusals = Refusals::default();
        for at in 0..MOST + 20 {
            assert!(
                refusals.remember(analyzer.facts(format!("SELECT f{at}()").as_bytes(), &catalog), &who("a"))
            );
        }
        assert_eq!(refusals.all().len(), MOST);
    }
}
