//! One run of a unit on the connection that is held; and whether it is run again elsewhere. The causes, and what each of
//! them means, are `pgsplit_route::retry`'s.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use pgsplit_route::retry::{Budget, Cause, on_primary, on_replica};
use pgsplit_sql::{Facts, Verdict};
use pgsplit_wire::sqlstate::SqlState;
use pgsplit_wire::{PgError, Status, sqlstate};

use crate::causality::planted;
use crate::end::End;
use crate::link::{Ahead, Held, Link, What};
use crate::metrics::Metrics;
use crate::prepared::Portals;
use crate::relay::{Break, Relayed};
use crate::session::Session;
use crate::turn::{Attempt, MAX_OWED, Put};
use crate::unit::BatchEnd;

thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(Budget::FULL) };
}

/// Why a unit must run again.
#[derive(Debug)]
pub(crate) struct Failure {
    pub cause: Cause,
    /// The error with which the server has ended the connection.
    pub words: Option<Bytes>,
}

impl Session {
    /// A read is run for the first time: it earns a share of a repeat.
    pub(crate) fn earn_repeat(&self) {
        let earning = self.settings.retry_earning;
        BUDGET.with(|budget| {
            let mut now = budget.get();
            now.earn(earning);
            budget.set(now);
        });
    }

    /// Whether the budget allows a repeat for this cause.
    fn may_repeat(&self, cause: Cause) -> bool {
        let earning = self.settings.retry_earning;
        let allowed = !cause.is_budgeted()
            || BUDGET.with(|budget| {
                let mut now = budget.get();
                let allowed = now.take(earning);
                budget.set(now);
                allowed
            });
        if !allowed {
            Metrics::count(&self.shared.metrics.retries_denied);
        }
        allowed
    }

    /// Whether a read that an error ends is run again, and why.
    pub(crate) fn repeats(&self, link: &Link, code: SqlState) -> Option<Cause> {
        let cause = if link.replica { on_replica(&code) } else { on_primary(&code) };
        cause.filter(|cause| self.may_repeat(*cause))
    }

    /// A replica has refused a statement: the next time it is not asked.
    pub(crate) fn remember_refusal(&self, facts: Arc<Facts>) {
        let text = facts.text().into_owned();
        if self.shared.refusals.remember(facts, &self.users.key) {
            let user = String::from_utf8_lossy(&self.users.key.user);
            tracing::warn!(
                statement = text,
                %user,
                "a replica refused what was proved to be a read: it goes to the primary for a while"
            );
        }
    }

    /// One run of a unit on the connection that is held; with `hold`, its answer may be held back. `Some`: it must run
    /// again.
    pub(crate) async fn send_and_relay(
        &mut self,
        attempt: &Attempt,
        hold: bool,
        put: Put<'_>,
    ) -> Result<Option<Failure>, End> {
        let Some(mut link) = self.link.take() else { return Ok(None) };
        let hold = hold && self.may_hold(attempt, &link);
        if hold && !self.outbox.is_empty() {
            self.link = Some(link);
            self.flush().await?;
            let Some(back) = self.link.take() else { return Ok(None) };
            link = back;
        }
        link.held = if hold { Held::Yes } else { Held::No };
        link.begun = true;
        if attempt.verdict != Verdict::Read {
            link.server.writes_for(self.handle.pid);
        }
        self.note_effects(attempt.effects);
        self.unit_sent();
        let before = link.out.len();
        let put = put(self, &mut link);
        if attempt.end == BatchEnd::Sync {
            link.ahead = Ahead::default();
        } else {
            link.ahead.add(link.out.len().saturating_sub(before));
        }
        self.say_what_is_due(&mut link);
        self.link = Some(link);
        put?;
        self.open = attempt.end != BatchEnd::Sync;
        let far = |link: &Link| link.owed.len() >= MAX_OWED || link.ahead.is_far();
        if self.open && self.link.as_deref().is_some_and(far) {
            self.catch_up().await?;
        }
        if self.open {
            // What is answered meanwhile is passed on while the client's next messages are waited for.
            return match self.drain().await? {
                Some(why) => Err(self.lost(&why)),
                None => Ok(None),
            };
        }
        let relayed = self.relay_in_time(attempt.ask).await?;
        self.ran(attempt, relayed)
    }

