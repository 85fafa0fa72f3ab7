//! The extended protocol: everything up to a Sync is one unit, decided as a whole and put on one connection, with the
//! client's statement names replaced by those that servers know.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::BytesMut;
use pgsplit_pool::{Statement, StatementKey};
use pgsplit_sql::{Catalog, Command, Effects, Facts, NotRead, Verdict};
use pgsplit_wire::frontend::{Bind, Kind, Parse, execute, target};
use pgsplit_wire::{Frame, Status, build, next_frame};

use crate::end::End;
use crate::link::{Answer, Link, NAME_PREFIX, To, Undo, What, server_name};
use crate::prepared::{Portal, Prepared};
use crate::query::{aborted, first_word};
use crate::session::Session;
use crate::turn::Attempt;
use crate::unit::BatchEnd;

/// The messages of a batch.
fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let frame = next_frame(rest, Session::limits()).ok()??;
        rest = rest.get(frame.bytes.len()..)?;
        Some(frame)
    })
}

/// What a batch is made of, found before any of it is sent.
#[derive(Debug)]
struct Survey {
    verdict: Verdict,
    effects: Effects,
    /// Facts of its Parse messages, in order.
    parsed: Vec<Arc<Facts>>,
    /// Facts of those texts that call prepared statements by their names.
    mentions: Vec<Arc<Facts>>,
    /// It gives or takes away names of statements.
    names: bool,
    binds: bool,
    executes: bool,
    /// Statements that it binds and that were prepared before the catalog changed.
    stale: Vec<Arc<Prepared>>,
    /// It needs no server: only Close of statements and Sync.
    idle: bool,
}

impl Session {
    /// Messages of the extended protocol up to `end`.
    pub(crate) async fn batch(&mut self, bytes: &[u8], end: BatchEnd) -> Result<(), End> {
        if self.skipping {
            return self.skip(end).await;
        }
        let catalog = self.facts_of_catalog().await;
        let mut survey = self.survey(bytes, &catalog)?;
        if end == BatchEnd::Sync && self.link.is_none() && (survey.idle || self.local(bytes, &survey)?) {
            self.without_server(bytes, &survey, &catalog)?;
            return Ok(());
        }
        if self.state.lost {
            return self.fail(&aborted(), end);
        }
        let mut attempt = Attempt {
            verdict: survey.verdict.clone(),
            effects: survey.effects,
            end,
            repeatable: end == BatchEnd::Sync && !self.open && survey.verdict == Verdict::Read,
            stale: if self.open { Vec::new() } else { std::mem::take(&mut survey.stale) },
        };
        if end != BatchEnd::Sync && (survey.executes || survey.binds) && attempt.verdict == Verdict::Read {
            // What follows is not known and may not be a read.
            attempt.verdict = Verdict::NotRead(NotRead::Mixed);
        }
        if self.open && attempt.verdict != Verdict::Read {
            self.leave_replica().await?;
            if self.skipping {
                return self.skip(end).await;
            }
        }
        if self.state.is_unreadable() {
            attempt.effects |= Effects::OPAQUE | Effects::MAYBE_DDL;
        }
        // When it runs again elsewhere, its names must mean what they meant before.
        let names = (attempt.repeatable && survey.names)
            .then(|| (self.state.names.clone(), self.state.unnamed.clone()));
        self.attempt(&attempt, &mut |session, link| {
            if let Some((names, unnamed)) = &names {
                session.state.names.clone_from(names);
                session.state.unnamed.clone_from(unnamed);
            }
            if !session.open {
                survey.mentions.iter().for_each(|facts| session.send_named(link, facts));
            }
            session.send_batch(link, bytes, &survey, &catalog)
        })
        .await
    }

    /// Everything up to the next Sync is skipped after an error; the Sync is answered by whoever knows of the batch.
    async fn skip(&mut self, end: BatchEnd) -> Result<(), End> {
        if end != BatchEnd::Sync {
            return Ok(());
        }
        self.skipping = false;
        if self.link.is_none() {
            self.open = false;
            build::ready(&mut self.outbox, self.state.status);
            return Ok(());
        }
        let attempt = Attempt { effects: Effects::NONE, ..Attempt::unread(end) };
        self.attempt(&attempt, &mut |_, link| {
            build::sync(&mut link.out);
            link.owe(What::Sync, To::Client);
            Ok(())
        })
        .await
    }

