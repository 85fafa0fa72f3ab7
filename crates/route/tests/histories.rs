//! Histories of writes, samples and replays at random: no replica is chosen that has not replayed what a read must see.
//!
//! The model knows what the real thing never does: at which position each write was committed and flushed, and what each
//! replica has replayed at every moment.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics, also in its helpers")]

use std::sync::Arc;

use pgsplit_route::{
    Aim, Among, Durability, Excluded, Level, Lsn, Marks, Node, NodeId, NodeState, Progress, Role, Sample,
    Samples, Seen, View, Wanted, pick,
};
use pgsplit_sql::{Analyzer, Catalog, Tables, key};
use proptest::prelude::*;

/// Any replica.
const ANY: Among = Among { aim: Aim::Replica, excluded: Excluded::NONE, max_lag: None };
const TABLES: [&str; 4] = ["a", "b", "c", "d"];
const REPLICAS: usize = 2;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A table is written, or all are, and the write is acknowledged.
    Write { table: Option<usize>, asynchronous: bool },
    /// Something is committed that nobody tells the proxy of.
    Foreign,
    /// WAL is flushed.
    Flush,
    /// The sampler's question is sent to the primary.
    Ask,
    /// The primary answers it now: the positions are of this moment.
    Look,
    /// The answer arrives.
    Answer,
    /// A replica replays so much of what is flushed.
    Replay(usize, u64),
    /// A replica says how far it is.
    Tell(usize),
    /// A replica is restarted and has lost so much.
    Restart(usize, u64),
    /// Another life of the primary.
    Failover,
    /// A session has a read of a table, or of any, at this level; it may ask for the primary's position besides.
    Read { table: Option<usize>, level: Level, token: bool },
    /// What it reads is looked for on a replica: at once, or when more is known.
    Choose,
    /// It gives up, and reads on the primary.
    ReadPrimary(usize),
    /// A replica is away, or is back as a new life.
    Away(usize, bool),
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![
        1 => Just(Level::Eventual),
        2 => Just(Level::Session),
        4 => Just(Level::Causal),
        2 => Just(Level::Strict),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let table = || prop::option::weighted(0.9, 0..TABLES.len());
    prop_oneof![
        4 => (table(), any::<bool>()).prop_map(|(table, asynchronous)| Step::Write { table, asynchronous }),
        1 => Just(Step::Foreign),
        3 => Just(Step::Flush),
        4 => Just(Step::Ask),
        4 => Just(Step::Look),
        4 => Just(Step::Answer),
        5 => (0..REPLICAS, 0..20u64).prop_map(|(node, by)| Step::Replay(node, by)),
        5 => (0..REPLICAS).prop_map(Step::Tell),
        1 => (0..REPLICAS, 0..30u64).prop_map(|(node, by)| Step::Restart(node, by)),
        1 => Just(Step::Failover),
        8 => (table(), level(), prop::bool::weighted(0.1))
            .prop_map(|(table, level, token)| Step::Read { table, level, token }),
        8 => Just(Step::Choose),
        2 => (0..TABLES.len()).prop_map(Step::ReadPrimary),
        1 => (0..REPLICAS, any::<bool>()).prop_map(|(node, away)| Step::Away(node, away)),
    ]
}

/// The world as it is, and the parts under test.
struct Model {
    marks: Arc<Marks>,
    samples: Samples,
    view: View,
    seen: Seen,
    inserted: u64,
    flushed: u64,
    replayed: [u64; REPLICAS],
    /// The newest acknowledged write of each table.
    written: [u64; TABLES.len()],
    /// The newest state that the session has seen of each table on the primary, and on replicas of all.
    shown: [u64; TABLES.len()],
    shown_by_replicas: u64,
    asked: Option<(u64, Option<Sample>)>,
    /// A read that was not answered yet, and the position that its replica must have.
    waiting: Option<(Wanted, u64)>,
    chosen: usize,
}

impl Model {
    fn new() -> Self {
        let role = |id| if id == 0 { Role::Primary } else { Role::Replica };
        let node = |id: u16| Node::new(id, &format!("db{id}"), "127.0.0.1:1").up(role(id));
        let nodes = (0..=u16::try_from(REPLICAS).unwrap()).map(node).collect();
        let view = View { nodes, primary: Some(NodeId(0)), generation: 1, ..View::default() };
        Self {
            marks: view.marks.clone(),
            samples: Samples::default(),
            view,
            seen: Seen::default(),
            inserted: 1,
            flushed: 1,
            replayed: [0; REPLICAS],
            written: [0; TABLES.len()],
            shown: [0; TABLES.len()],
            shown_by_replicas: 0,
            asked: None,
            waiting: None,
            chosen: 0,
        }
    }

