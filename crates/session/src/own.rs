//! pgsplit's own settings, `pgsplit.*`: set and shown without any server, through transactions and savepoints like those
//! of PostgreSQL.

use pgsplit_config::ConsistencyLevel;
use pgsplit_route::Lsn;
use pgsplit_sql::command::SetValue;
use pgsplit_sql::{Command, Facts};
use pgsplit_wire::{PgError, sqlstate::SqlState};

/// The values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Own {
    /// `pgsplit.target`, unless it is `auto`: primary, replica, a node's name or the word of a rule's hint.
    pub target: Option<Box<str>>,
    /// `pgsplit.consistency`, unless it is left to rules and configuration.
    pub consistency: Option<ConsistencyLevel>,
    /// `pgsplit.trace`.
    pub trace: bool,
    /// `pgsplit.min_lsn`: what was given, and the position that reads must see.
    pub min_lsn: Option<(Box<str>, Lsn)>,
}

/// The values through transactions. Most sessions never set any, and have none.
#[derive(Debug, Default)]
pub(crate) struct OwnJournal {
    values: Option<Box<Values>>,
    /// How many savepoints there are.
    depth: usize,
}

#[derive(Debug, Default)]
struct Values {
    /// From the start-up parameters.
    base: Own,
    committed: Own,
    /// In force now, and in force once the transaction has committed.
    now: Own,
    after: Own,
    savepoints: Vec<(Own, Own)>,
    changed: bool,
}

/// What holds where nothing was set.
static NOTHING_SET: Own = Own { target: None, consistency: None, min_lsn: None, trace: false };

/// One of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Target,
    Consistency,
    Trace,
    MinLsn,
    /// What the session has written and seen, for another to wait for.
    Token,
    /// The last statement's decision, which can only be shown.
    Last,
}

const INVALID_VALUE: SqlState = *b"22023";
const UNKNOWN: SqlState = *b"42704";
const FIXED: SqlState = *b"55P02";
const PREFIX: &str = "pgsplit.";

impl Name {
    /// The setting of a name that begins with `pgsplit.`.
    pub(crate) fn of(name: &str) -> Result<Self, PgError> {
        match name.strip_prefix(PREFIX) {
            Some("target") => Ok(Self::Target),
            Some("consistency") => Ok(Self::Consistency),
            Some("trace") => Ok(Self::Trace),
            Some("min_lsn") => Ok(Self::MinLsn),
            Some("token") => Ok(Self::Token),
            Some("last") => Ok(Self::Last),
            _ => Err(PgError::error(UNKNOWN, format!("unrecognized configuration parameter \"{name}\""))
                .hint(
                    "pgsplit has pgsplit.target, pgsplit.consistency, pgsplit.min_lsn, pgsplit.trace, pgsplit.token and \
                     pgsplit.last.",
                )),
        }
    }
}

/// Whether a command sets or shows one of pgsplit's own settings.
pub(crate) fn is_own(command: &Command) -> bool {
    matches!(command, Command::Set { name, .. } | Command::Reset(name) | Command::Show(name)
        if name.starts_with(PREFIX))
}

/// Whether a text is one such command.
pub(crate) fn is_own_text(facts: &Facts) -> bool {
    facts.single().is_some_and(|one| is_own(&one.command))
}

/// The column that a text returns which shows one of them.
pub(crate) fn shown(facts: &Facts) -> Option<&str> {
    match &facts.single()?.command {
        Command::Show(name) if name.starts_with(PREFIX) => Some(name),
        _ => None,
    }
}

