//! A session's life: one unit of the client's messages after the other.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use pgsplit_route::{Decision, Excluded, Reason, Target, decide};
use pgsplit_sql::{Catalog, Effects, NotRead, Verdict};
use pgsplit_wire::{PgError, Status, build, sqlstate};

use crate::ask::Ask;
use crate::checkout::NoLink;
use crate::end::End;
use crate::link::{Held, Link};
use crate::metrics::Metrics;
use crate::prepared::Prepared;
use crate::registry::ClientState;
use crate::relay::{Break, Relayed};
use crate::retry::Again;
use crate::session::Session;
use crate::spare;
use crate::statistics::Ran;
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
            stale: Vec::new(),
            ask: Ask::default(),
        }
    }
}

/// How a unit is put on a connection. Called again when it is run again elsewhere.
pub(crate) type Put<'a> = &'a mut (dyn FnMut(&mut Session, &mut Link) -> Result<(), End> + Send);

impl Session {
    /// Serves the client until it leaves or must go.
    pub(crate) async fn run(&mut self) -> Result<(), End> {
        loop {
            if self.link.as_ref().is_some_and(|link| link.takes_copy()) {
                Box::pin(self.copy_in()).await?;
                continue;
            }
            match next_unit(&self.inbox, &mut self.scanned, Self::limits())? {
                // On the heap while it runs, so that an idle client has no room for it.
                Some(unit) => Box::pin(self.unit(unit)).await?,
                None => self.wait().await?,
            }
        }
    }

    async fn unit(&mut self, unit: Unit) -> Result<(), End> {
        if matches!(unit, Unit::Query(_) | Unit::Function(_) | Unit::Stray(_)) {
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
    async fn catch_up(&mut self) -> Result<(), End> {
        if !self.open {
            return Ok(());
        }
        let Some(link) = self.link.as_mut().filter(|link| !link.owed.is_empty() && !link.takes_copy()) else {
            return Ok(());
        };
        build::flush(&mut link.out);
        match self.relay(false).await? {
            Relayed::Broken(why) => Err(self.lost(&why)),
            _ => Ok(()),
        }
    }

    /// The first bytes of the inbox; all of them without a copy.
    fn take(&mut self, length: usize) -> BytesMut {
        if length == self.inbox.len() { std::mem::take(&mut self.inbox) } else { self.inbox.split_to(length) }
    }

    /// Waits for the client to send something.
    async fn wait(&mut self) -> Result<(), End> {
        let idle = self.state.status == Status::Idle && !self.open;
        self.handle.set_state(if idle { ClientState::Idle } else { ClientState::InTransaction });
        for buffer in [&mut self.inbox, &mut self.outbox] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                spare::keep(std::mem::take(buffer));
            }
        }
        let most = if idle { self.settings.idle_client } else { self.settings.idle_transaction };
        let listened = match most {
            None => self.listen(idle).await,
            Some(most) => match tokio::time::timeout(most, self.listen(idle)).await {
                Ok(listened) => listened,
                Err(_) => Err(timed_out(idle, most).into()),
            },
        };
        // What was reloaded meanwhile holds for what has just come.
        self.renew_settings();
        listened
    }

    /// Waits for the client, and for what the held connection says meanwhile.
    async fn listen(&mut self, idle: bool) -> Result<(), End> {
        let catalog = Arc::clone(&self.catalog);
        let mut settled = self.awaited_mark().map(|mark| catalog.settled(mark));
        let relayed = poll_fn(|cx| {
            if idle && self.handle.poll_closing(cx).is_ready() {
                return Poll::Ready(Err(End::from(PgError::fatal(
                    sqlstate::ADMIN_SHUTDOWN,
                    "terminating connection due to administrator command",
                ))));
            }
            match (self.poll_relay(cx, true), &mut settled) {
                (Poll::Pending, Some(settled)) => settled.as_mut().poll(cx).map(|()| Ok(Relayed::Answered)),
                (polled, _) => polled,
            }
        })
        .await?;
        match relayed {
            Relayed::Broken(why) => Err(self.lost(&why)),
            // The catalog is known again, an asynchronous message was passed on, or the last answer that was owed.
            Relayed::Answered => Box::pin(self.clean_up()).await,
            Relayed::Client => Ok(()),
        }
    }

    /// The facts of the catalog; waited for when a change of it has just been seen and something is to be decided.
    pub(crate) async fn facts_of_catalog(&self) -> Arc<Catalog> {
        let behind = || self.catalog.is_stale() || !self.catalog.is_settled(self.suspected);
        if self.link.is_none() && behind() { self.catalog.fresh().await } else { self.catalog.load() }
    }

