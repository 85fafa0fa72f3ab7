//! From an accepted connection to its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgsplit_net::Stream;

use crate::end::End;
use crate::login::{Entered, NoSession, login};
use crate::metrics::Metrics;
use crate::session::Session;
use crate::shared::Shared;

/// How long a last message may take to reach a client that is told to go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Serves one client until it leaves. Never panics on what the client sends; whatever goes wrong ends this session only.
pub async fn serve(shared: Arc<Shared>, mut stream: Stream) {
    Metrics::count(&shared.metrics.accepted);
    // A socket that is watched from elsewhere costs more and is no error.
    let _ = stream.come_home();
    let deadline = shared.settings.load().login;
    // Boxed: a login needs much more room than the session that lives on after it.
    match tokio::time::timeout(deadline, Box::pin(login(shared.clone(), stream))).await {
        Ok(Ok(Entered::Session(session))) => attend(session).await,
        Ok(Ok(Entered::Replication(passage))) => Box::pin(passage.run()).await,
        Ok(Err(NoSession::Tell(mut stream, frame))) => {
            Metrics::count(&shared.metrics.login_failures);
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await;
            stream.close(PATIENCE).await;
        }
        Ok(Err(NoSession::Done)) => {}
        Err(_) => Metrics::count(&shared.metrics.login_failures),
    }
}

async fn attend(mut session: Session) {
    let Err(end) = session.run().await else { return };
    if matches!(end, End::Client) {
        session.cancel_what_runs();
    }
    session.detach();
    match end {
        End::Client => {}
        End::Said => {
            let _ = tokio::time::timeout(PATIENCE, session.flush()).await;
        }
        End::Tell(error) => {
            tracing::debug!(peer = %session.client.peer(), %error, "session ended");
            let mut frame = BytesMut::new();
            error.encode(&mut frame);
            session.outbox.extend_from_slice(&frame);
            let _ = tokio::time::timeout(PATIENCE, session.flush()).await;
        }
    }
}
