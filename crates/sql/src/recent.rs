//! Facts of texts that this thread has met before, found by the exact bytes.
//!
//! It stands before the cache that all threads share: a statement with parameters comes with the same text every time,
//! so neither its canonical form nor a lock nor a counter that other threads use is needed to find its facts again.
//! Of a text with literals the canonical form is kept in its place, since most such texts come once. Comments around a text are not
//! part of it here: with a trace id in them each would come once. A text that is kept ends outside of strings and comments, so
//! that a comment behind it is one.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::facts::Facts;

/// Places in a thread's table. A text has one place.
const PLACES: usize = 256;
/// The longest text that is kept, in bytes.
const LONGEST: usize = 2048;

#[derive(Default)]
struct Place {
    /// The hash of the text that was missed here last. It gets the place if it comes again before another.
    missed: u64,
    entry: Option<Entry>,
}

struct Entry {
    analyzer: u64,
    catalog: u64,
    rules: u64,
    text: Box<[u8]>,
    facts: Arc<Facts>,
}

thread_local! {
    static TABLE: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// Analyzer, catalog and rules that facts belong to.
pub(crate) type Under = (u64, u64, u64);

/// The facts of a text, if they are at hand.
pub(crate) fn get((analyzer, catalog, rules): Under, text: &[u8]) -> Option<Arc<Facts>> {
    if text.len() > LONGEST {
        return None;
    }
    TABLE.with_borrow(|table| {
        let entry = table.get(hash(text) as usize % PLACES)?.entry.as_ref()?;
        let fits = (entry.analyzer, entry.catalog, entry.rules) == (analyzer, catalog, rules);
        (fits && *entry.text == *text).then(|| entry.facts.clone())
    })
}

/// Keeps the facts of a text that was missed twice. They are copied, so that no other thread counts who holds them.
pub(crate) fn put((analyzer, catalog, rules): Under, text: &[u8], facts: &Facts) {
    if text.len() > LONGEST {
        return;
    }
    let hash = hash(text);
    TABLE.with_borrow_mut(|table| {
        if table.is_empty() {
            table.resize_with(PLACES, Place::default);
        }
        let Some(place) = table.get_mut(hash as usize % PLACES) else { return };
        if std::mem::replace(&mut place.missed, hash) == hash {
            let facts = Arc::new(facts.clone());
            place.entry = Some(Entry { analyzer, catalog, rules, text: text.into(), facts });
        }
    });
}
