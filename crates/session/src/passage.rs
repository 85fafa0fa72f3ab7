//! A replication connection: a client and a connection to the primary that is its own, and the bytes between them.
//!
//! The replication protocol cannot be pooled, and nothing in it can be decided, so nothing is read but where messages
//! begin. It has left the line after the login, and it ends when one side closes it, when the process drains (a command
//! such as BASE_BACKUP is let finish), or when its server is the primary no more.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pgsplit_net::{Stream, scratch};
use pgsplit_pool::{CheckoutError, Credentials, Dedicated};
use pgsplit_route::PinReason;
use pgsplit_wire::startup::Startup;
use pgsplit_wire::{PgError, sqlstate};
use tokio::time::{Interval, interval};

use crate::phase::Phase;
use crate::registry::{Client, ClientState};
use crate::serve::PATIENCE;
use crate::shared::Shared;

/// How often it is looked whether the server is still the primary.
const LOOK: Duration = Duration::from_millis(500);

/// A connection to the primary, and the generation that it was the primary of.
#[derive(Debug)]
pub(crate) struct Opened {
    pub server: Dedicated,
    generation: u64,
}

/// Opens a connection to the primary with the client's own start-up parameters.
pub(crate) async fn open(
    shared: &Shared,
    startup: &Startup,
    credentials: &Credentials,
) -> Result<Opened, CheckoutError> {
    let view = shared.view.load_full();
    let parameters = [
        (&b"user"[..], &startup.user[..]),
        (b"database", &startup.database),
        (b"replication", startup.replication.value()),
        (b"options", &startup.options),
    ];
    let settings = startup.settings.iter().map(|(name, value)| (&name[..], &value[..]));
    let settings = settings.filter(|(name, _)| !name.starts_with(b"pgsplit."));
    let parameters: Vec<_> = parameters.into_iter().chain(settings).collect();
    let primary = view.primary.ok_or(CheckoutError::NoNode)?;
    let environment = shared.pools.environment();
    let server = Dedicated::open(environment, primary, &startup.user, credentials, &parameters).await?;
    Ok(Opened { server, generation: view.generation })
}

/// A replication connection.
#[derive(Debug)]
pub(crate) struct Passage {
    place: Place,
    client: Stream,
    server: Dedicated,
    generation: u64,
    up: Pipe,
    down: Pipe,
    phase: Phase,
}

/// The client's place among all clients, given back when it is dropped.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    handle: Arc<Client>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handle.set_running(None);
        self.shared.metrics.pin_changed(Some(PinReason::Replication), None);
        self.shared.registry.remove(&self.handle);
    }
}

/// Who or what ended a passage.
#[derive(Debug)]
enum Ended {
    Client,
    Server,
    Drained,
    Deposed,
}

impl Passage {
    /// `early` is what the client has already sent behind its login.
    pub(crate) fn new(
        shared: Arc<Shared>,
        client: Stream,
        handle: Arc<Client>,
        opened: Opened,
        early: BytesMut,
    ) -> Self {
        let Opened { server, generation } = opened;
        handle.set_state(ClientState::Replication);
        handle.set_running(Some(server.cancel.clone()));
        shared.metrics.pin_changed(None, Some(PinReason::Replication));
        let mut phase = Phase::new();
        if !early.is_empty() {
            phase.client_spoke();
        }
        let (up, down) = (Pipe(early), Pipe::default());
        Self { place: Place { shared, handle }, client, server, generation, up, down, phase }
    }

    /// Carries bytes both ways until it ends.
    pub(crate) async fn run(mut self) {
        let mut look = interval(LOOK);
        let ended = poll_fn(|cx| self.poll(cx, &mut look)).await;
        tracing::debug!(peer = %self.place.handle.peer, ?ended, "replication connection ended");
        let why = match ended {
            Ended::Client => return,
            Ended::Server => None,
            Ended::Drained => Some("terminating connection due to administrator command"),
            Ended::Deposed => Some("terminating connection because the server is not the primary any more"),
        };
        if let Some(why) = why.filter(|_| self.phase.is_between()) {
            PgError::fatal(sqlstate::ADMIN_SHUTDOWN, why).encode(&mut self.down.0);
        }
        let _ = tokio::time::timeout(PATIENCE, self.client.write_all(&self.down.0)).await;
        self.client.close(PATIENCE).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, look: &mut Interval) -> Poll<Ended> {
        let Self { client, server, up, down, phase, .. } = self;
        match down.poll(cx, &mut server.stream, client, |bytes| phase.server_spoke(bytes)) {
            Poll::Ready(Gone::Reader) => return Poll::Ready(Ended::Server),
            Poll::Ready(Gone::Writer) => return Poll::Ready(Ended::Client),
            Poll::Pending => {}
        }
        // Where the server takes no more, it is found gone by the next read, behind whatever it said last.
        if let Poll::Ready(Gone::Reader) = up.poll(cx, client, &mut server.stream, |_| phase.client_spoke()) {
            return Poll::Ready(Ended::Client);
        }
        if self.place.handle.poll_closing(cx).is_ready() && self.phase.may_end() {
            return Poll::Ready(Ended::Drained);
        }
        while look.poll_tick(cx).is_ready() {
            if self.place.shared.view.load().generation != self.generation {
                return Poll::Ready(Ended::Deposed);
            }
        }
        Poll::Pending
    }
}

/// Which end of a pipe has gone.
enum Gone {
    Reader,
    Writer,
}

/// One direction. Holds what was read and is not taken by the other side yet, one read at most.
#[derive(Debug, Default)]
struct Pipe(BytesMut);

impl Pipe {
    /// Moves bytes until neither side can go on. `seen` is shown what was read.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        mut seen: impl FnMut(&[u8]),
    ) -> Poll<Gone> {
        loop {
            while !self.0.is_empty() {
                match ready!(to.poll_write(cx, &self.0)) {
                    Ok(n @ 1..) => self.0.advance(n),
                    _ => return Poll::Ready(Gone::Writer),
                }
            }
            if ready!(to.poll_flush(cx)).is_err() {
                return Poll::Ready(Gone::Writer);
            }
            // An idle connection owns no buffer.
            self.0 = BytesMut::new();
            let read = scratch::with(|buffer| {
                let n = ready!(from.poll_read(cx, buffer)).unwrap_or(0);
                let mut bytes = buffer.get(..n).unwrap_or_default();
                if n > 0 {
                    seen(bytes);
                }
                while !bytes.is_empty() {
                    match to.poll_write(cx, bytes) {
                        Poll::Ready(Ok(written @ 1..)) => bytes = bytes.get(written..).unwrap_or_default(),
                        // The error is met again above.
                        _ => break,
                    }
                }
                self.0.extend_from_slice(bytes);
                Poll::Ready(n)
            });
            if ready!(read) == 0 {
                return Poll::Ready(Gone::Reader);
            }
        }
    }
}
