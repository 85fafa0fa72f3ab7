//! What a session has written and seen, what its reads must see therefore, and when the marks of its writes are made.
//!
//! Marks are made before the client hears of a commit: at ReadyForQuery, and at the CommandComplete of what commits by
//! itself. Waiting for a replica is in `patience`.

use std::num::NonZeroU64;
use std::sync::Arc;

use pgsplit_pool::Settings;
use pgsplit_route::{Durability, Level, Marks, Need, Node, Seen, Wanted};
use pgsplit_sql::{Catalog, Command, Effects, Facts, Statement, Tables};
use pgsplit_wire::Status;

use crate::ask::Ask;
use crate::link::Link;
use crate::prepared::BoundCall;
use crate::session::Session;

/// Tables of one transaction that are told apart; more are all.
const MOST_TABLES: usize = 1024;

/// A longer text is not searched, and taken for one that names whatever would be looked for.
const MOST_SEARCHED: usize = 64 * 1024;

/// What a session has written and seen.
#[derive(Debug, Default)]
pub(crate) struct Causality {
    pub seen: Seen,
    /// Of the unit that is about to be sent.
    unit: Touched,
    /// Of the present transaction, and of units whose end has not been seen.
    open: Touched,
    /// The session changes the catalog: see [`crate::changes`].
    pub changing: bool,
    /// A number for the session's database.
    database: Option<u32>,
    /// What the settings say, and of which settings that was read.
    asked: Option<(Arc<Settings>, Asked)>,
}

/// What is written and shown.
#[derive(Debug, Default)]
struct Touched {
    any: bool,
    keys: Vec<u32>,
    /// Bits as in [`Tables::mask`].
    shown: u64,
    /// Something in it may have committed what came before.
    commits: bool,
    /// Commits may not wait for the flush of their WAL.
    asynchronous: bool,
    /// When what is written was judged.
    since: Since,
}

/// When a text was judged: at which change of the catalog, by which version of its facts. `None`: a change was under way.
type Since = Option<Moment>;

/// The low halves of both numbers, and so not zero: the versions of facts begin with one.
type Moment = NonZeroU64;

/// What code may have done of which nothing is known.
const DOUBTED: Effects = Effects::OPAQUE.union(Effects::MAYBE_DDL);

/// What the session's settings ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    asynchronous: bool,
}

/// What a unit reads: what was marked of it when it arrived.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reads {
    need: Need,
    tables: u64,
}

impl Reads {
    /// Adds the tables of one text.
    pub(crate) fn add(&mut self, marks: &Marks, database: u32, tables: &Tables) {
        self.need = self.need.and(marks.need(database, tables));
        self.tables |= tables.mask;
    }
}

impl Touched {
    fn clear(&mut self) {
        self.keys.clear();
        (self.any, self.shown, self.commits, self.asynchronous) = (false, 0, false, false);
        self.since = None;
    }

    fn add(&mut self, facts: &Facts) {
        self.any |= facts.written.any;
        // What VACUUM notes in pg_class has no transaction whose commit would be flushed (RecordTransactionCommit in xact.c).
        self.asynchronous |= facts.written.any && facts.statements.iter().any(|one| one.command.is_vacuum());
        self.shown |= facts.shown;
        self.commits |= facts.effects.intersects(Effects::TX_CONTROL);
        self.keys(&facts.written.keys);
    }

    fn keys(&mut self, keys: &[u32]) {
        for key in keys {
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        if self.keys.len() > MOST_TABLES {
            self.any = true;
            self.keys.clear();
        }
    }

    fn is_written(&self) -> bool {
        self.any || !self.keys.is_empty()
    }
}

impl Asked {
    fn of(settings: &Settings) -> Self {
        Self {
            asynchronous: settings.get(b"synchronous_commit").is_some_and(|value| !waits_for_flush(value)),
        }
    }
}

/// Whether commits wait for the flush of their WAL at least. What is not known for sure does not.
fn waits_for_flush(value: &[u8]) -> bool {
    [&b"on"[..], b"local", b"remote_write", b"remote_apply", b"true", b"yes", b"1"]
        .iter()
        .any(|known| value.eq_ignore_ascii_case(known))
}

/// Whether a bug was planted on purpose, to show that the tests find it.
#[cfg(feature = "planted")]
pub(crate) fn planted(bug: &str) -> bool {
    std::env::var_os("PGSPLIT_PLANTED").is_some_and(|planted| planted == bug)
}

#[cfg(not(feature = "planted"))]
pub(crate) fn planted(_: &str) -> bool {
    false
}

impl Session {
    /// A number for the session's database, which tells tables of one name apart.
    pub(crate) fn database(&mut self) -> u32 {
        let name = || pgsplit_sql::key(&String::from_utf8_lossy(&self.users.key.database));
        *self.state.causality.database.get_or_insert_with(name)
    }

