//! The server connections that there are, for whoever shows them.
//!
//! A connection is entered once, when it is opened, and leaves the list with itself. While it works, nothing is noted
//! but who has it, in a place of its own that no other connection shares.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use pgsplit_route::NodeId;

use crate::users::PoolKey;

/// One server connection, as others see it.
#[derive(Debug)]
pub struct Connection {
    /// The node it leads to.
    pub node: NodeId,
    /// Who logged in, and where.
    pub key: PoolKey,
    /// The process id of its backend.
    pub pid: i32,
    /// When it was opened.
    pub since: SystemTime,
    /// The client that has it; 0 is none.
    client: AtomicI32,
    /// The client that last ran something on it that may have written; 0 is none.
    writer: AtomicI32,
}

impl Connection {
    pub(crate) fn new(node: NodeId, key: PoolKey, pid: i32) -> Arc<Self> {
        Arc::new(Self {
            node,
            key,
            pid,
            since: SystemTime::now(),
            client: AtomicI32::new(0),
            writer: AtomicI32::new(0),
        })
    }

    /// The process id that its client was told; `None` while it is idle.
    #[must_use]
    pub fn client(&self) -> Option<i32> {
        Some(self.client.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// The process id that the client was told which last ran something on it that may have written.
    #[must_use]
    pub fn writer(&self) -> Option<i32> {
        Some(self.writer.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    pub(crate) fn set_writer(&self, pid: i32) {
        self.writer.store(pid, Ordering::Relaxed);
    }

    pub(crate) fn set_client(&self, pid: i32) {
        self.client.store(pid, Ordering::Relaxed);
    }
}

/// All server connections of the process.
#[derive(Debug, Default)]
pub(crate) struct Listing(Mutex<Vec<Weak<Connection>>>);

impl Listing {
    pub(crate) fn enter(&self, connection: &Arc<Connection>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(connection));
    }

    /// The connection to a node with this backend.
    pub(crate) fn of_backend(&self, node: NodeId, pid: i32) -> Option<Arc<Connection>> {
        self.all().into_iter().find(|one| one.node == node && one.pid == pid)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_gone_make_room() {
        let listing = Listing::default();
        let key = PoolKey { user: (*b"u").into(), database: (*b"d").into() };
        let kept = Connection::new(NodeId(0), key.clone(), 1);
        listing.enter(&kept);
        for pid in 2..1_000 {
            listing.enter(&Connection::new(NodeId(0), key.clone(), pid));
        }
        assert_eq!(listing.all().iter().map(|one| one.pid).collect::<Vec<_>>(), [1]);
        assert!(listing.0.lock().unwrap().capacity() < 16);
        assert_eq!(kept.client(), None);
        kept.set_client(7);
        assert_eq!(kept.client(), Some(7));
    }
}
