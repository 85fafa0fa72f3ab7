//! PostgreSQL's frontend/backend protocol as bytes: frames, readers of message bodies over `&[u8]`, builders.
//!
//! For: finding where a message begins and ends, reading the few message types that the proxy acts on, building
//! the few that it says itself. Not for: sockets (`pgsplit-net`), what a message means for a session
//! (`pgsplit-session`), rows (they are never decoded: they pass as the bytes that arrived).
//!
//! Every reader takes a borrowed slice, checks each length and answers an error instead of panicking.
//! Control messages that carry only text are encoded by the `pgwire` crate; its decoder is not used.
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", sections 55.2, 55.7 and 55.8.

pub mod backend;
pub mod build;
pub mod error;
pub mod frame;
pub mod frontend;
pub mod sqlstate;
pub mod startup;

pub use error::{PgError, Severity};
pub use frame::{Frame, FrameError, HEADER, Header, Limits, next_frame};

/// The transaction status byte of ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// `I`: no transaction.
    Idle,
    /// `T`: in a transaction.
    Transaction,
    /// `E`: in a failed transaction.
    Failed,
}

impl Status {
    /// The byte on the wire.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Transaction => b'T',
            Self::Failed => b'E',
        }
    }

    /// Reads the byte on the wire.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::Transaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }
}
