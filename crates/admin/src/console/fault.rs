//! What the console says when something is wrong.

use pgwire::error::{ErrorInfo, PgWireError};

/// An ERROR for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// SQLSTATE.
    pub code: &'static str,
    /// In one line.
    pub message: String,
    /// The whole of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Fault {
    /// 42601: not a command.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self { code: "42601", message: message.into(), detail: None, hint: None }
    }

    /// 22023, 55000 and their like: a command that cannot be carried out.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None }
    }

    /// With more lines.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// With advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<Fault> for PgWireError {
    fn from(fault: Fault) -> Self {
        let mut info = ErrorInfo::new("ERROR".to_owned(), fault.code.to_owned(), fault.message);
        info.severity_nonlocalized = Some("ERROR".to_owned());
        info.detail = fault.detail;
        info.hint = fault.hint;
        Self::UserError(Box::new(info))
    }
}
