//! Histories of writes, samples and replays at random: no replica is chosen that has not replayed what a read must see.
//!
//! The model knows what the real thing never does: at which position each write was committed and flushed, and what each
//! replica has replayed at every moment.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test panics, also in its helpers")]

use std::sync::Arc;

use pgsplit_route::{
    Aim, Among, Durability, Excluded, Lsn, Marks, Node, NodeId, Progress, Role, Sample, Samples, Seen, View,
    Wanted, pick,
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
    /// A session reads a table, or any.
    Read(Option<usize>),
    /// The session reads on the primary.
    ReadPrimary(usize),
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
        8 => table().prop_map(Step::Read),
        2 => (0..TABLES.len()).prop_map(Step::ReadPrimary),
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
            Step::Read(table) => self.read(table),
            Step::ReadPrimary(table) => {
                self.shown[table] = self.inserted;
                self.seen.on_primary(tables(Some(table)).mask, self.marks.need_now());
            }
        }
    }

    fn read(&mut self, table: Option<usize>) {
        let reads = tables(table);
        let need = self.marks.need(7, &reads).and(self.seen.need(reads.mask));
        let wanted = Wanted { need, position: Lsn(0), stay: self.seen.replica() };
        let Some(node) = pick(&self.view, ANY, &wanted, 3) else { return };
        self.chosen += 1;
        let has = self.replayed[node.index() - 1];
        for at in (0..TABLES.len()).filter(|at| table.is_none_or(|table| table == *at)) {
            assert!(has >= self.written[at], "{node:?} has {has}, {} was written", self.written[at]);
            assert!(has >= self.shown[at], "{node:?} has {has}, {} was shown", self.shown[at]);
        }
        assert!(
            has >= self.shown_by_replicas,
            "{node:?} has {has}, a replica showed {}",
            self.shown_by_replicas
        );
        self.shown_by_replicas = has;
        let life = self.view.nodes[node.index()].progress.life();
        self.seen.on_replica(node, life, self.marks.need_now());
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
        model.play(Step::Read(table));
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
