//! What the messages of a server mean: for what is owed, for the session's state and for its connection.
//!
//! `answers` walks the bytes and calls this for each message that changes something; `undo` takes back what an error
//! has made untrue.

use bytes::{Bytes, BytesMut};
use pgsplit_pool::Params;
use pgsplit_route::retry::Cause;
use pgsplit_sql::command::Discard;
use pgsplit_sql::{Command, Effects};
use pgsplit_wire::backend::{Fields, command_tag, parameter, ready};
use pgsplit_wire::{Status, build, sqlstate};

use crate::answers::{Fate, OutOfStep};
use crate::link::{Held, Link, NAME_PREFIX, Owed, To, Undo, What};
use crate::prepared::{BoundCall, Portal};
use crate::question::Mentioned;
use crate::retry::failed_facts;
use crate::session::Session;
use crate::state::State;

impl Session {
    pub(crate) fn on_parameter(
        &mut self,
        link: &mut Link,
        body: &[u8],
        shown: Fate,
    ) -> Result<Fate, OutOfStep> {
        let (name, value) = parameter(body).ok_or(OutOfStep("malformed ParameterStatus"))?;
        link.server.report(name, value);
        if name == b"in_hot_standby" {
            // It was promoted, or is not what it was taken for.
            self.shared.pools.environment().report.hint(link.server.node);
        }
        if name == b"in_hot_standby" || shown == Fate::Swallow {
            return Ok(Fate::Swallow);
        }
        if link.resets.contains(name)
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
    pub(crate) fn value_at_start(&self, name: &[u8]) -> Option<Vec<u8>> {
        let (lower, settings) = (name.to_ascii_lowercase(), &self.state.settings);
        let start = settings.base().get(&lower)?;
        let again = settings.current().get(&lower) == Some(start);
        let reported = again.then(|| self.users.reported(settings.base())).flatten()?;
        reported.get(name).map(<[u8]>::to_vec)
    }

    pub(crate) fn on_command_complete(
        &mut self,
        link: &mut Link,
        body: &[u8],
        shown: Fate,
    ) -> Result<Fate, OutOfStep> {
        let tag = command_tag(body);
        self.tally.rows += rows(tag);
        link.doubtful_syncs = 0;
        match link.owed.front_mut() {
            Some(Owed { what: What::Query { facts, next }, .. }) => {
                let (facts, at) = (facts.clone(), *next);
                *next += 1;
                if let Some(facts) = facts {
                    match facts.statements.get(at) {
                        Some(statement) => self.statement_done(link, statement, None, tag),
                        // More came than the text shows.
                        None => {
                            self.state.effects |= facts.effects;
                            self.completed(link, None);
                        }
                    }
                }
            }
            Some(Owed { what: What::Execute { .. }, .. }) => match link.owed.pop_front() {
                Some(Owed { what: What::Execute { portal: Some(portal) }, .. }) => {
                    if let Some(statement) = portal.prepared.facts.single() {
                        self.statement_done(link, statement, Some(&portal), tag);
                    }
                }
                // Of a statement that was prepared by SQL, whose text is not known.
                _ => {
                    self.state.effects |= Effects::OPAQUE | Effects::SETTING_OPAQUE | Effects::MAYBE_DDL;
                    self.completed(link, None);
                }
            },
            _ => return Err(OutOfStep("CommandComplete that was not owed")),
        }
        Ok(shown)
    }

    /// ReadyForQuery while it is found out whether the server has taken the Syncs behind a failed COPY for part of the
    /// data. If it has not, they are answered.
    pub(crate) fn probed(&mut self, link: &mut Link, status: Status) {
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
            build::ready(&mut self.outbox, status);
        }
    }

    /// PortalSuspended: some rows came, and with them what the statement's functions set.
    pub(crate) fn on_suspended(&mut self, link: &mut Link, shown: Fate) -> Result<Fate, OutOfStep> {
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

    pub(crate) fn on_ready(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
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
            link.stand_in = None;
            link.told_before = None;
            self.say_trace();
            self.client_ready(link, status);
        }
        if to == To::Session && link.fault.is_none() {
            self.tell_changes(link);
        }
        Ok(shown)
    }

    /// ReadyForQuery for the client, before it is forwarded.
    pub(crate) fn client_ready(&mut self, link: &mut Link, status: Status) {
        self.state.effects |= std::mem::replace(&mut self.state.expected, Effects::NONE);
        self.doubt_code();
        self.acknowledged(link, status);
        self.state.ready(status);
        if status == Status::Idle {
            if self.state.effects.contains(Effects::DDL) {
                self.unsettled = self.catalog.outdated();
            } else if self.state.effects.contains(Effects::MAYBE_DDL) {
                self.suspected = self.catalog.suspect();
            }
            if self.state.effects.contains(Effects::DDL) {
                self.shared.control.forget_standings();
            }
            self.end_change();
            link.server.set_applied(self.state.settings.current());
        }
    }

