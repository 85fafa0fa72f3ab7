//! Batches that need no server: the beginning, the settings and the end of a transaction that is begun lazily, the
//! preparing of what is known, and the closing of statements. And whether such a transaction may run on a replica.

use std::sync::Arc;

use pgsplit_sql::command::{Isolation, TransactionModes};
use pgsplit_sql::{Catalog, Command, Facts, Verdict};
use pgsplit_wire::frontend::{Bind, Kind, Parse, execute, target};
use pgsplit_wire::{Status, build};

use crate::batch::{Survey, frames};
use crate::end::End;
use crate::own::{is_own, is_own_text};
use crate::prepared::Prepared;
use crate::query::first_word;
use crate::session::Session;
use crate::turn::Attempt;

impl Session {
    /// Whether a batch that ends with its Sync can be answered without a server.
    pub(crate) fn needs_no_server(
        &mut self,
        bytes: &[u8],
        survey: &Survey,
        catalog: &Arc<Catalog>,
    ) -> Result<bool, End> {
        Ok(survey.idle
            || survey.local && self.local(bytes, survey)?
            || !survey.binds && self.prepares_known(bytes, survey, catalog)?)
    }

    /// Whether the batch does nothing but prepare one statement, and a server has parsed its like before. Drivers
    /// prepare each statement on each of their connections; a client of many that wait for each other would otherwise
    /// need a server connection for it, while all are held by those that wait.
    fn prepares_known(&mut self, bytes: &[u8], survey: &Survey, catalog: &Arc<Catalog>) -> Result<bool, End> {
        let ([facts], false) = (&*survey.parsed, self.state.lost) else { return Ok(false) };
        let mut messages = frames(bytes);
        let (Some(first), Some(b'S'), None) =
            (messages.next(), messages.next().map(|frame| frame.tag), messages.next())
        else {
            return Ok(false);
        };
        if first.tag != b'P' {
            return Ok(false);
        }
        let parse = Parse::read(first.body)?;
        if parse.name.is_empty() || self.state.names.contains_key(parse.name) {
            return Ok(false);
        }
        Ok(self.remember(&parse, facts, catalog).0.statement.is_parsed())
    }

