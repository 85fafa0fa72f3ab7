//! `[auth]`: how clients log in, and pgsplit's own login.

use std::path::PathBuf;

use serde::Deserialize;

const QUERY: &str = "SELECT rolname, rolpassword, rolvaliduntil FROM pg_authid WHERE rolname = $1";

/// `[auth]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    pub(crate) method: AuthMethod,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) query: String,
    pub(crate) users: Option<PathBuf>,
    pub(crate) hba: Option<PathBuf>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            method: AuthMethod::default(),
            user: "pgsplit".to_owned(),
            password: None,
            query: QUERY.to_owned(),
            users: None,
            hba: None,
        }
    }
}

/// What a client must do to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMethod {
    /// Prove the password by SCRAM-SHA-256.
    #[default]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// Show a certificate whose common name is the user; needs `tls.client = "verify-full"`.
    Cert,
    /// Nothing.
    Trust,
}