    pub(crate) fn on_error(&mut self, link: &mut Link, body: &[u8], shown: Fate) -> Result<Fate, OutOfStep> {
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
        // A text that cannot be parsed has run nothing.
        let unread =
            fields.sqlstate() == *b"42601" && fields.get(b'P').is_some() && fields.get(b'W').is_none();
        if !unread {
            note_names(&mut self.mentioned, &mut self.state, &front.what);
        } else if matches!(front.what, What::Query { facts: Some(_), .. } | What::Parse { .. }) {
            self.state.expected = Effects::NONE;
        }
        if link.replica
            && fields.sqlstate() == sqlstate::READ_ONLY_TRANSACTION
            && let Some(facts) = failed_facts(&front.what, &self.state.portals)
        {
            self.remember_refusal(facts);
        }
        if !link.replica && fields.sqlstate() == sqlstate::READ_ONLY_TRANSACTION {
            // The session may have asked for that, or the node is the primary no more.
            self.shared.pools.environment().report.hint(link.server.node);
        }
        self.note_lost_statements(link, &fields);
        if self.stands_in(link, body) {
            return Ok(Fate::Swallow);
        }
        let Some(front) = link.owed.front() else { return Ok(Fate::Forward) };
        let simple = matches!(front.what, What::Query { .. } | What::Function);
        if matches!(to, To::Session | To::Examiner) {
            link.fault = Some(whole_frame(b'E', body));
            if link.held == Held::Yes {
                // The read behind it runs without the session's settings: its answer does not count.
                self.unsay(link);
                link.held = Held::Again(Cause::NotReplayed);
            }
        } else {
            self.state.errored = true;
            self.tally.failed = true;
        }
        if !simple {
            self.drop_until_sync(link);
        }
        if std::mem::take(&mut link.doubtful_syncs) > 0 {
            link.probe();
        }
        link.copy_in = false;
        if link.held == Held::Yes && matches!(to, To::Client | To::Silent) {
            if let Some(cause) = self.repeats(link, fields.sqlstate()) {
                self.unsay(link);
                link.held = Held::Again(cause);
                link.last_words = fields.is_fatal().then(|| whole_frame(b'E', body));
                return Ok(Fate::Swallow);
            }
            link.held = Held::No;
        }
        // The server prepares a statement anew for the client: its failure is the client's to see.
        let shown = if matches!(to, To::Silent | To::Named) && !matches!(link.held, Held::Again(_)) {
            Fate::Forward
        } else {
            shown
        };
        self.failed |= shown == Fate::Forward;
        if fields.is_fatal() && shown == Fate::Forward {
            self.fatal = true;
        }
        Ok(shown)
    }

    /// What a text mentions by name is prepared before it is sent (`send_named`). Where that fails, the text's own failure to
    /// find the name is answered in the words of the first error, which a server that had the statement would have said.
    fn stands_in(&mut self, link: &mut Link, body: &[u8]) -> bool {
        match link.owed.front() {
            Some(Owed { what: What::Parse { .. }, to: To::Named }) if !Fields(body).is_fatal() => {
                self.drop_until_sync(link);
                link.stand_in = Some(whole_frame(b'E', body));
                true
            }
            Some(Owed { what: What::Query { .. }, to: To::Client })
                if is_of_missing(&Fields(body)) && link.stand_in.is_some() =>
            {
                self.outbox.extend_from_slice(&link.stand_in.take().unwrap_or_default());
                self.state.errored = true;
                self.tally.failed = true;
                self.failed = true;
                true
            }
            _ => false,
        }
    }

    /// Hidden code has taken away what the connection is believed to have, or a shared statement returns something else than
    /// it did when it was parsed: others must not meet that.
    fn note_lost_statements(&self, link: &mut Link, fields: &Fields<'_>) {
        let code = fields.sqlstate();
        let is_ours =
            |message: &[u8]| message.windows(NAME_PREFIX.len()).any(|part| part == NAME_PREFIX.as_bytes());
        if code == *b"26000" && fields.get(b'M').is_some_and(is_ours) {
            link.unclean = true;
        }
        if code == *b"0A000" && fields.get(b'R') == Some(b"RevalidateCachedQuery") {
            let portal = match link.owed.front().map(|owed| &owed.what) {
                Some(What::Execute { portal: Some(portal) }) => Some(portal),
                Some(What::Bind { portal, .. }) => self.state.portals.get(portal),
                _ => None,
            };
            link.tainted.extend(portal.map(|portal| portal.prepared.statement.id));
        }
    }

