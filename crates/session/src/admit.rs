//! Logins that lead to no server: the admin console's.
//!
//! What a client must do, and in what order it learns why it is not let in, is the same as for a session: TLS, SCRAM and
//! the look-up of verifiers are shared. Whether a name that has proved itself may come in is the caller's to say.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgsplit_net::Stream;
use pgsplit_wire::startup::{PROTOCOL_3_0, PROTOCOL_3_2, Replication, Startup};
use pgsplit_wire::{PgError, build, sqlstate};

use crate::cancel::Door;
use crate::login::{Guest, NoSession, Refusal, open};
use crate::shared::Shared;

/// How long a last message may take to reach a client that is told to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody who has proved who they are, and was not told so yet.
#[derive(Debug)]
pub struct Admitted {
    /// The connection.
    pub stream: Stream,
    /// Bytes that were read already.
    pub inbox: BytesMut,
    /// What is to be sent ahead of AuthenticationOk.
    pub out: BytesMut,
    /// What was asked for.
    pub startup: Startup,
}

/// Lets a client prove who it is. `None`: it could not, and has been told so, or it left.
pub async fn admit(
    shared: &Arc<Shared>,
    stream: Stream,
    may: impl Fn(&Startup) -> Result<(), PgError>,
) -> Option<Admitted> {
    let deadline = shared.settings.load().login;
    let attempt = Box::pin(attempt(shared, stream, may));
    match tokio::time::timeout(deadline, attempt).await.ok()? {
        Ok(admitted) => Some(admitted),
        Err(NoSession::Done) => None,
        Err(NoSession::Tell(mut stream, frame)) => {
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await;
            stream.close(PATIENCE).await;
            None
        }
    }
}

async fn attempt(
    shared: &Arc<Shared>,
    stream: Stream,
    may: impl Fn(&Startup) -> Result<(), PgError>,
) -> Result<Admitted, NoSession> {
    let (stream, startup) = open(shared, stream, Door::Console).await?;
    let mut guest =
        Guest { shared: shared.clone(), stream: Some(stream), handle: None, inbox: BytesMut::new() };
    let outcome = enter(&mut guest, &startup, may).await;
    let Some(stream) = guest.stream.take() else { return Err(NoSession::Done) };
    match outcome {
        Ok(out) => Ok(Admitted { stream, inbox: std::mem::take(&mut guest.inbox), out, startup }),
        Err(Refusal::Gone) => Err(NoSession::Done),
        Err(Refusal::Frame(frame)) => Err(NoSession::Tell(Box::new(stream), frame)),
        Err(Refusal::Error(error)) => {
            tracing::info!(user = %String::from_utf8_lossy(&startup.user), %error, "admin login refused");
            Err(NoSession::tell(stream, &error))
        }
    }
}

async fn enter(
    guest: &mut Guest,
    startup: &Startup,
    may: impl Fn(&Startup) -> Result<(), PgError>,
) -> Result<BytesMut, Refusal> {
    let mut out = BytesMut::new();
    if startup.negotiate {
        let version = if startup.minor >= 2 { PROTOCOL_3_2 } else { PROTOCOL_3_0 };
        let unknown: Vec<&[u8]> = startup.unknown_options.iter().map(Vec::as_slice).collect();
        build::negotiate(&mut out, version, &unknown);
    }
    if startup.replication != Replication::No {
        let why = "the console takes no replication connections";
        return Err(PgError::fatal(sqlstate::FEATURE_NOT_SUPPORTED, why).into());
    }
    guest.authenticate(startup, &mut out).await?;
    // Only now: who may come in is nobody's business who has not proved a name.
    may(startup)?;
    Ok(out)
}
