//! What a session has that must be there on whatever connection serves it next.

use std::sync::Arc;

use pgsplit_pool::Params;
use pgsplit_route::{PinReason, SessionView};
use pgsplit_sql::command::{Discard, Isolation, SetValue, TransactionModes};
use pgsplit_sql::{Command, Effects, Statement};
use pgsplit_wire::Status;

use crate::causality::Causality;
use crate::journal::Journal;
use crate::prepared::{BoundCall, Names, Portals, Prepared};

/// A session's state.
#[derive(Debug)]
pub(crate) struct State {
    /// As the client was last told by ReadyForQuery.
    pub status: Status,
    pub settings: Journal,
    told: Arc<Params>,
    /// The client's texts cannot be read with certainty: see [`SessionView::unreadable`].
    unreadable: bool,
    pub pin: Option<PinReason>,
    /// BEGIN, and SET TRANSACTION behind it, that no server has been sent yet.
    pub begin: Vec<Vec<u8>>,
    /// The transaction has failed without a server knowing of it.
    pub lost: bool,
    /// What the present transaction may have done.
    pub effects: Effects,
    /// What the present unit may leave behind besides, if it fails half-way.
    pub expected: Effects,
    /// Something was set for the present transaction only.
    pub is_local: bool,
    /// An error came since the last commit.
    pub errored: bool,
    pub unnamed: Option<Arc<Prepared>>,
    pub names: Names<Arc<Prepared>>,
    pub portals: Portals,
    pub causality: Causality,
    /// Statements prepared by SQL that set nothing as far as their texts show, and
    /// [`pgsplit_sql::Catalog::hidden_code`] when that was found.
    plain: Names<u64>,
}

impl State {
    pub(crate) fn new(settings: Journal, told: Arc<Params>) -> Self {
        Self {
            status: Status::Idle,
            settings,
            unreadable: is_unreadable(&told),
            told,
            pin: None,
            begin: Vec::new(),
            lost: false,
            effects: Effects::NONE,
            expected: Effects::NONE,
            is_local: false,
            errored: false,
            unnamed: None,
            names: Names::default(),
            portals: Portals::default(),
            causality: Causality::default(),
            plain: Names::default(),
        }
    }

    /// What the client was told through ParameterStatus.
    pub(crate) fn told(&self) -> &Arc<Params> {
        &self.told
    }

    /// Whether the client was told just this.
    pub(crate) fn is_told(&mut self, params: &mut Arc<Params>) -> bool {
        Params::unite(&mut self.told, params)
    }

    /// Notes what the client has been told.
    pub(crate) fn set_told(&mut self, params: &Arc<Params>) {
        if !Arc::ptr_eq(&self.told, params) {
            self.unreadable = is_unreadable(params);
            self.told = params.clone();
        }
    }

    /// What the decision needs to know.
    pub(crate) fn view(&self, holds_connection: bool) -> SessionView {
        SessionView {
            pinned: self.pin.filter(|_| holds_connection),
            in_transaction: self.status != Status::Idle,
            serializable: self
                .settings
                .current()
                .get(b"default_transaction_isolation")
                .is_some_and(|level| level.eq_ignore_ascii_case(b"serializable")),
            unreadable: self.unreadable,
        }
    }

    /// Whether a plain CREATE may make something temporary: pg_temp is named in the search_path.
    pub(crate) fn creates_temporary(&self) -> bool {
        let path = self.settings.current().get(b"search_path").unwrap_or_default();
        path.windows(7).any(|part| part.eq_ignore_ascii_case(b"pg_temp"))
    }

