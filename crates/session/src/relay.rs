//! Moving bytes: between the client and the session's buffers, and between the session and the connection it holds.
//!
//! Everything happens in one task and one poll: what the server says is read into the thread's scratch buffer, walked,
//! and written to the client from there; only what the client does not take at once is copied. A client that does not
//! read stops the reading from its server, and a server that does not read stops the reading from its client.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use pgsplit_net::scratch;

use crate::answers::OutOfStep;
use crate::end::End;
use crate::link::{Held, Link};
use crate::session::Session;
use crate::spare;

/// Bytes that may wait for a client or for a server that does not take them.
const MAX_PENDING: usize = 64 * 1024;

/// What a relay came to.
#[derive(Debug)]
pub(crate) enum Relayed {
    /// All that was owed has been answered, or the server takes copy data now.
    Answered,
    /// The client has sent something.
    Client,
    /// The server connection has failed.
    Broken(Break),
}

/// How a server connection failed.
#[derive(Debug)]
pub(crate) enum Break {
    Io(io::Error),
    Protocol(OutOfStep),
    /// The node does not answer its probe.
    Silent,
    /// The node is not the primary any more.
    Fenced,
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection")
            }
            Self::Io(error) => error.fmt(f),
            Self::Protocol(OutOfStep(why)) => f.write_str(why),
            Self::Silent => f.write_str("the node does not answer"),
            Self::Fenced => f.write_str("the node is not the primary any more"),
        }
    }
}

impl Session {
    /// Relays until all is answered, or, with `listen`, until the client has sent something.
    pub(crate) async fn relay(&mut self, listen: bool) -> Result<Relayed, End> {
        poll_fn(|cx| self.poll_relay(cx, listen)).await
    }