    /// A statement of the client was carried out.
    fn statement_done(
        &mut self,
        link: &mut Link,
        statement: &pgsplit_sql::Statement,
        portal: Option<&Portal>,
        tag: &[u8],
    ) {
        match portal {
            Some(portal) => {
                self.set_durability(statement, (!portal.opaque).then_some(&*portal.calls));
                self.completed(link, Some(&statement.command));
                if portal.opaque {
                    self.state.effects |= Effects::SETTING_OPAQUE;
                }
                self.state.done(statement, &portal.calls, tag);
                link.resets.note(statement, &portal.calls);
            }
            None => {
                let calls: Option<Vec<_>> =
                    statement.settings.iter().map(|call| BoundCall::new(call, None)).collect();
                self.set_durability(statement, calls.as_deref());
                self.completed(link, Some(&statement.command));
                if calls.is_none() {
                    self.state.effects |= Effects::SETTING_OPAQUE;
                }
                let calls = calls.unwrap_or_default();
                self.state.done(statement, &calls, tag);
                link.resets.note(statement, &calls);
            }
        }
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
            // The name is the client's own now.
            Command::Prepare { name } => {
                link.litter.retain(|litter| **litter != *name.as_bytes());
                link.names_by_sql = true;
            }
            _ => {}
        }
        if statement.effects.contains(Effects::SEQUENCE_USE) {
            link.server.sequences = true;
        }
        self.state.leaves(statement, self.judged);
    }
}

/// What a text meets whose statement could not be prepared ahead: there is none of that name, or the transaction has failed
/// by that.
fn is_of_missing(fields: &Fields<'_>) -> bool {
    let code = fields.sqlstate();
    code == *b"26000" || code == sqlstate::IN_FAILED_TRANSACTION
}

/// A statement has failed that calls `set_config`: custom names that were not there may be there now, with an empty
/// string (`define_custom_variable` in guc.c), or not. The server is asked; where no names are known, nobody else gets
/// the connection.
fn note_names(mentioned: &mut Mentioned, state: &mut State, failed: &What) {
    let (statement, portal) = match failed {
        What::Query { facts: Some(facts), next } => (facts.statements.get(*next), None),
        What::Execute { portal: Some(portal) } => (portal.prepared.facts.single(), Some(portal)),
        _ => return,
    };
    let Some(statement) = statement else { return };
    // One that was prepared by SQL ties the session anyway, if it exists.
    let by_sql = matches!(statement.command, Command::Execute { .. });
    if statement.effects.contains(Effects::SETTING_OPAQUE) && !by_sql {
        state.effects |= Effects::SETTING_OPAQUE;
    }
    let calls: Vec<_> = match portal {
        Some(portal) => portal.calls.to_vec(),
        None => statement.settings.iter().filter_map(|call| BoundCall::new(call, None)).collect(),
    };
    let is_new = |name: &[u8]| name.contains(&b'.') && state.settings.current().get(name).is_none();
    let mut names = calls.iter().map(|call| &*call.name).filter(|name| is_new(name)).peekable();
    if names.peek().is_some() {
        mentioned.add(names.map(Box::from));
        state.effects |= Effects::OPAQUE;
    }
}

/// ParseComplete, BindComplete, CloseComplete.
pub(crate) fn on_complete(
    state: &mut State,
    link: &mut Link,
    tag: u8,
    shown: Fate,
) -> Result<Fate, OutOfStep> {
    let fits = match link.owed.front().map(|owed| &owed.what) {
        Some(What::Parse { undo }) => {
            if let Undo::OnServer(statement) | Undo::Both { statement, .. } = undo {
                statement.set_parsed();
            }
            tag == b'1'
        }
        Some(What::Bind { effects, .. }) => {
            // Functions of constants are carried out by Bind.
            state.effects |= *effects;
            tag == b'2'
        }
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
pub(crate) fn on_copy_in(link: &mut Link) -> bool {
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

/// The rows that a command tag tells: the number at its end.
fn rows(tag: &[u8]) -> u64 {
    let digits = tag.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let number = tag.get(tag.len() - digits..).unwrap_or_default();
    number.iter().fold(0, |sum: u64, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit & 15)))
}

fn whole_frame(tag: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    build::message(&mut out, tag, |out| out.extend_from_slice(body));
    out.freeze()
}
