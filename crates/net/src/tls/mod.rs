//! TLS settings for both directions: from PEM files and a level to what a handshake needs.
//!
//! Both kinds are immutable and cheap to clone; a reload makes a new one. No global state: the crypto
//! provider (aws-lc-rs) is handed over explicitly, so that another library in the process may choose its own.
//! Handshakes themselves are in `accept` and `connect`.

mod binding;
mod client;
mod pem;
mod server;
pub(crate) mod session;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::{ClientTls, ConnectLevel};
pub use server::{AcceptLevel, ServerTls};

/// The name of PostgreSQL's protocol in ALPN.
pub const ALPN: &[u8] = b"postgresql";

/// Why TLS settings could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not work together.
    #[error("certificate {} and key {}: {source}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// A level needs a file that was not given.
    #[error("TLS level {level} needs {what}")]
    Missing {
        /// The level's name in the configuration.
        level: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The platform has no usable root certificates.
    #[error("no root certificates on this system: {0}")]
    NoRoots(String),
    /// rustls refused the settings as a whole.
    #[error("TLS settings: {0}")]
    Settings(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
