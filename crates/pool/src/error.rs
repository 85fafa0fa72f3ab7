//! Why there is no server connection: whose fault, which SQLSTATE, and whether another node may be tried.

use std::io;

use bytes::Bytes;
use pgsplit_wire::backend::Fields;
use pgsplit_wire::sqlstate::{self, SqlState};
use pgsplit_wire::{HEADER, PgError};
use thiserror::Error;

/// Why a connection could not be opened.
#[derive(Debug, Clone, Error)]
pub enum OpenError {
    /// The node cannot be reached: refused, reset, timed out, TLS failed.
    #[error("cannot connect to {node}: {why}")]
    Unreachable {
        /// The node's name.
        node: String,
        /// What the system said.
        why: String,
    },
    /// The server refused the login. Its ErrorResponse, whole, to be passed on as it is.
    #[error("{node} refused the login: {}", Fields(.frame.get(HEADER..).unwrap_or_default()).message())]
    Refused {
        /// The node's name.
        node: String,
        /// The ErrorResponse frame.
        frame: Bytes,
    },
    /// The login needs something that this side does not have.
    #[error("cannot log in on {node} as this user: {why}")]
    Credentials {
        /// The node's name.
        node: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// The server does not speak the protocol.
    #[error("{node} does not follow the protocol: {why}")]
    Protocol {
        /// The node's name.
        node: String,
        /// What was wrong.
        why: &'static str,
    },
}

impl OpenError {
    pub(crate) fn unreachable(node: &str, error: &io::Error) -> Self {
        Self::Unreachable { node: node.to_owned(), why: error.to_string() }
    }

    /// The server's own SQLSTATE, if it gave one.
    #[must_use]
    pub fn server_sqlstate(&self) -> Option<SqlState> {
        match self {
            Self::Refused { frame, .. } => Some(Fields(frame.get(HEADER..)?).sqlstate()),
            _ => None,
        }
    }

    /// Whether the node itself failed, as opposed to this login on it.
    #[must_use]
    pub fn is_node_failure(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Protocol { .. } => true,
            Self::Credentials { .. } => false,
            Self::Refused { .. } => {
                matches!(
                    self.server_sqlstate(),
                    Some(sqlstate::CANNOT_CONNECT_NOW | sqlstate::ADMIN_SHUTDOWN)
                )
            }
        }
    }
}

/// Why a session got no connection.
#[derive(Debug, Clone, Error)]
pub enum CheckoutError {
    /// None came free in time.
    #[error("no server connection came free within the time that pool.wait allows")]
    Timeout,
    /// The queue is full.
    #[error("too many clients wait for a server connection")]
    QueueFull,
    /// There is no such node in the present view.
    #[error("the node is not known")]
    NoNode,
    /// The node is not what it was when the waiting began.
    #[error("the node has changed")]
    Moved,
    /// One could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl CheckoutError {
    /// What a client is told; a server's own refusal is passed on by the caller instead.
    #[must_use]
    pub fn to_pg(&self) -> PgError {
        match self {
            Self::Timeout | Self::QueueFull => PgError::error(sqlstate::TOO_MANY_CONNECTIONS, self.to_string())
                .hint("Raise pool.primary_connections, pool.replica_connections or pool.wait, or shorten transactions."),
            Self::NoNode | Self::Moved => PgError::error(sqlstate::CANNOT_CONNECT_NOW, "there is no primary at the moment"),
            Self::Open(OpenError::Credentials { .. }) => {
                PgError::error(sqlstate::INVALID_AUTHORIZATION, self.to_string())
            }
            Self::Open(OpenError::Protocol { .. }) => PgError::error(sqlstate::PROTOCOL_VIOLATION, self.to_string()),
            Self::Open(_) => PgError::error(sqlstate::CONNECTION_FAILURE, self.to_string()),
        }
    }
}