    fn progress(&self, replica: usize) -> &Progress {
        &self.view.nodes[replica + 1].progress
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Write { table, asynchronous } => {
                self.inserted += 1;
                if !asynchronous {
                    self.flushed = self.inserted;
                }
                let durability = if asynchronous { Durability::Inserted } else { Durability::Flushed };
                let keys: Vec<u32> = table.iter().map(|table| key(TABLES[*table])).collect();
                self.marks.mark(7, table.is_none(), &keys, durability);
                for (at, written) in self.written.iter_mut().enumerate() {
                    if table.is_none_or(|table| table == at) {
                        *written = self.inserted;
                    }
                }
            }
            Step::Foreign => {
                self.inserted += 1;
                self.flushed = self.inserted;
            }
            Step::Flush => self.flushed = self.inserted,
            Step::Ask => self.asked = Some((self.marks.begin_sample(), None)),
            Step::Look => {
                let (flushed, inserted) = (Lsn(self.flushed), Lsn(self.inserted));
                if let Some((epoch, sample @ None)) = &mut self.asked {
                    *sample = Some(Sample { epoch: *epoch, flushed, inserted, asynchronous: false });
                }
            }
            Step::Answer => {
                if let Some((_, Some(sample))) = self.asked {
                    self.asked = None;
                    self.samples.add(sample);
                    for replica in 0..REPLICAS {
                        let reached = self.samples.reached(self.progress(replica).replayed());
                        self.progress(replica).reach(reached);
                    }
                }
            }
            Step::Replay(replica, by) => {
                self.replayed[replica] = (self.replayed[replica] + by).min(self.flushed);
            }
            Step::Tell(replica) if self.view.nodes[replica + 1].state != NodeState::Up => {}
            Step::Tell(replica) => {
                let progress = self.progress(replica);
                let ticket = progress.ask();
                let replayed = Lsn(self.replayed[replica]);
                progress.replay(replayed);
                progress.reach(self.samples.reached(replayed));
                progress.answer(ticket);
            }
            Step::Restart(replica, by) => {
                self.replayed[replica] = self.replayed[replica].saturating_sub(by);
                self.progress(replica).reborn();
            }
            Step::Failover => {
                self.asked = None;
                self.samples.clear();
                self.view.nodes.iter().for_each(|node| node.progress.forget());
            }
            Step::Read { table, level, token } => self.read(table, level, token),
            Step::Choose => self.choose(),
            Step::Away(replica, away) => {
                self.progress(replica).reborn();
                self.view.nodes[replica + 1].state = if away { NodeState::Down } else { NodeState::Up };
            }
            Step::ReadPrimary(table) => {
                self.waiting = None;
                self.shown[table] = self.inserted;
                self.seen.on_primary(tables(Some(table)).mask, self.marks.need_now());
            }
        }
    }

    /// What the definition of the level asks for at this moment, as a position, and what the real thing makes of it.
    fn read(&mut self, table: Option<usize>, level: Level, token: bool) {
        let of_tables = |positions: &[u64; TABLES.len()]| {
            let touched =
                positions.iter().enumerate().filter(|(at, _)| table.is_none_or(|table| table == *at));
            touched.map(|(_, position)| *position).max().unwrap_or(0)
        };
        let own = of_tables(&self.shown).max(self.shown_by_replicas);
        let must = match level {
            Level::Eventual => 0,
            Level::Session => own,
            Level::Causal => own.max(of_tables(&self.written)),
            Level::Strict => self.inserted,
        };
        let position = Lsn(if token { self.inserted } else { 0 });
        let reads = tables(table);
        let replicas = self.view.nodes.iter().filter(|node| node.takes_reads());
        self.seen.settle(replicas);
        let marked = self.marks.need(7, &reads);
        let wanted = self.seen.wanted(level, marked, &self.marks, reads.mask, position);
        self.waiting = Some((wanted, must.max(position.0)));
    }

    fn choose(&mut self) {
        let Some((wanted, must)) = self.waiting else { return };
        let Some(node) = pick(&self.view, ANY, &wanted, 3) else { return };
        self.waiting = None;
        self.chosen += 1;
        let chosen = &self.view.nodes[node.index()];
        assert_eq!(chosen.state, NodeState::Up);
        let has = self.replayed[node.index() - 1];
        assert!(has >= must, "{node:?} has {has}, a read must see {must}: {wanted:?}");
        self.shown_by_replicas = self.shown_by_replicas.max(has);
        let reached = chosen.progress.reached();
        let life = chosen.progress.life();
        self.seen.on_replica(node, life, self.marks.need_now(), |need| need.is_met_by(reached));
    }
}

/// The set of one table, or any.
fn tables(table: Option<usize>) -> Tables {
    let Some(table) = table else { return Tables::any() };
    let key = key(TABLES[table]);
    Tables { any: false, keys: Box::new([key]), mask: 1 << (key >> 26) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn no_replica_is_chosen_that_is_behind(steps in prop::collection::vec(step(), 0..120)) {
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.play(step));
    }
}

/// The model chooses replicas at all: a history in which every read may run on one.
#[test]
fn replicas_that_are_current_are_chosen() {
    let mut model = Model::new();
    for round in 0..100 {
        let table = Some(round % TABLES.len());
        model.play(Step::Write { table, asynchronous: round % 3 == 0 });
        model.play(Step::Flush);
        model.play(Step::Ask);
        model.play(Step::Look);
        model.play(Step::Replay(0, 100));
        model.play(Step::Tell(0));
        model.play(Step::Answer);
        model.play(Step::Read { table, level: Level::Causal, token: false });
        model.play(Step::Choose);
    }
    assert_eq!(model.chosen, 100);
}

/// Far more samples than are kept: what a slow replica is said to have reached is less than it has, never more.
#[test]
fn thinned_samples_never_promise_too_much() {
    let mut samples = Samples::default();
    for epoch in 1..5000u64 {
        let position = Lsn(epoch * 10);
        samples.add(Sample { epoch, flushed: position, inserted: position, asynchronous: false });
        for behind in [0, 1, 7, 100, 400, 3000] {
            let reached = samples.reached(Lsn((epoch * 10).saturating_sub(behind * 10))).flushed;
            assert!(reached <= epoch.saturating_sub(behind));
        }
        assert_eq!(samples.reached(position).flushed, epoch);
    }
}

/// A table's number is the one that facts have of it.
#[test]
fn facts_and_marks_name_tables_alike() {
    let facts = Analyzer::new(1 << 16).facts(b"insert into a values (1)", &Arc::new(Catalog::unknown()));
    assert!(facts.written.any, "nothing is known of a table without a catalog");
    assert_ne!(key("a"), key("b"));
}
