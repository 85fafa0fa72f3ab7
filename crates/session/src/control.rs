//! What a session asks of the control plane.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use pgsplit_auth::StoredPassword;
use pgsplit_route::{Need, NodeId, Sample};
use pgsplit_sql::Catalog;

/// An answer that may take a moment.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is stored of a user's password.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Verifier or password.
    pub password: StoredPassword,
    /// `rolvaliduntil` has passed.
    pub expired: bool,
}

/// The control plane, as far as sessions need it.
pub trait Control: fmt::Debug + Send + Sync {
    /// The facts of a database's catalog.
    fn catalog(&self, database: &str) -> Arc<dyn CatalogSource>;

    /// What is stored of a user's password; `None` for an unknown user.
    ///
    /// # Errors
    /// When it cannot be looked up; the text is for the log.
    fn stored<'a>(&'a self, user: &'a str) -> Later<'a, Result<Option<Stored>, String>>;

    /// A login with the stored password failed: it may have been changed since it was looked up.
    fn forget(&self, user: &str);

    /// What a login of this user in this database would meet (rights, limits, defaults of settings), as a fingerprint;
    /// `None` when it cannot be had.
    fn standing<'a>(&'a self, user: &'a str, database: &'a str) -> Later<'a, Option<Arc<str>>>;

    /// A role or a database may have been changed: what logins would meet is asked anew.
    fn forget_standings(&self);

    /// Closes what the control plane itself has open to a database, until its catalog is asked for again.
    fn vacate(&self, database: &str);

    /// Waits for a primary to be known, at most so long.
    fn wait_primary(&self, most: Duration) -> Later<'_, bool>;

    /// Waits until `holds`, at most so long, while the nodes are asked how far they are, as far as `need` is not covered
    /// or reached. With `confirm`, a node is asked again after this ticket at least. Whether it holds.
    fn wait_positions<'a>(
        &'a self,
        need: Need,
        confirm: Option<(NodeId, u64)>,
        most: Duration,
        holds: &'a (dyn Fn() -> bool + Sync),
    ) -> Later<'a, bool>;

    /// The primary's flushed position, asked for in this epoch or later, if that was done already.
    fn sampled(&self, epoch: u64) -> Option<Sample>;
}

/// The facts of one database's catalog, kept up to date by the control plane.
pub trait CatalogSource: fmt::Debug + Send + Sync {
    /// The latest facts. Not to be kept: the guard is there so that threads do not count together who reads them.
    fn load(&self) -> Guard<Arc<Catalog>>;

    /// A change of the catalog has been seen since they were read.
    fn is_stale(&self) -> bool;

    /// Says that a change of the catalog was committed: whoever decides next waits for [`CatalogSource::fresh`]. Returns
    /// its mark.
    fn outdated(&self) -> u64;

    /// Says that code which the text does not show may have changed the catalog. Only who asks for this mark waits.
    fn suspect(&self) -> u64;

    /// The newest mark.
    fn mark(&self) -> u64;

    /// The facts were read after that mark was given, or cannot be.
    fn is_settled(&self, mark: u64) -> bool;

    /// Waits for [`CatalogSource::is_settled`], without hurry.
    fn settled(&self, mark: u64) -> Later<'_, ()>;

    /// Facts that were read after the last change, or facts that prove nothing when they cannot be had in time.
    fn fresh(&self) -> Later<'_, Arc<Catalog>>;
}
