//! Answering statements about pgsplit's own settings, in both protocols. No server sees them; but where one would have
//! failed inside a transaction that a server knows of, that server is made to fail.

use std::sync::Arc;

use bytes::BytesMut;
use pgsplit_sql::{Command, Effects, Facts, scan};
use pgsplit_wire::{HEADER, PgError, Status, build, frontend};

use crate::end::End;
use crate::link::{Answer, Link, To, Undo, What};
use crate::own::{Name, is_own, shown};
use crate::prepared::Prepared;
use crate::query::aborted;
use crate::session::Session;
use crate::turn::Attempt;
use crate::unit::BatchEnd;

impl Session {
    /// Carries a statement out and says so, but for ReadyForQuery.
    fn own(&mut self, command: &Command, describe: bool) -> Result<(), PgError> {
        if let Command::Show(name) = command {
            let value = match Name::of(name)? {
                Name::Last => self.last_decision(),
                Name::Token => self.tally.take_token().ok_or_else(token_unknown)?,
                other => self.state.settings.own.now().show(other, self.settings.consistency).to_owned(),
            };
            if describe {
                build::text_column(&mut self.outbox, name.as_bytes());
            }
            build::text_row(&mut self.outbox, value.as_bytes());
            build::command_complete(&mut self.outbox, b"SHOW");
            return Ok(());
        }
        let shared = &self.shared;
        self.state.settings.own.change(command, |word| shared.knows_target(word))?;
        let tag: &[u8] = if matches!(command, Command::Reset(_)) { b"RESET" } else { b"SET" };
        build::command_complete(&mut self.outbox, tag);
        Ok(())
    }

    /// A Query whose text has statements about pgsplit's own settings. Those at its beginning are carried out, and what
    /// follows goes on without them.
    pub(crate) async fn own_query(&mut self, frame: &[u8], facts: &Facts) -> Result<(), End> {
        if self.state.status == Status::Failed {
            self.outbox.extend_from_slice(&aborted());
            build::ready(&mut self.outbox, Status::Failed);
            return Ok(());
        }
        let mut text = frontend::query(frame.get(HEADER..).unwrap_or_default())?.to_vec();
        let tokens = scan::tokens(&text);
        let ranges = scan::statements(&text, &tokens);
        let own = facts.statements.iter().take_while(|one| is_own(&one.command)).count();
        if facts.statements.iter().skip(own).any(|one| is_own(&one.command)) {
            let error =
                PgError::error(*b"0A000", "pgsplit's own settings can be set only before other statements")
                    .hint("Send it as a query of its own.");
            return self.own_failed(&error).await;
        }
        for statement in facts.statements.iter().take(own) {
            if let Err(error) = self.own(&statement.command, true) {
                return self.own_failed(&error).await;
            }
        }
        let rest = ranges.get(own).and_then(|range| tokens.get(range.start)).map(|token| token.start);
        let Some(rest) = rest else {
            self.state.ready(self.state.status);
            build::ready(&mut self.outbox, self.state.status);
            return Ok(());
        };
        // Blanks keep the places in the server's messages right.
        text.get_mut(..rest).unwrap_or_default().fill(b' ');
        let mut frame = BytesMut::new();
        build::query(&mut frame, &text);
        Box::pin(self.query(&frame)).await
    }

    /// A simple query fails with an error of our own.
    async fn own_failed(&mut self, error: &PgError) -> Result<(), End> {
        if self.link.is_none() || self.state.status != Status::Transaction {
            let mut frame = BytesMut::new();
            error.encode(&mut frame);
            self.state.settings.own.rollback();
            return self.fail(&frame, BatchEnd::Sync);
        }
        let text = raising(error);
        self.attempt(&Attempt::unread(BatchEnd::Sync), &mut |_, link| {
            link.query(&text, To::Client);
            Ok(())
        })
        .await
    }