impl Own {
    /// Takes a value over. `is_target` knows nodes and words of rules.
    pub(crate) fn set(
        &mut self,
        name: &str,
        value: &str,
        is_target: impl FnOnce(&str) -> bool,
    ) -> Result<(), PgError> {
        let lower = value.to_ascii_lowercase();
        let invalid = |hint: &str| {
            let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
            Err(PgError::error(INVALID_VALUE, message).hint(hint))
        };
        match Name::of(name)? {
            Name::Target => match lower.as_str() {
                "auto" | "" => self.target = None,
                "primary" | "replica" => self.target = Some(lower.into()),
                _ if is_target(value) => self.target = Some(value.into()),
                _ => {
                    return invalid(
                        "Known are primary, replica, auto, and the names of nodes and of rules' hints.",
                    );
                }
            },
            Name::Consistency => {
                self.consistency = match lower.as_str() {
                    "eventual" => Some(ConsistencyLevel::Eventual),
                    "session" => Some(ConsistencyLevel::Session),
                    "causal" => Some(ConsistencyLevel::Causal),
                    "strict" => Some(ConsistencyLevel::Strict),
                    _ => return invalid("Known are eventual, session, causal and strict."),
                }
            }
            Name::Trace => match lower.as_str() {
                "on" | "true" | "yes" | "1" | "t" | "y" => self.trace = true,
                "off" | "false" | "no" | "0" | "f" | "n" => self.trace = false,
                _ => {
                    let message = format!("parameter \"{name}\" requires a Boolean value");
                    return Err(PgError::error(INVALID_VALUE, message));
                }
            },
            Name::MinLsn if value.is_empty() => self.min_lsn = None,
            // A token is a position behind whatever tells the cluster.
            Name::MinLsn => match value.rsplit('.').next().map(str::parse) {
                Some(Ok(position)) => self.min_lsn = Some((value.into(), position)),
                _ => return invalid("Give what SHOW pgsplit.token has said, or a position like 0/3000148."),
            },
            Name::Last | Name::Token => {
                return Err(PgError::error(FIXED, format!("parameter \"{name}\" cannot be changed")));
            }
        }
        Ok(())
    }

    fn reset(&mut self, name: Name, base: &Self) {
        match name {
            Name::Target => self.target.clone_from(&base.target),
            Name::Consistency => self.consistency = base.consistency,
            Name::Trace => self.trace = base.trace,
            Name::MinLsn => self.min_lsn.clone_from(&base.min_lsn),
            Name::Last | Name::Token => {}
        }
    }

    /// What SHOW says.
    pub(crate) fn show(&self, name: Name, level: ConsistencyLevel) -> &str {
        match name {
            Name::Target => self.target.as_deref().unwrap_or("auto"),
            Name::Consistency => match self.consistency.unwrap_or(level) {
                ConsistencyLevel::Eventual => "eventual",
                ConsistencyLevel::Session => "session",
                ConsistencyLevel::Causal => "causal",
                ConsistencyLevel::Strict => "strict",
            },
            Name::Trace if self.trace => "on",
            Name::Trace => "off",
            Name::MinLsn => self.min_lsn.as_ref().map_or("", |(text, _)| text),
            Name::Last | Name::Token => "",
        }
    }
}

impl OwnJournal {
    pub(crate) fn new(base: Own) -> Self {
        let values = (base != NOTHING_SET).then(|| Box::new(Values::new(base, 0)));
        Self { values, depth: 0 }
    }

    /// What is in force.
    pub(crate) fn now(&self) -> &Own {
        self.values.as_ref().map_or(&NOTHING_SET, |values| &values.now)
    }

    /// SET and RESET; `is_target` as in [`Own::set`].
    pub(crate) fn change(
        &mut self,
        command: &Command,
        is_target: impl Fn(&str) -> bool,
    ) -> Result<(), PgError> {
        let depth = self.depth;
        self.values
            .get_or_insert_with(|| Box::new(Values::new(Own::default(), depth)))
            .change(command, is_target)
    }

    pub(crate) fn reset_all(&mut self) {
        if let Some(values) = &mut self.values {
            values.changed = true;
            values.now = values.base.clone();
            values.after = values.base.clone();
        }
    }

    pub(crate) fn savepoint(&mut self) {
        self.depth += 1;
        if let Some(values) = &mut self.values {
            values.savepoints.push((values.now.clone(), values.after.clone()));
        }
    }

    pub(crate) fn release(&mut self, at: usize) {
        self.depth = at;
        if let Some(values) = &mut self.values {
            values.savepoints.truncate(at);
        }
    }

    pub(crate) fn rollback_to(&mut self, at: usize) {
        self.depth = at + 1;
        if let Some(values) = &mut self.values {
            values.savepoints.truncate(at + 1);
            if let Some((now, after)) = values.savepoints.last().cloned() {
                (values.now, values.after) = (now, after);
            }
        }
    }

