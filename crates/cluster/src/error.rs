//! Why something that was asked of a server has no answer.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// A failure of the control plane. None of these says anything about the role that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's name did not resolve.
    #[error("cannot resolve {address}: {source}")]
    Resolve {
        /// As configured.
        address: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// No answer before the deadline: an overloaded, frozen or unreachable server.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection or the statement failed.
    #[error("{}", text(.0))]
    Server(#[from] tokio_postgres::Error),
    /// pgsplit's own login lacks a right; the text is the SQL that grants it.
    #[error("{reason}; as a superuser run: {grant}")]
    Denied {
        /// What the server refused.
        reason: String,
        /// SQL for the operator.
        grant: String,
    },
    /// An answer with a shape that was not asked for.
    #[error("{0}")]
    Answer(String),
    /// No node is up that could be asked.
    #[error("no server can be asked: none is up")]
    NoServer,
    /// More databases than the control plane watches.
    #[error("too many databases")]
    TooMany,
}

impl Error {
    /// The server's SQLSTATE, if a server said anything.
    #[must_use]
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            _ => None,
        }
    }

    /// Login or rights are wrong: asking again at once cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::Server(error) => error.code().is_some_and(|code| {
                [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    SqlState::INVALID_CATALOG_NAME,
                ]
                .contains(code)
            }),
            _ => false,
        }
    }
}

/// tokio-postgres prints `db error` and keeps the server's words in the source.
fn text(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} {} ({})", said.severity(), said.message(), said.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
