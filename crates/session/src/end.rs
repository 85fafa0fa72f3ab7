//! How a session ends.

use pgsplit_wire::{FrameError, PgError, sqlstate};

/// Why a session ends, and what the client is told last.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said goodbye, or hung up.
    Client,
    /// Something must be said before the connection is closed.
    Tell(Box<PgError>),
    /// All has been said (a server's own FATAL was passed on).
    Said,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Tell(Box::new(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, error.to_string())))
    }
}

impl From<PgError> for End {
    fn from(error: PgError) -> Self {
        Self::Tell(Box::new(error))
    }
}
