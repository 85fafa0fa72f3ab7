//! `[[tests]]`: statements with the decision that they must get.

use serde::Deserialize;

use super::Target;

/// A statement and what must become of it; run by `check` and before every reload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The statement, with its comments.
    pub sql: String,
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
