//! One pool: the connections of one (user, database) on one node.
//!
//! Taking is first come, first served: a connection that is put back goes straight to the client that has waited the
//! longest. Connections are opened by tasks of their own, one for each client that waits and for which there is room.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use pgsplit_route::NodeId;
use tokio::sync::oneshot;

use crate::budget::Budget;
use crate::error::{CheckoutError, OpenError};
use crate::login;
use crate::metrics::Metrics;
use crate::server::{Parts, Server};
use crate::settings::Settings;
use crate::users::{Environment, Era, UserPools};

mod upkeep;

/// The connections of one (user, database) on one node.
#[derive(Debug)]
pub struct Pool {
    node: NodeId,
    users: Weak<UserPools>,
    environment: Arc<Environment>,
    budget: Arc<Budget>,
    era: Era,
    inner: Mutex<Inner>,
}

/// Boxed, because a connection is handed from one owner to the next with every statement.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "moving a box is a pointer; moving the connection is its whole size")]
struct Inner {
    /// The one used last is at the end and is taken first, so that what is not needed ages.
    idle: Vec<Box<Server>>,
    /// Connections that exist or are being opened.
    open: usize,
    opening: usize,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    hand: oneshot::Sender<Result<Box<Server>, OpenError>>,
    want: Arc<Settings>,
    base: Arc<Settings>,
}

/// A pool at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Connections that wait for work.
    pub idle: usize,
    /// Connections lent.
    pub busy: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Clients that wait.
    pub waiting: usize,
}

/// A connection's place in its pool and on its node, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Arc<Pool>,
    opening: bool,
    /// Otherwise it was handed over to another connection.
    counted: bool,
}

impl Place {
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn opened(mut self) -> Self {
        self.pool.lock().opening -= 1;
        self.opening = false;
        self
    }

    /// The place for another connection, as this one's is about to be closed.
    pub(crate) fn hand_over(&mut self) -> Self {
        self.counted = false;
        Metrics::count(&self.pool.environment.metrics.closed);
        self.pool.lock().opening += 1;
        Self { pool: self.pool.clone(), opening: true, counted: true }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        {
            let mut inner = self.pool.lock();
            inner.open -= 1;
            inner.opening -= usize::from(self.opening);
        }
        Metrics::count(&self.pool.environment.metrics.closed);
        self.pool.budget.release();
        self.pool.grow();
    }
}

impl Pool {
    pub(crate) fn new(
        node: NodeId,
        users: Weak<UserPools>,
        environment: Arc<Environment>,
        budget: Arc<Budget>,
        era: Era,
    ) -> Arc<Self> {
        let pool = Arc::new(Self { node, users, environment, budget, era, inner: Mutex::default() });
        pool.budget.add(Arc::downgrade(&pool));
        pool
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_of_this_era(&self, server: &Server) -> bool {
        server.era == self.era.load(Ordering::Acquire)
    }

    /// The node that its connections lead to.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How many connections there are.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let inner = self.lock();
        let (idle, opening) = (inner.idle.len(), inner.opening);
        let waiting = inner.waiting.iter().filter(|w| !w.hand.is_closed()).count();
        Gauges { idle, opening, busy: inner.open - idle - opening, waiting }
    }

    /// An idle connection that can be brought into this state, if nobody waits and there is one.
    #[must_use]
    pub fn try_take(&self, want: &Arc<Settings>, base: &Arc<Settings>) -> Option<Box<Server>> {
        let view = self.environment.view.load();
        loop {
            let mut server = {
                let mut inner = self.lock();
                if !inner.waiting.is_empty() {
                    return None;
                }
                let at = best(&inner.idle, want, base)?;
                inner.idle.remove(at)
            };
            // What an idle connection has to say (a time-out, a shutdown, a changed role) ends its use here.
            let current = server.leads_to(&view) && self.is_of_this_era(&server);
            if current && !server.stream.is_readable_hint() {
                server.lend();
                return Some(server);
            }
        }
    }