    /// Whether the client's texts cannot be read with certainty.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.unreadable
    }

    /// A statement has been carried out: takes over what it changed. `tag` is its CommandComplete.
    pub(crate) fn done(&mut self, statement: &Statement, calls: &[BoundCall], tag: &[u8]) {
        for call in calls {
            match &call.value {
                _ if call.local => {
                    self.is_local = true;
                    self.settings.know(&call.name);
                }
                Some(value) => self.assign(&call.name, value),
                None => self.settings.reset(&call.name),
            }
        }
        let rolled_back = tag.starts_with(b"ROLLBACK");
        match &statement.command {
            Command::Set { local: false, name, value } => self.set(name, value),
            Command::Set { local: true, name, .. } => {
                self.is_local = true;
                self.settings.know(name.as_bytes());
            }
            Command::SetSessionCharacteristics(modes) => self.characteristics(*modes),
            Command::Reset(name) => self.settings.reset(name.as_bytes()),
            Command::ResetAll => self.settings.reset_all(),
            Command::Discard(Discard::All) => {
                self.settings.discard_all();
                self.names.clear();
                self.plain.clear();
                self.unnamed = None;
            }
            Command::Deallocate(None) => {
                self.names.clear();
                self.plain.clear();
            }
            Command::Deallocate(Some(name)) => {
                self.names.remove(name.as_bytes());
                self.plain.remove(name.as_bytes());
            }
            Command::Savepoint(name) => self.settings.savepoint(name),
            Command::Release(name) => self.settings.release(name),
            Command::RollbackTo(name) => self.settings.rollback_to(name),
            Command::Commit { .. } | Command::Rollback { .. } | Command::PrepareTransaction => {
                if rolled_back {
                    self.settings.rollback()
                } else {
                    self.settings.commit()
                }
                self.errored = false;
            }
            _ => {}
        }
    }

    /// A statement was carried out, judged by a catalog with this [`pgsplit_sql::Catalog::hidden_code`]: what it may have
    /// left behind.
    pub(crate) fn leaves(&mut self, statement: &Statement, hidden_code: u64) {
        if let Command::Prepare { name } = &statement.command
            && statement.effects.contains(Effects::PREPARES_PLAIN)
        {
            self.plain.insert(name.as_bytes().into(), hidden_code);
        }
        self.effects |= self.may_leave(statement, hidden_code);
    }

    /// What a statement may leave behind. EXECUTE does what the statement does that it names.
    pub(crate) fn may_leave(&self, statement: &Statement, hidden_code: u64) -> Effects {
        let Command::Execute { name } = &statement.command else { return statement.effects };
        match self.plain.get(name.as_bytes()) {
            Some(known) if *known == hidden_code => {
                statement.effects.without(Effects::SETTING_OPAQUE | Effects::SETS_ANYTHING)
            }
            Some(_) => statement.effects.without(Effects::SETTING_OPAQUE),
            None => statement.effects,
        }
    }

    fn set(&mut self, name: &str, value: &SetValue) {
        match value {
            SetValue::Value(value) => self.assign(name.as_bytes(), value.as_bytes()),
            SetValue::Default => self.settings.reset(name.as_bytes()),
            // The name is known, so the server can be asked for the value.
            SetValue::FromCurrent | SetValue::Opaque => self.effects |= Effects::OPAQUE,
        }
    }

    fn assign(&mut self, name: &[u8], value: &[u8]) {
        match name {
            name if is_passing(name) => {}
            b"datestyle" => {
                let before = self.settings.current().get(name).or_else(|| self.told.get(b"DateStyle"));
                let whole = date_style(before.unwrap_or_default(), value);
                self.settings.set(name, &whole);
            }
            _ => self.settings.set(name, value),
        }
    }

    fn characteristics(&mut self, modes: TransactionModes) {
        let on = |on: bool| if on { &b"on"[..] } else { b"off" };
        if let Some(isolation) = modes.isolation {
            let level: &[u8] = match isolation {
                Isolation::ReadUncommitted => b"read uncommitted",
                Isolation::ReadCommitted => b"read committed",
                Isolation::RepeatableRead => b"repeatable read",
                Isolation::Serializable => b"serializable",
            };
            self.settings.set(b"default_transaction_isolation", level);
        }
        if let Some(read_only) = modes.read_only {
            self.settings.set(b"default_transaction_read_only", on(read_only));
        }
        if let Some(deferrable) = modes.deferrable {
            self.settings.set(b"default_transaction_deferrable", on(deferrable));
        }
    }

    /// ReadyForQuery: the transaction goes on, or has ended.
    pub(crate) fn ready(&mut self, status: Status) {
        self.status = status;
        if status == Status::Idle {
            if self.errored {
                self.settings.rollback()
            } else {
                self.settings.commit()
            }
            self.errored = false;
            self.is_local = false;
            self.portals.clear();
        } else if self.errored && status == Status::Transaction {
            // The error was undone by ROLLBACK TO.
            self.errored = false;
        }
    }
}

/// Settings that belong to the transaction, or that could not be restored. Servers list them among those of the session
/// even when the transaction has ended.
pub(crate) fn is_passing(name: &[u8]) -> bool {
    matches!(name, b"transaction_isolation" | b"transaction_read_only" | b"transaction_deferrable" | b"seed")
}

/// DateStyle has two parts, style and order of fields; a value that names only one leaves the other as it was
/// (`check_datestyle` in variable.c).
fn date_style(before: &[u8], value: &[u8]) -> Vec<u8> {
    let (mut style, mut order) = (None, None);
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        let words = text.split(|b| *b == b',').map(|word| word.trim_ascii().to_ascii_lowercase());
        words.filter(|word| !word.is_empty()).collect()
    };
    let known = words(value);
    for word in &known {
        let is = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| word.starts_with(prefix));
        if is(&[b"iso", b"sql", b"postgres", b"german"]) {
            style = Some(word.clone());
        } else if is(&[b"ymd", b"dmy", b"euro", b"mdy", b"us", b"noneuro"]) {
            order = Some(word.clone());
        } else {
            // DEFAULT, or what the server knows better: it stands for both.
            return value.to_vec();
        }
    }
    let before = words(before);
    let german = style.as_ref().is_some_and(|style| style.starts_with(b"german"));
    let order = order.or_else(|| if german { Some(b"dmy".to_vec()) } else { before.get(1).cloned() });
    let parts = [style.or_else(|| before.first().cloned()), order];
    parts.into_iter().flatten().collect::<Vec<_>>().join(&b", "[..])
}

/// Encodings of clients in which a byte of a longer character may look like a quote or a backslash.
const UNREADABLE: [&[u8]; 8] =
    [b"SJIS", b"BIG5", b"GBK", b"UHC", b"GB18030", b"JOHAB", b"SHIFT_JIS_2004", b"SHIFTJIS"];

fn is_unreadable(params: &Params) -> bool {
    params.get(b"standard_conforming_strings") == Some(b"off")
        || params
            .get(b"client_encoding")
            .is_some_and(|name| UNREADABLE.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_style_keeps_the_part_that_is_not_named() {
        let style = |before: &str, value: &str| {
            String::from_utf8(date_style(before.as_bytes(), value.as_bytes())).unwrap()
        };
        assert_eq!(style("ISO, MDY", "SQL"), "sql, mdy");
        assert_eq!(style("SQL, MDY", "DMY"), "sql, dmy");
        assert_eq!(style("ISO, MDY", "German"), "german, dmy");
        assert_eq!(style("ISO, MDY", "Postgres, European"), "postgres, european");
        assert_eq!(style("ISO, MDY", "default"), "default");
    }
}
