//! Conditions on the session: they are looked at when it begins, and again when its application_name changes.

use std::net::IpAddr;

use super::pattern::{Network, Pattern};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionCondition {
    User(Vec<Pattern>),
    Database(Vec<Pattern>),
    ApplicationName(Vec<Pattern>),
    Client(Vec<Network>),
}

/// Who speaks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speaker<'a> {
    /// The user that has logged in.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The session's application_name, empty when it has none.
    pub application_name: &'a str,
    /// Where the client is; a client on a Unix socket is nowhere.
    pub client: Option<IpAddr>,
}

impl SessionCondition {
    pub(crate) fn check(&self, speaker: &Speaker<'_>) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        match self {
            Self::User(users) => any(users, speaker.user),
            Self::Database(databases) => any(databases, speaker.database),
            Self::ApplicationName(names) => any(names, speaker.application_name),
            Self::Client(networks) => {
                speaker.client.is_some_and(|client| networks.iter().any(|network| network.has(client)))
            }
        }
    }

    /// The key in the configuration.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::User(_) => "match.user",
            Self::Database(_) => "match.database",
            Self::ApplicationName(_) => "match.application_name",
            Self::Client(_) => "match.client",
        }
    }
}
