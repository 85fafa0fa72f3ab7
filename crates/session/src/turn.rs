//! A session's life: one unit of the client's messages after the other.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use pgsplit_route::retry::{Again, Cause};
use pgsplit_route::rules::Ended;
use pgsplit_route::{Decision, Excluded, Policy, Reason, Target, Wanted, decide};
use pgsplit_sql::{Effects, Facts, NotRead, Verdict};
use pgsplit_wire::{PgError, Status, build, sqlstate};

use crate::ask::Ask;
use crate::causality::Reads;
use crate::checkout::NoLink;
use crate::end::End;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::patience::Fallback;
use crate::prepared::Prepared;
use crate::registry::ClientState;
use crate::relay::{Break, Relayed};
use crate::retry::{Failure, lost_error};
use crate::session::{Session, next_turn};
use crate::slow::Course;
use crate::spare;
use crate::unit::{BatchEnd, Unit, next_unit};

/// What a unit is, as far as trying it on a connection goes.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub verdict: Verdict,
    /// Of everything that it executes.
    pub effects: Effects,
    /// How it ends: a batch that goes on keeps its connection.
    pub end: BatchEnd,
    /// Its answer may be held back, and it may run again elsewhere.
    pub repeatable: bool,
    /// What it reads.
    pub reads: Reads,
    /// Statements that it binds and that were prepared before the catalog changed.
    pub stale: Vec<Arc<Prepared>>,
    /// What it asks for.
    pub ask: Ask,
}

impl Attempt {
    /// A unit of which nothing is known.
    pub(crate) fn unread(end: BatchEnd) -> Self {
        Self {
            verdict: Verdict::NotRead(NotRead::Unparsed),
            effects: Effects::OPAQUE | Effects::MAYBE_DDL,
            end,
            repeatable: false,
            reads: Reads::default(),
            stale: Vec::new(),
            ask: Ask::default(),
        }
    }
}

/// How a unit is put on a connection. Called again when it is run again elsewhere.
pub(crate) type Put<'a> = &'a mut (dyn FnMut(&mut Session, &mut Link) -> Result<(), End> + Send);

impl Session {
    /// Does what is to be done about what was heard, and about what the client sends meanwhile, until there is nothing to
    /// do but to wait for it.
    pub(crate) async fn run(&mut self, mut heard: Result<Relayed, End>) -> Result<(), End> {
        loop {
            match heard? {
                Relayed::Client => {}
                // The catalog is known again, an asynchronous message was passed on, or the last answer that was owed.
                Relayed::Answered => self.clean_up().await?,
                Relayed::Broken(why) => return Err(self.lost(&why)),
            }
            // What was reloaded meanwhile holds for what has just come.
            self.renew_settings();
            self.units().await?;
            match self.rest() {
                (None, None) => return Ok(()),
                (most, mark) => heard = self.listen(most, mark).await,
            }
        }
    }

    /// Everything that has come whole.
    async fn units(&mut self) -> Result<(), End> {
        loop {
            if self.link.as_ref().is_some_and(|link| link.takes_copy()) {
                self.copy_in().await?;
                continue;
            }
            let before = self.scanned;
            match next_unit(&self.inbox, &mut self.scanned, Self::limits())? {
                Some(unit) => self.unit(unit).await?,
                None if before < EAGER && self.scanned >= EAGER && self.is_no_read() => {
                    let length = std::mem::take(&mut self.scanned);
                    self.unit(Unit::Batch(length, BatchEnd::More)).await?;
                }
                None => return Ok(()),
            }
        }
    }

    async fn unit(&mut self, unit: Unit) -> Result<(), End> {
        if matches!(unit, Unit::Query(_) | Unit::Function(_) | Unit::Stray(_) | Unit::Malformed(_)) {
            self.catch_up().await?;
            if self.link.as_ref().is_some_and(|link| link.takes_copy()) {
                return Ok(());
            }
        }
        match unit {
            Unit::Terminate => return Err(End::Client),
            Unit::Unexpected(tag) => {
                return Err(PgError::fatal(
                    sqlstate::PROTOCOL_VIOLATION,
                    format!("invalid frontend message type {tag}"),
                )
                .into());
            }
            Unit::Stray(length) => self.inbox.advance(length),
            Unit::Query(length) | Unit::Function(length) if self.skipping => self.inbox.advance(length),
            Unit::Query(length) => {
                let bytes = self.take(length);
                self.query(&bytes).await?;
                spare::keep(bytes);
            }
            Unit::Function(length) => {
                let bytes = self.take(length);
                self.function(&bytes).await?;
                spare::keep(bytes);
            }
            Unit::Malformed(length) => {
                let bytes = self.take(length);
                self.skipping = false;
                self.malformed(&bytes).await?;
                spare::keep(bytes);
            }
            Unit::Batch(length, end) => {
                let bytes = self.take(length);
                self.batch(&bytes, end).await?;
                spare::keep(bytes);
            }
        }
        Ok(())
    }

