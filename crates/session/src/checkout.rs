//! Taking a server connection and bringing it into the session's state; giving it back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pgsplit_pool::{CheckoutError, OpenError, Pool, Replay, Server};
use pgsplit_route::{Node, NodeId, PinReason, Target, Wanted};
use pgsplit_sql::Effects;
use pgsplit_wire::{PgError, Status, sqlstate};

use crate::end::End;
use crate::link::{Held, Link, To};
use crate::metrics::Metrics;
use crate::registry::ClientState;
use crate::relay::{Break, Relayed};
use crate::session::Session;

/// Why a unit gets no connection.
#[derive(Debug)]
pub(crate) enum NoLink {
    /// The replica is of no use now: decide again without it.
    Elsewhere(NodeId),
    /// The cluster has changed, and nothing was sent: decide again.
    Again,
    /// The unit fails with an ErrorResponse, whole.
    Failed(BytesMut),
    /// The session ends.
    End(End),
}

impl From<PgError> for NoLink {
    fn from(error: PgError) -> Self {
        let mut frame = BytesMut::new();
        error.encode(&mut frame);
        Self::Failed(frame)
    }
}

impl From<End> for NoLink {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl Session {
    /// Makes sure that a connection of the target is held, in the session's state. `effects` are the unit's.
    pub(crate) async fn acquire(
        &mut self,
        target: Target,
        wanted: &Wanted,
        effects: Effects,
    ) -> Result<(), NoLink> {
        if self.link.is_none() {
            let (server, replica) = match target {
                Target::Replica(node) => {
                    let (server, life) = self.checkout_replica(node, wanted).await?;
                    (server, Some(life))
                }
                Target::Held | Target::Primary => (self.checkout_primary().await?, None),
            };
            self.attach(server, replica).await?;
        }
        let asks = effects.contains(Effects::SEQUENCE_ASK)
            || effects.contains(Effects::SEQUENCE_USE) && self.asks_sequences();
        if asks
            && let Some(link) = &mut self.link
            && link.foreign_sequences
        {
            link.foreign_sequences = false;
            link.server.sequences = false;
            link.query(b"DISCARD SEQUENCES", To::Session);
        }
        if let Some(link) = &self.link {
            self.handle.set_running(Some(link.server.cancel.clone()));
        }
        self.handle.set_state(ClientState::Active);
        Ok(())
    }

    /// Whether what is left of sequences in a session is ever asked for: by a client of this user and database, as far as
    /// was seen, or by code that the database keeps.
    pub(crate) fn asks_sequences(&self) -> bool {
        self.users.asks_sequences.load(Ordering::Relaxed) || self.catalog.load().asks_sequences()
    }

    /// The primary, waited for if need be.
    async fn primary(&mut self) -> Result<NodeId, NoLink> {
        if let Some(primary) = self.shared.view.load().writable() {
            return Ok(primary);
        }
        self.handle.set_state(ClientState::Waiting);
        let most = self.settings.failover_wait;
        let control = self.shared.control.clone();
        let found = self.unless_cancelled(Box::pin(async move { control.wait_primary(most).await })).await?;
        match self.shared.view.load().writable() {
            Some(primary) if found => Ok(primary),
            _ => Err(no_primary(most)),
        }
    }

    /// A connection to the primary. While it cannot be reached nothing was sent yet, so the unit waits for it or for
    /// its successor.
    async fn checkout_primary(&mut self) -> Result<Box<Server>, NoLink> {
        let since = Instant::now();
        loop {
            let node = self.primary().await?;
            let failure = match self.checkout(node).await? {
                Ok(server) => return Ok(server),
                Err(error) => error,
            };
            let most = self.settings.failover_wait;
            return Err(match failure {
                CheckoutError::Open(error) if error.is_node_failure() => {
                    if since.elapsed() < most {
                        self.unless_cancelled(tokio::time::sleep(AGAIN_AFTER)).await?;
                        continue;
                    }
                    no_primary(most)
                }
                // Its pool is full of statements that it does not answer.
                CheckoutError::Moved | CheckoutError::Timeout
                    if since.elapsed() < most && !self.is_writable(node) =>
                {
                    continue;
                }
                CheckoutError::Moved if since.elapsed() < most => continue,
                CheckoutError::Open(OpenError::Refused { frame, .. }) => NoLink::Failed(as_error(&frame)),
                error => error.to_pg().into(),
            });
        }
    }

