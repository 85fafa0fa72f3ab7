//! The admin console: a `pgwire` server with one virtual database, `pgsplit`, for `psql` and any driver.
//!
//! It runs on the control plane's thread, beside the line: what it shows it reads from counters and lists that others
//! keep, at the moment of the command. Logins, TLS and the cutting of messages are the clients' own (`pgsplit-session`,
//! `pgsplit-net`, `pgsplit-wire`), because `pgwire`'s are not made for bytes from strangers; commands, portals, types
//! and answers are `pgwire`'s. What only the binary can do (reload, explain) it hands in as [`Operations`].

mod command;
mod connection;
mod fault;
mod handler;
mod operations;
mod rules;
mod show;
mod statements;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use pgsplit_net::{Listener, Stream};
use pgsplit_wire::startup::Startup;
use pgsplit_wire::{PgError, sqlstate};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use fault::Fault;
pub use operations::{Change, Loaded, Moved, Operations, Proof, RuleLine, Setting};
pub(crate) use rules::wall;

use crate::http::Sources;
use connection::{Connection, End};
use handler::Handler;

/// The one database.
pub const DATABASE: &str = "pgsplit";
/// Connections at a time, logins in progress included.
const CONNECTIONS: usize = 100;

/// The console of this process.
#[derive(Debug)]
pub struct Console {
    pub(crate) sources: Sources,
    pub(crate) operations: Arc<dyn Operations>,
    pub(crate) started: SystemTime,
    next: AtomicI32,
}

impl Console {
    /// Puts it together.
    #[must_use]
    pub fn new(sources: Sources, operations: Arc<dyn Operations>) -> Arc<Self> {
        Arc::new(Self { sources, operations, started: SystemTime::now(), next: AtomicI32::new(1) })
    }

    /// Serves until `stop`.
    pub async fn serve(self: Arc<Self>, mut listener: Listener, stop: CancellationToken) {
        let (room, connections) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::error!(%error, "the console accepts no more connections");
                    return;
                }
            };
            let Ok(place) = room.clone().try_acquire_owned() else {
                connections.spawn(turn_away(stream));
                continue;
            };
            let (console, stop) = (self.clone(), stop.clone());
            connections.spawn(async move {
                stop.run_until_cancelled(console.connection(stream)).await;
                drop(place);
            });
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(self: Arc<Self>, stream: Stream) {
        let may = |startup: &Startup| self.may(startup);
        let Some(admitted) = pgsplit_session::admit(&self.sources.shared, stream, may).await else { return };
        let user = String::from_utf8_lossy(&admitted.startup.user).into_owned();
        tracing::info!(user, peer = %admitted.stream.peer(), "admin logged in");
        let pid = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let Ok(mut connection) = Connection::begin(admitted, Handler { console: self }, pid).await else {
            return;
        };
        if let Err(End::Violation(why)) = connection.run().await {
            connection.refuse(why).await;
        }
    }

    /// Whether somebody who has proved a name may come in.
    fn may(&self, startup: &Startup) -> Result<(), PgError> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (user, database) = (name(&startup.user), name(&startup.database));
        if !self.operations.admits(&user) {
            let message = format!("role \"{user}\" may not use the console");
            return Err(PgError::fatal(sqlstate::INVALID_AUTHORIZATION, message)
                .hint("admin_users in the configuration lists who may."));
        }
        if database != DATABASE {
            let message = format!("database \"{database}\" does not exist");
            return Err(PgError::fatal(sqlstate::INVALID_CATALOG_NAME, message)
                .hint("This is pgsplit's console; its database is \"pgsplit\"."));
        }
        Ok(())
    }
}

async fn turn_away(mut stream: Stream) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut frame = BytesMut::new();
    PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, "too many connections to the console").encode(&mut frame);
    let _ = tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await;
    stream.close(PATIENCE).await;
}
