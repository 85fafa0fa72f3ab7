//! What one thread notes of the statements that it serves.
//!
//! Each thread has a sheet of its own. Its lock is free but for the moment in which the control plane takes the sheet
//! away and leaves an empty one, so that noting a statement is a look-up in a small table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgsplit_route::{Decision, Reason};
use pgsplit_sql::Facts;

use super::latency::Latency;

/// Statements on a sheet. It is taken away every few seconds; what has no place counts as others.
const MOST: usize = 4096;

/// A statement in a database.
pub(crate) type Key = u64;

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(crate) type ByKey<T> = HashMap<Key, T, BuildHasherDefault<Ready>>;

/// What there is to note of one execution.
#[derive(Debug)]
pub(crate) struct Ran<'a> {
    pub(crate) facts: &'a Arc<Facts>,
    pub(crate) database: &'a Database,
    pub(crate) decision: &'a Decision,
    pub(crate) replica: bool,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
    pub(crate) rows: u64,
    pub(crate) pinned: bool,
}

/// A session's database, hashed once.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: Arc<str>,
    pub(crate) hash: u64,
}

impl Database {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), hash: pgsplit_sql::scan::fingerprint(name.as_bytes()) }
    }
}

/// One statement on a sheet.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) facts: Arc<Facts>,
    pub(crate) database: Arc<str>,
    pub(crate) sides: [Side; 2],
    pub(crate) errors: u32,
    pub(crate) rows: u64,
    pub(crate) pins: u32,
    pub(crate) last: Instant,
}

/// Calls on the primary, or on replicas.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) reasons: [u32; Reason::NAMES.len()],
    pub(crate) times: Latency<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) lines: ByKey<Box<Line>>,
    /// Calls of statements that found no place.
    pub(crate) others: u64,
}

/// A thread's sheet.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Sheet>);

impl Recorder {
    /// The sheet so far; a new one is begun.
    pub(crate) fn take(&self) -> Sheet {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, ran: &Ran<'_>) {
        let mut sheet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = ran.facts.statement() ^ ran.database.hash;
        let full = sheet.lines.len() >= MOST;
        let line = match sheet.lines.get_mut(&key) {
            Some(line) => line,
            None if full => {
                sheet.others += 1;
                return;
            }
            None => sheet.lines.entry(key).or_insert_with(|| Line::new(ran)),
        };
        line.note(ran);
    }
}

impl Line {
    fn new(ran: &Ran<'_>) -> Box<Self> {
        Box::new(Self {
            facts: ran.facts.clone(),
            database: ran.database.name.clone(),
            sides: Default::default(),
            errors: 0,
            rows: 0,
            pins: 0,
            last: ran.began,
        })
    }

    fn note(&mut self, ran: &Ran<'_>) {
        if let Some(side) = self.sides.get_mut(usize::from(ran.replica)) {
            if let Some(count) = side.reasons.get_mut(ran.decision.reason.index()) {
                *count = count.saturating_add(1);
            }
            side.times.observe(u64::try_from(ran.took.as_micros()).unwrap_or(u64::MAX));
        }
        self.errors += u32::from(ran.failed);
        self.pins += u32::from(ran.pinned);
        self.rows += ran.rows;
        self.last = ran.began;
    }
}