    pub(crate) fn commit(&mut self) {
        self.end(|values| values.committed = values.after.clone());
    }

    pub(crate) fn rollback(&mut self) {
        self.end(|values| values.after = values.committed.clone());
    }

    fn end(&mut self, settle: impl FnOnce(&mut Values)) {
        self.depth = 0;
        let Some(values) = &mut self.values else { return };
        values.savepoints.clear();
        if std::mem::take(&mut values.changed) {
            settle(values);
            values.now = values.after.clone();
        }
    }
}

impl Values {
    fn new(base: Own, depth: usize) -> Self {
        let now = || base.clone();
        let savepoints = vec![(now(), now()); depth];
        Self { committed: now(), now: now(), after: now(), base, savepoints, changed: false }
    }

    fn change(&mut self, command: &Command, is_target: impl Fn(&str) -> bool) -> Result<(), PgError> {
        self.changed = true;
        let mut change = |name: &str, value: Option<&str>, local: bool| {
            let both = [Some(&mut self.now), (!local).then_some(&mut self.after)];
            for own in both.into_iter().flatten() {
                match value {
                    Some(value) => own.set(name, value, &is_target)?,
                    None => own.reset(Name::of(name)?, &self.base),
                }
            }
            Ok(())
        };
        match command {
            Command::Set { local, name, value: SetValue::Value(value) } => change(name, Some(value), *local),
            Command::Set { local, name, value: SetValue::Default } => change(name, None, *local),
            Command::Set { name, .. } => {
                Name::of(name)?;
                Err(PgError::error(INVALID_VALUE, format!("invalid value for parameter \"{name}\"")))
            }
            Command::Reset(name) => change(name, None, false),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(journal: &mut OwnJournal, local: bool, value: &str) -> Result<(), PgError> {
        let value = SetValue::Value(value.to_owned());
        let command = Command::Set { local, name: "pgsplit.target".into(), value };
        journal.change(&command, |word| word == "db2")
    }

    fn target(journal: &OwnJournal) -> &str {
        journal.now().show(Name::Target, ConsistencyLevel::Causal)
    }

    #[test]
    fn values_go_through_transactions() {
        let mut journal = OwnJournal::default();
        set(&mut journal, false, "Replica").unwrap();
        journal.rollback();
        assert_eq!(target(&journal), "auto");
        set(&mut journal, false, "replica").unwrap();
        journal.commit();
        set(&mut journal, true, "primary").unwrap();
        assert_eq!(target(&journal), "primary");
        journal.savepoint();
        set(&mut journal, false, "db2").unwrap();
        journal.rollback_to(0);
        assert_eq!(target(&journal), "primary");
        journal.commit();
        assert_eq!(target(&journal), "replica");
        journal.change(&Command::Reset("pgsplit.target".into()), |_| false).unwrap();
        assert_eq!(target(&journal), "auto");
    }

    #[test]
    fn a_savepoint_before_the_first_change_brings_back_that_nothing_was_set() {
        let mut journal = OwnJournal::default();
        journal.savepoint();
        journal.savepoint();
        set(&mut journal, false, "primary").unwrap();
        journal.release(1);
        assert_eq!(target(&journal), "primary");
        journal.rollback_to(0);
        assert_eq!(target(&journal), "auto");
        journal.commit();
        assert_eq!(target(&journal), "auto");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let mut journal = OwnJournal::default();
        let error = set(&mut journal, false, "db9").unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (*b"22023", "invalid value for parameter \"pgsplit.target\": \"db9\"")
        );
        assert_eq!(Name::of("pgsplit.targe").unwrap_err().code, *b"42704");
        let mut own = Own::default();
        assert_eq!(own.set("pgsplit.last", "x", |_| true).unwrap_err().code, *b"55P02");
        assert!(own.set("pgsplit.trace", "maybe", |_| true).is_err());
        own.set("pgsplit.consistency", "strict", |_| true).unwrap();
        assert_eq!(own.show(Name::Consistency, ConsistencyLevel::Causal), "strict");
    }
}