    /// A batch that was begun on a replica (only Parse and Describe were sent: nothing has run) goes on with something
    /// that is not a read: the replica is let go.
    pub(crate) async fn leave_replica(&mut self) -> Result<(), End> {
        let Some(link) = self.link.as_mut().filter(|link| link.replica) else { return Ok(()) };
        link.sync();
        self.open = false;
        if let crate::relay::Relayed::Broken(why) = self.relay(false).await? {
            return Err(self.lost(&why));
        }
        // A Parse that failed there has failed for the client: what follows is skipped.
        self.skipping = std::mem::take(&mut self.state.errored);
        self.release();
        Ok(())
    }

    /// Looks through a batch: what it executes decides; if it executes nothing, what it prepares.
    fn survey(&mut self, bytes: &[u8], catalog: &Arc<Catalog>) -> Result<Survey, End> {
        let mut survey = Survey {
            verdict: Verdict::Read,
            effects: Effects::NONE,
            parsed: Vec::new(),
            mentions: Vec::new(),
            stale: Vec::new(),
            names: false,
            binds: false,
            executes: false,
            idle: true,
        };
        let mut bound = Verdicts::default();
        let mut parsed = Verdicts::default();
        let mut here: Vec<(&[u8], Arc<Facts>)> = Vec::new();
        for frame in frames(bytes) {
            match frame.tag {
                b'P' => {
                    let parse = Parse::read(frame.body)?;
                    let facts = self.shared.analyzer.facts(parse.text, catalog);
                    if facts.effects.contains(Effects::OPAQUE) {
                        self.note_mentioned(parse.text);
                    }
                    survey.idle = false;
                    survey.names = true;
                    parsed.add(&facts);
                    here.push((parse.name, facts.clone()));
                    survey.mentions.extend(mentions(&facts));
                    survey.parsed.push(facts);
                }
                b'B' => {
                    let bind = Bind::read(frame.body)?;
                    survey.idle = false;
                    survey.binds = true;
                    let facts = here
                        .iter()
                        .rfind(|(name, _)| *name == bind.statement)
                        .map(|(_, facts)| facts.clone());
                    let known = self
                        .prepared(bind.statement)
                        .filter(|_| facts.is_none() && !bind.statement.is_empty());
                    survey.stale.extend(known.filter(|known| known.catalog != catalog.version()).cloned());
                    if let Some(facts) = facts.or_else(|| self.facts_of(bind.statement, catalog)) {
                        bound.add(&facts);
                        survey.effects |= facts.effects;
                        survey.mentions.extend(mentions(&facts));
                    }
                }
                b'D' => {
                    let (kind, name) = target(frame.body)?;
                    survey.idle = false;
                    if kind == Kind::Statement
                        && !here.iter().any(|(parsed, _)| *parsed == name)
                        && let Some(facts) = self.facts_of(name, catalog)
                    {
                        parsed.add(&facts);
                    }
                }
                b'E' => {
                    let portal = execute(frame.body)?;
                    survey.idle = false;
                    survey.executes = true;
                    if let Some(portal) = self.state.portals.get(portal) {
                        let facts = portal.prepared.facts(&self.shared.analyzer, catalog);
                        bound.add(&facts);
                        survey.effects |= facts.effects;
                    }
                }
                b'C' => {
                    survey.names = true;
                    survey.idle &= target(frame.body)?.0 == Kind::Statement;
                }
                _ => {}
            }
        }
        survey.verdict = if survey.executes || bound.any() { bound.verdict() } else { parsed.verdict() };
        Ok(survey)
    }

    fn prepared(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        if name.is_empty() { self.state.unnamed.as_ref() } else { self.state.names.get(name) }
    }

    fn facts_of(&self, name: &[u8], catalog: &Arc<Catalog>) -> Option<Arc<Facts>> {
        self.prepared(name).map(|prepared| prepared.facts(&self.shared.analyzer, catalog))
    }

