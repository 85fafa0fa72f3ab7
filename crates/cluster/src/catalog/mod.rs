//! The catalogs of the databases in use: read on the primary, published whole, read again when they have changed.
//!
//! A change made through this proxy is reported by the data path ([`CatalogHandle::outdated`]) and waited for
//! ([`CatalogHandle::fresh`]); while nobody waits, reads take a small part of the time. One made past it, or by code that
//! a statement's text does not show, is found by a checksum every `catalog_interval`, or less often where
//! that would cost a server more than one fiftieth of a core. For that long, and for the time of a read, statements are
//! judged by the older catalog.

mod read;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use pgsplit_sql::Catalog;
use tokio::sync::{Notify, Semaphore, watch as published};
use tokio::time::{Instant, timeout_at};

use crate::cluster::Shared;
use crate::error::Error;

/// Databases watched at most.
const DATABASES: usize = 1000;
/// Connections kept for databases in use; more databases than that connect anew for each look.
const KEPT_CONNECTIONS: usize = 16;
/// Connections at one time for all other databases.
const OTHER_CONNECTIONS: usize = 4;

/// One database's catalog. Clones are handles of the same one.
#[derive(Clone)]
pub struct CatalogHandle(Arc<Entry>);

struct Entry {
    database: String,
    current: ArcSwap<Catalog>,
    unknown: Arc<Catalog>,
    /// Counts reports of changes and of what may have been one. A read covers those made before it began.
    marks: AtomicU64,
    /// The newest mark that every decision waits for.
    required: AtomicU64,
    covered: AtomicU64,
    /// How many wait for a read now, so that it is not put off.
    waiting: AtomicUsize,
    progress: published::Sender<Progress>,
    /// Asked for since the watcher looked last.
    used: AtomicBool,
    parked: AtomicBool,
    /// The connection to the database is to be closed.
    vacated: AtomicBool,
    wake: Notify,
    evicted: AtomicBool,
}

/// The newest mark that a read has covered, and the newest that one tried to cover and failed.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    covered: u64,
    failed: u64,
}

impl CatalogHandle {
    /// The catalog as it was last read; [`Catalog::unknown`] before the first read and while none succeeds.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Catalog>> {
        self.0.touch();
        self.0.current.load()
    }

    /// A change was reported that the published catalog does not have.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.0.touch();
        self.0.required.load(Ordering::Acquire) > self.0.covered.load(Ordering::Acquire)
    }

    /// A statement that changes the catalog was acknowledged: reads that have begun do not count any more, and whoever
    /// decides next waits for one. Returns the mark to ask [`CatalogHandle::is_settled`] with.
    #[must_use]
    pub fn outdated(&self) -> u64 {
        let mark = self.suspect();
        self.0.required.fetch_max(mark, Ordering::AcqRel);
        mark
    }

    /// Code that the text does not show may have changed the catalog: it is read soon, and only who asks for this mark
    /// waits.
    #[must_use]
    pub fn suspect(&self) -> u64 {
        let mark = self.0.marks.fetch_add(1, Ordering::AcqRel) + 1;
        self.0.used.store(true, Ordering::SeqCst);
        self.0.wake.notify_one();
        mark
    }

    /// The newest mark.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.0.marks.load(Ordering::Acquire)
    }

    /// Whether the catalog has been read since that mark, or the attempt has failed.
    #[must_use]
    pub fn is_settled(&self, mark: u64) -> bool {
        self.0.covered.load(Ordering::Acquire) >= mark || self.0.progress.borrow().failed >= mark
    }

    /// Waits for [`CatalogHandle::is_settled`], without hurry.
    pub async fn settled(&self, mark: u64) {
        let mut progress = self.0.progress.subscribe();
        // It fails only without a sender, which is here.
        let _ = progress.wait_for(|progress| progress.covered >= mark || progress.failed >= mark).await;
    }

    /// A catalog that has every change reported so far; [`Catalog::unknown`] when it cannot be had before the
    /// deadline or at all, so that everything goes to the primary.
    pub async fn fresh(&self, deadline: Instant) -> Arc<Catalog> {
        self.0.touch();
        let mark = self.mark();
        if self.0.covered.load(Ordering::Acquire) >= mark {
            return self.0.current.load_full();
        }
        let mut progress = self.0.progress.subscribe();
        let _hurry = Hurry::new(&self.0);
        let done = progress.wait_for(|progress| progress.covered >= mark || progress.failed >= mark);
        match timeout_at(deadline, done).await {
            Ok(Ok(progress)) if progress.covered >= mark => self.0.current.load_full(),
            _ => Arc::clone(&self.0.unknown),
        }
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.0.database
    }
}

