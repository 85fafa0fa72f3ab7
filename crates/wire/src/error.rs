//! An error or notice that the proxy itself says to a client, in PostgreSQL's fields.

use bytes::BytesMut;
use pgwire::messages::Message;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::sqlstate::SqlState;

/// What the message means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement (and its transaction) failed.
    Error,
    /// The connection ends.
    Fatal,
    /// For information.
    Notice,
    /// Something to look at.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// An ErrorResponse or NoticeResponse of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgError {
    /// What it means for the session.
    pub severity: Severity,
    /// Five characters.
    pub code: SqlState,
    /// One line, in lower case as PostgreSQL writes them.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// The function of PostgreSQL that this error stands for: some drivers tell errors of one code apart by it.
    pub routine: Option<&'static str>,
}

impl PgError {
    /// An ERROR.
    #[must_use]
    pub fn error(code: SqlState, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            routine: None,
        }
    }

    /// A FATAL error: the connection ends with it.
    #[must_use]
    pub fn fatal(code: SqlState, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fatal, ..Self::error(code, message) }
    }

    /// A NOTICE or WARNING.
    #[must_use]
    pub fn notice(severity: Severity, code: SqlState, message: impl Into<String>) -> Self {
        Self { severity, ..Self::error(code, message) }
    }

    /// Adds a hint: what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Names the function of PostgreSQL that this error stands for.
    #[must_use]
    pub fn routine(mut self, routine: &'static str) -> Self {
        self.routine = Some(routine);
        self
    }

    /// Appends it as ErrorResponse or, for a notice or warning, as NoticeResponse.
    pub fn encode(&self, out: &mut BytesMut) {
        let severity = self.severity.name().to_owned();
        let mut fields = vec![
            (b'S', severity.clone()),
            (b'V', severity),
            (b'C', String::from_utf8_lossy(&self.code).into_owned()),
            (b'M', self.message.replace('\0', " ")),
        ];
        fields.extend(self.detail.iter().map(|d| (b'D', d.replace('\0', " "))));
        fields.extend(self.hint.iter().map(|h| (b'H', h.replace('\0', " "))));
        fields.extend(self.routine.iter().map(|&routine| (b'R', routine.to_owned())));
        let before = out.len();
        let written = match self.severity {
            Severity::Error | Severity::Fatal => ErrorResponse::new(fields).encode(out),
            Severity::Notice | Severity::Warning => NoticeResponse::new(fields).encode(out),
        };
        if written.is_err() {
            out.truncate(before);
        }
    }
}

impl std::fmt::Display for PgError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} (SQLSTATE {})",
            self.severity.name(),
            self.message,
            String::from_utf8_lossy(&self.code)
        )
    }
}

impl std::error::Error for PgError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Fields;

    #[test]
    fn encodes_fields() {
        let mut out = BytesMut::new();
        PgError::error(*b"53300", "too many").hint("wait").encode(&mut out);
        assert_eq!(out[0], b'E');
        let fields = Fields(&out[5..]);
        assert_eq!(fields.sqlstate(), *b"53300");
        assert_eq!(fields.get(b'H'), Some(&b"wait"[..]));
        assert!(!fields.is_fatal());
    }
}
