//! `[tls]`: towards clients and towards servers.

use std::path::PathBuf;

use serde::Deserialize;

/// `[tls]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) client: ClientTls,
    pub(crate) server: ServerTls,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
}

/// TLS between clients and pgsplit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTls {
    /// Not offered.
    Disable,
    /// Offered when there is a certificate; plain connections are accepted.
    #[default]
    Prefer,
    /// Plain TCP connections are refused.
    Require,
    /// As require, and clients must show a certificate signed by `ca`.
    VerifyFull,
}

/// TLS between pgsplit and the servers; the meanings are those of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerTls {
    /// Never.
    Disable,
    /// When the server has it; its certificate is not checked.
    #[default]
    Prefer,
    /// Always; its certificate is not checked.
    Require,
    /// Always; the certificate must be signed by `ca`, or without one by an authority of the platform.
    VerifyCa,
    /// As verify-ca, and the certificate must be for the node's host.
    VerifyFull,
}
