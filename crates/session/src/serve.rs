//! From an accepted connection to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, mem};

use bytes::BytesMut;
use pgsplit_net::Stream;

use crate::end::End;
use crate::login::{Entered, NoSession, login};
use crate::metrics::Metrics;
use crate::relay::Relayed;
use crate::session::Session;
use crate::shared::Shared;

/// How long a last message may take to reach a client that is told to go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Serves one client until it leaves. Never panics on what the client sends; whatever goes wrong ends this session only.
///
/// Thousands of clients are idle, so this is no more than what waits for one: whatever is done for a client, its login
/// at first, is on the heap while it is done.
#[derive(Debug)]
pub struct Serve(Doing);

enum Doing {
    /// Something is done for the client; ends with the session when the client is waited for again.
    Busy(Pin<Box<dyn Future<Output = Option<Box<Session>>> + Send>>),
    /// The client is waited for.
    Idle(Box<Session>),
    Over,
}

impl fmt::Debug for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(_) => f.write_str("Busy"),
            Self::Idle(session) => session.fmt(f),
            Self::Over => f.write_str("Over"),
        }
    }
}

/// Serves the client of an accepted connection.
pub fn serve(shared: Arc<Shared>, stream: Stream) -> Serve {
    Serve(Doing::Busy(Box::pin(async {
        let session = enter(shared, stream).await?;
        session.turn(Ok(Relayed::Client)).await
    })))
}

impl Future for Serve {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.0 {
                Doing::Busy(work) => match ready!(work.as_mut().poll(cx)) {
                    Some(session) => self.0 = Doing::Idle(session),
                    None => self.0 = Doing::Over,
                },
                Doing::Idle(session) => {
                    let heard = ready!(session.poll_next(cx));
                    if let Doing::Idle(session) = mem::replace(&mut self.0, Doing::Over) {
                        self.0 = Doing::Busy(Box::pin(session.turn(heard)));
                    }
                }
                Doing::Over => return Poll::Ready(()),
            }
        }
    }
}

/// Logs a client in. What is no session is over when this is.
async fn enter(shared: Arc<Shared>, mut stream: Stream) -> Option<Box<Session>> {
    Metrics::count(&shared.metrics.accepted);
    // A socket that is watched from elsewhere costs more and is no error.
    let _ = stream.come_home();
    let deadline = shared.settings.load().login;
    match tokio::time::timeout(deadline, login(shared.clone(), stream)).await {
        Ok(Ok(Entered::Session(session))) => return Some(session),
        Ok(Ok(Entered::Replication(passage))) => Box::pin(passage.run()).await,
        Ok(Err(NoSession::Tell(mut stream, frame))) => {
            Metrics::count(&shared.metrics.login_failures);
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await;
            stream.close(PATIENCE).await;
        }
        Ok(Err(NoSession::Done)) => {}
        Err(_) => Metrics::count(&shared.metrics.login_failures),
    }
    None
}

impl Session {
    /// Does what is to be done about what was heard, until there is nothing to do but to wait for the client; `None` when
    /// it has been left.
    async fn turn(mut self: Box<Self>, heard: Result<Relayed, End>) -> Option<Box<Self>> {
        match self.run(heard).await {
            Ok(()) => Some(self),
            Err(end) => {
                self.farewell(end).await;
                None
            }
        }
    }

    /// The last words, and the end.
    async fn farewell(mut self: Box<Self>, end: End) {
        if matches!(end, End::Client) {
            self.cancel_what_runs();
            self.leave().await;
        }
        self.detach();
        match end {
            End::Client => return,
            End::Said => {}
            End::Tell(error) => {
                tracing::debug!(peer = %self.client.peer(), %error, "session ended");
                let mut frame = BytesMut::new();
                error.encode(&mut frame);
                self.outbox.extend_from_slice(&frame);
            }
        }
        let _ = tokio::time::timeout(PATIENCE, self.flush()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every idle client costs, whatever else it does: a task around the one, and the other.
    #[test]
    fn an_idle_client_is_small() {
        assert_eq!(size_of::<Serve>(), 24);
        assert!(size_of::<Session>() <= 792, "{}", size_of::<Session>());
    }
}
