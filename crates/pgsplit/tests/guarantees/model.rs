//! What every client has written and was told of it, shared by all clients: what a read may see is judged by this.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

/// Clients, each with cells of its own to write.
pub(crate) const CLIENTS: usize = 12;
/// Cells of a client. The last one has two rows, which are always written together.
pub(crate) const CELLS: usize = 3;
/// Tables, over which the cells are spread, so that a read of one table need not wait for writes of another.
pub(crate) const TABLES: usize = 6;
/// Violations that are described; the others are counted.
const DESCRIBED: usize = 30;
/// Writes of a cell that are described with a violation.
const REMEMBERED: usize = 4;

/// What a client was told of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done.
    Acknowledged,
    /// Not known: it may be done, at most once.
    Doubt(String),
    /// Not done, and why.
    NotDone(String),
}

/// Something with a version that counts up, written by one client and read by all.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// The newest version that was sent, stored before it was.
    pub(crate) attempted: AtomicI64,
    /// The newest version that was acknowledged.
    pub(crate) acknowledged: AtomicI64,
    /// The newest version that anybody has read.
    pub(crate) seen: AtomicI64,
    /// Versions of which the client was told that they were not written.
    refused: Mutex<HashSet<i64>>,
    /// Its last writes, in words.
    recent: Mutex<VecDeque<String>>,
}

impl Cell {
    pub(crate) fn is_refused(&self, version: i64) -> bool {
        self.refused.lock().unwrap().contains(&version)
    }

    fn remember(&self, write: String) {
        let mut recent = self.recent.lock().unwrap();
        recent.push_back(write);
        if recent.len() > REMEMBERED {
            recent.pop_front();
        }
    }
}

/// A client's operations in the ledger.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The last operation that was acknowledged.
    pub(crate) last: AtomicI64,
    /// All of them, in their order.
    pub(crate) told: Mutex<Vec<(i64, Told)>>,
}

/// All that is known, and what was found.
#[derive(Debug)]
pub(crate) struct Model {
    began: Instant,
    /// The clients and the faults end.
    pub(crate) end: AtomicBool,
    /// The first violation ends the run.
    hasty: bool,
    pub(crate) cells: Vec<Cell>,
    pub(crate) accounts: Vec<Account>,
    /// The cell of which a write was acknowledged last: where an old answer is most likely.
    pub(crate) latest: AtomicUsize,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    found: Mutex<Vec<String>>,
    /// Faults, with their times.
    log: Mutex<Vec<String>>,
}

impl Model {
    pub(crate) fn new(hasty: bool) -> Self {
        Self {
            began: Instant::now(),
            end: AtomicBool::new(false),
            hasty,
            cells: (0..CLIENTS * CELLS).map(|_| Cell::default()).collect(),
            accounts: (0..CLIENTS).map(|_| Account::default()).collect(),
            latest: AtomicUsize::new(0),
            counts: Mutex::default(),
            found: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.load(SeqCst)
    }

    /// Seconds since it began.
    pub(crate) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What a client was told of a version, which it has sent at `sent` in a write of this kind.
    pub(crate) fn settle(&self, cell: usize, version: i64, told: &Told, (kind, sent): (&str, f64)) {
        let known = &self.cells[cell];
        known.remember(format!("{sent:9.3} to {:.3}: {version} by {kind}: {told:?}", self.now()));
        match told {
            Told::Acknowledged => {
                known.acknowledged.store(version, SeqCst);
                self.latest.store(cell, SeqCst);
            }
            Told::Doubt(_) => {}
            Told::NotDone(why) => {
                known.refused.lock().unwrap().insert(version);
                // Whoever reads it from now on finds it among the refused; whoever has read it has left a trace.
                if known.seen.load(SeqCst) == version {
                    self.violation(
                        "refused",
                        &format!("{version} of cell {cell} was read and refused: {why}"),
                    );
                }
            }
        }
    }

    /// One more of a kind.
    pub(crate) fn count(&self, kind: &'static str, name: &str) {
        *self.counts.lock().unwrap().entry((kind, name.to_owned())).or_default() += 1;
    }

    /// All of a kind.
    pub(crate) fn counted(&self, kind: &str) -> BTreeMap<String, u64> {
        let counts = self.counts.lock().unwrap();
        let these = counts.iter().filter(|((of, _), _)| *of == kind);
        these.map(|((_, name), count)| (name.clone(), *count)).collect()
    }

    pub(crate) fn total(&self, kind: &str) -> u64 {
        self.counted(kind).values().sum()
    }

    /// A fault, or its end.
    pub(crate) fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{:9.3} {what}", self.now()));
    }

    /// A guarantee was broken.
    pub(crate) fn violation(&self, guarantee: &'static str, what: &str) {
        self.count("violation", guarantee);
        let mut found = self.found.lock().unwrap();
        if found.len() < DESCRIBED {
            let log = self.log.lock().unwrap();
            let recent = log.iter().rev().take(4).rev().map(|line| format!("\n      {line}"));
            let at = self.now();
            found.push(format!("{at:9.3} {guarantee}: {what}; faults before:{}", recent.collect::<String>()));
        }
        if self.hasty {
            self.end.store(true, SeqCst);
        }
    }

    /// The last writes of a cell, for the description of what is wrong with it.
    pub(crate) fn recent(&self, cell: usize) -> String {
        let recent = self.cells[cell].recent.lock().unwrap();
        recent.iter().map(|write| format!("\n      {write}")).collect()
    }

    /// Descriptions of the violations.
    pub(crate) fn found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }
}

/// Whose cell it is.
pub(crate) fn owner(cell: usize) -> usize {
    cell / CELLS
}

/// The rows of a cell.
pub(crate) fn parts(cell: usize) -> usize {
    if cell % CELLS == CELLS - 1 { 2 } else { 1 }
}

/// The number of a cell's table.
pub(crate) fn table(cell: usize) -> usize {
    cell % TABLES
}
