//! One database's watcher: keeps its catalog as new as the primary's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgsplit_route::NodeId;
use pgsplit_sql::catalog::FunctionConfig;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::error::SqlState;

use super::read::{Checksum, Questions};
use super::{Entry, Room};
use crate::cluster::{Primary, Shared};
use crate::connect::Control;
use crate::error::Error;
use crate::sql::identifier;

/// Reads that fail are not repeated at every report of a change.
const SHORTEST_GAP: Duration = Duration::from_millis(50);
/// While nobody waits for a read, the next one begins so many times later as the last one took.
const UNHURRIED: u32 = 4;
/// Looking for changes takes at most one part in so many of a server's core, however large the catalog.
const SHARE: u32 = 50;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// For how long a catalog is believed while a primary is there but cannot be asked for changes.
const BELIEVED: Duration = Duration::from_secs(60);

/// Watches until cancelled or evicted.
pub(super) async fn watch(shared: Arc<Shared>, room: Arc<Room>, entry: Arc<Entry>) {
    let mut watcher = Watcher {
        primary: shared.primary(),
        shared,
        room,
        entry,
        link: None,
        checksum: None,
        functions: None,
        version: 0,
        cost: Duration::ZERO,
        looked: Instant::now(),
        used: Instant::now(),
        complaint: None,
    };
    while !watcher.entry.evicted.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let parked = watcher.entry.vacated.swap(false, Ordering::SeqCst) || watcher.look().await;
        if parked || watcher.is_idle() {
            watcher.park().await;
        } else {
            watcher.pause(begun).await;
        }
    }
}

struct Watcher {
    shared: Arc<Shared>,
    room: Arc<Room>,
    entry: Arc<Entry>,
    primary: tokio::sync::watch::Receiver<Primary>,
    link: Option<Link>,
    /// Of the catalog that is published; none while that is the unknown one.
    checksum: Option<Checksum>,
    /// What it was built with.
    functions: Option<Arc<FunctionConfig>>,
    version: u64,
    /// How long it takes to see that nothing has changed.
    cost: Duration,
    /// When a look last succeeded.
    looked: Instant,
    used: Instant,
    complaint: Option<String>,
}

/// A connection to the database on the primary of one generation.
struct Link {
    control: Control,
    questions: Questions,
    generation: u64,
    _permit: OwnedSemaphorePermit,
    kept: bool,
}

impl Watcher {
    /// Looks for changes and publishes them. `true` when there is nothing to look at until somebody asks again.
    async fn look(&mut self) -> bool {
        let mark = self.entry.marks.load(Ordering::Acquire);
        let limit = self.shared.settings.catalog_timeout;
        let outcome = timeout(limit, self.refresh_or_reconnect()).await.unwrap_or(Err(Error::Timeout(limit)));
        match outcome {
            Ok(()) => {
                self.looked = Instant::now();
                self.complaint = None;
                self.entry.cover(mark);
                false
            }
            Err(error) => {
                self.link = None;
                self.shared.metrics.catalog_failures.add_one();
                self.complain(&error);
                let changed = mark > self.entry.covered.load(Ordering::Acquire);
                let unasked = self.primary.borrow().node.is_some() && self.looked.elapsed() > BELIEVED;
                if changed || unasked {
                    self.publish_unknown();
                }
                self.entry.fail(mark);
                error.code() == Some(&SqlState::INVALID_CATALOG_NAME)
            }
        }
    }

    /// A kept connection that was lost since the last look is no failure yet.
    async fn refresh_or_reconnect(&mut self) -> Result<(), Error> {
        let reused = self.link.is_some();
        match self.refresh().await {
            Err(error) if reused && !error.is_refusal() => self.refresh().await,
            outcome => outcome,
        }
    }

    async fn refresh(&mut self) -> Result<(), Error> {
        let link = self.link().await?;
        let begun = Instant::now();
        let functions = self.shared.functions.load_full();
        let same = self.functions.as_ref().is_some_and(|built| Arc::ptr_eq(built, &functions));
        let known = self.checksum.as_ref().filter(|_| same);
        let found = link.questions.ask(&link.control, known).await?;
        if link.kept {
            self.link = Some(link);
        }
        let Some((checksum, rows)) = found else {
            self.cost = begun.elapsed();
            return Ok(());
        };
        let (version, with) = (self.version + 1, Arc::clone(&functions));
        let before = self.entry.current.load_full();
        let built = tokio::task::spawn_blocking(move || before.rebuild(&rows, &with, version)).await;
        let catalog =
            built.map_err(|error| Error::Answer(format!("the catalog could not be built: {error}")))?;
        self.entry.current.store(Arc::new(catalog));
        (self.version, self.checksum, self.functions) = (version, Some(checksum), Some(functions));
        self.shared.metrics.catalog_reads.add_one();
        tracing::debug!(target: "cluster", database = self.entry.database, version, "catalog read");
        Ok(())
    }

