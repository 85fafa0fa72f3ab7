//! `[[tests]]`: statements with the decision that they must get.

use std::net::IpAddr;

use serde::Deserialize;

use super::Target;

/// A statement and what must become of it; run by `check` and before every reload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The statement, with its comments.
    pub sql: String,
    /// Who sends it; without one it is nobody whom a rule names.
    #[serde(default)]
    pub user: String,
    /// In which database.
    #[serde(default)]
    pub database: String,
    /// The session's application_name.
    #[serde(default)]
    pub application_name: String,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// What must become of it.
    pub expect: Expect,
}

/// The expected decision; what is absent is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Where it goes.
    pub target: Option<Target>,
    /// The rule that decides.
    pub rule: Option<String>,
}
