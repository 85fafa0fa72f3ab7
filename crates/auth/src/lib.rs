//! Logins: SCRAM-SHA-256 towards clients and towards servers, and PostgreSQL's stored passwords.
//!
//! Bytes in, bytes out: no sockets, no clock, no tokio. The frames around these bytes are `wire`'s, the
//! conversation is the session's (towards clients) and the pool's (towards servers). What links the two sides
//! is [`Keys`]: a client that proves its password gives away its ClientKey, and with it pgsplit logs in to any
//! server that holds the same verifier, without ever having seen a password.

mod cache;
mod crypto;
mod error;
mod mock;
mod sasl;
pub mod scram;
mod secret;
mod verifier;

pub use cache::KeyCache;
pub use error::Error;
pub use mock::MockSecret;
pub use sasl::{InitialResponse, cleartext_body, mechanism_list, mechanism_names};
pub use scram::Keys;
pub use secret::Secret;
pub use verifier::{StoredPassword, Verifier};

/// Longest SASL message that is looked at, in bytes; PostgreSQL's own limit is 1024.
pub const MAX_MESSAGE: usize = 4096;