    /// A new unit: nothing of it is known yet.
    pub(crate) fn begin_unit(&mut self, catalog: &Catalog) {
        self.state.causality.unit.clear();
        self.state.causality.unit.since = self.present(catalog);
        if self.unsettled == 0 && self.state.effects.is_empty() {
            self.judged = catalog.hidden_code();
        }
    }

    /// What a unit may do that cannot be read.
    pub(crate) fn unread(&self) -> Effects {
        let effects = DOUBTED;
        let anything = self.catalog.load().has_code_that_sets_anything();
        if anything { effects | Effects::SETS_ANYTHING } else { effects }
    }

    /// A text that the unit runs.
    pub(crate) fn runs(&mut self, facts: &Facts) {
        self.state.causality.unit.add(facts);
    }

    /// The unit may write anything.
    pub(crate) fn writes_anything(&mut self) {
        let unit = &mut self.state.causality.unit;
        (unit.any, unit.shown, unit.commits) = (true, u64::MAX, true);
    }

    /// A text whose code runs out of sight may turn `synchronous_commit` off.
    pub(crate) fn note_durability(&mut self, text: &[u8]) {
        const NAME: &[u8] = b"synchronous_commit";
        let names = |text: &[u8]| text.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME));
        if text.len() > MOST_SEARCHED || names(text) {
            self.state.causality.unit.asynchronous = true;
        }
    }

    /// `synchronous_commit` was set for the transaction, or may have been; `calls` are those of `set_config`, where all of
    /// their arguments are known.
    pub(crate) fn set_durability(&mut self, statement: &Statement, calls: Option<&[BoundCall]>) {
        let by_command = matches!(
            &statement.command,
            Command::Set { local: true, name, .. } if &**name == "synchronous_commit"
        );
        let by_call = match calls {
            Some(calls) => calls.iter().any(|call| call.name == b"synchronous_commit"),
            None => true,
        };
        if by_command || by_call || statement.effects.contains(Effects::SETTING_OPAQUE) {
            self.state.causality.open.asynchronous = true;
        }
    }

    /// The unit is about to be sent.
    pub(crate) fn unit_sent(&mut self) {
        let Causality { unit, open, .. } = &mut self.state.causality;
        if unit.is_written() {
            let between = open.is_written() && open.since != unit.since;
            open.any |= between;
            open.since = unit.since;
            if between && (self.state.effects | self.state.expected).contains(Effects::CODE) {
                self.state.effects |= DOUBTED;
            }
        }
        open.any |= unit.any;
        open.shown |= unit.shown;
        open.commits |= unit.commits;
        open.asynchronous |= unit.asynchronous;
        open.keys(&unit.keys);
        unit.clear();
    }

    /// Code that is proved to touch rows only is not believed to where another may have run instead: one that was made
    /// meanwhile, or the trigger of a temporary table.
    pub(crate) fn doubt_code(&mut self) {
        if !self.state.effects.contains(Effects::CODE) || self.state.effects.contains(DOUBTED) {
            return;
        }
        let now = self.present(&self.catalog.load());
        let others = !self.settings.peers.is_empty();
        if self.state.pin.is_some() || others || now.is_none() || self.state.causality.open.since != now {
            self.state.effects |= DOUBTED;
            // What it may have set is known once the catalog is read again.
            let mark = self.catalog.mark();
            if self.unsettled == 0 && !self.catalog.is_settled(mark) {
                self.unsettled = mark;
            }
        }
    }

    fn settled(&mut self) -> Asked {
        let current = self.state.settings.current();
        match &self.state.causality.asked {
            Some((settings, asked)) if Arc::ptr_eq(settings, current) => *asked,
            _ => {
                let asked = Asked::of(current);
                self.state.causality.asked = Some((current.clone(), asked));
                asked
            }
        }
    }

    /// The level that holds for a read: a hint's, or else the session's own, a rule's, or the configuration's. Where other
    /// processes serve the same clients, their writes are only seen by a strict read.
    fn level(&self, ask: Ask) -> Level {
        let level = self.asked(ask).level.unwrap_or(self.settings.consistency).into();
        if level == Level::Causal && !self.settings.peers.is_empty() { Level::Strict } else { level }
    }

    /// What a replica must be to answer a unit that reads this.
    pub(crate) fn wanted(&mut self, reads: Reads, ask: Ask) -> Wanted {
        let level = self.level(ask);
        let own = self.state.settings.own.now().min_lsn.as_ref().map(|(_, at)| *at).unwrap_or_default();
        let position = own.max(ask.position);
        if level != Level::Eventual {
            self.settle_seen();
        }
        self.state.causality.seen.wanted(level, reads.need, &self.shared.marks, reads.tables, position)
    }

    /// Everything that there is, as of this moment.
    pub(crate) fn reads_anything(&mut self) -> Reads {
        let (mut reads, database) = (Reads::default(), self.database());
        reads.add(&self.shared.marks, database, &Tables::any());
        reads
    }

    /// What a replica must be for a read to miss nothing of what was acknowledged when it came, whatever level holds.
    pub(crate) fn needs(&mut self, reads: Reads) -> Wanted {
        self.settle_seen();
        let own = self.state.causality.seen.need(reads.tables);
        Wanted { need: reads.need.and(own), ..Wanted::NOTHING }
    }

    fn settle_seen(&mut self) {
        let view = self.shared.view.load();
        self.state.causality.seen.settle(view.nodes.iter().filter(|node| node.takes_reads()));
    }

    /// ReadyForQuery for the client, before it is forwarded: what was written is marked, what was shown is noted.
    pub(crate) fn acknowledged(&mut self, link: &Link, status: Status) {
        if link.replica {
            let now = self.shared.marks.need_now();
            let (id, life) = (link.server.node, link.life);
            let view = &self.shared.view;
            self.state.causality.seen.on_replica(id, life, now, |need| {
                let (view, reached) = (view.load(), |node: &Node| need.is_met_by(node.progress.reached()));
                view.node(id).is_some_and(|node| node.progress.life() == life && reached(node))
            });
        } else {
            let open = &self.state.causality.open;
            let early = planted("command-complete");
            if open.is_written() && !early && (status == Status::Idle || open.commits || open.any) {
                self.publish();
            }
            let now = self.shared.marks.need_now();
            let Causality { seen, open, .. } = &mut self.state.causality;
            seen.on_primary(open.shown, now);
        }
        if status == Status::Idle {
            self.state.causality.open.clear();
        }
    }

    /// CommandComplete, before it is forwarded: what commits by itself is visible already. Other statements commit at
    /// the Sync, so that a mark made now would be too early.
    pub(crate) fn completed(&mut self, link: &Link, command: Option<&Command>) {
        let commits = |command: &Command| {
            matches!(
                command,
                Command::Commit { .. }
                    | Command::CommitPrepared
                    | Command::Call
                    | Command::Do
                    | Command::Execute { .. }
                    | Command::Ddl(_)
                    | Command::Utility(_)
                    | Command::Unknown(_)
            )
        };
        let early = planted("command-complete");
        if !link.replica && (early || command.is_none_or(commits)) && self.state.causality.open.is_written() {
            self.publish();
        }
    }

    /// The connection was lost, or its statement left to itself, with something in flight that may be committed.
    pub(crate) fn in_doubt(&mut self) {
        if self.state.causality.changing {
            let _ = self.catalog.outdated();
        }
        if self.state.causality.open.is_written() {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let asynchronous = self.settled().asynchronous
            || self.state.causality.open.asynchronous
            || self.catalog.load().is_asynchronous();
        let asynchronous = asynchronous && !planted("flushed");
        if planted("no-marks") {
            return;
        }
        let durability = if asynchronous { Durability::Inserted } else { Durability::Flushed };
        let database = self.database();
        let now = self.present(&self.catalog.load());
        let open = &self.state.causality.open;
        // Judged by a catalog that was not the present one when it was carried out: a trigger may be new.
        let any = open.any || now.is_none() || open.since != now;
        self.shared.marks.mark(database, any, &open.keys, durability);
    }

    /// This moment, for what is judged by these facts.
    fn present(&self, catalog: &Catalog) -> Since {
        let settled = || !self.catalog.is_stale() && self.catalog.is_settled(self.catalog.mark());
        let change = self.shared.changes.quiet().filter(|_| settled())?;
        Moment::new(change << 32 | catalog.version() & u64::from(u32::MAX))
    }

    /// The unit, which is about to be sent, may change the catalog.
    pub(crate) fn begin_change(&mut self, effects: Effects) {
        if effects.intersects(Effects::DDL | Effects::MAYBE_DDL) && !self.state.causality.changing {
            self.state.causality.changing = true;
            self.shared.changes.begin();
        }
    }

    /// The change that the session has begun is done, or will never be.
    pub(crate) fn end_change(&mut self) {
        if std::mem::take(&mut self.state.causality.changing) {
            self.shared.changes.end();
        }
    }
}
