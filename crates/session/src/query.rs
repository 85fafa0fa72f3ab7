//! Simple queries and function calls, and what is answered without a server: BEGIN, and transactions that do nothing.

use pgsplit_sql::{Command, Effects, Facts};
use pgsplit_wire::{HEADER, PgError, Status, build, frontend, sqlstate};

use crate::ask::words;
use crate::causality::Reads;
use crate::end::End;
use crate::link::{To, What};
use crate::metrics::Metrics;
use crate::own::is_own;
use crate::session::Session;
use crate::turn::Attempt;
use crate::unit::BatchEnd;
use pgsplit_sql::Verdict;

impl Session {
    /// A Query message.
    pub(crate) async fn query(&mut self, frame: &[u8]) -> Result<(), End> {
        let Ok(text) = frontend::query(frame.get(HEADER..).unwrap_or_default()) else {
            return self.malformed(frame).await;
        };
        let catalog = self.facts_of_catalog().await;
        let (facts, around) = self.shared.analyzer.read(text, &catalog);
        // A simple query destroys the unnamed statement (exec_simple_query in postgres.c).
        self.state.unnamed = None;
        if self.asks_token(&facts) {
            return self.show_token().await;
        }
        if facts.statements.iter().any(|one| is_own(&one.command)) {
            return self.own_query(frame, &facts).await;
        }
        if let [statement] = &*facts.statements
            && self.answer(&statement.command, text)
        {
            build::ready(&mut self.outbox, self.state.status);
            return Ok(());
        }
        if self.state.lost {
            self.outbox.extend_from_slice(&aborted());
            build::ready(&mut self.outbox, Status::Failed);
            return Ok(());
        }
        let words = words(&around);
        let mut attempt = Attempt {
            verdict: facts.verdict.clone(),
            effects: self.may_leave(&facts),
            end: BatchEnd::Sync,
            repeatable: facts.verdict == Verdict::Read,
            reads: Reads::default(),
            stale: Vec::new(),
            ask: self.asks_for(&facts, &catalog, words),
        };
        self.begin_unit(&catalog);
        drop(catalog);
        self.make_way(&facts).await;
        self.runs(&facts);
        let database = self.database();
        attempt.reads.add(&self.shared.marks, database, &facts.read);
        if self.state.is_unreadable() {
            attempt.effects |= self.unread();
            self.writes_anything();
        }
        if attempt.effects.contains(Effects::OPAQUE) {
            self.note_mentioned(text);
            self.note_durability(text);
        }
        if attempt.effects.contains(Effects::VACATES) {
            self.vacate(text);
        }
        if self.open && attempt.verdict != Verdict::Read {
            self.leave_replica().await?;
        }
        self.tally.begin();
        self.tally.executes(facts.clone());
        self.tally.hears(words);
        self.attempt(&attempt, &mut |session, link| {
            session.send_named(link, &facts);
            link.out.extend_from_slice(frame);
            link.server.unnamed = None;
            link.owe(What::Query { facts: Some(facts.clone()), next: 0 }, To::Client);
            Ok(())
        })
        .await
    }

    /// A FunctionCall message: nothing is known of what it does.
    pub(crate) async fn function(&mut self, frame: &[u8]) -> Result<(), End> {
        if self.state.lost {
            self.outbox.extend_from_slice(&aborted());
            build::ready(&mut self.outbox, Status::Failed);
            return Ok(());
        }
        self.tally.begin();
        let attempt = Attempt { effects: self.unread(), ..Attempt::unread(BatchEnd::Sync) };
        self.begin_unit(&self.catalog.load());
        self.writes_anything();
        self.attempt(&attempt, &mut |_, link| {
            link.out.extend_from_slice(frame);
            link.owe(What::Function, To::Client);
            Ok(())
        })
        .await
    }

    /// Answers a statement without a server, but for ReadyForQuery, when that is possible: a lazy BEGIN, and the end of
    /// a transaction that no server knows of. True when it was answered.
    pub(crate) fn answer(&mut self, command: &Command, text: &[u8]) -> bool {
        if self.link.is_some() {
            return false;
        }
        let begun = !self.state.begin.is_empty();
        let tag: &[u8] = match command {
            Command::Empty if !self.state.lost => {
                self.outbox.extend_from_slice(&[b'I', 0, 0, 0, 4]);
                return true;
            }
            Command::Begin(_) if self.state.status == Status::Idle => match first_word(text) {
                Some(word) => {
                    self.state.begin.push(text.to_vec());
                    self.state.status = Status::Transaction;
                    if word.eq_ignore_ascii_case(b"start") { b"START TRANSACTION" } else { b"BEGIN" }
                }
                None => return false,
            },
            Command::SetTransaction(_) if begun => {
                self.state.begin.push(text.to_vec());
                b"SET"
            }
            Command::Commit { chain: false } | Command::Rollback { chain: false } if self.state.lost => {
                self.end_local(false);
                b"ROLLBACK"
            }
            Command::Commit { chain: false } if begun => {
                self.end_local(true);
                b"COMMIT"
            }
            Command::Rollback { chain: false } if begun => {
                self.end_local(false);
                b"ROLLBACK"
            }
            _ => return false,
        };
        Metrics::count(&self.shared.metrics.local_answers);
        build::command_complete(&mut self.outbox, tag);
        true
    }

    /// A transaction that no server knows of ends; settings of our own may have changed in it.
    fn end_local(&mut self, committed: bool) {
        if committed {
            self.state.settings.commit()
        } else {
            self.state.settings.rollback()
        }
        self.state.begin.clear();
        self.state.lost = false;
        self.state.status = Status::Idle;
    }

    /// Prepares under the client's own names what the text mentions by name; with a Sync of its own where that does not
    /// end what the client has begun.
    pub(crate) fn send_named(&mut self, link: &mut crate::link::Link, facts: &Facts) {
        if !facts.effects.contains(Effects::SQL_PREPARED) || link.status == Status::Failed {
            return;
        }
        for statement in &facts.statements {
            let name = match &statement.command {
                // PREPARE finds the name taken, and the server says so.
                Command::Execute { name } | Command::Deallocate(Some(name)) | Command::Prepare { name } => {
                    name.as_bytes()
                }
                _ => continue,
            };
            if let Some(prepared) = self.state.names.get(name) {
                let key = &prepared.statement.key;
                let to = if self.open { To::Silent } else { To::Named };
                link.prepare_as(name, &key.text, &key.types, to);
                if !self.open {
                    link.sync();
                }
            }
        }
    }
}

/// The statement's first word, when no comment stands before it.
pub(crate) fn first_word(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    text.get(..end).filter(|word| !word.is_empty())
}

/// What PostgreSQL says in a failed transaction.
pub(crate) fn aborted() -> bytes::BytesMut {
    let mut out = bytes::BytesMut::new();
    PgError::error(
        sqlstate::IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
    .encode(&mut out);
    out
}