    /// Whether the batch executes just one statement, and that can be answered without a server. Whatever is out of the
    /// usual order, or would fail, is a server's to answer.
    fn local(&self, bytes: &[u8], survey: &Survey) -> Result<bool, End> {
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

    fn is_local(&self, facts: &Facts, text: &[u8]) -> bool {
        let Some(one) = facts.single() else { return false };
        match &one.command {
            Command::Begin(_) => self.state.status == Status::Idle && first_word(text).is_some(),
            Command::SetTransaction(_) => !self.state.begin.is_empty(),
            Command::Commit { chain: false } | Command::Rollback { chain: false } => {
                self.state.lost || !self.state.begin.is_empty()
            }
            _ => false,
        }
    }

    /// Answers a whole batch without a server.
    fn without_server(&mut self, bytes: &[u8], survey: &Survey, catalog: &Arc<Catalog>) -> Result<(), End> {
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
                    if target(frame.body)?.0 == Kind::Statement {
                        build::no_parameters(&mut self.outbox);
                    }
                    build::no_data(&mut self.outbox);
                }
                b'E' => {
                    let Some(prepared) = &bound else { continue };
                    let prepared = prepared.clone();
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

    /// What a Parse stands for. True when other sessions may share it.
    fn remember(
        &mut self,
        parse: &Parse<'_>,
        facts: &Arc<Facts>,
        catalog: &Arc<Catalog>,
    ) -> (Arc<Prepared>, bool) {
        let key = StatementKey {
            text: parse.text.into(),
            types: parse.types.into(),
            settings: self.state.settings.meaning().clone(),
            catalog: catalog.version(),
        };
        let shared = !parse.name.is_empty();
        // While a change of the catalog is under way its version says nothing: an older plan could be met.
        let changing = catalog.version() == 0
            || self.catalog.is_stale()
            || self.state.effects.intersects(Effects::DDL | Effects::MAYBE_DDL);
        let statement =
            if shared && !changing { self.users.statements.intern(key) } else { Statement::alone(key) };
        let prepared = Prepared {
            statement,
            facts: facts.clone(),
            catalog: catalog.version(),
            shared,
            described: AtomicU64::new(0),
        };
        (Arc::new(prepared), shared)
    }

    /// Gives a name a meaning, or takes it away; returns what it meant before.
    fn name(&mut self, name: &[u8], prepared: Option<Arc<Prepared>>) -> Option<Arc<Prepared>> {
        if name.is_empty() {
            return std::mem::replace(&mut self.state.unnamed, prepared);
        }
        match prepared {
            Some(prepared) => self.state.names.insert(name.into(), prepared),
            None => self.state.names.remove(name),
        }
    }

    /// Puts a batch on a connection.
    fn send_batch(
        &mut self,
        link: &mut Link,
        bytes: &[u8],
        survey: &Survey,
        catalog: &Arc<Catalog>,
    ) -> Result<(), End> {
        let mut parsed = survey.parsed.iter();
        for frame in frames(bytes) {
            match frame.tag {
                b'P' => {
                    let facts = parsed.next().cloned();
                    if let Some(facts) = facts {
                        self.send_parse(link, &frame, &facts, catalog)?;
                    }
                }
                b'B' => self.send_bind(link, &frame)?,
                b'D' => self.send_describe(link, &frame)?,
                b'E' => {
                    let portal = self.state.portals.get(execute(frame.body)?).cloned();
                    link.out.extend_from_slice(frame.bytes);
                    link.owe(What::Execute { portal }, To::Client);
                }
                b'C' => self.send_close(link, &frame)?,
                b'S' => {
                    link.out.extend_from_slice(frame.bytes);
                    link.owe(What::Sync, To::Client);
                }
                _ => link.out.extend_from_slice(frame.bytes),
            }
        }
        Ok(())
    }

    fn send_parse(
        &mut self,
        link: &mut Link,
        frame: &Frame<'_>,
        facts: &Arc<Facts>,
        catalog: &Arc<Catalog>,
    ) -> Result<(), End> {
        let parse = Parse::read(frame.body)?;
        if !parse.name.is_empty() && self.state.names.contains_key(parse.name) {
            send_duplicate(link, &parse, frame);
            return Ok(());
        }
        let (prepared, shared) = self.remember(&parse, facts, catalog);
        let statement = prepared.statement.clone();
        let name: Box<[u8]> = parse.name.into();
        let before = self.name(&name, Some(prepared));
        if !shared {
            link.server.unnamed = Some(statement.id);
            link.out.extend_from_slice(frame.bytes);
            link.owe(What::Parse { undo: Undo::Both { name, before, statement } }, To::Client);
        } else if link.server.prepared.get(&statement.id).is_some() && link.status != Status::Failed {
            link.say(Answer::ParseComplete, Undo::Name { name, before });
        } else {
            let undo = Undo::Both { name, before, statement: statement.clone() };
            link.prepare(&statement, To::Client, undo);
        }
        Ok(())
    }

    fn send_bind(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
        let bind = Bind::read(frame.body)?;
        let Some(prepared) = self.prepared(bind.statement).cloned() else {
            // The server has no such statement either, and says so as it does on a direct connection.
            self.send_unknown(link, bind.statement, |out, name| {
                build::bind(out, bind.portal, name, bind.rest)
            });
            link.owe(What::Bind { portal: bind.portal.into(), before: None }, To::Client);
            return Ok(());
        };
        let portal: Box<[u8]> = bind.portal.into();
        if bind.statement.is_empty() {
            link.ensure_unnamed(&prepared.statement);
            link.out.extend_from_slice(frame.bytes);
        } else {
            link.ensure(&prepared.statement);
            let name = server_name(prepared.statement.id);
            build::bind(&mut link.out, bind.portal, name.as_bytes(), bind.rest);
        }
        let bound = Arc::new(Portal::new(prepared, &bind));
        let before = self.state.portals.insert(portal.clone(), bound);
        link.owe(What::Bind { portal, before }, To::Client);
        Ok(())
    }

    fn send_describe(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
        let (kind, name) = target(frame.body)?;
        let statement = kind == Kind::Statement;
        let described = if statement {
            self.prepared(name).cloned()
        } else {
            self.state.portals.get(name).map(|portal| portal.prepared.clone())
        };
        match &described {
            Some(_) | None if !statement => link.out.extend_from_slice(frame.bytes),
            Some(prepared) if name.is_empty() => {
                link.ensure_unnamed(&prepared.statement);
                link.out.extend_from_slice(frame.bytes);
            }
            Some(prepared) => {
                link.ensure(&prepared.statement);
                let name = server_name(prepared.statement.id);
                build::describe_statement(&mut link.out, name.as_bytes());
            }
            None => self.send_unknown(link, name, build::describe_statement),
        }
        // An unnamed statement is never taken to another connection behind the client's back without its text.
        let prepared = described.filter(|prepared| prepared.shared);
        link.owe(What::Describe { prepared }, To::Client);
        Ok(())
    }

    fn send_close(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
        let (kind, name) = target(frame.body)?;
        if kind == Kind::Portal {
            link.out.extend_from_slice(frame.bytes);
            link.owe(What::Close, To::Client);
            return Ok(());
        }
        if !name.is_empty()
            && !self.state.names.contains_key(name)
            && !name.starts_with(NAME_PREFIX.as_bytes())
        {
            // It may have been prepared by SQL.
            link.out.extend_from_slice(frame.bytes);
            link.owe(What::Close, To::Client);
            return Ok(());
        }
        let before = self.name(name, None);
        link.say(Answer::CloseComplete, Undo::Name { name: name.into(), before });
        Ok(())
    }

    /// Sends a message about a statement that does not exist, so that the server says so.
    fn send_unknown(&self, link: &mut Link, name: &[u8], put: impl FnOnce(&mut BytesMut, &[u8])) {
        if name.is_empty() {
            link.ensure_no_unnamed();
        }
        // A name of ours would be found.
        let ours = name.strip_prefix(NAME_PREFIX.as_bytes()).filter(|id| {
            let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            id.is_some_and(|id: u64| link.server.prepared.contains(&id))
        });
        put(&mut link.out, ours.unwrap_or(name));
    }
}

/// A name that is taken: the server is made to say so, in its own words and with all that follows from an error.
fn send_duplicate(link: &mut Link, parse: &Parse<'_>, frame: &Frame<'_>) {
    if !link.litter.iter().any(|known| **known == *parse.name) {
        link.out.extend_from_slice(frame.bytes);
        link.owe(What::Parse { undo: Undo::Nothing }, To::Silent);
        link.litter.push(parse.name.into());
    }
    link.out.extend_from_slice(frame.bytes);
    link.owe(What::Parse { undo: Undo::Nothing }, To::Client);
}

fn mentions(facts: &Arc<Facts>) -> Option<Arc<Facts>> {
    facts.effects.contains(Effects::SQL_PREPARED).then(|| facts.clone())
}

/// Several verdicts made into one.
#[derive(Debug, Default)]
struct Verdicts {
    reads: bool,
    refused: Option<NotRead>,
}

impl Verdicts {
    fn add(&mut self, facts: &Facts) {
        match &facts.verdict {
            Verdict::Read => self.reads = true,
            Verdict::NotRead(why) => {
                self.refused.get_or_insert_with(|| why.clone());
            }
        }
    }

    fn any(&self) -> bool {
        self.reads || self.refused.is_some()
    }

    fn verdict(self) -> Verdict {
        match (self.reads, self.refused) {
            (true, None) => Verdict::Read,
            (true, Some(_)) => Verdict::NotRead(NotRead::Mixed),
            (false, Some(why)) => Verdict::NotRead(why),
            (false, None) => Verdict::NotRead(NotRead::Session),
        }
    }
}
