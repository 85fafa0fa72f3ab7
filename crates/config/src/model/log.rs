//! `[log]`.

use std::time::Duration;

use serde::Deserialize;

use crate::units::duration_or_off;

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives such as "info,pgsplit_pool=debug".
    pub level: String,
    /// One line of text, or one JSON object, per event.
    pub format: LogFormat,
    /// Statements that take longer are logged; `None` is off.
    #[serde(deserialize_with = "duration_or_off")]
    pub slow: Option<Duration>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, slow: Some(Duration::from_millis(250)) }
    }
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