/// Somebody waits for a read.
struct Hurry<'a>(&'a Entry);

impl<'a> Hurry<'a> {
    fn new(entry: &'a Entry) -> Self {
        entry.waiting.fetch_add(1, Ordering::SeqCst);
        entry.wake.notify_one();
        Self(entry)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Entry {
    fn new(database: &str) -> Self {
        let unknown = Arc::new(Catalog::unknown());
        Self {
            database: database.to_owned(),
            current: ArcSwap::new(Arc::clone(&unknown)),
            unknown,
            // Nothing read yet is the same as a change that was not read.
            marks: AtomicU64::new(1),
            required: AtomicU64::new(1),
            waiting: AtomicUsize::new(0),
            covered: AtomicU64::new(0),
            progress: published::Sender::new(Progress::default()),
            used: AtomicBool::new(true),
            parked: AtomicBool::new(false),
            vacated: AtomicBool::new(false),
            wake: Notify::new(),
            evicted: AtomicBool::new(false),
        }
    }

    fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::SeqCst);
            if self.parked.load(Ordering::SeqCst) {
                self.wake.notify_one();
            }
        }
    }

    fn cover(&self, mark: u64) {
        self.covered.store(mark, Ordering::Release);
        self.progress.send_modify(|progress| progress.covered = mark);
    }

    fn fail(&self, mark: u64) {
        self.progress.send_modify(|progress| progress.failed = mark);
    }
}

/// The watched databases.
pub(crate) struct Catalogs {
    shared: Arc<Shared>,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    room: Arc<Room>,
}

/// Bounds the connections to the primary.
struct Room {
    kept: Arc<Semaphore>,
    other: Arc<Semaphore>,
}

impl Catalogs {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let room = Room {
            kept: Arc::new(Semaphore::new(KEPT_CONNECTIONS)),
            other: Arc::new(Semaphore::new(OTHER_CONNECTIONS)),
        };
        Self { shared, entries: Mutex::default(), room: Arc::new(room) }
    }

    pub(crate) fn get(&self, database: &str) -> Result<CatalogHandle, Error> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(database) {
            return Ok(CatalogHandle(Arc::clone(entry)));
        }
        if entries.len() >= DATABASES {
            entries.retain(|_, entry| !evict(entry));
        }
        if entries.len() >= DATABASES {
            return Err(Error::TooMany);
        }
        let entry = Arc::new(Entry::new(database));
        entries.insert(database.to_owned(), Arc::clone(&entry));
        let watcher = watch::watch(Arc::clone(&self.shared), Arc::clone(&self.room), Arc::clone(&entry));
        self.shared.spawn(watcher);
        Ok(CatalogHandle(entry))
    }
}

impl Catalogs {
    /// Every catalog is read again.
    pub(crate) fn outdated(&self) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.values() {
            // Nobody waits for it here.
            let _ = CatalogHandle(Arc::clone(entry)).outdated();
        }
    }

    /// Closes the connection to a database, until it is asked for again.
    pub(crate) fn vacate(&self, database: &str) {
        if let Some(entry) = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(database) {
            entry.vacated.store(true, Ordering::SeqCst);
            entry.wake.notify_one();
        }
    }
}

/// Ends the watch of a database that nobody asks for and nobody holds a handle of: the map and the watcher hold two.
fn evict(entry: &Arc<Entry>) -> bool {
    let unwanted = entry.parked.load(Ordering::SeqCst) && Arc::strong_count(entry) == 2;
    if unwanted {
        entry.evicted.store(true, Ordering::SeqCst);
        entry.wake.notify_one();
    }
    unwanted
}
