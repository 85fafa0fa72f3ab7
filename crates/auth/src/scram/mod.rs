//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) as PostgreSQL speaks it: the user name is empty
//! in the messages, channel binding is `tls-server-end-point`, no extensions, no authorization identity.

mod client;
mod message;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::Secret;
use crate::crypto::{Digest32, hmac, normalised, salted_password};

pub use client::{Client, Credential};
pub use server::Server;

/// Without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// With channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

pub(crate) const CLIENT_KEY: &[u8] = b"Client Key";
pub(crate) const SERVER_KEY: &[u8] = b"Server Key";

/// The GSS header of a client that binds to the channel; the hash of the certificate follows it in `c=`.
const BINDING_HEADER: &[u8] = b"p=tls-server-end-point,,";

/// Bytes of randomness in a nonce, as PostgreSQL's SCRAM_RAW_NONCE_LEN.
const NONCE_BYTES: usize = 18;

/// What logs a user in to any server whose verifier has this salt and iteration count.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Proves the password to a server.
    pub client_key: [u8; 32],
    /// Checks the server's answer.
    pub server_key: [u8; 32],
    /// The verifier's salt.
    pub salt: Box<[u8]>,
    /// The verifier's iteration count.
    pub iterations: u32,
}

impl Keys {
    /// The keys of a password: `iterations` rounds of PBKDF2, about a millisecond at 4096.
    pub fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&normalised(password.expose()), salt, iterations);
        Self {
            client_key: hmac(&salted, &[CLIENT_KEY]),
            server_key: hmac(&salted, &[SERVER_KEY]),
            salt: salt.into(),
            iterations,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A signature over the parts of RFC 5802's AuthMessage: client-first-bare, server-first, and client-final
/// without its proof.
fn sign(key: &Digest32, client_first_bare: &[u8], server_first: &[u8], without_proof: &[u8]) -> Digest32 {
    hmac(key, &[client_first_bare, b",", server_first, b",", without_proof])
}
