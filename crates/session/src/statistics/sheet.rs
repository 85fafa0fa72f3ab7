//! What one thread notes of the statements that it serves.
//!
//! Each thread has a sheet of its own. Its lock is free but for the moment in which the control plane takes the sheet
//! away and leaves an empty one, so that noting a statement is a look-up in a small table.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgsplit_route::{Decision, Latency, Reason};
use pgsplit_sql::Facts;
use pgsplit_sql::tags::Tags;

use super::callers::{Caller, Callers, route_key, weight};
use super::route::route;

/// Bytes of a sheet. It is taken away every few seconds; what has no place counts as others.
const MOST: usize = 1 << 20;

/// Routes, on a sheet and in the table; what comes behind is counted together.
pub(crate) const ROUTES: usize = 1_000;

/// What routes without a place are called.
pub(crate) const OTHERS: &str = "(others)";

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
    /// The tags, as in a comment; empty without any.
    pub(crate) tags: &'a [u8],
    /// Who has called it; asked for a few calls only.
    pub(crate) caller: &'a dyn Fn() -> Caller,
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
    calls: u32,
    pub(crate) callers: Callers,
}

/// One route on a sheet.
#[derive(Debug)]
pub(crate) struct RouteLine {
    pub(crate) name: Arc<str>,
    pub(crate) sides: [Side; 2],
    pub(crate) errors: u32,
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
    pub(crate) routes: ByKey<Box<RouteLine>>,
    bytes: usize,
    random: u32,
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
        let sheet = &mut *sheet;
        let key = ran.facts.statement() ^ ran.database.hash;
        let line = match sheet.lines.get_mut(&key) {
            Some(line) => line,
            None if sheet.bytes >= MOST => {
                sheet.others += 1;
                return;
            }
            None => {
                sheet.bytes += size_of::<Line>() + ran.facts.bytes();
                sheet.lines.entry(key).or_insert_with(|| Line::new(ran))
            }
        };
        line.note(ran);
        // A generator of full period; its upper bits are good enough to choose by.
        sheet.random = sheet.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let stands_for = weight(line.calls, sheet.random >> 16);
        line.calls = line.calls.saturating_add(1);
        if stands_for > 0 {
            let before = line.callers.bytes();
            line.callers.add((ran.caller)(), stands_for);
            sheet.bytes += line.callers.bytes() - before;
        }
        if let Some((tags, key)) = Tags::parse(ran.tags).and_then(|tags| Some((tags, route_key(tags)?))) {
            sheet.note_route(ran, tags, key);
        }
    }
}

impl Sheet {
    fn note_route(&mut self, ran: &Ran<'_>, tags: Tags<'_>, key: Key) {
        let known = self.routes.contains_key(&key) || self.routes.len() < ROUTES;
        // Applications that write their paths instead of the patterns must not fill the memory.
        let key = if known { key } else { 0 };
        let line = self.routes.entry(key).or_insert_with(|| {
            let name = route(tags).filter(|_| known).unwrap_or_else(|| OTHERS.to_owned()).into();
            Box::new(RouteLine { name, sides: Default::default(), errors: 0, last: ran.began })
        });
        if let Some(side) = line.sides.get_mut(usize::from(ran.replica)) {
            side.note(ran);
        }
        line.errors += u32::from(ran.failed);
        line.last = ran.began;
    }
}

impl Side {
    fn note(&mut self, ran: &Ran<'_>) {
        if let Some(count) = self.reasons.get_mut(ran.decision.reason.index()) {
            *count = count.saturating_add(1);
        }
        self.times.observe(u64::try_from(ran.took.as_micros()).unwrap_or(u64::MAX));
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
            calls: 0,
            callers: Callers::default(),
        })
    }

    fn note(&mut self, ran: &Ran<'_>) {
        if let Some(side) = self.sides.get_mut(usize::from(ran.replica)) {
            side.note(ran);
        }
        self.errors += u32::from(ran.failed);
        self.pins += u32::from(ran.pinned);
        self.rows += ran.rows;
        self.last = ran.began;
    }
}
