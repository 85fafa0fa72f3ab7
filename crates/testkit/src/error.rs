//! What can go wrong while a cluster is made, used or taken down. Errors carry the server's own words
//! (standard error, the end of the log), as whoever reads them sees a failed test and nothing else.

use std::{io, path::PathBuf, time::Duration};

/// An error of the test kit.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No PostgreSQL server of a supported version was found.
    #[error(
        "no PostgreSQL server (version 13 or newer) was found; looked in: {searched}\n\
         Install one: `apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora, RHEL),\n\
         `apk add postgresql postgresql-client` (Alpine), `brew install postgresql` (macOS);\n\
         or set PGSPLIT_PG_BINDIR to the directory that holds `postgres`, `initdb` and `psql`."
    )]
    NotInstalled {
        /// The places that were tried.
        searched: String,
    },
    /// Started by root, and there is no unprivileged user to run the servers as.
    #[error("PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUnprivilegedUser,
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{program} failed ({status}): {stderr}")]
    Command {
        /// The program's path.
        program: String,
        /// Its exit status.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A server did not start.
    #[error("PostgreSQL node {node} did not start; the end of its log:\n{log}")]
    Start {
        /// The node's name.
        node: String,
        /// The last lines of its log.
        log: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {limit:?}")]
    TimeOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// The node is not running.
    #[error("PostgreSQL node {node} is not running")]
    NotRunning {
        /// The node's name.
        node: String,
    },
}

impl Error {
    /// For `map_err`: names what was being done, and with which file.
    pub(crate) fn io(what: &str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.into().display());
        move |source| Self::Io { what, source }
    }
}
