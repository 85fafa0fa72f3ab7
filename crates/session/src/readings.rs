//! What waits for a reading of the catalog that is due: whatever is decided by it, and what its snapshot would hinder.

use std::sync::Arc;

use arc_swap::Guard;
use pgsplit_sql::{Catalog, Facts};

use crate::session::Session;

impl Session {
    /// The facts of the catalog; waited for when a change of it has just been seen and something is to be decided.
    pub(crate) async fn facts_of_catalog(&self) -> Guard<Arc<Catalog>> {
        let behind = || self.catalog.is_stale() || !self.catalog.is_settled(self.suspected);
        if self.link.is_none() && behind() {
            Guard::from_inner(self.catalog.fresh().await)
        } else {
            self.catalog.load()
        }
    }

    /// Before a VACUUM: a reading of the catalog that is under way would have it keep what no other snapshot sees any more,
    /// and a table just loaded would not be all visible behind it. So it waits for the reading, as everybody else does.
    pub(crate) async fn make_way(&self, facts: &Facts) {
        if facts.single().is_some_and(|one| one.command.is_vacuum()) && self.catalog.is_stale() {
            self.catalog.fresh().await;
        }
    }
}