    /// Decides, takes a connection, sends, and relays until the unit is answered; runs it again elsewhere where that
    /// is allowed.
    pub(crate) async fn attempt(&mut self, attempt: &Attempt, put: Put<'_>) -> Result<(), End> {
        let began = Instant::now();
        // What goes on after a Flush or behind copy data was decided and counted when it began.
        let goes_on = self.open;
        let mut excluded = Excluded::default();
        let (mut primary, mut first) = (false, true);
        self.failed = false;
        loop {
            let decision = self.decide(attempt, excluded, primary);
            let target = decision.target;
            if let Err(no) = self.acquire(target, attempt.effects).await {
                match no {
                    NoLink::Elsewhere(node) => excluded.add(node),
                    NoLink::Failed(frame) => {
                        self.tally.failed = true;
                        self.note(&decision, began, began.elapsed(), false);
                        return self.fail(&frame, attempt.end);
                    }
                    NoLink::End(end) => return Err(end),
                }
                continue;
            }
            if !goes_on || target != Target::Held {
                self.shared.metrics.decided(&decision);
                if let Some(link) = &self.link {
                    self.shared.metrics.ran_on(link.server.node);
                }
                if std::mem::take(&mut first) {
                    self.count_rules(attempt, &decision);
                }
                self.note_decision(attempt, decision.clone());
            }
            if !attempt.stale.is_empty() && self.refuse_changed(&attempt.stale).await? {
                return self.after(attempt.end).await;
            }
            match self.send_and_relay(attempt, put).await? {
                None => {
                    let took = began.elapsed();
                    if let Some(histogram) = self.shared.metrics.duration.get(target.index()) {
                        histogram.observe(took);
                    }
                    let pinned = self.state.pin;
                    let ended = self.after(attempt.end).await;
                    self.count_failure(attempt.ask);
                    self.note(&decision, began, took, self.state.pin.is_some() && self.state.pin != pinned);
                    return ended;
                }
                Some(again) => {
                    Metrics::count(&self.shared.metrics.retries);
                    if let Target::Replica(node) = target {
                        excluded.add(node);
                    }
                    // Once on another replica, then the primary.
                    primary = again == Again::Primary || excluded.count() > 1;
                }
            }
        }
    }

    /// Notes what the unit came to on the thread's sheet.
    fn note(&mut self, decision: &Decision, began: Instant, took: Duration, pinned: bool) {
        let replica = matches!(decision.target, Target::Replica(_));
        let (failed, rows) = (std::mem::take(&mut self.tally.failed), std::mem::take(&mut self.tally.rows));
        if failed {
            Metrics::count(&self.shared.metrics.failed);
        }
        let Some(first) = self.tally.first.take() else { return };
        let mut ran = Ran {
            facts: &first,
            database: &self.database,
            decision,
            replica,
            began,
            took,
            failed,
            rows,
            pinned,
            route: &self.tally.route,
        };
        self.recorder.note(&ran);
        if !self.tally.more.is_empty() {
            // What a batch came to as a whole is its first statement's.
            (ran.failed, ran.rows, ran.pinned, ran.route) = (false, 0, false, b"");
            for facts in self.tally.more.drain(..) {
                self.recorder.note(&Ran { facts: &facts, ..ran });
            }
        }
    }

    fn decide(&mut self, attempt: &Attempt, excluded: Excluded, primary: bool) -> Decision {
        if self.link.is_some() {
            let reason = match self.state.pin {
                Some(why) => Reason::Pinned(why),
                None => Reason::Transaction,
            };
            return Decision { target: Target::Held, reason };
        }
        let session = self.state.view(false);
        // A transaction that was begun here runs on the primary with everything in it.
        if session.in_transaction {
            return Decision { target: Target::Primary, reason: Reason::Transaction };
        }
        let random = self.random();
        let view = self.shared.view.load();
        if primary && attempt.verdict == Verdict::Read {
            return Decision { target: Target::Primary, reason: Reason::Refused };
        }
        let decision = decide(&attempt.verdict, session, self.asked(attempt.ask), &view, excluded, random);
        if !self.settings.shadow {
            return decision;
        }
        self.shared.metrics.would_have(&decision);
        Decision { target: Target::Primary, ..decision }
    }