    /// Before a message that does not belong to the extended protocol: what was sent of it without a Sync is answered,
    /// because it decides whether the message is skipped or is copy data. A server answers only when it is asked to.
    pub(crate) async fn catch_up(&mut self) -> Result<(), End> {
        if !self.open {
            return Ok(());
        }
        let Some(link) = self.link.as_mut().filter(|link| !link.owed.is_empty() && !link.takes_copy()) else {
            return Ok(());
        };
        build::flush(&mut link.out);
        link.ahead.catch_up();
        match self.relay(false).await? {
            Relayed::Broken(why) => Err(self.lost(&why)),
            _ => Ok(()),
        }
    }

    /// The first bytes of the inbox; all of them without a copy.
    fn take(&mut self, length: usize) -> BytesMut {
        if length == self.inbox.len() { std::mem::take(&mut self.inbox) } else { self.inbox.split_to(length) }
    }

    /// The client is waited for, and nothing is kept that is not needed for that. Returns for how long at most, and until
    /// the catalog is known as of which mark.
    fn rest(&mut self) -> (Option<Duration>, Option<u64>) {
        let idle = self.is_idle();
        self.handle.set_state(if idle { ClientState::Idle } else { ClientState::InTransaction });
        for buffer in [&mut self.inbox, &mut self.outbox] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                spare::keep(std::mem::take(buffer));
            }
        }
        self.tally.end();
        let most = if idle { self.settings.idle_client } else { self.settings.idle_transaction };
        (most, self.awaited_mark())
    }

    fn is_idle(&self) -> bool {
        self.state.status == Status::Idle && !self.open
    }

    /// What the client or the held connection says next, or the end of an idle session.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Relayed, End>> {
        if self.is_idle() && self.handle.poll_closing(cx).is_ready() {
            return Poll::Ready(Err(End::from(PgError::fatal(
                sqlstate::ADMIN_SHUTDOWN,
                "terminating connection due to administrator command",
            ))));
        }
        self.poll_relay(cx, true)
    }

    /// Waits for that, but no longer than `most`, and no longer than until the catalog is known as of `mark`.
    async fn listen(&mut self, most: Option<Duration>, mark: Option<u64>) -> Result<Relayed, End> {
        let (idle, catalog) = (self.is_idle(), mark.map(|_| Arc::clone(&self.catalog)));
        let mut settled = catalog.as_ref().zip(mark).map(|(catalog, mark)| catalog.settled(mark));
        let heard = poll_fn(|cx| match (self.poll_next(cx), &mut settled) {
            (Poll::Pending, Some(settled)) => settled.as_mut().poll(cx).map(|()| Ok(Relayed::Answered)),
            (polled, _) => polled,
        });
        match most {
            None => heard.await,
            Some(most) => match tokio::time::timeout(most, heard).await {
                Ok(heard) => heard,
                Err(_) => Err(timed_out(idle, most).into()),
            },
        }
    }

    /// Decides, takes a connection, sends, and relays until the unit is answered; runs it again elsewhere where that
    /// is allowed.
    pub(crate) async fn attempt(&mut self, attempt: &Attempt, put: Put<'_>) -> Result<(), End> {
        let began = Instant::now();
        // What goes on after a Flush or behind copy data was decided and counted when it began.
        let goes_on = self.open;
        if self.link.as_ref().is_some_and(|link| self.is_fenced(link)) {
            return Err(self.lost(&Break::Fenced));
        }
        let mut excluded = Excluded::default();
        let mut agains = 0;
        let (mut primary, mut first) = (false, true);
        // The life of the primary that it has failed on, and what that said.
        let (mut failed, mut words): (_, Option<Bytes>) = (None, None);
        // What a replica has refused may write after all.
        let mut refused = attempt.ask.refused;
        if refused {
            self.writes_anything();
        }
        self.failed = false;
        let chooses = self.link.is_none() && attempt.verdict == Verdict::Read;
        // What else a transaction will read nobody knows.
        let reads = if self.may_begin_on_replica(attempt) { self.reads_anything() } else { attempt.reads };
        let mut wanted = if chooses { self.wanted(reads, attempt.ask) } else { Wanted::NOTHING };
        let mut patience = self.roam(&mut wanted);
        if attempt.repeatable {
            self.earn_repeat();
        }
        loop {
            let decision = self.decide(attempt, &wanted, excluded, primary);
            let target = decision.target;
            let acquired = match decision.reason {
                Reason::Consistency | Reason::NoReplica if self.is_choosy(&decision.reason) => {
                    self.consistent(&mut wanted, excluded, attempt, &mut patience).await
                }
                _ => self.acquire(target, &wanted, attempt.effects).await.map(|()| true),
            };
            match acquired {
                Ok(true) => {}
                Ok(false) => continue,
                Err(NoLink::Elsewhere(node)) => {
                    excluded.add(node);
                    continue;
                }
                Err(NoLink::Again) if agains < MOST_AGAIN => {
                    agains += 1;
                    continue;
                }
                Err(NoLink::Again) => {
                    self.tally.failed = true;
                    return self.fail_with(lost_error(), attempt.end);
                }
                Err(NoLink::Failed(frame)) => {
                    self.tally.failed = true;
                    let took = began.elapsed();
                    if first {
                        self.count_rules(attempt, &decision);
                    }
                    self.count_end(attempt.ask, Ended { target, began, took, failed: true });
                    let rule = attempt.ask.found.rule;
                    self.note(&decision, &Course { began, took, node: None, rule, pinned: false });
                    return self.fail(&frame, attempt.end);
                }
                Err(NoLink::End(end)) => return Err(end),
            }
            let life = self.link.as_ref().map(|link| link.server.life());
            let node = self.link.as_ref().map(|link| link.server.node);
            if failed.is_some() && failed == life {
                // Never twice on a node.
                self.release();
                self.tally.failed = true;
                let Some(words) = words else { return self.fail_with(lost_error(), attempt.end) };
                self.outbox.extend_from_slice(&words);
                return Err(End::Said);
            }
            if !goes_on || target != Target::Held {
                self.shared.metrics.traffic.decided(&decision);
                if let Some(link) = &self.link {
                    self.shared.metrics.traffic.ran_on(link.server.node);
                }
                if std::mem::take(&mut first) {
                    self.count_rules(attempt, &decision);
                }
                self.note_decision(attempt, decision.clone());
            } else {
                self.note_execution(attempt);
            }
            if !attempt.stale.is_empty() && self.refuse_changed(&attempt.stale).await? {
                return self.after(attempt.end).await;
            }
            match self.send_and_relay(attempt, failed.is_none() && !refused, put).await? {
                None => {
                    let took = began.elapsed();
                    self.shared.metrics.traffic.took(target, took);
                    if let Some(spill) = &self.settings.spill
                        && (target, &attempt.verdict) == (Target::Primary, &Verdict::Read)
                    {
                        self.shared.metrics.read_on_primary(took > spill.read_latency);
                    }
                    let pinned = self.state.pin;
                    let ended = self.after(attempt.end).await;
                    self.count_end(attempt.ask, Ended { target, began, took, failed: self.failed });
                    let pinned = self.state.pin.is_some() && self.state.pin != pinned;
                    let rule = attempt.ask.found.rule;
                    self.note(&decision, &Course { began, took, node, rule, pinned });
                    return ended;
                }
                Some(Failure { cause, words: said }) => {
                    words = said;
                    if cause == Cause::Refused {
                        refused = true;
                        self.writes_anything();
                    }
                    match target {
                        Target::Replica(node) => excluded.add(node),
                        Target::Held | Target::Primary => failed = life,
                    }
                    // Once on another replica, then the primary.
                    primary = cause.again() == Again::Primary || excluded.count() > 1;
                }
            }
        }
    }

    /// Whether a read that no replica may answer now waits, or is served as `routing.fallback` says.
    fn is_choosy(&self, reason: &Reason) -> bool {
        !self.settings.shadow
            && (*reason == Reason::Consistency || self.settings.fallback != Fallback::Primary)
    }

    fn decide(&mut self, attempt: &Attempt, wanted: &Wanted, excluded: Excluded, primary: bool) -> Decision {
        if self.link.is_some() {
            let reason = match self.state.pin {
                Some(why) => Reason::Pinned(why),
                None => Reason::Transaction,
            };
            return Decision { target: Target::Held, reason };
        }
        let mut session = self.state.view(false);
        session.in_transaction &= !self.may_begin_on_replica(attempt);
        // A transaction that was begun here runs on the primary with everything in it.
        if session.in_transaction {
            return Decision { target: Target::Primary, reason: Reason::Transaction };
        }
        let view = self.shared.view.load();
        let random = if view.balance.policy == Policy::RoundRobin { next_turn() } else { self.random() };
        if primary && attempt.verdict == Verdict::Read {
            return Decision { target: Target::Primary, reason: Reason::Refused };
        }
        let asked = self.asked(attempt.ask);
        let decision = decide(&attempt.verdict, session, asked, &view, wanted, excluded, random);
        if !self.settings.shadow {
            return decision;
        }
        self.count_shadow(attempt, &decision);
        Decision { target: Target::Primary, ..decision }
    }

    /// What a text may leave behind that is about to be sent.
    pub(crate) fn may_leave(&self, facts: &Facts) -> Effects {
        facts.single().map_or(facts.effects, |one| self.state.may_leave(one, self.judged))
    }

    /// What the unit may leave behind. What it sets is rolled back when it fails, so that is noted when it is done.
    pub(crate) fn note_effects(&mut self, effects: Effects) {
        // A text that is not to be trusted may have run anything before an error.
        let certain = if self.state.is_unreadable() { effects } else { Effects::NONE };
        self.state.effects |= certain.without(Effects::SETTING_OPAQUE);
        self.state.expected |= effects.without(Effects::SETTING_OPAQUE);
        self.begin_change(effects);
        if effects.intersects(Effects::DDL | Effects::MAYBE_DDL) && self.state.creates_temporary() {
            self.state.expected |= Effects::TEMP_OBJECT;
        }
        if effects.contains(Effects::SEQUENCE_ASK) {
            // Also one that fails, because nobody had asked before.
            self.users.asks_sequences.store(true, Ordering::Relaxed);
        }
    }

    /// Relays until the unit is answered; one that takes longer than its rule's `timeout`, or else `timeouts.query`, is
    /// cancelled.
    pub(crate) async fn relay_in_time(&mut self, ask: Ask) -> Result<Relayed, End> {
        let of_rule = ask.rule(&self.settings).and_then(|rule| rule.timeout);
        let Some(most) = of_rule.or(self.settings.query) else { return self.relay(false).await };
        if let Ok(relayed) = tokio::time::timeout(most, self.relay(false)).await {
            return relayed;
        }
        if let Some(link) = &self.link {
            let in_flight = link.server.cancel.begin();
            let tls = self.shared.pools.environment().tls.load_full();
            tokio::spawn(async move { in_flight.send(&tls).await });
        }
        self.relay(false).await
    }

    /// Behind a unit: what it left behind is looked for, and the connection given back.
    async fn after(&mut self, end: BatchEnd) -> Result<(), End> {
        if end == BatchEnd::Sync { self.clean_up().await } else { Ok(()) }
    }

    /// A connection that runs something has broken: what the client is told before it is disconnected.
    pub(crate) fn lost(&mut self, why: &Break) -> End {
        Metrics::count(&self.shared.metrics.broken);
        self.hint();
        let busy = self.link.as_ref().is_some_and(|link| !link.owed.is_empty());
        let writing = busy && !self.link.as_ref().is_some_and(|link| link.replica);
        if writing {
            self.in_doubt();
        }
        self.detach();
        let (code, message) = if writing {
            (
                sqlstate::RESOLUTION_UNKNOWN,
                "the connection to the server was lost; whether the statement was carried out is not known",
            )
        } else {
            (sqlstate::CONNECTION_FAILURE, "the connection to the server was lost")
        };
        PgError::fatal(code, message).detail(why.to_string()).into()
    }

    /// The node of the connection that is held may have changed: it is asked at once.
    pub(crate) fn hint(&self) {
        if let Some(link) = &self.link {
            self.shared.pools.environment().report.hint(link.server.node);
        }
    }

    /// The unit fails without a server having seen it.
    pub(crate) fn fail(&mut self, frame: &[u8], end: BatchEnd) -> Result<(), End> {
        self.outbox.extend_from_slice(frame);
        if self.state.status != Status::Idle {
            self.state.lost = true;
            self.state.begin.clear();
            self.state.status = Status::Failed;
        }
        self.open = false;
        if end == BatchEnd::Sync {
            build::ready(&mut self.outbox, self.state.status);
        } else {
            self.skipping = true;
        }
        Ok(())
    }
}

/// So much of a batch is sent before its end is known, when it is known to be no read: an error should come soon.
const EAGER: usize = 64 * 1024;

/// How often the cluster may change while a unit looks for a connection.
const MOST_AGAIN: u32 = 10;

/// Answers of a batch that goes on that are noted without being asked for.
pub(crate) const MAX_OWED: usize = 10_000;

fn timed_out(idle: bool, most: Duration) -> PgError {
    if idle {
        PgError::fatal(sqlstate::IDLE_SESSION_TIMEOUT, "terminating connection due to idle-session timeout")
            .detail(format!("timeouts.idle_client is {most:?}"))
    } else {
        PgError::fatal(
            sqlstate::IDLE_IN_TRANSACTION_TIMEOUT,
            "terminating connection due to idle-in-transaction timeout",
        )
        .detail(format!("timeouts.idle_transaction is {most:?}"))
    }
}
