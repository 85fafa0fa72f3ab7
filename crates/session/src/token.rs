//! `SHOW pgsplit.token`: a position that covers what the session has written and seen on the primary, for a reader
//! elsewhere to ask for with `SET pgsplit.min_lsn`.

use std::time::Duration;

use pgsplit_sql::{Command, Facts};
use pgsplit_wire::{PgError, Status, build, sqlstate};

use crate::checkout::NoLink;
use crate::end::End;
use crate::session::Session;
use crate::unit::BatchEnd;

/// How long the primary's answer is waited for.
const MOST: Duration = Duration::from_secs(5);
/// The setting's name.
const NAME: &str = "pgsplit.token";

impl Session {
    /// Whether a simple query asks for the token, and can be answered here.
    pub(crate) fn asks_token(&self, facts: &Facts) -> bool {
        Self::is_token(facts) && self.state.status != Status::Failed && !self.state.lost
    }

    /// Answers it.
    pub(crate) async fn show_token(&mut self) -> Result<(), End> {
        match self.token().await {
            Ok(token) => {
                self.say_value(&token);
                Ok(())
            }
            Err(NoLink::Failed(frame)) => self.fail(&frame, BatchEnd::Sync),
            Err(NoLink::End(end)) => Err(end),
            Err(NoLink::Elsewhere(_) | NoLink::Again) => Ok(()),
        }
    }

    /// Before a batch that shows it is carried out: asks for it. False when the batch has failed with that.
    pub(crate) async fn fetch_token(&mut self, end: BatchEnd) -> Result<bool, End> {
        match self.token().await {
            Ok(token) => self.tally.set_token(token),
            Err(NoLink::Failed(frame)) if self.link.is_none() => {
                self.fail(&frame, end)?;
                return Ok(false);
            }
            Err(NoLink::End(end)) => return Err(end),
            // In a transaction of a server the statement itself will say that there is none.
            Err(_) => {}
        }
        Ok(true)
    }

    /// Whether a text shows it.
    pub(crate) fn is_token(facts: &Facts) -> bool {
        facts.single().is_some_and(|one| matches!(&one.command, Command::Show(name) if &**name == NAME))
    }

    /// The position, as text.
    async fn token(&mut self) -> Result<String, NoLink> {
        let need = self.state.causality.seen.primary();
        let control = self.shared.control.clone();
        let waited = self
            .unless_cancelled(Box::pin(async move {
                let holds = || control.sampled(need.newest()).is_some();
                control.wait_positions(need, None, MOST, &holds).await;
                control.sampled(need.newest())
            }))
            .await;
        // What the present transaction holds runs on.
        if let Some(link) = &self.link {
            self.handle.set_running(Some(link.server.cancel.clone()));
        }
        let sample = waited?.ok_or_else(|| {
            NoLink::from(PgError::error(
                sqlstate::CANNOT_CONNECT_NOW,
                "the primary did not say how far it is",
            ))
        })?;
        let position = if need.inserted > 0 { sample.inserted } else { sample.flushed };
        Ok(position.to_string())
    }

    /// One row with one column of text, as SHOW answers.
    fn say_value(&mut self, value: &str) {
        build::message(&mut self.outbox, b'T', |out| {
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(NAME.as_bytes());
            // No table, no column, type text (oid 25) of any length, in text form.
            out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]);
        });
        build::message(&mut self.outbox, b'D', |out| {
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        });
        build::command_complete(&mut self.outbox, b"SHOW");
        build::ready(&mut self.outbox, self.state.status);
    }
}
