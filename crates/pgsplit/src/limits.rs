//! The limit of open files: thousands of clients need thousands of descriptors, and the usual soft limit is 1024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one and returns what is in force; `None` is no limit.
pub(crate) fn raise_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, limit = current, "the limit of open files cannot be raised");
            current
        }
    }
}

/// Descriptors for everything but clients and their server connections: listeners, control connections, files.
const OTHERS: u64 = 200;

/// Warns when the limit is too low for that many clients.
pub(crate) fn check_files(limit: Option<u64>, clients: usize) {
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    if let Some(limit) = limit.filter(|&limit| limit < clients.saturating_add(OTHERS)) {
        tracing::warn!(
            limit,
            clients,
            "the limit of open files is too low for pool.max_clients; raise the hard limit (LimitNOFILE in systemd, \
             ulimit -Hn in a shell) or lower pool.max_clients"
        );
    }
}