    /// Whether the answer is held back. On the primary only where the session needs nothing of that connection.
    fn may_hold(&self, attempt: &Attempt, link: &Link) -> bool {
        let free = || {
            link.status == Status::Idle
                && self.state.status == Status::Idle
                && self.state.pin.is_none()
                && !self.state.is_unreadable()
        };
        if planted("retry-write") && free() {
            return attempt.end == BatchEnd::Sync && link.owes_client_nothing();
        }
        // A transaction that runs on a replica cannot go on elsewhere.
        let alone = self.state.status == Status::Idle;
        attempt.repeatable && alone && link.owes_client_nothing() && (link.replica || free())
    }

    /// What a run came to.
    fn ran(&mut self, attempt: &Attempt, relayed: Relayed) -> Result<Option<Failure>, End> {
        let Some(link) = &mut self.link else { return Ok(None) };
        let (held, faulty) = (link.held, link.fault.is_some());
        let words = link.last_words.take();
        let cause = match (relayed, held) {
            (Relayed::Client, _) => return Ok(None),
            (Relayed::Answered, Held::Again(cause)) => cause,
            (Relayed::Answered, _) if faulty => {
                let why = "the session's settings could not be restored on a server connection";
                self.detach();
                return Err(PgError::fatal(sqlstate::RESOLUTION_UNKNOWN, why).into());
            }
            (Relayed::Answered, _) => return Ok(None),
            (Relayed::Broken(why), Held::No) => return Err(self.lost(&why)),
            (Relayed::Broken(why), held) => {
                if let Some(mut link) = self.link.take() {
                    self.unsay(&mut link);
                    self.link = Some(link);
                }
                Metrics::count(&self.shared.metrics.broken);
                self.hint();
                match (held, &why) {
                    // The server has said why it ends the connection.
                    (Held::Again(cause), _) => cause,
                    (_, Break::Silent) => Cause::Silent,
                    _ => Cause::Broken,
                }
            }
        };
        // What was said with an error was paid for when that came.
        let paid = matches!(held, Held::Again(_)) || self.may_repeat(cause);
        let cancelled = self.handle.was_cancelled();
        self.detach_for_retry();
        if paid && !cancelled {
            self.shared.metrics.retried(cause);
            return Ok(Some(Failure { cause, words }));
        }
        self.tally.failed = true;
        let error = if cancelled {
            PgError::error(sqlstate::QUERY_CANCELED, "canceling statement due to user request")
        } else {
            lost_error()
        };
        self.fail_with(error, attempt.end)?;
        Ok(None)
    }

    /// The answer was thrown away whole; the connection itself may be fine.
    fn detach_for_retry(&mut self) {
        self.handle.set_running(None);
        self.state.errored = false;
        self.tally.failed = false;
        self.tally.rows = 0;
        if let Some(mut link) = self.link.take()
            && link.is_quiet()
            && link.status == Status::Idle
            && link.fault.is_none()
            && !link.ended
            && !link.has_leftovers()
        {
            link.held = Held::No;
            link.part().put_back();
        }
    }

    /// The unit fails with this error.
    pub(crate) fn fail_with(&mut self, error: PgError, end: BatchEnd) -> Result<(), End> {
        let mut frame = bytes::BytesMut::new();
        error.encode(&mut frame);
        self.fail(&frame, end)
    }
}

/// A read's connection was lost, and it is not run again.
pub(crate) fn lost_error() -> PgError {
    PgError::error(sqlstate::CONNECTION_FAILURE, "the connection to the server was lost")
        .hint("The statement has changed nothing and may be repeated.")
}

/// What was carried out when an error came.
pub(crate) fn failed_facts(what: &What, portals: &Portals) -> Option<Arc<Facts>> {
    match what {
        What::Query { facts, .. } => facts.clone(),
        What::Execute { portal } => portal.as_ref().map(|portal| portal.prepared.facts.clone()),
        // Functions of constants are carried out by Bind.
        What::Bind { portal, .. } => portals.get(portal).map(|portal| portal.prepared.facts.clone()),
        _ => None,
    }
}