    /// Whether the batch executes just one statement, and that can be answered without a server. Whatever is out of the
    /// usual order, or would fail, is a server's to answer.
    pub(crate) fn local(&self, bytes: &[u8], survey: &Survey) -> Result<bool, End> {
        let (mut bound, mut executed) = (false, false);
        let mut parsed = survey.parsed.iter();
        let mut here: Vec<(&[u8], bool)> = Vec::new();
        let names_local = |here: &[(&[u8], bool)], name: &[u8]| match here.iter().rfind(|one| one.0 == name) {
            Some((_, local)) => *local,
            None => self
                .prepared(name)
                .is_some_and(|known| self.is_local(&known.facts, &known.statement.key.text)),
        };
        for frame in frames(bytes) {
            let fits = match frame.tag {
                b'P' => {
                    let parse = Parse::read(frame.body)?;
                    let local = parsed.next().is_some_and(|facts| self.is_local(facts, parse.text));
                    let taken = !parse.name.is_empty() && self.state.names.contains_key(parse.name);
                    here.push((parse.name, local));
                    local && !taken && !bound && parse.types.iter().all(|b| *b == 0)
                }
                b'B' => {
                    let bind = Bind::read(frame.body)?;
                    // Only a Bind without parameters and with default formats is known to succeed.
                    let plain = bind.portal.is_empty() && bind.rest == [0; 6];
                    plain && !std::mem::replace(&mut bound, true) && names_local(&here, bind.statement)
                }
                b'D' => match target(frame.body)? {
                    (Kind::Statement, name) => !executed && names_local(&here, name),
                    (Kind::Portal, name) => !executed && bound && name.is_empty(),
                },
                b'E' => {
                    let portal = execute(frame.body)?;
                    bound && portal.is_empty() && !std::mem::replace(&mut executed, true)
                }
                b'C' => executed,
                _ => true,
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(executed)
    }

    pub(crate) fn is_local(&self, facts: &Facts, text: &[u8]) -> bool {
        let Some(one) = facts.single() else { return false };
        match &one.command {
            Command::Begin(_) => self.state.status == Status::Idle && first_word(text).is_some(),
            Command::SetTransaction(_) => !self.state.begin.is_empty(),
            command if is_own(command) => self.state.status != Status::Failed,
            Command::Commit { chain: false } | Command::Rollback { chain: false } => {
                self.state.lost || !self.state.begin.is_empty()
            }
            _ => false,
        }
    }

    /// Whether this begins a transaction that may run on a replica as a whole.
    pub(crate) fn may_begin_on_replica(&self, attempt: &Attempt) -> bool {
        self.settings.read_only_on_replica
            && self.link.is_none()
            && attempt.verdict == Verdict::Read
            && !self.state.begin.is_empty()
            && self.begins_read_only()
    }

    /// Whether the transaction that no server knows of yet is declared READ ONLY, and one that a standby can carry out:
    /// SERIALIZABLE it cannot.
    fn begins_read_only(&self) -> bool {
        let catalog = self.catalog.load();
        let mut modes = TransactionModes::default();
        for text in &self.state.begin {
            let facts = self.shared.analyzer.facts(text, &catalog);
            let command = facts.single().map(|one| &one.command);
            if let Some(Command::Begin(said) | Command::SetTransaction(said)) = command {
                modes = modes.and(*said);
            }
        }
        let serializable = match modes.isolation {
            Some(isolation) => isolation == Isolation::Serializable,
            None => self.state.view(false).serializable,
        };
        modes.read_only == Some(true) && !serializable
    }

    /// Answers a whole batch without a server.
    pub(crate) fn without_server(
        &mut self,
        bytes: &[u8],
        survey: &Survey,
        catalog: &Arc<Catalog>,
    ) -> Result<(), End> {
        let mut parsed = survey.parsed.iter();
        let mut bound: Option<Arc<Prepared>> = None;
        for frame in frames(bytes) {
            match frame.tag {
                b'P' => {
                    let parse = Parse::read(frame.body)?;
                    let Some(facts) = parsed.next() else { continue };
                    let (prepared, _) = self.remember(&parse, facts, catalog);
                    self.name(parse.name, Some(prepared));
                    build::parse_complete(&mut self.outbox);
                }
                b'B' => {
                    bound = self.prepared(Bind::read(frame.body)?.statement).cloned();
                    build::bind_complete(&mut self.outbox);
                }
                b'D' => {
                    let (kind, name) = target(frame.body)?;
                    let described = match kind {
                        Kind::Statement => self.prepared(name).cloned(),
                        Kind::Portal => bound.clone(),
                    };
                    if let Some(prepared) = described {
                        self.describe_own(&prepared.facts, kind == Kind::Statement);
                    }
                }
                b'E' => {
                    let Some(prepared) = &bound else { continue };
                    let prepared = prepared.clone();
                    if is_own_text(&prepared.facts) {
                        if !self.own_executed(&prepared.facts) {
                            break;
                        }
                        // Outside a transaction it is one of its own.
                        self.state.ready(self.state.status);
                        continue;
                    }
                    if let Some(one) = prepared.facts.single() {
                        self.answer(&one.command, &prepared.statement.key.text);
                    }
                }
                b'C' => {
                    if let (Kind::Statement, name) = target(frame.body)? {
                        self.name(name, None);
                    }
                    build::close_complete(&mut self.outbox);
                }
                _ => {}
            }
        }
        build::ready(&mut self.outbox, self.state.status);
        Ok(())
    }
}

/// Whether a text is of the kind that is answered without a server, where the session's state allows it.
pub(crate) fn may_be_local(facts: &Facts) -> bool {
    let begins_or_ends = |command: &Command| {
        matches!(
            command,
            Command::Begin(_)
                | Command::SetTransaction(_)
                | Command::Commit { .. }
                | Command::Rollback { .. }
        )
    };
    facts.single().is_some_and(|one| begins_or_ends(&one.command) || is_own(&one.command))
}
