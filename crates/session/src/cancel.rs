//! Cancel requests: carried out where the client is known, and otherwise handed to the processes that serve the same clients
//! (`peers`). With several processes on one port, or behind a load balancer, the request comes to any of them.
//!
//! A request that a peer hands on arrives at the console's address, and is never handed on again.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgsplit_config::Address;
use pgsplit_wire::build;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::metrics::Metrics;
use crate::registry::Cancelled;
use crate::shared::Shared;

/// How long a peer has to carry a request out.
const DEADLINE: Duration = Duration::from_secs(5);
/// Requests that are handed on at the same time; others are lost, as any cancel request may be. Anybody can send one.
const MOST: usize = 32;
static HANDED_ON: Semaphore = Semaphore::const_new(MOST);

/// Where a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Where clients come.
    Clients,
    /// The console's, where peers come.
    Console,
}

/// Carries out a CancelRequest (process id and key), and waits until it has reached the server.
pub(crate) async fn cancel(shared: &Arc<Shared>, body: &[u8], door: Door) {
    match shared.registry.cancel(body) {
        Cancelled::Unknown if door == Door::Clients => hand_on(shared, body).await,
        Cancelled::Unknown | Cancelled::Here => {}
        Cancelled::OnServer(in_flight) => {
            let environment = shared.pools.environment();
            Metrics::count(&environment.metrics.cancels);
            let tls = environment.tls.load_full();
            in_flight.send(&tls).await;
        }
    }
}

async fn hand_on(shared: &Arc<Shared>, body: &[u8]) {
    let peers = shared.settings.load().peers.clone();
    let Some((pid, key)) = body.split_first_chunk::<4>().filter(|_| !peers.is_empty()) else { return };
    let Ok(_permit) = HANDED_ON.try_acquire() else { return };
    let mut request = BytesMut::new();
    build::cancel(&mut request, i32::from_be_bytes(*pid), key);
    let request = request.freeze();
    let mut all = JoinSet::new();
    for peer in &*peers {
        let (peer, request) = (peer.clone(), request.clone());
        all.spawn(async move { tokio::time::timeout(DEADLINE, tell(&peer, &request)).await });
    }
    while all.join_next().await.is_some() {}
}

async fn tell(peer: &Address, request: &[u8]) {
    let told = async {
        let mut stream = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
        stream.write_all(request).await?;
        // It hangs up when the server has acted on it.
        stream.take(64).read_to_end(&mut Vec::new()).await
    };
    if let Err(error) = told.await {
        tracing::debug!(%peer, %error, "a cancel request could not be handed on");
    }
}
