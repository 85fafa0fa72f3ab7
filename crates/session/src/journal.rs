//! The settings of a session through transactions and savepoints: what is rolled back is not remembered.

use std::sync::Arc;

use pgsplit_pool::Settings;

use crate::own::{Own, OwnJournal};

/// Settings that do not change what a text means when it is parsed; all others are taken to.
const WITHOUT_MEANING: [&[u8]; 8] = [
    b"application_name",
    b"client_min_messages",
    b"statement_timeout",
    b"lock_timeout",
    b"idle_in_transaction_session_timeout",
    b"idle_session_timeout",
    b"extra_float_digits",
    b"synchronous_commit",
];

/// What RESET ALL leaves alone (`GUC_NO_RESET_ALL` in guc_tables.c).
const NOT_RESET: [&[u8]; 2] = [b"role", b"session_authorization"];

/// A session's settings.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Start-up parameters: what RESET returns to.
    base: Arc<Settings>,
    /// In force outside a transaction, and again after a rollback.
    committed: Arc<Settings>,
    current: Arc<Settings>,
    savepoints: Vec<(Box<str>, Arc<Settings>)>,
    /// pgsplit's own settings, which go through transactions in the same way.
    pub own: OwnJournal,
    /// `current` as far as it changes the meaning of a text, and for which `current` that holds.
    meaning: (Arc<Settings>, Arc<Settings>),
}

impl Journal {
    pub(crate) fn new(base: Arc<Settings>, own: Own) -> Self {
        let meaning = meaning_of(&base);
        Self {
            committed: base.clone(),
            current: base.clone(),
            savepoints: Vec::new(),
            own: OwnJournal::new(own),
            meaning: (base.clone(), meaning),
            base,
        }
    }

    /// Start-up parameters.
    pub(crate) fn base(&self) -> &Arc<Settings> {
        &self.base
    }

    /// What is in force.
    pub(crate) fn current(&self) -> &Arc<Settings> {
        &self.current
    }

    /// What is in force, as far as it changes the meaning of a text.
    pub(crate) fn meaning(&mut self) -> &Arc<Settings> {
        if !Arc::ptr_eq(&self.meaning.0, &self.current) {
            let meaning = meaning_of(&self.current);
            // Equal values stay one value, so that statements compare by pointer.
            if self.meaning.1 != meaning {
                self.meaning.1 = meaning;
            }
            self.meaning.0 = self.current.clone();
        }
        &self.meaning.1
    }

    /// SET.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.end_role(name);
        if self.current.get(name) == Some(value) {
            return;
        }
        self.know(name);
        self.current = match name {
            // Not the same as none set: the role's own default may be another.
            b"role" if value.eq_ignore_ascii_case(b"none") => self.current.with(name, b"none"),
            _ => self.current.with(name, value),
        };
    }

    /// With the session's user, be it the same as before, the role ends (`SetSessionAuthorization` in miscinit.c).
    fn end_role(&mut self, name: &[u8]) {
        if name == b"session_authorization" && self.current.get(b"role").is_some() {
            self.current = self.current.without(b"role");
        }
    }

    /// A custom name that was set, be it for a transaction that is rolled back, leaves an empty string behind where
    /// there was nothing (`define_custom_variable` in guc.c).
    pub(crate) fn know(&mut self, name: &[u8]) {
        if !name.contains(&b'.') || self.committed.get(name).is_some() {
            return;
        }
        let savepoints = self.savepoints.iter_mut().map(|(_, then)| then);
        for then in savepoints.chain([&mut self.current, &mut self.committed]) {
            if then.get(name).is_none() {
                *then = then.with(name, b"");
            }
        }
    }

    /// RESET, and SET … TO DEFAULT.
    pub(crate) fn reset(&mut self, name: &[u8]) {
        self.end_role(name);
        match self.base.get(name) {
            Some(value) => self.current = self.current.with(name, value),
            None if self.current.get(name).is_some() => {
                // A custom setting stays known to the connection: an empty string is left behind.
                self.current = if name.contains(&b'.') {
                    self.current.with(name, b"")
                } else {
                    self.current.without(name)
                };
            }
            None => {}
        }
    }

    /// RESET ALL.
    pub(crate) fn reset_all(&mut self) {
        self.reset_but(&NOT_RESET);
    }

    /// DISCARD ALL.
    pub(crate) fn discard_all(&mut self) {
        self.reset_but(&[]);
    }

    fn reset_but(&mut self, kept: &[&[u8]]) {
        self.own.reset_all();
        let mut next = self.base.clone();
        for (name, value) in self.current.iter() {
            if kept.contains(&name) {
                next = next.with(name, value);
            } else if name.contains(&b'.') && self.base.get(name).is_none() {
                next = next.with(name, b"");
            }
        }
        self.current = next;
    }

    /// Takes what a server says is in force in place of what was believed.
    pub(crate) fn adopt(&mut self, settings: Arc<Settings>) {
        if *self.current != *settings {
            self.current = settings;
        }
    }

    pub(crate) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.into(), self.current.clone()));
        self.own.savepoint();
    }

    pub(crate) fn release(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(known, _)| **known == *name) {
            self.savepoints.truncate(at);
            self.own.release(at);
        }
    }

    pub(crate) fn rollback_to(&mut self, name: &str) {
        if let Some(at) = self.savepoints.iter().rposition(|(known, _)| **known == *name) {
            self.savepoints.truncate(at + 1);
            self.own.rollback_to(at);
            if let Some((_, then)) = self.savepoints.last() {
                self.current = then.clone();
            }
        }
    }

    pub(crate) fn commit(&mut self) {
        self.own.commit();
        self.savepoints.clear();
        if !Arc::ptr_eq(&self.committed, &self.current) {
            self.committed = self.current.clone();
        }
    }

    pub(crate) fn rollback(&mut self) {
        self.own.rollback();
        self.savepoints.clear();
        if !Arc::ptr_eq(&self.committed, &self.current) {
            self.current = self.committed.clone();
        }
    }
}

