//! One server connection and what is known to be applied to it.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use lru::LruCache;
use pgsplit_net::{ClientTls, Stream};
use pgsplit_route::{NodeId, View};
use pgsplit_wire::build;

use crate::cancel::{self, CancelTarget};
use crate::listing::Connection;
use crate::params::Params;
use crate::pool::{Place, Pool};
use crate::settings::Settings;

/// A connection that has logged in. Whoever holds it has it alone; dropping it closes it.
#[derive(Debug)]
pub struct Server {
    /// The socket.
    pub stream: Stream,
    /// The node it leads to.
    pub node: NodeId,
    /// What it takes to cancel its statement.
    pub cancel: Arc<CancelTarget>,
    /// What the server has reported.
    pub params: Arc<Params>,
    /// Server-side statements that exist on it, least recently used first to go.
    pub prepared: LruCache<u64, ()>,
    /// The statement that its unnamed statement is, if that is known and exists.
    pub unnamed: Option<u64>,
    /// A session has used sequences on it, so that `currval` and `lastval` would tell their values.
    pub sequences: bool,
    /// The last question to the node when it was opened: see [`pgsplit_route::Progress::confirms`].
    pub opened: u64,
    applied: Arc<Settings>,
    /// What it was opened with: what RESET returns to on it.
    defaults: Arc<Settings>,
    /// Names of custom settings, which cannot be taken away again: an empty string is left behind where there was
    /// nothing.
    sticky: Vec<Box<[u8]>>,
    pub(crate) generation: u64,
    /// Of the pool's rights and defaults, when the login began.
    pub(crate) era: u64,
    pub(crate) expires: Instant,
    pub(crate) idle_since: Instant,
    /// As others see it.
    shown: Arc<Connection>,
    outstanding: Arc<AtomicU32>,
    /// Counted in `outstanding`.
    busy: bool,
    place: Place,
}

/// What a new connection is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub stream: Stream,
    pub node: NodeId,
    pub cancel: CancelTarget,
    pub params: Arc<Params>,
    pub base: Arc<Settings>,
    pub generation: u64,
    pub era: u64,
    pub expires: Instant,
    pub prepared: NonZeroUsize,
    pub shown: Arc<Connection>,
    pub outstanding: Arc<AtomicU32>,
    pub opened: u64,
}

impl Server {
    /// The place in the pool and on the node is already counted; it is given back when the connection is dropped.
    pub(crate) fn new(parts: Parts, place: Place) -> Box<Self> {
        Box::new(Self {
            stream: parts.stream,
            node: parts.node,
            cancel: Arc::new(parts.cancel),
            params: parts.params,
            prepared: LruCache::new(parts.prepared),
            unnamed: None,
            sequences: false,
            sticky: Vec::new(),
            applied: parts.base.clone(),
            defaults: parts.base,
            opened: parts.opened,
            generation: parts.generation,
            era: parts.era,
            expires: parts.expires,
            idle_since: Instant::now(),
            shown: parts.shown,
            outstanding: parts.outstanding,
            busy: false,
            place,
        })
    }

    /// Whether it leads to the server that the node is now: the same life of the primary, and the same of the addresses
    /// behind the node's name.
    pub(crate) fn leads_to(&self, view: &View) -> bool {
        let node = view.node(self.node).filter(|node| node.is_listed());
        self.generation == view.generation
            && node.is_some_and(|node| node.resolved.first().copied() == self.cancel.address())
    }

    /// The node, and the generation in which it was opened: the life of the primary that it leads to, if to the primary.
    #[must_use]
    pub fn life(&self) -> (NodeId, u64) {
        (self.node, self.generation)
    }

    /// The settings in force on it, as far as sessions made them.
    #[must_use]
    pub fn applied(&self) -> &Arc<Settings> {
        &self.applied
    }

    /// Notes the settings that are in force now.
    pub fn set_applied(&mut self, settings: &Arc<Settings>) {
        if Arc::ptr_eq(&self.applied, settings) {
            return;
        }
        for (name, _) in settings.iter().filter(|(name, _)| name.contains(&b'.')) {
            if !self.sticky.iter().any(|known| **known == *name) {
                self.sticky.push(name.into());
            }
        }
        self.applied = settings.clone();
    }

    /// Takes a report (ParameterStatus).
    pub fn report(&mut self, name: &[u8], value: &[u8]) {
        if !self.params.says(name, value) {
            Arc::make_mut(&mut self.params).set(name, value);
        }
    }

    /// Notes which client has it, for whoever looks.
    pub fn held_by(&self, client: i32) {
        self.shown.set_client(client);
    }

    /// Notes that a client is about to run something on it that may write.
    pub fn writes_for(&self, client: i32) {
        self.shown.set_writer(client);
    }

