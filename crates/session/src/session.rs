//! One client that has logged in.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pgsplit_net::Stream;
use pgsplit_pool::UserPools;
use pgsplit_route::Decision;
use pgsplit_route::rules::Words;
use pgsplit_sql::Facts;
use pgsplit_wire::Limits;

use crate::ask::Audience;
use crate::control::CatalogSource;
use crate::link::Link;
use crate::question::Mentioned;
use crate::registry::Client;
use crate::shared::{SessionSettings, Shared};
use crate::state::State;
use crate::statistics::{Database, Recorder};
use crate::trace::Last;

/// A logged-in client and everything that is known of it.
#[derive(Debug)]
pub(crate) struct Session {
    pub shared: Arc<Shared>,
    /// The configuration, as of the present unit.
    pub settings: Arc<SessionSettings>,
    pub client: Stream,
    /// Bytes of the client that are not acted on yet. Owns no memory while the client is idle.
    pub inbox: BytesMut,
    /// Bytes for the client that are not sent yet. Owns no memory while the client is idle.
    pub outbox: BytesMut,
    /// How far into `inbox` there are whole messages that did not end a unit.
    pub scanned: usize,
    pub users: Arc<UserPools>,
    pub catalog: Arc<dyn CatalogSource>,
    pub handle: Arc<Client>,
    pub state: State,
    /// The server connection that is held now.
    pub link: Option<Box<Link>>,
    /// Messages of the extended protocol were sent and their Sync was not.
    pub open: bool,
    /// An error was answered without a server: everything up to the next Sync is skipped.
    pub skipping: bool,
    /// DISCARD ALL was carried out: nothing is left that would pin.
    pub discarded: bool,
    /// A server's FATAL was passed on: the session ends with it.
    pub fatal: bool,
    /// The mark of a change of the catalog, 0 for none: until it is known, the connection is not examined and not given
    /// back.
    pub unsettled: u64,
    /// [`pgsplit_sql::Catalog::hidden_code`] when the oldest of what is not examined yet was judged.
    pub judged: u64,
    /// The mark of what hidden code may have changed in the catalog: the session's next decision waits for it.
    pub suspected: u64,
    /// Names in texts whose code runs out of sight, for the next examination.
    pub mentioned: Mentioned,
    /// What the session is to the rules, once there were any.
    pub audience: Option<Box<Audience>>,
    /// The last statement's decision.
    pub last: Option<Last>,
    /// The decision of a batch of which only preparations have been sent.
    pub begun: Option<Box<Decision>>,
    /// What is said with the end of the present answer (`pgsplit.trace`).
    pub notice: Option<Box<str>>,
    /// The present unit has ended with an error that the client was told.
    pub failed: bool,
    pub random: u32,
    /// The last alarm that was looked into.
    pub alarm: u64,
    /// This thread's sheet of statements.
    pub recorder: Arc<Recorder>,
    pub database: Arc<Database>,
    /// What the present unit came to, for the sheet.
    pub tally: Tally,
}

/// What is noted of a unit while it runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// What it executes; most units execute one statement.
    pub first: Option<Arc<Facts>>,
    pub failed: bool,
    pub rows: u64,
    rest: Option<Box<Rest>>,
}

/// What most units have nothing of.
#[derive(Debug, Default)]
struct Rest {
    more: Vec<Arc<Facts>>,
    /// The tags, as in a comment, of the first statement that has any.
    tags: Vec<u8>,
    /// The word of the first hint.
    hint: Option<Box<str>>,
    /// `pgsplit.token`, when it is about to be shown.
    token: Option<String>,
    /// How long it has waited for a server connection.
    waited: Duration,
}

impl Tally {
    /// Forgets what came before.
    pub(crate) fn begin(&mut self) {
        self.first = None;
        (self.failed, self.rows) = (false, 0);
        if let Some(rest) = &mut self.rest {
            rest.more.clear();
            rest.tags.clear();
            rest.hint = None;
            rest.waited = Duration::ZERO;
        }
    }

    /// Gives up what only a unit needs.
    pub(crate) fn end(&mut self) {
        self.rest = None;
    }

    /// Notes what is said around a text that is executed.
    pub(crate) fn hears(&mut self, words: Words<'_>) {
        if let Some(tags) = words.tags.filter(|tags| self.tags().is_empty() && tags.body().len() <= LONGEST) {
            self.rest.get_or_insert_default().tags.extend_from_slice(tags.body());
        }
        if let Some(hint) = words.hint.filter(|_| self.hint().is_none()) {
            self.rest.get_or_insert_default().hint = Some(hint.into());
        }
    }

    pub(crate) fn executes(&mut self, facts: Arc<Facts>) {
        if self.first.is_none() {
            self.first = Some(facts);
            return;
        }
        let more = &mut self.rest.get_or_insert_default().more;
        if more.len() < MOST_NOTED {
            more.push(facts);
        }
    }

    /// The tags, as in a comment; empty without any.
    pub(crate) fn tags(&self) -> &[u8] {
        self.rest.as_ref().map_or(b"", |rest| &rest.tags)
    }

    /// The word of the hint.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.rest.as_ref()?.hint.as_deref()
    }

    /// `pgsplit.token` is about to be shown.
    pub(crate) fn set_token(&mut self, token: String) {
        self.rest.get_or_insert_default().token = Some(token);
    }

    /// What was set.
    pub(crate) fn take_token(&mut self) -> Option<String> {
        self.rest.as_mut()?.token.take()
    }

    /// Notes that it had to wait for a server connection.
    pub(crate) fn waits(&mut self, time: Duration) {
        self.rest.get_or_insert_default().waited += time;
    }

    /// How long it has waited for a server connection.
    pub(crate) fn waited(&self) -> Duration {
        self.rest.as_ref().map_or(Duration::ZERO, |rest| rest.waited)
    }

    /// What is executed behind the first.
    pub(crate) fn take_more(&mut self) -> Vec<Arc<Facts>> {
        self.rest.as_mut().map(|rest| std::mem::take(&mut rest.more)).unwrap_or_default()
    }
}

/// Statements of one batch that are noted.
const MOST_NOTED: usize = 1_000;
/// The longest tags that are noted, in bytes.
const LONGEST: usize = 4 << 10;

impl Session {
    /// Takes over what a reload has changed.
    pub(crate) fn renew_settings(&mut self) {
        let now = self.shared.settings.load();
        if !Arc::ptr_eq(&now, &self.settings) {
            self.settings = Arc::clone(&now);
        }
    }

    pub(crate) fn limits() -> Limits {
        Limits::default()
    }

    /// Any number (xorshift32), for choices among equals.
    pub(crate) fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

thread_local! {
    static TURN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// This thread's next turn, where each replica has its own.
pub(crate) fn next_turn() -> u32 {
    let turn = TURN.get();
    TURN.set(turn.wrapping_add(1));
    turn
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.set_running(None);
        self.end_change();
        self.shared.metrics.pin_changed(self.state.pin, None);
        self.shared.registry.remove(&self.handle);
    }
}
