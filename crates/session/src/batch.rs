//! The extended protocol: everything up to a Sync is one unit, decided as a whole and put on one connection, with the
//! client's statement names replaced by those that servers know.

use std::sync::Arc;

use arc_swap::Guard;
use pgsplit_sql::{Around, Catalog, Effects, Facts, NotRead, Verdict};
use pgsplit_wire::frontend::{Bind, Kind, Parse, execute, target};
use pgsplit_wire::{Frame, FrameError, build, next_frame};

use crate::ask::{Ask, words};
use crate::causality::Reads;
use crate::end::End;
use crate::link::{To, What};
use crate::local::may_be_local;
use crate::own::is_own_text;
use crate::prepared::Prepared;
use crate::query::aborted;
use crate::session::Session;
use crate::shared::SessionSettings;
use crate::turn::Attempt;
use crate::unit::BatchEnd;

/// The messages of a batch.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let frame = next_frame(rest, Session::limits()).ok()??;
        rest = rest.get(frame.bytes.len()..)?;
        Some(frame)
    })
}

/// What a batch is made of, found before any of it is sent.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) verdict: Verdict,
    pub(crate) effects: Effects,
    pub(crate) reads: Reads,
    /// Facts of its Parse messages, in order.
    pub(crate) parsed: Vec<Arc<Facts>>,
    /// Facts of those texts that call prepared statements by their names.
    pub(crate) mentions: Vec<Arc<Facts>>,
    /// It gives or takes away names of statements.
    pub(crate) names: bool,
    pub(crate) binds: bool,
    pub(crate) executes: bool,
    /// Statements that it binds and that were prepared before the catalog changed.
    pub(crate) stale: Vec<Arc<Prepared>>,
    /// It needs no server: only Close of statements and Sync.
    pub(crate) idle: bool,
    /// Among its texts is one that may be answered without a server.
    pub(crate) local: bool,
    /// It shows `pgsplit.token`.
    pub(crate) token: bool,
    /// What it asks for.
    pub(crate) ask: Ask,
}

impl Session {
    /// Messages of the extended protocol up to `end`.
    pub(crate) async fn batch(&mut self, bytes: &[u8], end: BatchEnd) -> Result<(), End> {
        if self.skipping {
            return self.skip(end).await;
        }
        self.tally.begin();
        // Kept until the batch is sent, which may be long.
        let catalog = Guard::into_inner(self.facts_of_catalog().await);
        let Ok(mut survey) = self.survey(bytes, &catalog) else {
            return self.malformed_batch(bytes, end).await;
        };
        for facts in &survey.parsed {
            self.make_way(facts).await;
        }
        if survey.token && !self.fetch_token(end).await? {
            return Ok(());
        }
        if end == BatchEnd::Sync && self.link.is_none() && self.needs_no_server(bytes, &survey, &catalog)? {
            self.tally.begin();
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
            reads: survey.reads,
            stale: if self.open { Vec::new() } else { std::mem::take(&mut survey.stale) },
            ask: survey.ask,
        };
        if end != BatchEnd::Sync && (survey.executes || survey.binds) && attempt.verdict == Verdict::Read {
            // What follows is not known and may not be a read.
            attempt.verdict = Verdict::NotRead(NotRead::Mixed);
        }
        let runs = survey.executes || survey.binds;
        if self.open
            && (attempt.verdict != Verdict::Read || runs && !self.still_answers(survey.reads, survey.ask))
        {
            self.leave_replica().await?;
            if self.skipping {
                return self.skip(end).await;
            }
        }
        if self.state.is_unreadable() {
            attempt.effects |= self.unread();
            self.writes_anything();
        }
        // When it runs again elsewhere, its names must mean what they meant before.
        let names = (attempt.repeatable && survey.names)
            .then(|| (self.state.names.clone(), self.state.unnamed.clone()));
        self.attempt(&attempt, &mut |session, link| {
            if let Some((names, unnamed)) = &names {
                session.state.names.clone_from(names);
                session.state.unnamed.clone_from(unnamed);
            }
            survey.mentions.iter().for_each(|facts| session.send_named(link, facts));
            session.send_batch(link, bytes, &survey, &catalog)
        })
        .await
    }