    /// Execute of such a statement on a connection that is held.
    pub(crate) fn send_own(&mut self, link: &mut Link, prepared: &Arc<Prepared>) {
        let Some(one) = prepared.facts.single() else { return };
        let failed = || PgError::error(*b"25P02", "current transaction is aborted");
        let checked =
            if link.status == Status::Failed { Err(failed()) } else { self.check_own(&one.command) };
        let Err(error) = checked else {
            link.say(Answer::Execute(prepared.clone()), Undo::Nothing);
            return;
        };
        build::parse(&mut link.out, b"", &raising(&error), &[0, 0]);
        link.owe(What::Parse { undo: Undo::Nothing }, To::Silent);
        build::bind(&mut link.out, b"", b"", &[0; 6]);
        link.owe(What::Bind { portal: Box::default(), before: None, effects: Effects::NONE }, To::Silent);
        build::execute(&mut link.out, b"");
        link.owe(What::Execute { portal: None }, To::Client);
        link.server.unnamed = None;
    }

    /// Whether a statement would fail.
    pub(crate) fn check_own(&self, command: &Command) -> Result<(), PgError> {
        if let Command::Show(name) = command {
            return Name::of(name).map(|_| ());
        }
        let mut trial = crate::own::OwnJournal::new(self.state.settings.own.now().clone());
        trial.change(command, |word| self.shared.knows_target(word))
    }

    /// Says something without asking the server.
    pub(crate) fn say(&mut self, answer: &Answer) {
        match answer {
            Answer::ParseComplete => build::parse_complete(&mut self.outbox),
            Answer::BindComplete => build::bind_complete(&mut self.outbox),
            Answer::CloseComplete => build::close_complete(&mut self.outbox),
            Answer::Describe(prepared, statement) => self.describe_own(&prepared.facts, *statement),
            Answer::Execute(prepared) => {
                let done = prepared.facts.single().map_or(Ok(()), |one| self.own(&one.command, false));
                if let Err(error) = done {
                    // It was checked when it was sent; what has changed meanwhile is the set of nodes.
                    PgError::notice(pgsplit_wire::Severity::Warning, error.code, error.message)
                        .encode(&mut self.outbox);
                    build::command_complete(&mut self.outbox, b"SET");
                }
            }
        }
    }

    /// The answer to Describe.
    pub(crate) fn describe_own(&mut self, facts: &Facts, statement: bool) {
        if statement {
            build::no_parameters(&mut self.outbox);
        }
        match shown(facts) {
            Some(name) => build::text_column(&mut self.outbox, name.as_bytes()),
            None => build::no_data(&mut self.outbox),
        }
    }

    /// Execute of such a statement without a connection. False when it has failed.
    pub(crate) fn own_executed(&mut self, facts: &Facts) -> bool {
        let done = facts.single().map_or(Ok(()), |one| self.own(&one.command, false));
        let Err(error) = done else { return true };
        error.encode(&mut self.outbox);
        self.state.settings.own.rollback();
        if self.state.status != Status::Idle {
            self.state.lost = true;
            self.state.begin.clear();
            self.state.status = Status::Failed;
        }
        false
    }
}

/// A text with which a server fails as we would: its transaction has to know of it.
fn raising(error: &PgError) -> Vec<u8> {
    let literal = |text: &str| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let code = String::from_utf8_lossy(&error.code).into_owned();
    let hint = error.hint.as_deref().map(|hint| format!(", HINT = {}", literal(hint))).unwrap_or_default();
    let body = format!(
        "BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}{hint}; END",
        literal(&code),
        literal(&error.message)
    );
    format!("DO LANGUAGE plpgsql {}", literal(&body)).into_bytes()
}

/// The primary is asked for the token before a statement is carried out that is one of its own, or the only one of a batch.
fn token_unknown() -> PgError {
    PgError::error(*b"0A000", "pgsplit.token can be shown only by a statement of its own")
}
