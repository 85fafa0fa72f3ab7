//! Changes of the catalog that are under way.
//!
//! What a statement writes is judged by the catalog as it is when the statement arrives. It may be carried out when the
//! catalog is another one: it waits for a lock that CREATE TRIGGER holds, and fires the trigger. So whoever marks a write
//! compares the moment at which it was judged with the one at which it was acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many have begun and ended. Only changes through this process are counted.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Changes {
    /// A session is about to send one.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// It is over, and the catalog's facts are known to be outdated.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }

    /// A number that no change has passed since, or `None` while one is under way.
    pub(crate) fn quiet(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::SeqCst);
        (self.ended.load(Ordering::SeqCst) == begun).then_some(begun)
    }
}