fn meaning_of(settings: &Arc<Settings>) -> Arc<Settings> {
    if settings.iter().any(|(name, _)| WITHOUT_MEANING.contains(&name)) {
        settings.filtered(|name| !WITHOUT_MEANING.contains(&name))
    } else {
        settings.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        Journal::new(Settings::new([(&b"application_name"[..], &b"x"[..])]), Own::default())
    }

    fn value<'a>(journal: &'a Journal, name: &str) -> Option<&'a [u8]> {
        journal.current().get(name.as_bytes())
    }

    #[test]
    fn rolled_back_settings_are_not_remembered() {
        let mut journal = journal();
        journal.set(b"work_mem", b"1MB");
        journal.rollback();
        assert_eq!(value(&journal, "work_mem"), None);
        journal.set(b"work_mem", b"1MB");
        journal.commit();
        journal.set(b"work_mem", b"2MB");
        journal.savepoint("a");
        journal.set(b"work_mem", b"3MB");
        journal.savepoint("b");
        journal.set(b"work_mem", b"4MB");
        journal.rollback_to("a");
        assert_eq!(value(&journal, "work_mem"), Some(&b"2MB"[..]));
        journal.set(b"work_mem", b"5MB");
        journal.rollback_to("a");
        assert_eq!(value(&journal, "work_mem"), Some(&b"2MB"[..]));
        journal.rollback();
        assert_eq!(value(&journal, "work_mem"), Some(&b"1MB"[..]));
    }

    #[test]
    fn custom_names_leave_an_empty_string_behind() {
        let mut journal = journal();
        journal.savepoint("a");
        journal.set(b"app.tenant", b"7");
        journal.know(b"app.other");
        journal.know(b"work_mem");
        journal.rollback_to("a");
        assert_eq!(value(&journal, "app.tenant"), Some(&b""[..]));
        journal.set(b"app.tenant", b"8");
        journal.rollback();
        assert_eq!(value(&journal, "app.tenant"), Some(&b""[..]));
        assert_eq!(value(&journal, "app.other"), Some(&b""[..]));
        assert_eq!(value(&journal, "work_mem"), None);
    }

    #[test]
    fn reset_returns_to_the_start_up_value() {
        let mut journal = journal();
        journal.set(b"application_name", b"y");
        journal.set(b"app.tenant", b"7");
        journal.set(b"role", b"r");
        journal.reset(b"application_name");
        assert_eq!(value(&journal, "application_name"), Some(&b"x"[..]));
        journal.reset_all();
        assert_eq!(value(&journal, "role"), Some(&b"r"[..]));
        assert_eq!(value(&journal, "app.tenant"), Some(&b""[..]));
        journal.discard_all();
        assert_eq!(value(&journal, "role"), None);
    }

    #[test]
    fn a_new_identity_ends_the_role() {
        let mut journal = journal();
        journal.set(b"role", b"r");
        journal.set(b"session_authorization", b"s");
        assert_eq!(value(&journal, "role"), None);
        journal.set(b"role", b"r");
        journal.set(b"session_authorization", b"s");
        assert_eq!(value(&journal, "role"), None);
        journal.set(b"role", b"r");
        journal.reset(b"session_authorization");
        assert_eq!(value(&journal, "role"), None);
    }

    #[test]
    fn meaning_leaves_out_what_parsing_does_not_read() {
        let mut journal = journal();
        let before = journal.meaning().clone();
        journal.set(b"application_name", b"z");
        assert!(Arc::ptr_eq(&before, journal.meaning()));
        journal.set(b"search_path", b"a");
        assert!(!Arc::ptr_eq(&before, journal.meaning()));
    }
}