    /// One run of a unit on the connection that is held. `Some` when it must run again.
    async fn send_and_relay(&mut self, attempt: &Attempt, put: Put<'_>) -> Result<Option<Again>, End> {
        let Some(mut link) = self.link.take() else { return Ok(None) };
        let hold = attempt.repeatable && link.replica && link.owes_client_nothing();
        if hold && !self.outbox.is_empty() {
            self.link = Some(link);
            self.flush().await?;
            let Some(back) = self.link.take() else { return Ok(None) };
            link = back;
        }
        link.held = if hold { Held::Yes } else { Held::No };
        self.note_effects(attempt.effects);
        let put = put(self, &mut link);
        self.say_what_is_due(&mut link);
        self.link = Some(link);
        put?;
        self.open = attempt.end != BatchEnd::Sync;
        if self.link.as_ref().is_some_and(|link| self.open && link.owed.len() >= MAX_OWED) {
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
        let Some(link) = &mut self.link else { return Ok(None) };
        match relayed {
            Relayed::Answered if link.fault.is_some() && matches!(link.held, Held::Again(_)) => {
                self.detach();
                Ok(Some(Again::Primary))
            }
            Relayed::Answered if link.fault.is_some() => {
                let why = "the session's settings could not be restored on a server connection";
                self.detach();
                Err(PgError::fatal(sqlstate::RESOLUTION_UNKNOWN, why).into())
            }
            Relayed::Answered => match link.held {
                Held::Again(again) => {
                    self.detach_for_retry();
                    Ok(Some(again))
                }
                _ => Ok(None),
            },
            Relayed::Client => Ok(None),
            Relayed::Broken(_) if link.held != Held::No => {
                if let Some(mut link) = self.link.take() {
                    self.unsay(&mut link);
                }
                Metrics::count(&self.shared.metrics.broken);
                self.detach();
                Ok(Some(Again::AnotherReplica))
            }
            Relayed::Broken(why) => Err(self.lost(&why)),
        }
    }

    /// What the unit may leave behind. What it sets is rolled back when it fails, so that is noted when it is done.
    fn note_effects(&mut self, effects: Effects) {
        self.state.effects |= effects.without(Effects::SETTING_OPAQUE);
        if effects.intersects(Effects::DDL | Effects::MAYBE_DDL) && self.state.creates_temporary() {
            self.state.effects |= Effects::TEMP_OBJECT;
        }
        if effects.contains(Effects::SEQUENCE_ASK) {
            // Also one that fails, because nobody had asked before.
            self.users.asks_sequences.store(true, Ordering::Relaxed);
        }
    }

    /// Relays until the unit is answered; one that takes longer than its rule's `timeout`, or else `timeouts.query`, is
    /// cancelled.
    async fn relay_in_time(&mut self, ask: Ask) -> Result<Relayed, End> {
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

    /// The answer of a replica was thrown away whole; the connection itself is fine.
    fn detach_for_retry(&mut self) {
        self.handle.set_running(None);
        self.state.errored = false;
        self.tally.failed = false;
        self.tally.rows = 0;
        if let Some(mut link) = self.link.take()
            && link.is_quiet()
            && link.status == Status::Idle
        {
            link.held = Held::No;
            link.part().put_back();
        }
    }

    /// Behind a unit: what it left behind is looked for, and the connection given back.
    async fn after(&mut self, end: BatchEnd) -> Result<(), End> {
        if end == BatchEnd::Sync { self.clean_up().await } else { Ok(()) }
    }

    /// A connection that runs something has broken: what the client is told before it is disconnected.
    pub(crate) fn lost(&mut self, why: &Break) -> End {
        Metrics::count(&self.shared.metrics.broken);
        let busy = self.link.as_ref().is_some_and(|link| !link.owed.is_empty());
        let writing = busy && !self.link.as_ref().is_some_and(|link| link.replica);
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

    /// Passes copy data on to the server, and whatever the server says meanwhile to the client.
    async fn copy_in(&mut self) -> Result<(), End> {
        while let Some(link) = self.link.as_mut().filter(|link| link.takes_copy()) {
            if pass_copy_data(&mut self.inbox, link)? {
                if let Some(why) = self.drain().await? {
                    return Err(self.lost(&why));
                }
                continue;
            }
            match self.relay(true).await? {
                Relayed::Broken(why) => return Err(self.lost(&why)),
                Relayed::Answered | Relayed::Client => {}
            }
        }
        // In the extended protocol the server answers when the client's Sync comes.
        if !self.open
            && self.link.as_ref().is_some_and(|link| !link.is_quiet())
            && let Relayed::Broken(why) = self.relay(false).await?
        {
            return Err(self.lost(&why));
        }
        self.clean_up().await
    }
}

/// Answers of a batch that goes on that are noted without being asked for.
const MAX_OWED: usize = 10_000;

/// Moves copy data, and what ends it, to the server. False when there is nothing to move.
fn pass_copy_data(inbox: &mut BytesMut, link: &mut Link) -> Result<bool, End> {
    if link.copy_rest > 0 {
        let n = link.copy_rest.min(inbox.len());
        link.out.extend_from_slice(inbox.get(..n).unwrap_or_default());
        inbox.advance(n);
        link.copy_rest -= n;
        return Ok(n > 0);
    }
    let Some(header) = pgsplit_wire::Header::read(inbox)? else { return Ok(false) };
    let header = header.check_frontend(Session::limits())?;
    if header.tag == b'd' {
        link.copy_rest = header.total();
        return Ok(true);
    }
    if inbox.len() < header.total() {
        return Ok(false);
    }
    match header.tag {
        b'X' => return Err(End::Client),
        // A server that takes copy data ignores them.
        b'S' | b'H' => {}
        // CopyDone, CopyFail, or something that does not belong here: then the server says so.
        _ => {
            link.out.extend_from_slice(inbox.get(..header.total()).unwrap_or_default());
            link.copy_in = false;
        }
    }
    inbox.advance(header.total());
    Ok(true)
}

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