    /// A connection to a replica, and the life of the replica in which it is what is wanted.
    async fn checkout_replica(
        &mut self,
        node: NodeId,
        wanted: &Wanted,
    ) -> Result<(Box<Server>, u64), NoLink> {
        let server = self.checkout(node).await?.map_err(|error| match error {
            CheckoutError::Open(_) => NoLink::Elsewhere(node),
            CheckoutError::Moved if !self.answers(node) => NoLink::Elsewhere(node),
            CheckoutError::Moved => NoLink::Again,
            error => error.to_pg().into(),
        })?;
        match self.confirm(&server, wanted).await? {
            Some(life) => Ok((server, life)),
            None => {
                server.put_back();
                Err(NoLink::Elsewhere(node))
            }
        }
    }

    fn answers(&self, node: NodeId) -> bool {
        self.shared.view.load().node(node).is_some_and(Node::answers)
    }

    fn is_writable(&self, node: NodeId) -> bool {
        self.shared.view.load().writable() == Some(node)
    }

    /// Waits, unless a cancel request arrives or the client goes away.
    pub(crate) async fn unless_cancelled<T>(&mut self, work: impl Future<Output = T>) -> Result<T, NoLink> {
        self.handle.set_waiting();
        let since = Instant::now();
        let mut work = pin!(work);
        let done = poll_fn(|cx| {
            if let Poll::Ready(value) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(value)));
            }
            if self.handle.poll_cancelled(cx).is_ready() {
                return Poll::Ready(Ok(None));
            }
            self.poll_gone(cx)
        })
        .await;
        self.tally.waits(since.elapsed());
        self.handle.set_running(None);
        done?.ok_or_else(|| {
            PgError::error(sqlstate::QUERY_CANCELED, "canceling statement due to user request").into()
        })
    }

    async fn checkout(&mut self, node: NodeId) -> Result<Result<Box<Server>, CheckoutError>, NoLink> {
        let Some(pool) = self.users.pool(node) else { return Ok(Err(CheckoutError::NoNode)) };
        if let Some(server) = pool.try_take(self.state.settings.current(), self.state.settings.base()) {
            return Ok(Ok(server));
        }
        let pool = Arc::clone(pool);
        self.handle.set_state(ClientState::Waiting);
        self.unless_cancelled(Box::pin(self.wait_for(pool))).await
    }

    fn wait_for(&self, pool: Arc<Pool>) -> impl Future<Output = Result<Box<Server>, CheckoutError>> + use<> {
        let want = self.state.settings.current().clone();
        let base = self.state.settings.base().clone();
        async move { pool.take(&want, &base).await }
    }

    /// Brings a connection into the session's state; to a replica in this life, if to one.
    async fn attach(&mut self, server: Box<Server>, replica: Option<u64>) -> Result<(), NoLink> {
        server.held_by(self.handle.pid);
        let (replica, life) = (replica.is_some(), replica.unwrap_or(0));
        let mut link = Box::new(Link::new(server, replica, life));
        let want = self.state.settings.current().clone();
        if let Some(replay) = Replay::between(link.server.applied(), &want) {
            Metrics::count(&self.shared.metrics.replays);
            replay.texts.iter().for_each(|text| link.query(text, To::Session));
            self.link = Some(link);
            // Where the wrong rows or the wrong tables could be met, the answer is awaited. So it is where the client must
            // be told of a change before anything else is said.
            if replay.sensitive || !replica {
                self.settle().await?;
            }
            if let Some(link) = &mut self.link {
                link.server.set_applied(&want);
            }
        } else {
            link.server.set_applied(&want);
            self.tell_changes(&mut link);
            self.link = Some(link);
        }
        if self.link.as_ref().is_some_and(|link| self.is_fenced(link)) {
            self.detach();
            return Err(NoLink::Again);
        }
        if self.settings.session_pooling && !replica {
            self.pin(Some(PinReason::SessionMode));
        }
        if let Some(link) = &mut self.link {
            for text in self.state.begin.drain(..) {
                link.query(&text, To::Session);
            }
        }
        Ok(())
    }

    /// Tells the client what its connection reports differently from what it was told. While the answer is held back it
    /// is noted what to return to.
    pub(crate) fn tell_changes(&mut self, link: &mut Link) {
        if self.state.is_told(&mut link.server.params) {
            return;
        }
        let told = self.state.told();
        if link.held == Held::Yes {
            link.told_before.get_or_insert_with(|| told.clone());
        }
        link.server.params.encode_changes(told, &mut self.outbox);
        self.state.set_told(&link.server.params);
    }

    /// Throws away what was held back of an answer.
    pub(crate) fn unsay(&mut self, link: &mut Link) {
        self.outbox.clear();
        if let Some(told) = link.told_before.take() {
            self.state.set_told(&told);
        }
    }

    /// Waits for the answers to what was sent on the session's behalf; a failure closes the connection.
    async fn settle(&mut self) -> Result<(), NoLink> {
        let since = Instant::now();
        let relayed = self.relay(false).await?;
        self.tally.waits(since.elapsed());
        let fault = self.link.as_mut().and_then(|link| link.fault.take());
        match (relayed, fault) {
            (Relayed::Answered, None) => Ok(()),
            (_, Some(frame)) => {
                let replica = self.link.as_ref().filter(|link| link.replica).map(|link| link.server.node);
                self.detach();
                let fields =
                    pgsplit_wire::backend::Fields(frame.get(pgsplit_wire::HEADER..).unwrap_or_default());
                // A role or schema may not have been replayed there yet. A connection that the server has ended has been
                // sent nothing of the client's.
                match replica {
                    Some(node) => Err(NoLink::Elsewhere(node)),
                    None if fields.is_fatal() => Err(NoLink::Again),
                    None => Err(NoLink::Failed(as_error(&frame))),
                }
            }
            (Relayed::Broken(why), None) => {
                let node = self.link.as_ref().map(|link| (link.server.node, link.replica));
                self.hint();
                self.detach();
                match node {
                    Some((node, true)) => Err(NoLink::Elsewhere(node)),
                    _ if !matches!(why, Break::Protocol(_)) => Err(NoLink::Again),
                    _ => Err(PgError::error(sqlstate::CONNECTION_FAILURE, why.to_string()).into()),
                }
            }
            (Relayed::Client, None) => Ok(()),
        }
    }

    /// The client has gone: what still runs for it is cancelled.
    pub(crate) fn cancel_what_runs(&mut self) {
        if let Some(link) = self.link.take_if(|link| !link.owed.is_empty()) {
            if !link.replica {
                self.in_doubt();
            }
            link.server.abandon(self.shared.pools.environment().tls.load_full());
        }
    }

    /// Closes the connection that is held.
    pub(crate) fn detach(&mut self) {
        self.handle.set_running(None);
        self.link = None;
    }

    /// Ends the connection that the session was tied to, before the client sees the end of its own.
    pub(crate) async fn leave(&mut self) {
        if self.state.pin.is_some()
            && let Some(link) = self.link.take()
        {
            self.handle.set_running(None);
            Box::pin(link.part().end()).await;
        }
    }

    /// Gives the connection back, if the session does not need it any more.
    pub(crate) fn release(&mut self) {
        self.handle.set_running(None);
        let keeps = self.state.pin.is_some() || self.open;
        match self.link.take() {
            Some(link)
                if keeps || link.status != Status::Idle || !link.is_quiet() || link.held != Held::No =>
            {
                self.link = Some(link);
            }
            // It has statements that nothing will close any more, or settings, or the server has ended it.
            Some(link) if link.has_leftovers() || link.unclean || link.ended => drop(link),
            Some(link) => link.part().put_back(),
            None => {}
        }
    }

    /// Ties the session to its connection, or unties it.
    pub(crate) fn pin(&mut self, pin: Option<PinReason>) {
        if self.state.pin != pin {
            self.shared.metrics.pin_changed(self.state.pin, pin);
            self.handle.set_pin(pin);
            self.state.pin = pin;
        }
    }
}

/// How long a primary that cannot be reached is left alone before it is tried again, or its successor.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

pub(crate) fn no_primary(most: Duration) -> NoLink {
    let message = format!("no primary has appeared within health.failover_wait ({most:?})");
    PgError::error(sqlstate::CANNOT_CONNECT_NOW, message).into()
}

/// A server's refusal of a login is FATAL for that connection, but only an ERROR for the statement that needed it.
fn as_error(frame: &[u8]) -> BytesMut {
    let fields = pgsplit_wire::backend::Fields(frame.get(pgsplit_wire::HEADER..).unwrap_or_default());
    let mut out = BytesMut::new();
    pgsplit_wire::build::message(&mut out, b'E', |out| {
        for (code, value) in fields.iter() {
            out.extend_from_slice(&[code]);
            let severity = matches!(code, b'S' | b'V') && value == b"FATAL";
            out.extend_from_slice(if severity { b"ERROR" } else { value });
            out.extend_from_slice(&[0]);
        }
        out.extend_from_slice(&[0]);
    });
    out
}