    /// The kept connection if it still leads to the primary, or else a new one.
    async fn link(&mut self) -> Result<Link, Error> {
        let primary = *self.primary.borrow();
        if let Some(link) = self.link.take()
            && link.generation == primary.generation
            && !link.control.is_closed()
        {
            return Ok(link);
        }
        let node = primary.node.ok_or(Error::NoServer)?;
        let (permit, kept) = self.room.enter().await?;
        let control = self.connect(node).await?;
        let questions = Questions::prepare(&control).await?;
        Ok(Link { control, questions, generation: primary.generation, _permit: permit, kept })
    }

    async fn connect(&self, node: NodeId) -> Result<Control, Error> {
        let settings = self.shared.roster.get(node).ok_or(Error::NoServer)?;
        let view = self.shared.view.load_full();
        let addresses = view.node(node).map(|node| Arc::clone(&node.resolved)).unwrap_or_default();
        let limit = self.shared.settings.catalog_timeout;
        let connector = &self.shared.connector;
        Ok(connector.connect(&settings, &addresses, &self.entry.database, limit).await?.0)
    }

    fn publish_unknown(&mut self) {
        self.checksum = None;
        self.entry.current.store(Arc::clone(&self.entry.unknown));
    }

    /// Says why the catalog is not known, and what to do about it: once for each reason in a row.
    fn complain(&mut self, error: &Error) {
        let text = error.to_string();
        if self.complaint.as_ref() == Some(&text) {
            return;
        }
        let database = &self.entry.database;
        if error.is_refusal() && error.code() != Some(&SqlState::INVALID_CATALOG_NAME) {
            let (name, user) = (identifier(database), identifier(&self.shared.settings.login.user));
            tracing::warn!(
                target: "cluster", database, error = text,
                "the catalog cannot be read, all statements go to the primary; as a superuser run: \
                 GRANT CONNECT ON DATABASE {name} TO {user}; GRANT pg_monitor TO {user}"
            );
        } else {
            tracing::warn!(target: "cluster", database, error = text, "the catalog cannot be read");
        }
        self.complaint = Some(text);
    }

    /// Until the next look is due, or somebody reports a change, or there is another primary.
    async fn pause(&mut self, begun: Instant) {
        self.primary.mark_unchanged();
        let (ended, took) = (Instant::now(), begun.elapsed());
        let in_trouble = self.complaint.is_some();
        let gap = if in_trouble { SHORTEST_GAP } else { took.saturating_mul(UNHURRIED) };
        let dearest = self.cost.saturating_mul(SHARE).min(LONGEST_PAUSE);
        tokio::select! {
            () = sleep_until(begun + self.shared.settings.catalog_interval.max(dearest)) => {}
            () = reported(&self.entry, ended + gap, in_trouble) => {}
            _ = self.primary.changed() => {}
        }
    }

    fn is_idle(&mut self) -> bool {
        if self.entry.used.swap(false, Ordering::SeqCst) {
            self.used = Instant::now();
        }
        self.used.elapsed() > self.shared.settings.catalog_idle
    }

    /// Forgets the catalog and waits until somebody asks for it.
    async fn park(&mut self) {
        self.link = None;
        self.publish_unknown();
        let mark = self.entry.marks.fetch_add(1, Ordering::AcqRel) + 1;
        self.entry.required.fetch_max(mark, Ordering::AcqRel);
        self.entry.used.store(false, Ordering::SeqCst);
        self.entry.parked.store(true, Ordering::SeqCst);
        while !self.entry.used.load(Ordering::SeqCst) && !self.entry.evicted.load(Ordering::SeqCst) {
            self.entry.wake.notified().await;
        }
        self.entry.parked.store(false, Ordering::SeqCst);
        self.used = Instant::now();
    }
}

/// Until a look is due because of a report: at `earliest`, or at once when somebody waits for it and the last one has not
/// failed.
async fn reported(entry: &Entry, earliest: Instant, in_trouble: bool) {
    entry.wake.notified().await;
    while in_trouble || entry.waiting.load(Ordering::SeqCst) == 0 {
        tokio::select! {
            () = sleep_until(earliest) => break,
            () = entry.wake.notified() => {}
        }
    }
}

impl Room {
    /// Room for one connection, to be kept if there is still some for that.
    async fn enter(&self) -> Result<(OwnedSemaphorePermit, bool), Error> {
        if let Ok(permit) = Arc::clone(&self.kept).try_acquire_owned() {
            return Ok((permit, true));
        }
        let permit = Arc::clone(&self.other).acquire_owned().await;
        Ok((permit.map_err(|_| Error::NoServer)?, false))
    }
}
