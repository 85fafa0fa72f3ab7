//! Putting a batch on a connection: each message with the statement's name that servers know, behind what makes it
//! exist there.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::BytesMut;
use pgsplit_pool::{Statement, StatementKey};
use pgsplit_route::PinReason;
use pgsplit_sql::{Catalog, Effects, Facts, scan};
use pgsplit_wire::frontend::{Bind, Kind, Parse, execute, target};
use pgsplit_wire::{Frame, Status, build};

use crate::ask::Said;
use crate::batch::{Survey, frames};
use crate::end::End;
use crate::link::{Answer, Link, NAME_PREFIX, To, Undo, What, server_name};
use crate::own::is_own_text;
use crate::prepared::{Portal, Prepared};
use crate::session::Session;

impl Session {
    /// What a Parse stands for. True when other sessions may share it.
    pub(crate) fn remember(
        &mut self,
        parse: &Parse<'_>,
        facts: &Arc<Facts>,
        catalog: &Arc<Catalog>,
    ) -> (Arc<Prepared>, bool) {
        let shared = !parse.name.is_empty();
        let around = scan::around(parse.text);
        let ours = !around.before.is_empty() || !around.behind.is_empty();
        let key = StatementKey {
            text: if shared && ours { around.stripped().into() } else { parse.text.into() },
            types: parse.types.into(),
            settings: self.state.settings.meaning().clone(),
            catalog: catalog.version(),
        };
        // While a change of the catalog is under way its version says nothing: an older plan could be met.
        let changing = catalog.version() == 0 || self.catalog.is_stale() || self.is_uncertain();
        let statement =
            if shared && !changing { self.users.statements.intern(key) } else { Statement::alone(key) };
        let prepared = Prepared {
            statement,
            facts: facts.clone(),
            catalog: catalog.version(),
            said: if ours { Said::of(&around) } else { Said::default() },
            shared,
            described: AtomicU64::new(0),
        };
        (Arc::new(prepared), shared)
    }

    /// Whether a text may mean something else for this session now than its settings and the catalog say: by what holds for
    /// the transaction only, by a temporary table, by what hidden code has set, or by a change that may be rolled back.
    fn is_uncertain(&self) -> bool {
        const CAUSES: Effects =
            Effects::DDL.union(Effects::MAYBE_DDL).union(Effects::OPAQUE).union(Effects::SETTING_OPAQUE);
        let pin = self.state.pin;
        self.state.is_local
            || (self.state.effects | self.state.expected).intersects(CAUSES)
            || matches!(pin, Some(PinReason::TemporaryObject | PinReason::Opaque | PinReason::Setting))
    }

    /// Makes a statement exist on the connection. Where it may mean something else than for others it is closed before
    /// these get the connection.
    pub(crate) fn ensure(&mut self, link: &mut Link, statement: &Arc<Statement>) {
        if link.ensure(statement)
            && (self.is_uncertain() || statement.key.settings != *self.state.settings.meaning())
        {
            link.tainted.push(statement.id);
        }
    }

    /// Gives a name a meaning, or takes it away; returns what it meant before.
    pub(crate) fn name(&mut self, name: &[u8], prepared: Option<Arc<Prepared>>) -> Option<Arc<Prepared>> {
        if name.is_empty() {
            return std::mem::replace(&mut self.state.unnamed, prepared);
        }
        match prepared {
            Some(prepared) => self.state.names.insert(name.into(), prepared),
            None => self.state.names.remove(name),
        }
    }

    /// Puts a batch on a connection.
    pub(crate) fn send_batch(
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
                    if let Some(own) = portal.as_ref().filter(|portal| is_own_text(&portal.prepared.facts)) {
                        self.send_own(link, &own.prepared);
                        continue;
                    }
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

    pub(crate) fn send_parse(
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
        let own = is_own_text(&prepared.facts);
        let by_sql = link.names_by_sql || self.state.pin == Some(PinReason::Prepared);
        if by_sql && !own && !name.is_empty() {
            link.try_name(&name, parse.text, parse.types);
        }
        let before = self.name(&name, Some(prepared));
        if own {
            link.say(Answer::ParseComplete, Undo::Name { name, before });
        } else if !shared {
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

    pub(crate) fn send_bind(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
        let bind = Bind::read(frame.body)?;
        let Some(prepared) = self.prepared(bind.statement).cloned() else {
            // The server has no such statement either, and says so as it does on a direct connection.
            self.send_unknown(link, bind.statement, |out, name| {
                build::bind(out, bind.portal, name, bind.rest)
            });
            let portal: Box<[u8]> = bind.portal.into();
            let before = self.state.portals.set(&portal, None);
            link.owe(What::Bind { portal, before, effects: Effects::NONE }, To::Client);
            return Ok(());
        };
        let portal: Box<[u8]> = bind.portal.into();
        if is_own_text(&prepared.facts) {
            self.state.portals.set(&portal, Some(Arc::new(Portal::new(prepared, &bind))));
            link.say(Answer::BindComplete, Undo::Nothing);
            return Ok(());
        }
        if bind.statement.is_empty() {
            link.ensure_unnamed(&prepared.statement);
            link.out.extend_from_slice(frame.bytes);
        } else {
            self.ensure(link, &prepared.statement);
            let name = server_name(prepared.statement.id);
            build::bind(&mut link.out, bind.portal, name.as_bytes(), bind.rest);
        }
        // What is set is seen when it is carried out.
        let effects = self.may_leave(&prepared.facts).without(Effects::SETTING_OPAQUE);
        let bound = Arc::new(Portal::new(prepared, &bind));
        let before = self.state.portals.set(&portal, Some(bound));
        link.owe(What::Bind { portal, before, effects }, To::Client);
        Ok(())
    }

    pub(crate) fn send_describe(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
        let (kind, name) = target(frame.body)?;
        let statement = kind == Kind::Statement;
        let described = if statement {
            self.prepared(name).cloned()
        } else {
            self.state.portals.get(name).map(|portal| portal.prepared.clone())
        };
        if let Some(own) = described.as_ref().filter(|prepared| is_own_text(&prepared.facts)) {
            link.say(Answer::Describe(own.clone(), statement), Undo::Nothing);
            return Ok(());
        }
        match &described {
            Some(_) | None if !statement => link.out.extend_from_slice(frame.bytes),
            Some(prepared) if name.is_empty() => {
                link.ensure_unnamed(&prepared.statement);
                link.out.extend_from_slice(frame.bytes);
            }
            Some(prepared) => {
                self.ensure(link, &prepared.statement);
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

    pub(crate) fn send_close(&mut self, link: &mut Link, frame: &Frame<'_>) -> Result<(), End> {
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
        // It stays noted as what is to be closed: an error before may keep this from being done.
        if link.litter.iter().any(|known| **known == *name) {
            build::close_statement(&mut link.out, name);
            link.owe(What::Close, To::Silent);
        }
        link.say(Answer::CloseComplete, Undo::Name { name: name.into(), before });
        Ok(())
    }

    /// Sends a message about a statement that does not exist, so that the server says so.
    pub(crate) fn send_unknown(&self, link: &mut Link, name: &[u8], put: impl FnOnce(&mut BytesMut, &[u8])) {
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
    link.prepare_as(parse.name, parse.text, parse.types, To::Silent);
    link.out.extend_from_slice(frame.bytes);
    link.owe(What::Parse { undo: Undo::Nothing }, To::Client);
}
