//! Reading what a server says: which bytes go to the client, what they mean for what is owed and for the session.
//!
//! Only headers are walked. Rows, descriptions and copy data pass as the bytes that arrived; the few message types that
//! change something are looked at when they are whole.

use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use pgsplit_pool::Params;
use pgsplit_sql::command::{Discard, SetValue};
use pgsplit_sql::{Command, Effects};
use pgsplit_wire::backend::{Fields, command_tag, parameter, ready};
use pgsplit_wire::{HEADER, Header, Status, build};

use crate::link::{Held, Link, Owed, To, UNKNOWN, Undo, What};
use crate::retry::{Again, again};
use crate::session::Session;
use crate::stale::shape;

/// The longest message that is looked at whole. Messages of these types are short but for errors that quote a value.
const MAX_INSPECTED: usize = 16 * 1024 * 1024;

/// The server does not follow the protocol, or we have lost step with it: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfStep(pub &'static str);

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Forward,
    Swallow,
}

/// Types whose bodies may be long and are never looked at.
fn passes(tag: u8) -> bool {
    matches!(tag, b'D' | b'd' | b'T' | b't' | b'V')
}

/// A run of bytes of one read that go to the client as they are; runs that end are copied to its buffer.
struct Run<'a> {
    data: &'a [u8],
    range: Range<usize>,
}

impl Run<'_> {
    fn extend(&mut self, from: usize, to: usize, outbox: &mut BytesMut) {
        if self.range.end == from && !self.range.is_empty() {
            self.range.end = to;
        } else {
            self.end(outbox);
            self.range = from..to;
        }
    }

    fn end(&mut self, outbox: &mut BytesMut) {
        outbox.extend_from_slice(self.data.get(self.range.clone()).unwrap_or_default());
        self.range = 0..0;
    }
}

impl Session {
    /// Takes bytes of the server. Returns the last run of them that goes to the client; everything before it is in the
    /// client's buffer already.
    pub(crate) fn walk(&mut self, link: &mut Link, data: &[u8]) -> Result<Range<usize>, OutOfStep> {
        let mut run = Run { data, range: 0..0 };
        let mut at = 0;
        while at < data.len() {
            at += if link.pass > 0 {
                self.walk_passing(link, &mut run, at)
            } else if link.torn.is_empty() {
                self.walk_frame(link, &mut run, at)?
            } else {
                run.end(&mut self.outbox);
                self.walk_torn(link, data.get(at..).unwrap_or_default())?
            };
        }
        Ok(run.range)
    }

    /// Bytes of a message that passes.
    fn walk_passing(&mut self, link: &mut Link, run: &mut Run<'_>, at: usize) -> usize {
        let n = link.pass.min(run.data.len() - at);
        link.pass -= n;
        if link.pass_shown {
            run.extend(at, at + n, &mut self.outbox);
        }
        n
    }