    /// A connection that can be brought into the state `want`; when a new one must be opened, it starts with the
    /// settings `base`. Waits in line, at most as long as `pool.wait` says.
    ///
    /// # Errors
    /// None came free in time, the queue is full, or one could not be opened.
    pub async fn take(
        self: &Arc<Self>,
        want: &Arc<Settings>,
        base: &Arc<Settings>,
    ) -> Result<Box<Server>, CheckoutError> {
        if let Some(server) = self.try_take(want, base) {
            return Ok(server);
        }
        let since = Instant::now();
        let (hand, given) = oneshot::channel();
        let settings = self.environment.settings.load();
        if let Some(mut server) = self.enqueue(hand, want, base, settings.waiting)? {
            server.lend();
            return Ok(server);
        }
        self.grow();
        let result = tokio::time::timeout(settings.wait, given).await;
        let metrics = &self.environment.metrics;
        metrics.wait.observe(since.elapsed());
        match result {
            Ok(Ok(Ok(mut server))) => {
                server.lend();
                Ok(server)
            }
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(_)) => Err(CheckoutError::Moved),
            Err(_) => {
                Metrics::count(&metrics.timeouts);
                Err(CheckoutError::Timeout)
            }
        }
    }

    /// A connection opened just now with the settings `base`, for what only a login can tell. Where there is no room, one
    /// that comes free is closed for it, unless exactly these settings are in force on it.
    ///
    /// # Errors
    /// As [`Pool::take`], or the new one could not be opened.
    pub async fn open_new(self: &Arc<Self>, base: &Arc<Settings>) -> Result<Box<Server>, CheckoutError> {
        let settings = self.environment.settings.load_full();
        let (limit, most) = self.environment.limits(self.node, &settings);
        let mut place = self.place(limit, most);
        if place.is_none() {
            let server = self.take(base, base).await?;
            if **server.applied() == **base {
                return Ok(server);
            }
            // Its place is kept: another one who waits would be quicker.
            place = Some(server.close());
        }
        let place = place.ok_or(CheckoutError::Timeout)?;
        let mut server = self.open(place, base.clone()).await.map_err(|(error, _)| error)?;
        server.lend();
        Ok(server)
    }

    /// A place for one more connection, counted here and on the node.
    fn place(self: &Arc<Self>, limit: usize, most: usize) -> Option<Place> {
        if !self.budget.acquire(most) {
            return None;
        }
        let mut inner = self.lock();
        if inner.open >= limit {
            drop(inner);
            self.budget.release();
            return None;
        }
        inner.open += 1;
        inner.opening += 1;
        drop(inner);
        Some(Place { pool: self.clone(), opening: true, counted: true })
    }

    /// Gets in line, unless a connection was put back since the last look.
    fn enqueue(
        &self,
        hand: oneshot::Sender<Result<Box<Server>, OpenError>>,
        want: &Arc<Settings>,
        base: &Arc<Settings>,
        most: usize,
    ) -> Result<Option<Box<Server>>, CheckoutError> {
        let waiting = &self.environment.waiting;
        let mut inner = self.lock();
        if inner.waiting.is_empty()
            && let Some(at) = best(&inner.idle, want, base)
        {
            return Ok(Some(inner.idle.remove(at)));
        }
        if waiting.load(Ordering::Relaxed) >= most {
            // Those that have given up are still in line until somebody looks.
            let before = inner.waiting.len();
            inner.waiting.retain(|w| !w.hand.is_closed());
            waiting.fetch_sub(before - inner.waiting.len(), Ordering::Relaxed);
            if waiting.load(Ordering::Relaxed) >= most {
                return Err(CheckoutError::QueueFull);
            }
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        inner.waiting.push_back(Waiter { hand, want: want.clone(), base: base.clone() });
        Ok(None)
    }

    /// The client that has waited the longest and still does.
    fn next_waiter(&self, inner: &mut Inner) -> Option<Waiter> {
        while let Some(waiter) = inner.waiting.pop_front() {
            self.environment.waiting.fetch_sub(1, Ordering::Relaxed);
            if !waiter.hand.is_closed() {
                return Some(waiter);
            }
        }
        None
    }

    /// Takes a connection back: the client that has waited the longest gets it, else it becomes idle.
    pub(crate) fn put(mut server: Box<Server>) {
        server.set_busy(false);
        let pool = server.pool().clone();
        let now = Instant::now();
        let limit = {
            let view = pool.environment.view.load();
            if !server.leads_to(&view) || now >= server.expires || !pool.is_of_this_era(&server) {
                return;
            }
            pool.environment.limit(&view, pool.node, &pool.environment.settings.load())
        };
        loop {
            let mut inner = pool.lock();
            if inner.open > limit {
                drop(inner);
                return;
            }
            let Some(waiter) = pool.next_waiter(&mut inner) else {
                if pool.budget.is_short() {
                    drop(inner);
                    return;
                }
                server.idle_since = now;
                inner.idle.push(server);
                return;
            };
            if !server.fits(&waiter.want, &waiter.base) {
                // It keeps its place in line; the place that this connection gives up is opened anew for it.
                pool.environment.waiting.fetch_add(1, Ordering::Relaxed);
                inner.waiting.push_front(waiter);
                drop(inner);
                return;
            }
            drop(inner);
            match waiter.hand.send(Ok(server)) {
                Ok(()) => return,
                Err(Ok(back)) => server = back,
                Err(Err(_)) => return,
            }
        }
    }

    /// Opens connections for those that wait, as far as there is room. False when the node has none for this pool.
    pub(crate) fn grow(self: &Arc<Self>) -> bool {
        let settings = self.environment.settings.load();
        let (limit, most) = self.environment.limits(self.node, &settings);
        loop {
            let Some(evicted) = self.wants_another(limit) else { return true };
            drop(evicted);
            if !self.budget.acquire(most) {
                self.budget.starve(Arc::downgrade(self));
                return false;
            }
            let Some((place, base)) = self.reserve(limit) else {
                self.budget.release();
                return true;
            };
            tokio::spawn(Self::open_for_waiter(place, base));
        }
    }

    /// Whether a client waits for whom nothing is being opened. An idle connection that fits nobody makes room.
    fn wants_another(&self, limit: usize) -> Option<Option<Box<Server>>> {
        let mut inner = self.lock();
        // Nothing is opened for those that have given up.
        while inner.waiting.front().is_some_and(|waiter| waiter.hand.is_closed()) {
            inner.waiting.pop_front();
            self.environment.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        inner.waiting.get(inner.opening)?;
        if inner.open < limit {
            return Some(None);
        }
        if inner.idle.is_empty() {
            return None;
        }
        let evicted = inner.idle.remove(0);
        Some(Some(evicted))
    }

    fn reserve(self: &Arc<Self>, limit: usize) -> Option<(Place, Arc<Settings>)> {
        let mut inner = self.lock();
        let base = inner.waiting.get(inner.opening)?.base.opened_with();
        if inner.open >= limit {
            return None;
        }
        inner.open += 1;
        inner.opening += 1;
        drop(inner);
        Some((Place { pool: self.clone(), opening: true, counted: true }, base))
    }

    async fn open_for_waiter(place: Place, base: Arc<Settings>) {
        let pool = place.pool.clone();
        match pool.open(place, base).await {
            Ok(server) => Self::put(server),
            Err((error, place)) => {
                let waiter = pool.next_waiter(&mut pool.lock());
                if let Some(waiter) = waiter {
                    let _ = waiter.hand.send(Err(error));
                }
                // Only now: whoever waits still is opened for as soon as the place is given back.
                drop(place);
            }
        }
    }

    /// Servers say at login whether they are in recovery (PostgreSQL 14 and later). What is taken for the primary must not
    /// be; a replica that is not is asked at once, and may be read from.
    fn is_what_it_was(&self, parts: &Parts) -> Result<(), OpenError> {
        let (report, primary) = (&self.environment.report, self.environment.view.load().primary);
        match parts.params.get(b"in_hot_standby") {
            Some(b"on") if primary == Some(self.node) => {
                let why = "it is in recovery".to_owned();
                let error = OpenError::Unreachable { node: format!("node {}", self.node.index()), why };
                report.node_failed(self.node, &error);
                Err(error)
            }
            Some(b"off") if primary != Some(self.node) => {
                report.hint(self.node);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Opens one connection in a place that is already counted.
    async fn open(
        self: &Arc<Self>,
        place: Place,
        base: Arc<Settings>,
    ) -> Result<Box<Server>, (OpenError, Place)> {
        let environment = &self.environment;
        let view = environment.view.load_full();
        let (Some(users), Some(node)) = (self.users.upgrade(), view.node(self.node)) else {
            return Err((OpenError::Protocol { node: String::new(), why: "the pool is gone" }, place));
        };
        match login::open(environment, &users, node, view.generation, base).await {
            Ok(parts) => {
                Metrics::count(&environment.metrics.opened);
                match self.is_what_it_was(&parts) {
                    Ok(()) => Ok(Server::new(parts, place.opened())),
                    Err(error) => Err((error, place)),
                }
            }
            Err(error) => {
                Metrics::count(&environment.metrics.open_failures);
                if error.is_node_failure() {
                    environment.report.node_failed(self.node, &error);
                }
                Err((error, place))
            }
        }
    }
}

/// Which idle connection serves a session best: one in its very state whose socket its own thread watches, else one in
/// that state, else any that can be brought into it. Of equals the one used last.
#[allow(clippy::vec_box, reason = "as in the pool")]
fn best(idle: &[Box<Server>], want: &Arc<Settings>, base: &Arc<Settings>) -> Option<usize> {
    let (mut exact, mut any) = (None, None);
    for (at, server) in idle.iter().enumerate().rev().filter(|(_, server)| server.fits(want, base)) {
        if !Arc::ptr_eq(server.applied(), want) {
            any = any.or(Some(at));
        } else if server.stream.is_home() {
            return Some(at);
        } else {
            exact = exact.or(Some(at));
        }
    }
    exact.or(any)
}
