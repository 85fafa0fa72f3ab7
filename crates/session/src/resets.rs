//! What a session has reset on its connection: that has the server's own start-up value now, where the session has
//! another one.

use pgsplit_sql::command::{Discard, SetValue};
use pgsplit_sql::{Command, Statement};

use crate::prepared::BoundCall;

/// Settings that were reset, and that the session's start-up values are to be put back for.
#[derive(Debug, Default)]
pub(crate) struct Resets {
    all: bool,
    names: Vec<Box<[u8]>>,
}

impl Resets {
    /// A statement was carried out, with these calls of `set_config`.
    pub(crate) fn note(&mut self, statement: &Statement, calls: &[BoundCall]) {
        match &statement.command {
            Command::ResetAll | Command::Discard(Discard::All) => self.all = true,
            Command::Reset(name) | Command::Set { name, value: SetValue::Default, .. } => {
                self.names.push(name.as_bytes().into());
            }
            _ => {}
        }
        let null = calls.iter().filter(|call| call.value.is_none());
        self.names.extend(null.map(|call| call.name.clone().into()));
    }

    pub(crate) fn any(&self) -> bool {
        self.all || !self.names.is_empty()
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.all || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}