    /// A message that begins at `at`.
    fn walk_frame(&mut self, link: &mut Link, run: &mut Run<'_>, at: usize) -> Result<usize, OutOfStep> {
        let rest = run.data.get(at..).unwrap_or_default();
        let Some(header) = Header::read(rest).map_err(|_| OutOfStep("impossible message length"))? else {
            link.torn.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let whole = rest.get(..header.total());
        if whole.is_none() && passes(header.tag) && !is_examined(link) {
            let fate = self.on_message(link, header.tag, &[])?;
            link.pass = header.total();
            link.pass_shown = fate == Fate::Forward;
            return Ok(0);
        }
        let Some(frame) = whole else {
            if header.total() > MAX_INSPECTED {
                return Err(OutOfStep("a message is too long"));
            }
            link.torn.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let body = frame.get(HEADER..).unwrap_or_default();
        if matches!(link.owed.front(), Some(Owed { to: To::Session, .. })) || link.reset && header.tag == b'S'
        {
            // The client may be told of changes behind it, or in its place.
            run.end(&mut self.outbox);
        }
        let fate = self.on_message(link, header.tag, body)?;
        if matches!(link.held, Held::Again(_)) {
            // What came before it in this read was held back too.
            run.range = 0..0;
        }
        match fate {
            Fate::Forward => run.extend(at, at + header.total(), &mut self.outbox),
            Fate::Swallow => {}
        }
        if matches!(link.owed.front(), Some(Owed { what: What::Say { .. }, .. })) {
            run.end(&mut self.outbox);
            self.say_what_is_due(link);
        }
        Ok(header.total())
    }

    /// Completes a message that began in an earlier read; returns how many bytes that took.
    fn walk_torn(&mut self, link: &mut Link, data: &[u8]) -> Result<usize, OutOfStep> {
        let mut taken = 0;
        let missing = HEADER.saturating_sub(link.torn.len()).min(data.len());
        link.torn.extend_from_slice(data.get(..missing).unwrap_or_default());
        taken += missing;
        let Some(header) = Header::read(&link.torn).map_err(|_| OutOfStep("impossible message length"))?
        else {
            return Ok(taken);
        };
        if passes(header.tag) && !is_examined(link) {
            let fate = self.on_message(link, header.tag, &[])?;
            let begun = std::mem::take(&mut link.torn);
            link.pass = header.total() - begun.len();
            link.pass_shown = fate == Fate::Forward;
            if link.pass_shown {
                self.outbox.extend_from_slice(&begun);
            }
            return Ok(taken);
        }
        if header.total() > MAX_INSPECTED {
            return Err(OutOfStep("a message is too long"));
        }
        let missing = (header.total() - link.torn.len()).min(data.len() - taken);
        link.torn.extend_from_slice(data.get(taken..taken + missing).unwrap_or_default());
        taken += missing;
        if link.torn.len() == header.total() {
            let frame = std::mem::take(&mut link.torn);
            let body = frame.get(HEADER..).unwrap_or_default();
            if self.on_message(link, header.tag, body)? == Fate::Forward {
                self.outbox.extend_from_slice(&frame);
            }
            self.say_what_is_due(link);
        }
        Ok(taken)
    }

    /// Says what is due to the client without asking the server.
    pub(crate) fn say_what_is_due(&mut self, link: &mut Link) {
        while let Some(Owed { what: What::Say { answer, .. }, .. }) = link.owed.front() {
            answer.encode(&mut self.outbox);
            link.owed.pop_front();
        }
    }

    /// One message of the server; `body` is empty for those that pass.
    fn on_message(&mut self, link: &mut Link, tag: u8, body: &[u8]) -> Result<Fate, OutOfStep> {
        let to = link.owed.front().map(|owed| owed.to);
        let shown = match to {
            Some(To::Client) if !matches!(link.held, Held::Again(_)) => Fate::Forward,
            Some(_) => Fate::Swallow,
            // Nothing is owed: what comes is asynchronous.
            None => Fate::Forward,
        };
        match tag {
            b'D' | b'd' => {
                match link.held {
                    Held::Yes if to == Some(To::Client) => link.held = Held::No,
                    _ if to == Some(To::Examiner) && tag == b'D' => {
                        link.found.push(Bytes::copy_from_slice(body))
                    }
                    _ => {}
                }
                Ok(shown)
            }
            b'Z' => self.on_ready(link, body, shown),
            b'C' => self.on_command_complete(link, body, shown),
            b'E' => self.on_error(link, body, shown),
            b'S' => self.on_parameter(link, body, shown),
            b'1' | b'2' | b'3' => on_complete(link, tag, shown),
            b'T' | b'n' => {
                if let Some(Owed { what: What::Describe { prepared }, .. }) = link.owed.front() {
                    if let Some(prepared) = prepared {
                        let now = shape(body);
                        match to {
                            Some(To::Silent) => {
                                link.changed |= prepared.described.load(Ordering::Relaxed) != now
                            }
                            _ => prepared.described.store(now, Ordering::Relaxed),
                        }
                    }
                    link.owed.pop_front();
                }
                Ok(shown)
            }
            b'I' => {
                match link.owed.front_mut() {
                    Some(Owed { what: What::Execute { .. }, .. }) => drop(link.owed.pop_front()),
                    Some(Owed { what: What::Probe { marked, .. }, .. }) => *marked = true,
                    _ => {}
                }
                Ok(shown)
            }
            b's' => self.on_suspended(link, shown),
            b'G' => {
                link.held = if link.held == Held::Yes { Held::No } else { link.held };
                // The client's Sync that was ignored is still to come, behind the data.
                self.open |= on_copy_in(link);
                Ok(shown)
            }
            b't' | b'H' | b'c' | b'V' | b'N' | b'W' => Ok(shown),
            b'A' => Ok(Fate::Forward),
            b'K' => Ok(Fate::Swallow),
            _ => Err(OutOfStep("unknown message type")),
        }
    }

    fn on_parameter(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
        let (name, value) = parameter(body).ok_or(OutOfStep("malformed ParameterStatus"))?;
        link.server.report(name, value);
        if name == b"in_hot_standby" || shown == Fate::Swallow {
            return Ok(Fate::Swallow);
        }
        if link.reset
            && let Some(own) = self.value_at_start(name)
        {
            // The connection was opened with another value, or none: the session's own is about to be set again.
            if !self.state.told().says(name, &own) {
                build::parameter(&mut self.outbox, name, &own);
                let mut told: Params = (**self.state.told()).clone();
                told.set(name, &own);
                self.state.set_told(&told.into());
            }
            return Ok(Fate::Swallow);
        }
        if !self.state.told().says(name, value) {
            let mut told: Params = (**self.state.told()).clone();
            told.set(name, value);
            self.state.set_told(&told.into());
        }
        Ok(Fate::Forward)
    }

    /// What was reported at the login of a parameter that has its start-up value again.
    fn value_at_start(&self, name: &[u8]) -> Option<Vec<u8>> {
        let (lower, settings) = (name.to_ascii_lowercase(), &self.state.settings);
        let start = settings.base().get(&lower)?;
        let again = settings.current().get(&lower) == Some(start);
        let reported = again.then(|| self.users.reported(settings.base())).flatten()?;
        reported.get(name).map(<[u8]>::to_vec)
    }

    fn on_command_complete(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
        let tag = command_tag(body);
        match link.owed.front_mut() {
            Some(Owed { what: What::Query { facts, next }, .. }) => {
                let (facts, at) = (facts.clone(), *next);
                *next += 1;
                if let Some(facts) = facts {
                    match facts.statements.get(at) {
                        Some(statement) => self.statement_done(link, statement, None, tag),
                        // More came than the text shows.
                        None => self.state.effects |= facts.effects,
                    }
                }
            }
            Some(Owed { what: What::Execute { .. }, .. }) => {
                link.doubtful_syncs = 0;
                match link.owed.pop_front() {
                    Some(Owed { what: What::Execute { portal: Some(portal) }, .. }) => {
                        if let Some(statement) = portal.prepared.facts.single() {
                            self.statement_done(link, statement, Some(&portal), tag);
                        }
                    }
                    // Of a statement that was prepared by SQL, whose text is not known.
                    _ => {
                        self.state.effects |= Effects::OPAQUE | Effects::SETTING_OPAQUE | Effects::MAYBE_DDL;
                    }
                }
            }
            _ => return Err(OutOfStep("CommandComplete that was not owed")),
        }
        Ok(shown)
    }

    /// ReadyForQuery while it is found out whether the server has taken the Syncs behind a failed COPY for part of the
    /// data. If it has not, they are answered.
    fn probed(&mut self, link: &mut Link, status: Status) {
        let Some(Owed { what: What::Probe { syncs, marked }, .. }) = link.owed.front_mut() else { return };
        if !*marked {
            *syncs += 1;
            return;
        }
        // One was ours.
        let answered = syncs.saturating_sub(1);
        link.owed.pop_front();
        for _ in 0..answered {
            self.skipping = false;
            self.open = false;
            self.client_ready(link, status);
            pgsplit_wire::build::ready(&mut self.outbox, status);
        }
    }

    /// PortalSuspended: some rows came, and with them what the statement's functions set.
    fn on_suspended(&mut self, link: &mut Link, shown: Fate) -> Result<Fate, OutOfStep> {
        let Some(Owed { what: What::Execute { portal }, .. }) = link.owed.pop_front() else {
            return Err(OutOfStep("PortalSuspended that was not owed"));
        };
        if let Some(portal) = portal
            && let Some(statement) = portal.prepared.facts.single()
            && (!statement.settings.is_empty() || statement.effects.contains(Effects::SETTING_OPAQUE))
        {
            self.statement_done(link, statement, Some(&portal), b"");
            self.state.effects |= Effects::OPAQUE;
        }
        Ok(shown)
    }

    fn on_ready(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
        let status = ready(body).ok_or(OutOfStep("malformed ReadyForQuery"))?;
        let to = match link.owed.front() {
            Some(Owed { what: What::Sync | What::Query { .. } | What::Function, to }) => {
                let to = *to;
                link.owed.pop_front();
                to
            }
            Some(Owed { what: What::Probe { .. }, .. }) => {
                link.status = status;
                self.probed(link, status);
                return Ok(Fate::Swallow);
            }
            _ => return Err(OutOfStep("ReadyForQuery that was not owed")),
        };
        link.status = status;
        link.copy_in = false;
        if to == To::Client && !matches!(link.held, Held::Again(_)) {
            link.held = Held::No;
            link.told_before = None;
            self.client_ready(link, status);
        }
        if to == To::Session && link.fault.is_none() {
            self.tell_changes(link);
        }
        Ok(shown)
    }

    /// ReadyForQuery for the client, before it is forwarded.
    fn client_ready(&mut self, link: &mut Link, status: Status) {
        self.state.ready(status);
        if status == Status::Idle {
            if self.state.effects.intersects(Effects::DDL | Effects::MAYBE_DDL) {
                self.catalog.outdated();
            }
            link.server.set_applied(self.state.settings.current());
        }
    }

    fn on_error(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
        let fields = Fields(body);
        let Some(front) = link.owed.front() else {
            // An idle connection ends (shutdown, time-out, termination). That is not this client's concern any more when
            // it came behind an answer and nothing holds the connection.
            link.ended = fields.is_fatal();
            if link.status == Status::Idle && self.state.pin.is_none() && !self.open {
                return Ok(Fate::Swallow);
            }
            self.fatal = link.ended;
            return Ok(Fate::Forward);
        };
        let to = front.to;
        let simple = matches!(front.what, What::Query { .. } | What::Function);
        if matches!(to, To::Session | To::Examiner) {
            link.fault = Some(whole_frame(b'E', body));
            if link.held == Held::Yes {
                // The read behind it runs without the session's settings: its answer does not count.
                self.unsay(link);
                link.held = Held::Again(Again::Primary);
            }
        } else {
            self.state.errored = true;
        }
        if !simple {
            self.drop_until_sync(link);
        }
        if std::mem::take(&mut link.doubtful_syncs) > 0 {
            link.probe();
        }
        link.copy_in = false;
        if link.held == Held::Yes && matches!(to, To::Client | To::Silent) {
            if let Some(again) = again(fields.sqlstate()) {
                self.unsay(link);
                link.held = Held::Again(again);
                return Ok(Fate::Swallow);
            }
            link.held = Held::No;
        }
        // The server prepares a statement anew for the client: its failure is the client's to see.
        let shown =
            if to == To::Silent && !matches!(link.held, Held::Again(_)) { Fate::Forward } else { shown };
        if fields.is_fatal() && shown == Fate::Forward {
            self.fatal = true;
        }
        Ok(shown)
    }

    /// After an error the server skips everything up to the next Sync: it is not owed any more.
    fn drop_until_sync(&mut self, link: &mut Link) {
        let sync = link.owed.iter().position(|owed| matches!(owed.what, What::Sync)).unwrap_or_else(|| {
            // The client's Sync is still to come; what it sends before is skipped here as it is there.
            self.skipping = true;
            self.open = true;
            link.owed.len()
        });
        let mut dropped: Vec<Owed> = link.owed.drain(..sync).collect();
        if let Some(Owed { what: What::Parse { undo: Undo::Both { name, before, .. } }, to: To::Client }) =
            dropped.first_mut()
            && name.is_empty()
        {
            // A Parse that fails has thrown the old unnamed statement away (exec_parse_message in postgres.c).
            *before = None;
        }
        for owed in dropped.into_iter().rev() {
            match owed.what {
                What::Parse { undo } | What::Say { undo, .. } => self.undo(link, undo),
                What::Bind { portal, before } => {
                    match before {
                        Some(before) => self.state.portals.insert(portal, before),
                        None => self.state.portals.remove(&portal),
                    };
                }
                What::Evict(id) => link.strays.push(id),
                // The unnamed statement was not closed.
                What::Close if owed.to == To::Silent => link.server.unnamed = Some(UNKNOWN),
                _ => {}
            }
        }
    }

    fn undo(&mut self, link: &mut Link, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::OnServer(statement) => link.forget(&statement),
            Undo::Name { name, before } => self.restore(name, before),
            Undo::Both { name, before, statement } => {
                link.forget(&statement);
                self.restore(name, before);
            }
        }
    }

    fn restore(&mut self, name: Box<[u8]>, before: Option<std::sync::Arc<crate::prepared::Prepared>>) {
        if name.is_empty() {
            self.state.unnamed = before;
            return;
        }
        match before {
            Some(before) => self.state.names.insert(name, before),
            None => self.state.names.remove(&name),
        };
    }

    /// A statement of the client was carried out.
    fn statement_done(
        &mut self,
        link: &mut Link,
        statement: &pgsplit_sql::Statement,
        portal: Option<&crate::prepared::Portal>,
        tag: &[u8],
    ) {
        match portal {
            Some(portal) => {
                if portal.opaque {
                    self.state.effects |= Effects::SETTING_OPAQUE;
                }
                self.state.done(statement, &portal.calls, tag);
            }
            None => {
                let calls: Option<Vec<_>> = statement
                    .settings
                    .iter()
                    .map(|call| crate::prepared::BoundCall::new(call, None))
                    .collect();
                if calls.is_none() {
                    self.state.effects |= Effects::SETTING_OPAQUE;
                }
                self.state.done(statement, &calls.unwrap_or_default(), tag);
            }
        }
        link.reset |= resets(statement);
        match &statement.command {
            Command::Discard(Discard::All) => {
                link.server.prepared.clear();
                link.server.unnamed = None;
                link.server.sequences = false;
                self.discarded = true;
            }
            Command::Discard(Discard::Sequences) => link.server.sequences = false,
            Command::Deallocate(None) => {
                link.server.prepared.clear();
            }
            _ => {}
        }
        if statement.effects.contains(Effects::SEQUENCE_USE) {
            link.server.sequences = true;
        }
        self.state.effects |= statement.effects;
    }
}

fn is_examined(link: &Link) -> bool {
    link.owed.front().is_some_and(|owed| {
        owed.to == To::Examiner || matches!(owed.what, What::Describe { prepared: Some(_) })
    })
}

/// ParseComplete, BindComplete, CloseComplete.
fn on_complete(link: &mut Link, tag: u8, shown: Fate) -> Result<Fate, OutOfStep> {
    let fits = match link.owed.front().map(|owed| &owed.what) {
        Some(What::Parse { .. }) => tag == b'1',
        Some(What::Bind { .. }) => tag == b'2',
        Some(What::Close | What::Evict(_)) => tag == b'3',
        _ => false,
    };
    if !fits {
        return Err(OutOfStep("an answer that was not owed"));
    }
    link.owed.pop_front();
    Ok(shown)
}

/// CopyInResponse. In the extended protocol the Syncs that were sent right behind the Execute are ignored by a
/// server that takes copy data (protocol section 55.2.7), so they are not owed.
fn on_copy_in(link: &mut Link) -> bool {
    link.copy_in = true;
    let before = link.owed.len();
    if matches!(link.owed.front(), Some(Owed { what: What::Execute { .. }, .. })) {
        while matches!(link.owed.get(1), Some(Owed { what: What::Sync, .. })) {
            link.owed.remove(1);
        }
    }
    link.doubtful_syncs = before - link.owed.len();
    link.doubtful_syncs > 0
}

fn whole_frame(tag: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    pgsplit_wire::build::message(&mut out, tag, |out| out.extend_from_slice(body));
    out.freeze()
}

/// Whether a statement gives settings the value back that the connection began with.
fn resets(statement: &pgsplit_sql::Statement) -> bool {
    let command = matches!(
        &statement.command,
        Command::Reset(_)
            | Command::ResetAll
            | Command::Discard(Discard::All)
            | Command::Set { value: SetValue::Default, .. }
    );
    command || statement.settings.iter().any(|call| call.value == pgsplit_sql::facts::Argument::Null)
}