    /// Sends until little enough waits for the server, passing on what it says meanwhile. `Some` when it has failed.
    pub(crate) async fn drain(&mut self) -> Result<Option<Break>, End> {
        poll_fn(|cx| {
            let Some(mut link) = self.link.take() else { return Poll::Ready(Ok(None)) };
            let polled = self.poll_drain(cx, &mut link);
            self.link = Some(link);
            polled
        })
        .await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<Result<Option<Break>, End>> {
        let sent = poll_send(cx, link);
        if sent.is_ok() && link.out.len() < MAX_PENDING {
            return Poll::Ready(Ok(None));
        }
        match (self.poll_answers(cx, link)?, sent) {
            (Poll::Ready(Relayed::Broken(why)), _) => Poll::Ready(Ok(Some(why))),
            (_, Err(error)) => Poll::Ready(Ok(Some(Break::Io(error)))),
            // The server has stopped taking copy data: what waits for it is still to be sent.
            (Poll::Ready(_), Ok(())) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (Poll::Pending, Ok(())) => match self.alarmed(cx, link) {
                Some(why) => Poll::Ready(Ok(Some(why))),
                None => Poll::Pending,
            },
        }
    }

    /// One round of [`Session::relay`].
    pub(crate) fn poll_relay(&mut self, cx: &mut Context<'_>, listen: bool) -> Poll<Result<Relayed, End>> {
        let Some(mut link) = self.link.take() else {
            // Without a connection there is only the client.
            if self.poll_flush(cx, Held::No)?.is_pending() && self.outbox.len() >= MAX_PENDING {
                return Poll::Pending;
            }
            return self.poll_client(cx).map_ok(|()| Relayed::Client);
        };
        let polled = self.poll_link(cx, &mut link, listen);
        self.link = Some(link);
        polled
    }

    fn poll_link(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        listen: bool,
    ) -> Poll<Result<Relayed, End>> {
        if let Err(error) = poll_send(cx, link) {
            // What the server said last may explain it.
            let _ = self.poll_answers(cx, link)?;
            return Poll::Ready(Ok(Relayed::Broken(Break::Io(error))));
        }
        if !listen && link.is_quiet() {
            return Poll::Ready(Ok(Relayed::Answered));
        }
        match self.poll_answers(cx, link)? {
            Poll::Ready(relayed) => return Poll::Ready(Ok(relayed)),
            Poll::Pending => {}
        }
        if let Some(why) = self.alarmed(cx, link) {
            return Poll::Ready(Ok(Relayed::Broken(why)));
        }
        if listen && link.out.len() < MAX_PENDING && self.outbox.len() < MAX_PENDING {
            ready!(self.poll_client(cx))?;
            return Poll::Ready(Ok(Relayed::Client));
        }
        self.poll_gone(cx)
    }

    /// Notices a client that goes away while its statement runs or waits; what it sends meanwhile is kept.
    pub(crate) fn poll_gone<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, End>> {
        while self.inbox.len() < MAX_PENDING {
            if let Err(end) = ready!(self.poll_client(cx)) {
                // What it sent before, Terminate at least, is carried out first, as a server does.
                return if self.inbox.is_empty() { Poll::Ready(Err(end)) } else { Poll::Pending };
            }
        }
        Poll::Pending
    }

    /// Reads what the server says and passes it on, until nothing more comes or all is answered.
    fn poll_answers(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Result<Poll<Relayed>, End> {
        loop {
            if self.poll_flush(cx, link.held)?.is_pending() && self.outbox.len() >= MAX_PENDING {
                return Ok(Poll::Pending);
            }
            let read = scratch::with(|buffer| self.poll_answer(cx, link, buffer))?;
            if link.is_probed() {
                // What was just asked is sent. A connection that takes no more is found broken by the next read.
                let _ = poll_send(cx, link);
            }
            match read {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(broken)) => return Ok(Poll::Ready(Relayed::Broken(broken))),
                Poll::Ready(Ok(())) if self.fatal => {
                    if !link.replica {
                        self.in_doubt();
                    }
                    return Err(End::Said);
                }
                Poll::Ready(Ok(())) if link.is_quiet() || link.copy_in => {
                    return Ok(Poll::Ready(Relayed::Answered));
                }
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Reads once from the server and passes on what is the client's.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        link: &mut Link,
        buffer: &mut [u8],
    ) -> Result<Poll<Result<(), Break>>, End> {
        let n = match link.server.stream.poll_read(cx, buffer) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(error)) => return Ok(Poll::Ready(Err(Break::Io(error)))),
            Poll::Ready(Ok(0)) => {
                return Ok(Poll::Ready(Err(Break::Io(io::ErrorKind::UnexpectedEof.into()))));
            }
            Poll::Ready(Ok(n)) => n,
        };
        let data = buffer.get(..n).unwrap_or_default();
        let run = match self.walk(link, data) {
            Ok(run) => run,
            Err(why) => return Ok(Poll::Ready(Err(Break::Protocol(why)))),
        };
        let mut run = data.get(run).unwrap_or_default();
        if link.held == Held::Yes && self.outbox.len() + run.len() > self.settings.retry_buffer {
            link.held = Held::No;
        }
        if self.outbox.is_empty() && link.held == Held::No && !run.is_empty() {
            while !run.is_empty() {
                match self.client.poll_write(cx, run) {
                    Poll::Ready(Ok(n)) if n > 0 => run = run.get(n..).unwrap_or_default(),
                    Poll::Ready(_) => return Err(End::Client),
                    Poll::Pending => break,
                }
            }
            if self.client.is_tls() && matches!(self.client.poll_flush(cx), Poll::Ready(Err(_))) {
                return Err(End::Client);
            }
        }
        self.outbox.extend_from_slice(run);
        let _ = self.poll_flush(cx, link.held)?;
        Ok(Poll::Ready(Ok(())))
    }

    /// Sends what waits for the client, unless it is held back.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, held: Held) -> Result<Poll<()>, End> {
        if held != Held::No {
            return Ok(Poll::Ready(()));
        }
        while !self.outbox.is_empty() {
            match self.client.poll_write(cx, &self.outbox) {
                Poll::Ready(Ok(n)) if n > 0 => self.outbox.advance(n),
                Poll::Ready(_) => return Err(End::Client),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        match self.client.is_tls().then(|| self.client.poll_flush(cx)) {
            Some(Poll::Ready(Err(_))) => Err(End::Client),
            Some(Poll::Pending) => Ok(Poll::Pending),
            _ => Ok(Poll::Ready(())),
        }
    }

    /// Waits until everything for the client is sent.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        poll_fn(|cx| match self.poll_flush(cx, Held::No) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(end) => Poll::Ready(Err(end)),
        })
        .await
    }

    /// Reads once from the client.
    pub(crate) fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        scratch::with(|buffer| match ready!(self.client.poll_read(cx, buffer)) {
            Ok(n) if n > 0 => {
                if self.inbox.capacity() == 0 {
                    self.inbox = spare::buffer();
                }
                self.inbox.extend_from_slice(buffer.get(..n).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(End::Client)),
        })
    }
}

/// Sends what waits for the server.
fn poll_send(cx: &mut Context<'_>, link: &mut Link) -> io::Result<()> {
    while !link.out.is_empty() {
        match link.server.stream.poll_write(cx, &link.out) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(n)) => link.out.advance(n),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(()),
        }
    }
    if link.server.stream.is_tls()
        && let Poll::Ready(flushed) = link.server.stream.poll_flush(cx)
    {
        flushed?;
    }
    Ok(())
}
