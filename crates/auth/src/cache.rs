//! Keys derived from passwords, kept: PBKDF2 takes a millisecond, and every new server connection needs it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::crypto::{Digest32, sha256};
use crate::{Keys, Secret};

/// A bounded cache of [`Keys`] by user, password, salt and iterations; the least recently used makes room.
pub struct KeyCache {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<Id, Entry>,
    clock: u64,
}

#[derive(PartialEq, Eq, Hash)]
struct Id {
    user: Box<str>,
    salt: Box<[u8]>,
    iterations: u32,
    /// A changed password must not find the old one's keys.
    password: Digest32,
}

struct Entry {
    keys: Keys,
    used: u64,
}

impl KeyCache {
    /// A cache for at most `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    /// The keys of a password, derived if need be, outside the lock.
    pub fn keys(&self, user: &str, password: &Secret, salt: &[u8], iterations: u32) -> Keys {
        let password_hash = sha256(&[salt, password.expose()]);
        let id = Id { user: user.into(), salt: salt.into(), iterations, password: password_hash };
        if let Some(keys) = self.find(&id) {
            return keys;
        }
        let keys = Keys::derive(password, salt, iterations);
        self.insert(id, keys.clone());
        keys
    }

    fn find(&self, id: &Id) -> Option<Keys> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clock += 1;
        let now = entries.clock;
        let entry = entries.by_id.get_mut(id)?;
        entry.used = now;
        Some(entry.keys.clone())
    }

    fn insert(&self, id: Id, keys: Keys) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let used = entries.clock;
        entries.by_id.insert(id, Entry { keys, used });
        if entries.by_id.len() > self.capacity {
            // A scan, but one that only ever follows a derivation, which takes a thousand times as long.
            let oldest = entries.by_id.values().map(|entry| entry.used).min().unwrap_or_default();
            entries.by_id.retain(|_, entry| entry.used != oldest);
        }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn len(cache: &KeyCache) -> usize {
        cache.entries.lock().unwrap().by_id.len()
    }

    #[test]
    fn found_again_by_everything_that_matters() {
        let cache = KeyCache::new(10);
        let [one, two] = ["one", "two"].map(Secret::new);
        let keys = cache.keys("u", &one, b"salt", 2);
        assert_eq!(keys, Keys::derive(&one, b"salt", 2));
        assert_eq!(cache.keys("u", &one, b"salt", 2), keys);
        assert_eq!(len(&cache), 1);
        assert_ne!(cache.keys("u", &two, b"salt", 2), keys);
        assert_ne!(cache.keys("u", &one, b"tlas", 2), keys);
        assert_ne!(cache.keys("u", &one, b"salt", 3), keys);
        assert_eq!(len(&cache), 4);
    }

    #[test]
    fn bounded_and_the_least_recently_used_goes() {
        let cache = KeyCache::new(2);
        let password = Secret::new("p");
        let holds = |user: &str| cache.entries.lock().unwrap().by_id.keys().any(|id| &*id.user == user);
        for user in ["a", "b", "a", "c"] {
            cache.keys(user, &password, b"salt", 1);
        }
        assert_eq!((len(&cache), holds("a"), holds("b"), holds("c")), (2, true, false, true));
        let none = KeyCache::new(0);
        none.keys("a", &password, b"salt", 1);
        assert_eq!(len(&none), 0);
    }
}
