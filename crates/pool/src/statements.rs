//! Protocol-level prepared statements, shared among the sessions of one (user, database).
//!
//! Parse freezes meaning: parameter types, literals under a time zone, names under a search path. So two sessions
//! share a server-side statement only when everything that Parse reads is equal, compared in full.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use foldhash::fast::RandomState;

use crate::settings::Settings;

/// Everything on which the meaning of a prepared text depends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatementKey {
    /// The SQL text as the client sent it.
    pub text: Box<[u8]>,
    /// Count and object ids of the parameter types, as in Parse.
    pub types: Box<[u8]>,
    /// The settings in force that parsing may read.
    pub settings: Arc<Settings>,
    /// The catalog's version when it was parsed.
    pub catalog: u64,
}

/// A statement as servers know it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in this process.
    pub id: u64,
    /// What it means.
    pub key: StatementKey,
    parsed: AtomicBool,
}

impl Statement {
    /// A statement that nobody shares: an unnamed one, or one whose meaning is its own.
    #[must_use]
    pub fn alone(key: StatementKey) -> Arc<Self> {
        fresh(key)
    }

    /// A server has parsed it without an error.
    pub fn set_parsed(&self) {
        self.parsed.store(true, Ordering::Relaxed);
    }

    /// Whether a server has parsed it without an error: as long as its key is what a session would ask for, any server
    /// would again.
    #[must_use]
    pub fn is_parsed(&self) -> bool {
        self.parsed.load(Ordering::Relaxed)
    }
}

/// All statements that a session of this (user, database) holds.
#[derive(Debug, Default)]
pub struct Statements {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    map: HashMap<StatementKey, Weak<Statement>, RandomState>,
    /// Size at which statements that nobody holds any more are thrown out.
    sweep_at: usize,
}

/// Ids are unique across users, so that a statement may be looked up by its id alone.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn fresh(key: StatementKey) -> Arc<Statement> {
    Arc::new(Statement { id: NEXT.fetch_add(1, Ordering::Relaxed), key, parsed: AtomicBool::new(false) })
}

impl Statements {
    /// The statement with this meaning, shared with whoever else holds it.
    #[must_use]
    pub fn intern(&self, key: StatementKey) -> Arc<Statement> {
        if is_time_dependent(&key.text) {
            return fresh(key);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.map.get(&key).and_then(Weak::upgrade) {
            return found;
        }
        if known.map.len() >= known.sweep_at.max(64) {
            known.map.retain(|_, weak| weak.strong_count() > 0);
            known.sweep_at = known.map.len() * 2;
        }
        let statement = fresh(key.clone());
        known.map.insert(key, Arc::downgrade(&statement));
        statement
    }

    /// Statements known, for metrics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).map.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether a literal may freeze the moment of its Parse (`'now'::timestamp`, `'today'`, `date 'tomorrow'`): such a
/// text means something else each time, so its Parse is never shared. A false alarm costs only the sharing.
fn is_time_dependent(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];
    text.contains(&b'\'')
        && WORDS.iter().any(|word| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str, catalog: u64) -> StatementKey {
        StatementKey {
            text: text.as_bytes().into(),
            types: Box::default(),
            settings: Settings::none(),
            catalog,
        }
    }

    #[test]
    fn shares_what_means_the_same() {
        let statements = Statements::default();
        let a = statements.intern(key("select 1", 1));
        assert_eq!(statements.intern(key("select 1", 1)).id, a.id);
        assert_ne!(statements.intern(key("select 1", 2)).id, a.id);
        assert_ne!(statements.intern(key("select 2", 1)).id, a.id);
        let now = statements.intern(key("select 'NOW'::timestamp", 1));
        assert_ne!(statements.intern(key("select 'NOW'::timestamp", 1)).id, now.id);
    }

    #[test]
    fn forgets_what_nobody_holds() {
        let statements = Statements::default();
        for i in 0..10_000 {
            let _ = statements.intern(key(&format!("select {i}"), 1));
        }
        assert!(statements.len() < 200, "{}", statements.len());
    }
}
