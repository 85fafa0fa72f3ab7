//! Passing a cancel request on to a server, and keeping the connection out of other hands until it has landed.
//!
//! A cancel request travels on a connection of its own and names only a backend. If the connection went to another
//! client meanwhile, that client's statement would be cancelled. So whoever cancels counts itself in before, under
//! the lock that also says which connection runs the statement, and a connection with a count above zero is not
//! given to anybody. The server closes the cancel's connection after it has signalled the backend.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use pgsplit_net::{ClientTls, ConnectTarget, connect};
use pgsplit_route::Node;
use pgsplit_wire::build;
use tokio::sync::Notify;

/// How long a cancel request may take before the connection it was for is closed instead.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// What it takes to cancel the statement that a server connection runs.
#[derive(Debug)]
pub struct CancelTarget {
    host: Box<str>,
    /// Of the addresses behind the node's name the one that is connected.
    address: Option<SocketAddr>,
    pid: i32,
    key: Box<[u8]>,
    in_flight: AtomicU32,
    /// Requests that were sent and of which it is not known that the server has acted on them.
    unanswered: AtomicU32,
    landed: Notify,
}

/// A cancel on its way; holds the server connection back until it is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<CancelTarget>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.landed.notify_waiters();
        }
    }
}

impl CancelTarget {
    pub(crate) fn new(node: &Node, pid: i32, key: &[u8]) -> Self {
        Self {
            host: host_of(&node.address).into(),
            address: node.resolved.first().copied(),
            pid,
            key: key.into(),
            in_flight: AtomicU32::new(0),
            unanswered: AtomicU32::new(0),
            landed: Notify::new(),
        }
    }

    /// The process id of the backend, for logs.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Where the connection leads.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Counts a cancel in. Call it under the lock that protects "this connection runs that client's statement".
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(self.clone())
    }

    /// Whether a cancel is on its way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Whether a cancel may still reach the server, whenever that will be: the connection is of no use to anybody then.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) > 0
    }

    /// Waits until no cancel is on its way.
    pub async fn wait(&self) {
        loop {
            let landed = self.landed.notified();
            if !self.is_busy() {
                return;
            }
            landed.await;
        }
    }
}

impl InFlight {
    /// Sends the request and waits until the server has acted on it (it closes the connection).
    pub async fn send(self, tls: &ClientTls) {
        let target = ConnectTarget::Tcp { addresses: self.0.address.as_slice(), host: &self.0.host };
        let work = async {
            let mut stream = connect(target, tls, DEADLINE).await.ok()?;
            let mut out = BytesMut::new();
            build::cancel(&mut out, self.0.pid, &self.0.key);
            self.0.unanswered.fetch_add(1, Ordering::AcqRel);
            stream.write_all(&out).await.ok()?;
            let answered = match stream.read_some(&mut [0; 16]).await {
                Ok(read) => read == 0,
                // The server closes a TLS connection without saying so.
                Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
            };
            if answered {
                self.0.unanswered.fetch_sub(1, Ordering::AcqRel);
            }
            Some(())
        };
        // A cancel that cannot be delivered is lost, as it is with PostgreSQL itself.
        let _ = tokio::time::timeout(DEADLINE, work).await;
    }
}

/// The host part of `host:port`, without the brackets of an IPv6 address.
pub(crate) fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