    /// Everything up to the next Sync is skipped after an error; the Sync is answered by whoever knows of the batch.
    pub(crate) async fn skip(&mut self, end: BatchEnd) -> Result<(), End> {
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
        self.begin_unit(&self.catalog.load());
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

    /// Whether the replica that a batch was begun on, perhaps long ago, may answer the reads that it goes on with.
    fn still_answers(&mut self, reads: Reads, ask: Ask) -> bool {
        let wanted = self.wanted(reads, ask);
        let Some(link) = self.link.as_ref().filter(|link| link.replica) else { return true };
        let view = self.shared.view.load();
        view.node(link.server.node).is_some_and(|node| {
            let progress = &node.progress;
            let known = progress.life() == link.life && progress.confirms(link.server.opened);
            node.takes_reads() && (wanted.is_nothing() || known && wanted.is_met_by(node))
        })
    }

    /// Whether what has come of a batch is certain to go to the primary.
    pub(crate) fn is_no_read(&self) -> bool {
        let catalog = self.catalog.load();
        let writes = |facts: Arc<Facts>| facts.verdict != Verdict::Read;
        let begun = self.inbox.get(..self.scanned).unwrap_or_default();
        self.link.as_ref().is_some_and(|link| self.open && !link.replica)
            || frames(begun).any(|frame| match frame.tag {
                b'P' => Parse::read(frame.body)
                    .is_ok_and(|parse| writes(self.shared.analyzer.read(parse.text, &catalog).0)),
                b'B' => Bind::read(frame.body)
                    .is_ok_and(|bind| self.facts_of(bind.statement, &catalog).is_some_and(writes)),
                _ => false,
            })
    }

    /// Whether the catalog has changed since its facts were read: by this session, which goes on before they are read
    /// again, or in its present transaction.
    fn is_behind(&self) -> bool {
        self.unsettled != 0
            || self.catalog.is_stale()
            || self.state.effects.intersects(Effects::DDL.union(Effects::MAYBE_DDL))
    }

    /// Looks through a batch: what it executes decides; if it executes nothing, what it prepares.
    fn survey(&mut self, bytes: &[u8], catalog: &Arc<Catalog>) -> Result<Survey, FrameError> {
        let mut survey = Survey {
            verdict: Verdict::Read,
            effects: Effects::NONE,
            reads: Reads::default(),
            parsed: Vec::new(),
            mentions: Vec::new(),
            stale: Vec::new(),
            names: false,
            binds: false,
            executes: false,
            idle: true,
            local: false,
            token: false,
            ask: Ask::default(),
        };
        self.begin_unit(catalog);
        let database = self.database();
        let mut bound = Verdicts::default();
        let mut parsed = Verdicts::default();
        let mut here: Vec<(&[u8], Arc<Facts>, Around<'_>)> = Vec::new();
        let behind = self.is_behind();
        for frame in frames(bytes) {
            match frame.tag {
                b'P' => {
                    let parse = Parse::read(frame.body)?;
                    let (facts, around) = self.shared.analyzer.read(parse.text, catalog);
                    if facts.effects.contains(Effects::OPAQUE) {
                        self.note_mentioned(parse.text);
                        self.note_durability(parse.text);
                    }
                    if facts.effects.contains(Effects::VACATES) {
                        self.vacate(parse.text);
                    }
                    let said = words(&around);
                    self.tally.hears(said);
                    survey.idle = false;
                    survey.names = true;
                    survey.local |= may_be_local(&facts);
                    if !survey.binds {
                        let ask = self.asks_for(&facts, catalog, said);
                        parsed.ask(ask, &self.settings);
                    }
                    survey.reads.add(&self.shared.marks, database, &facts.read);
                    parsed.add(&facts);
                    here.push((parse.name, facts.clone(), around));
                    survey.mentions.extend(mentions(&facts));
                    survey.parsed.push(facts);
                }
                b'B' => {
                    let bind = Bind::read(frame.body)?;
                    survey.idle = false;
                    survey.binds = true;
                    let fresh = here.iter().rfind(|(name, ..)| *name == bind.statement);
                    let known = self.prepared(bind.statement).filter(|_| fresh.is_none()).cloned();
                    let named = known.as_ref().filter(|_| !bind.statement.is_empty());
                    let stale = named.filter(|known| behind || known.catalog != catalog.version());
                    survey.stale.extend(stale.cloned());
                    let meant = match (fresh, &known) {
                        (Some((_, facts, around)), _) => Some((facts.clone(), words(around))),
                        (None, Some(known)) => {
                            Some((known.facts(&self.shared.analyzer, catalog), known.said.words()))
                        }
                        (None, None) => None,
                    };
                    if let Some((facts, words)) = meant {
                        if facts.effects.contains(Effects::OPAQUE) {
                            // Its text was noted when it was parsed, perhaps long ago, and runs what is bound.
                            self.note_durability(bind.rest);
                            if let Some(known) = &known {
                                self.note_durability(&known.statement.key.text);
                                self.note_mentioned(&known.statement.key.text);
                            }
                        }
                        let ask = self.asks_for(&facts, catalog, words);
                        bound.ask(ask, &self.settings);
                        self.runs(&facts);
                        survey.token |= Self::is_token(&facts);
                        survey.reads.add(&self.shared.marks, database, &facts.read);
                        bound.add(&facts);
                        self.tally.executes(facts.clone());
                        self.tally.hears(words);
                        survey.local |= may_be_local(&facts);
                        survey.effects |= self.may_leave(&facts);
                        survey.mentions.extend(mentions(&facts));
                    }
                }
                b'D' => {
                    let (kind, name) = target(frame.body)?;
                    survey.idle = false;
                    if kind == Kind::Statement
                        && !here.iter().any(|(parsed, ..)| *parsed == name)
                        && let Some(facts) = self.facts_of(name, catalog)
                    {
                        parsed.add(&facts);
                    }
                }
                b'E' => {
                    let portal = execute(frame.body)?;
                    survey.idle = false;
                    survey.executes = true;
                    // A portal of an earlier batch; one that was just bound has been looked at.
                    if let Some(portal) = self.state.portals.get(portal).cloned() {
                        let facts = portal.prepared.facts(&self.shared.analyzer, catalog);
                        if !survey.binds {
                            let ask = self.asks_for(&facts, catalog, portal.prepared.said.words());
                            bound.ask(ask, &self.settings);
                        }
                        self.runs(&facts);
                        survey.reads.add(&self.shared.marks, database, &facts.read);
                        bound.add(&facts);
                        survey.effects |= self.may_leave(&facts);
                    }
                }
                b'C' => {
                    survey.names = true;
                    survey.idle &= target(frame.body)?.0 == Kind::Statement;
                }
                b'H' if !frame.body.is_empty() => return Err(FrameError::Body("trailing data in Flush")),
                _ => {}
            }
        }
        let decisive = if survey.executes || bound.any() { bound } else { parsed };
        survey.ask = Ask { prepares: !survey.executes, ..decisive.ask.unwrap_or_default() };
        survey.verdict = decisive.verdict();
        Ok(survey)
    }

    pub(crate) fn prepared(&self, name: &[u8]) -> Option<&Arc<Prepared>> {
        if name.is_empty() { self.state.unnamed.as_ref() } else { self.state.names.get(name) }
    }

    fn facts_of(&self, name: &[u8], catalog: &Arc<Catalog>) -> Option<Arc<Facts>> {
        self.prepared(name).map(|prepared| prepared.facts(&self.shared.analyzer, catalog))
    }
}

fn mentions(facts: &Arc<Facts>) -> Option<Arc<Facts>> {
    facts.effects.contains(Effects::SQL_PREPARED).then(|| facts.clone())
}

/// Several verdicts made into one.
#[derive(Debug, Default)]
struct Verdicts {
    reads: bool,
    refused: Option<NotRead>,
    ask: Option<Ask>,
}

impl Verdicts {
    fn ask(&mut self, ask: Ask, settings: &SessionSettings) {
        self.ask = Some(self.ask.map_or(ask, |before| before.with(ask, settings)));
    }

    fn add(&mut self, facts: &Facts) {
        if is_own_text(facts) {
            return;
        }
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
