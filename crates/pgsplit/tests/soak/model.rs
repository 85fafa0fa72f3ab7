//! What a client knows of its own session: what it has set, made and written, through transactions and savepoints.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::{IDENTITY, ROLE, SETTINGS};

type Settings = BTreeMap<&'static str, String>;

/// What a rollback takes back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    settings: Settings,
    /// SET LOCAL.
    local: Settings,
    pub(crate) table: Option<Table>,
    pub(crate) channels: BTreeSet<String>,
    /// Rows that this transaction has written.
    pub(crate) written: Vec<u64>,
}

/// A temporary table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) owner: String,
    pub(crate) rows: usize,
}

/// A prepared statement of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// Adds this to its parameter, and shows a setting.
    Adds(usize),
    /// Shows which schema comes first in the search path.
    Path(usize),
    /// Inserts a row.
    Inserts,
    /// Everything that [`crate::look`] asks for.
    Looks,
}

/// A session as its client knows it.
#[derive(Debug)]
pub(crate) struct Model {
    /// Start-up parameters.
    base: Settings,
    /// Who has logged in.
    login: &'static str,
    pub(crate) now: Kept,
    /// The state before BEGIN, and at each savepoint.
    stack: Vec<(String, Kept)>,
    pub(crate) failed: bool,
    pub(crate) prepared: BTreeMap<String, Prepared>,
    /// Statements prepared by SQL: what they add.
    pub(crate) by_sql: BTreeMap<String, usize>,
    /// Advisory locks of nobody else's concern.
    pub(crate) locks: BTreeSet<usize>,
    /// The next value of a cursor WITH HOLD.
    pub(crate) held_cursor: Option<usize>,
    /// The next value of the transaction's cursor or portal.
    pub(crate) cursor: Option<(usize, usize)>,
    /// What `lastval` returns.
    pub(crate) sequence: Option<String>,
    /// Something ties it until it ends.
    pub(crate) for_good: bool,
}

impl Model {
    pub(crate) fn new(login: &'static str, base: Settings) -> Self {
        Self {
            base,
            login,
            now: Kept::default(),
            stack: Vec::new(),
            failed: false,
            for_good: false,
            prepared: BTreeMap::new(),
            by_sql: BTreeMap::new(),
            locks: BTreeSet::new(),
            held_cursor: None,
            cursor: None,
            sequence: None,
        }
    }

    pub(crate) fn in_transaction(&self) -> bool {
        !self.stack.is_empty()
    }

    /// As ReadyForQuery must say it.
    pub(crate) fn status(&self) -> u8 {
        match (self.in_transaction(), self.failed) {
            (false, _) => b'I',
            (true, false) => b'T',
            (true, true) => b'E',
        }
    }

    /// The value in force.
    pub(crate) fn value(&self, name: &str) -> String {
        let set = [&self.now.local, &self.now.settings, &self.base].into_iter().find_map(|all| all.get(name));
        let default = || SETTINGS.iter().find(|known| known.name == name).map_or("", |known| known.default);
        set.cloned().unwrap_or_else(|| default().to_owned())
    }

    pub(crate) fn session_user(&self) -> String {
        self.now.settings.get(IDENTITY).cloned().unwrap_or_else(|| self.login.into())
    }

    pub(crate) fn current_user(&self) -> String {
        let role = self.now.local.get(ROLE).or_else(|| self.now.settings.get(ROLE));
        role.cloned().unwrap_or_else(|| self.session_user())
    }

    pub(crate) fn login(&self) -> &'static str {
        self.login
    }

    /// The schema that names are looked for in first.
    pub(crate) fn schema(&self) -> String {
        let path = self.value("search_path");
        let first = path.split(',').next().unwrap_or_default();
        if first.contains('$') { "public".into() } else { first.into() }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.now.local.remove(name);
        self.now.settings.insert(name, value);
    }

    pub(crate) fn set_local(&mut self, name: &'static str, value: String) {
        if self.in_transaction() {
            self.now.local.insert(name, value);
        }
    }

    pub(crate) fn reset(&mut self, name: &str) {
        self.now.local.remove(name);
        self.now.settings.remove(name);
    }

    pub(crate) fn reset_all(&mut self) {
        let kept = |name: &&'static str, _: &mut String| [ROLE, IDENTITY].contains(name);
        self.now.local.retain(kept);
        self.now.settings.retain(kept);
    }

    pub(crate) fn discard_all(&mut self) {
        let for_good = self.for_good;
        *self = Self { for_good, ..Self::new(self.login, std::mem::take(&mut self.base)) };
    }

    pub(crate) fn begin(&mut self) {
        self.stack.push((String::new(), self.now.clone()));
    }

    /// The rows that are written now.
    pub(crate) fn commit(&mut self) -> Vec<u64> {
        self.stack.clear();
        self.now.local.clear();
        self.cursor = None;
        std::mem::take(&mut self.now.written)
    }

    pub(crate) fn roll_back(&mut self) {
        if let Some((_, before)) = self.stack.drain(..).next() {
            self.now = before;
        }
        self.cursor = None;
        self.failed = false;
    }

    pub(crate) fn savepoint(&mut self, name: &str) {
        self.stack.push((name.into(), self.now.clone()));
    }

    /// The innermost savepoint's name.
    pub(crate) fn last_savepoint(&self) -> Option<String> {
        self.stack.last().map(|(name, _)| name.clone()).filter(|name| !name.is_empty())
    }

    pub(crate) fn release(&mut self) {
        self.stack.pop();
    }

    pub(crate) fn roll_back_to(&mut self) {
        if let Some((_, then)) = self.stack.last() {
            self.now = then.clone();
        }
        // It may have been opened behind the savepoint.
        self.cursor = None;
        self.failed = false;
    }

    /// A statement has failed.
    pub(crate) fn error(&mut self) {
        self.failed = self.in_transaction();
    }

    /// Channels whose LISTEN is in force: those of before the transaction.
    pub(crate) fn listening(&self) -> &BTreeSet<String> {
        self.stack.first().map_or(&self.now.channels, |(_, before)| &before.channels)
    }

    /// Whether anything is there that ties the session to its connection.
    pub(crate) fn is_tied(&self) -> bool {
        self.now.table.is_some()
            || !self.now.channels.is_empty()
            || !self.by_sql.is_empty()
            || !self.locks.is_empty()
            || self.held_cursor.is_some()
            || self.sequence.is_some()
    }
}
