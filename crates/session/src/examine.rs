//! Behind a unit: what the session has left on the connection, asked of the server itself.
//!
//! The text says when to ask, not what is there: a temporary table may have been rolled back, a function may have set
//! something, an unlock may have released the last lock or none. The question runs behind the client's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pgsplit_pool::{Replay, Settings};
use pgsplit_route::PinReason;
use pgsplit_sql::Effects;
use pgsplit_wire::backend::Fields;
use pgsplit_wire::{HEADER, Status, build, sqlstate};

use crate::end::End;
use crate::link::{To, What};
use crate::metrics::Metrics;
use crate::question::{self, Found, is_name_byte};
use crate::relay::Relayed;
use crate::session::Session;

/// After these the server is asked.
const ASK: Effects = Effects::SETTING_OPAQUE
    .union(Effects::TEMP_OBJECT)
    .union(Effects::HOLD_CURSOR)
    .union(Effects::ADVISORY_LOCK)
    .union(Effects::LISTEN)
    .union(Effects::SQL_PREPARED)
    .union(Effects::OPAQUE);

impl Session {
    /// Behind a unit that has ended: finds out what it left behind, ties or unties the session, and gives the connection
    /// back when nothing holds it.
    pub(crate) async fn clean_up(&mut self) -> Result<(), End> {
        let Some(link) = self.link.as_mut().filter(|link| link.is_quiet() && !link.copy_in && !self.open)
        else {
            return Ok(());
        };
        let idle = link.status == Status::Idle;
        let resets = link.resets.any() && link.status == Status::Transaction;
        if !idle && !resets {
            return Ok(());
        }
        self.handle.set_running(None);
        if link.server.cancel.is_busy() {
            // A late cancel must not hit what is sent on the session's behalf.
            let cancel = link.server.cancel.clone();
            cancel.wait().await;
            self.settle_cancel().await?;
        }
        let restores = self.restore_start_up();
        if !idle {
            return if restores { self.settle_quietly().await } else { Ok(()) };
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        let litter = link.take_litter();
        if !litter.is_empty() {
            for name in &litter {
                build::close_statement(&mut link.out, name);
                link.owe(What::Close, To::Session);
            }
            link.sync();
        }
        let effects = std::mem::replace(&mut self.state.effects, Effects::NONE);
        if std::mem::take(&mut self.discarded) {
            // DISCARD ALL leaves an empty string of every custom setting: nobody gets the connection next.
            link.unclean |= matches!(self.state.pin, Some(PinReason::Setting | PinReason::Opaque));
            let kept = self.state.pin.filter(|pin| {
                matches!(pin, PinReason::SessionMode | PinReason::Load | PinReason::Seed | PinReason::Other)
            });
            self.pin(kept);
        }
        if self.holds_for_catalog(effects) {
            if restores || !litter.is_empty() {
                self.settle_quietly().await?;
            }
            self.handle.set_running(None);
            return Ok(());
        }
        let pinned = self.state.pin.is_some();
        if self.stays_pinned() {
            // Asked once the pin ends, so that what hidden code has set is known to whom the connection goes next.
            for effect in [Effects::OPAQUE, Effects::SETS_ANYTHING] {
                if effects.contains(effect) {
                    self.state.effects |= effect;
                }
            }
            if restores || !litter.is_empty() {
                self.settle_quietly().await?;
            }
        } else if effects.intersects(ASK) || (pinned && effects.intersects(Effects::MAY_END_STATE)) {
            self.examine(effects).await?;
        } else if restores || !litter.is_empty() {
            self.settle_quietly().await?;
        }
        self.pin_for_good(effects);
        if self.state.pin.is_some() && self.link.as_ref().is_some_and(|link| link.replica) {
            // A function that was trusted to leave nothing behind did. Nobody can be tied to a replica, where nothing can
            // be written, so what was left goes with the connection.
            tracing::warn!(why = ?self.state.pin, "a statement that ran on a replica has left session state behind");
            self.pin(None);
            self.detach();
        }
        self.release();
        Ok(())
    }

    /// Whether the connection stays with the session until the catalog is read again, which a change of it has outdated:
    /// only then it is known what hidden code may have set. A migration runs from statement to statement meanwhile.
    fn holds_for_catalog(&mut self, effects: Effects) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| !link.replica) else { return false };
        if self.unsettled == 0 && effects.contains(Effects::OPAQUE) && self.catalog.is_stale() {
            self.unsettled = self.catalog.mark();
        }
        if self.unsettled == 0 || !is_asked_for(self.state.pin) {
            return false;
        }
        if self.catalog.is_settled(self.unsettled) {
            self.unsettled = 0;
            if self.state.pin == Some(PinReason::Ddl) {
                self.pin(None);
            }
            return false;
        }
        // What runs meanwhile is judged by the old facts.
        link.server.sequences = true;
        // Reported already.
        let reported = Effects::DDL | Effects::MAYBE_DDL;
        self.state.effects |= effects.without(reported) | Effects::OPAQUE;
        // What else tied the session is found out then.
        self.pin(Some(PinReason::Ddl));
        true
    }

    /// The mark of the catalog that an idle session waits for before it gives its connection back.
    pub(crate) fn awaited_mark(&self) -> Option<u64> {
        let link = self.link.as_ref().filter(|link| link.is_quiet() && !link.copy_in && !self.open)?;
        (self.unsettled != 0 && link.status == Status::Idle && is_asked_for(self.state.pin))
            .then_some(self.unsettled)
    }

    /// A RESET goes back to what the connection was opened with: where that is not what the session began with, the
    /// session's own values are set again. Whether there are any.
    fn restore_start_up(&mut self) -> bool {
        let Some(link) = self.link.as_mut().filter(|link| link.resets.any()) else { return false };
        let resets = std::mem::take(&mut link.resets);
        let (want, base) = (self.state.settings.current(), self.state.settings.base());
        let have = link.server.after_reset(want, base, |name| resets.contains(name));
        let texts = if link.status == Status::Idle {
            Replay::between(&have, want).map(|replay| replay.texts).unwrap_or_default()
        } else {
            // What holds until the transaction's end is not to be touched, a role among it.
            Replay::additions(&have, want)
        };
        texts.iter().for_each(|text| link.query(text, To::Session));
        !texts.is_empty()
    }

    /// An empty round trip, in which an idle server takes a cancel's signal and forgets it.
    async fn settle_cancel(&mut self) -> Result<(), End> {
        if let Some(link) = &mut self.link {
            link.sync();
        }
        self.settle_quietly().await
    }

    /// State that cannot be asked for ties the session until its end.
    fn pin_for_good(&mut self, effects: Effects) {
        let sequences =
            effects.intersects(Effects::SEQUENCE_USE | Effects::SEQUENCE_ASK) && self.asks_sequences();
        let pin = if effects.contains(Effects::LOAD) {
            PinReason::Load
        } else if effects.contains(Effects::SEED) {
            PinReason::Seed
        } else if effects.contains(Effects::SETTING_OPAQUE) {
            PinReason::Setting
        } else if effects.contains(Effects::OTHER_STATE) {
            PinReason::Other
        } else if sequences && self.link.as_ref().is_some_and(|link| link.server.sequences) {
            PinReason::Sequence
        } else {
            return;
        };
        // It outlasts whatever else ties the session now. EXECUTE of what SQL has prepared may set anything, too, but that
        // is found by the question, all but custom names.
        let executes = pin == PinReason::Setting && self.state.pin == Some(PinReason::Prepared);
        if is_asked_for(self.state.pin) && !executes {
            self.pin(Some(pin));
        }
    }

    async fn examine(&mut self, effects: Effects) -> Result<(), End> {
        Metrics::count(&self.shared.metrics.examinations);
        let hidden = effects.contains(Effects::OPAQUE);
        let more = self.mentioned.is_more();
        let question = if hidden {
            let mentioned = std::mem::take(&mut self.mentioned);
            question::with_custom(self.catalog.load().custom_settings(), &mentioned)
        } else {
            question::QUESTION.to_vec()
        };
        if let Some(link) = &mut self.link {
            link.query(&question, To::Examiner);
        }
        if !self.asked_in_time().await? {
            return Ok(());
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        let found = Found::read(&std::mem::take(&mut link.found));
        if self.adopt(&found) {
            self.set_right().await?;
        }
        let user = self.state.settings.current().get(b"session_authorization");
        if found.authorization != user.unwrap_or(&self.users.key.user) {
            // Hidden code has made the session another user's. Nobody else gets the connection.
            self.pin(Some(PinReason::Setting));
            return Ok(());
        }
        if is_asked_for(self.state.pin) {
            // It outlasts what was found: no examination can tell that such a setting is gone.
            let anything = more || effects.contains(Effects::SETS_ANYTHING) || hidden && self.was_misjudged();
            let anything = anything.then_some(PinReason::Opaque);
            self.pin(anything.or(found.pin));
        }
        Ok(())
    }

    /// Whether what ran was judged by a catalog that knew of other code that may set anything than the present one.
    fn was_misjudged(&self) -> bool {
        let catalog = self.catalog.load();
        !catalog.is_known() || catalog.has_code_that_sets_anything() && catalog.hidden_code() != self.judged
    }

    /// Whether the session stays tied to its connection whatever an examination finds.
    fn stays_pinned(&self) -> bool {
        match self.state.pin {
            None => false,
            Some(PinReason::Opaque) => true,
            pin => !is_asked_for(pin),
        }
    }

    /// Notes the names with a dot in a text whose code runs out of sight (DO): they may be custom settings. And whether it
    /// asks for sequences.
    pub(crate) fn note_mentioned(&mut self, text: &[u8]) {
        if [&b"currval"[..], b"lastval"].iter().any(|name| text.windows(name.len()).any(|part| part == *name))
        {
            self.users.asks_sequences.store(true, Ordering::Relaxed);
        }
        let is_setting = |word: &&[u8]| {
            word.len() < 128
                && word.contains(&b'.')
                && !word.ends_with(b".")
                && word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        };
        let words = text.split(|b| !is_name_byte(b)).filter(is_setting);
        self.mentioned.add(words.map(|word| word.to_ascii_lowercase().into()));
    }

    /// Waits for the answer to the question. The session's own `statement_timeout` may end it: then nobody knows what is
    /// there, and nobody else gets the connection. False then.
    async fn asked_in_time(&mut self) -> Result<bool, End> {
        if let Relayed::Broken(why) = self.relay(false).await? {
            return Err(self.lost(&why));
        }
        let cancelled = self.link.as_ref().and_then(|link| link.fault.as_ref()).is_some_and(|frame| {
            let fields = Fields(frame.get(HEADER..).unwrap_or_default());
            fields.sqlstate() == sqlstate::QUERY_CANCELED
        });
        if !cancelled {
            self.settle_quietly().await?;
            return Ok(true);
        }
        if let Some(link) = &mut self.link {
            link.fault = None;
            link.found.clear();
        }
        self.pin(Some(PinReason::Opaque));
        Ok(false)
    }

    /// Waits for the answers to what was sent on the session's behalf. A failure ends the session: what is on the
    /// connection is not known any more.
    async fn settle_quietly(&mut self) -> Result<(), End> {
        match self.relay(false).await? {
            Relayed::Broken(why) => Err(self.lost(&why)),
            _ if self.link.as_ref().is_some_and(|link| link.fault.is_some()) => {
                self.detach();
                Err(pgsplit_wire::PgError::fatal(
                    pgsplit_wire::sqlstate::CONNECTION_FAILURE,
                    "the session's state could not be examined",
                )
                .into())
            }
            _ => Ok(()),
        }
    }

    /// Takes over the settings that the server says are in force. Values that only look different stay as they were.
    /// Where hidden code has reset something, the session has its start-up value again, and the server its own: true when
    /// that is to be set right.
    fn adopt(&mut self, found: &Found) -> bool {
        let (current, base) = (self.state.settings.current().clone(), self.state.settings.base().clone());
        let mut there: Vec<(&[u8], &[u8])> = current.iter().filter(|(name, _)| is_unlisted(name)).collect();
        for (name, value) in found.settings.iter().chain(&found.opened) {
            let known = current.get(name).filter(|known| known.eq_ignore_ascii_case(value));
            there.push((name, known.unwrap_or(value)));
        }
        if current.get(b"role") == Some(b"none") && !found.settings.iter().any(|(name, _)| name == b"role") {
            there.push((b"role", b"none"));
        }
        let there = Settings::new(there);
        let own =
            |name: &[u8]| found.opened.iter().any(|(known, _)| known == name) || there.get(name).is_none();
        let starts = base.iter().filter(|(name, _)| !is_unlisted(name) && own(name));
        let next = Settings::new(there.iter().chain(starts));
        let settings = if *next == *current { current } else { next };
        self.state.settings.adopt(settings);
        self.state.settings.commit();
        let settings: Arc<Settings> = self.state.settings.current().clone();
        let right = *there == *settings;
        if let Some(link) = &mut self.link {
            link.server.set_applied(if right { &settings } else { &there });
        }
        !right
    }

    /// Brings the held connection into the session's state.
    async fn set_right(&mut self) -> Result<(), End> {
        let want = self.state.settings.current().clone();
        let Some(link) = &mut self.link else { return Ok(()) };
        let replay = Replay::between(link.server.applied(), &want);
        replay.iter().flat_map(|replay| &replay.texts).for_each(|text| link.query(text, To::Session));
        self.settle_quietly().await?;
        if let Some(link) = &mut self.link {
            link.server.set_applied(&want);
        }
        Ok(())
    }
}

/// Pins that an examination decides about.
fn is_asked_for(pin: Option<PinReason>) -> bool {
    match pin {
        None => true,
        Some(pin) => matches!(
            pin,
            PinReason::TemporaryObject
                | PinReason::HoldCursor
                | PinReason::AdvisoryLock
                | PinReason::Listen
                | PinReason::Prepared
                | PinReason::Opaque
                | PinReason::Ddl
        ),
    }
}

/// Settings that `pg_settings` does not list, so that what the session is known to have set stands.
fn is_unlisted(name: &[u8]) -> bool {
    name.contains(&b'.') || name == b"session_authorization"
}