    /// Whether it can be brought into the state `want` of a session that began with `base`. What it was opened with
    /// comes back with every RESET, also in the middle of a message, so it must not be another session's.
    #[must_use]
    pub fn fits(&self, want: &Arc<Settings>, base: &Arc<Settings>) -> bool {
        let opened = self.defaults.is_empty() || Arc::ptr_eq(&self.defaults, base) || self.defaults == *base;
        opened
            && (Arc::ptr_eq(&self.applied, want) || self.sticky.iter().all(|name| want.get(name).is_some()))
    }

    /// What is certainly in force of `current` after a RESET of some names, for a session that began with `base`: where
    /// this connection was opened with another value than the session's, it has gone back to that one.
    #[must_use]
    pub fn after_reset(
        &self,
        current: &Arc<Settings>,
        base: &Arc<Settings>,
        was_reset: impl Fn(&[u8]) -> bool,
    ) -> Arc<Settings> {
        if Arc::ptr_eq(&self.defaults, base) || self.defaults == *base {
            return current.clone();
        }
        current.filtered(|name| {
            let start = base.get(name);
            !was_reset(name)
                || start.is_none()
                || start == self.defaults.get(name)
                || start != current.get(name)
        })
    }

    /// The pool it belongs to.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        self.place.pool()
    }

    /// Closes it, for another one in its place.
    pub(crate) fn close(mut self: Box<Self>) -> Place {
        self.place.hand_over()
    }

    /// Gives it back, clean: no transaction, nothing owed, no state but what is noted.
    ///
    /// While a cancel request for it is on its way, nobody gets it: a late cancel must not hit another client.
    pub fn put_back(mut self: Box<Self>) {
        if !self.cancel.is_busy() {
            if !self.cancel.is_doubtful() {
                Pool::put(self);
            }
            return;
        }
        tokio::spawn(async move {
            let settled = tokio::time::timeout(cancel::DEADLINE, self.settle()).await;
            if matches!(settled, Ok(Ok(()))) && !self.cancel.is_doubtful() {
                Pool::put(self);
            }
        });
    }

    /// Closes it although a statement runs on it. The statement is cancelled, since a server does not look for its client
    /// while it works; more than once, since it takes no cancel before it has begun. In the background, and not for long.
    pub fn abandon(mut self: Box<Self>, tls: Arc<ClientTls>) {
        const PAUSES: [u64; 3] = [50, 250, 1250];
        tokio::spawn(async move {
            for pause in PAUSES {
                self.cancel.begin().send(&tls).await;
                if tokio::time::timeout(Duration::from_millis(pause), self.until_silent()).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// Closes it, and waits until the server has hung up, though not for long: its locks and temporary objects are gone
    /// then. A client that reads to the end of a direct connection may rely on that.
    pub async fn end(mut self: Box<Self>) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut out = BytesMut::new();
        build::terminate(&mut out);
        let hung_up = async {
            self.stream.write_all(&out).await?;
            let mut chunk = [0; 256];
            while self.stream.read_some(&mut chunk).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(PATIENCE, hung_up).await;
    }

    /// Reads until the server has hung up or is ready for the next statement.
    async fn until_silent(&mut self) {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = self.stream.read_some(&mut chunk).await {
            let said = chunk.get(..n).unwrap_or_default();
            if said.len() >= 6 && said.get(said.len() - 6..said.len() - 1) == Some(&[b'Z', 0, 0, 0, 5]) {
                return;
            }
        }
    }

    /// Waits until the server has signalled the backend for every cancel, then for one empty round trip, in which an
    /// idle backend takes the signal and forgets it (`ProcessInterrupts` in postgres.c).
    async fn settle(&mut self) -> io::Result<()> {
        self.cancel.wait().await;
        let mut out = BytesMut::new();
        build::sync(&mut out);
        self.stream.write_all(&out).await?;
        let mut answer = BytesMut::with_capacity(64);
        while !answer.ends_with(&[b'Z', 0, 0, 0, 5, b'I']) {
            let mut chunk = [0; 256];
            match self.stream.read_some(&mut chunk).await? {
                n if n > 0 && answer.len() < 4096 => {
                    answer.extend_from_slice(chunk.get(..n).unwrap_or_default());
                }
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    /// Lends it to a session of this thread.
    pub(crate) fn lend(&mut self) {
        // A socket that is watched from elsewhere costs more and is no error.
        let _ = self.stream.come_home();
        self.set_busy(true);
    }

    /// Counts the node's statements in flight: a connection that is lent is one of them.
    pub(crate) fn set_busy(&mut self, busy: bool) {
        match (self.busy, busy) {
            (false, true) => self.outstanding.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.outstanding.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.busy = busy;
        if !busy {
            self.shown.set_client(0);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.set_busy(false);
        // A polite end keeps "unexpected EOF on client connection" out of the server's log; whether it fits into the
        // socket's buffer does not matter.
        let mut out = BytesMut::new();
        build::terminate(&mut out);
        let mut context = Context::from_waker(Waker::noop());
        if self.stream.poll_write(&mut context, &out).is_ready() {
            let _ = self.stream.poll_flush(&mut context);
        }
    }
}
