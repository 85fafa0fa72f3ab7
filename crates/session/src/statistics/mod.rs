//! Statements that were served: how often, where, why, how long.
//!
//! A statement is what is left of its text without literals and comments, in one database; so neither values nor trace
//! ids make new ones. Threads note on sheets of their own (`sheet`); the control plane gathers the sheets every few
//! seconds, and when somebody asks, into one table of bounded size.

mod callers;
mod route;
mod sheet;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Instant, SystemTime};

use pgsplit_route::Reason;
use pgsplit_sql::Facts;
use pgsplit_sql::scan::fingerprint;

pub use callers::{Caller, Callers};
pub use pgsplit_route::Latency;
pub(crate) use sheet::{ByKey, Database, Ran, Recorder};
use sheet::{Line, OTHERS, ROUTES, Sheet};

/// Everything that is known of statements.
#[derive(Debug)]
pub struct Statistics {
    recorders: Mutex<HashMap<ThreadId, Arc<Recorder>>>,
    databases: Mutex<HashMap<Box<str>, Arc<Database>>>,
    table: Mutex<Table>,
    /// Bytes that the table may have.
    most: usize,
}

#[derive(Debug, Default)]
struct Table {
    statements: ByKey<Arc<Statement>>,
    routes: ByKey<Route>,
    bytes: usize,
    others: u64,
    forgotten: u64,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What is known of its text.
    pub facts: Arc<Facts>,
    /// The database.
    pub database: Arc<str>,
    /// Calls on the primary, and on replicas, in the order of [`pgsplit_route::Target::NAMES`].
    pub sides: [Side; 2],
    /// Calls that ended in an error.
    pub errors: u64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Times that it tied its session to a connection.
    pub pins: u64,
    /// When it was last called.
    pub last: SystemTime,
    /// Who has called it.
    pub callers: Callers,
}

/// Calls on one side.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// By [`Reason::index`].
    pub reasons: [u64; Reason::NAMES.len()],
    /// How long they took.
    pub times: Latency<u64>,
}

impl Side {
    fn add(&mut self, more: &sheet::Side) {
        for (sum, count) in self.reasons.iter_mut().zip(&more.reasons) {
            *sum += u64::from(*count);
        }
        self.times.add(&more.times);
    }

    /// How many.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.reasons.iter().sum()
    }
}

impl Statement {
    fn new(line: &Line, last: SystemTime) -> Self {
        let sides = [Side::default(), Side::default()];
        Self {
            facts: line.facts.clone(),
            database: line.database.clone(),
            sides,
            errors: 0,
            rows: 0,
            pins: 0,
            last,
            callers: Callers::default(),
        }
    }

    fn add(&mut self, line: &Line, last: SystemTime) {
        for (side, more) in self.sides.iter_mut().zip(&line.sides) {
            side.add(more);
        }
        self.errors += u64::from(line.errors);
        self.pins += u64::from(line.pins);
        self.rows += line.rows;
        self.last = self.last.max(last);
        self.callers.merge(&line.callers);
        // The catalog may have changed since the first call.
        self.facts = line.facts.clone();
    }

    /// Calls on either side.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.sides.iter().map(Side::calls).sum()
    }

    /// Why it went where it went, most often.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        let counts = Reason::NAMES.iter().enumerate().map(|(at, name)| {
            let calls = self.sides.iter().filter_map(|side| side.reasons.get(at)).sum::<u64>();
            (calls, *name)
        });
        counts.max_by_key(|(calls, _)| *calls).map_or("", |(_, name)| name)
    }

    /// Times of both sides together.
    #[must_use]
    pub fn times(&self) -> Latency<u64> {
        let mut times = Latency::default();
        self.sides.iter().for_each(|side| times.merge(&side.times));
        times
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.facts.bytes() + self.callers.bytes() + 64
    }
}

/// A route of the application.
#[derive(Debug, Clone)]
pub struct Route {
    /// `GET /api/projects`, as it was tagged.
    pub name: Arc<str>,
    /// Calls on the primary, and on replicas.
    pub sides: [Side; 2],
    /// Calls that ended in an error.
    pub errors: u64,
    /// When it was last called.
    pub last: SystemTime,
}

/// All statements at one moment.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// Those in the table, most calls first.
    pub statements: Vec<Arc<Statement>>,
    /// Calls of those that found no place.
    pub others: u64,
    /// Statements that had to make room.
    pub forgotten: u64,
}

impl Statistics {
    /// A table of about so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { recorders: Mutex::default(), databases: Mutex::default(), table: Mutex::default(), most }
    }

    /// The sheet of the thread that asks.
    pub(crate) fn recorder(&self) -> Arc<Recorder> {
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        recorders.entry(std::thread::current().id()).or_default().clone()
    }

    /// A database, one value for all sessions in it.
    pub(crate) fn database(&self, name: &str) -> Arc<Database> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = databases.get(name) {
            return known.clone();
        }
        // Those that nobody is connected to any more make room.
        databases.retain(|_, known| Arc::strong_count(known) > 1);
        let database = Arc::new(Database::new(name));
        databases.insert(name.into(), database.clone());
        database
    }

    /// Takes the threads' sheets in.
    pub fn gather(&self) {
        let recorders: Vec<_> =
            self.recorders.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for recorder in recorders {
            table.add(&recorder.take());
            table.make_room(self.most);
        }
    }

    /// Every route up to now, most calls first.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        self.gather();
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes: Vec<_> = table.routes.values().cloned().collect();
        drop(table);
        let calls = |route: &Route| route.sides.iter().map(Side::calls).sum::<u64>();
        routes.sort_by(|a, b| calls(b).cmp(&calls(a)).then_with(|| a.name.cmp(&b.name)));
        routes
    }

    /// How many statements are in the table, and how many had to make room.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        (table.statements.len(), table.forgotten)
    }

    /// Everything up to now.
    #[must_use]
    pub fn all(&self) -> Gathered {
        self.gather();
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statements: Vec<_> = table.statements.values().cloned().collect();
        let (others, forgotten) = (table.others, table.forgotten);
        drop(table);
        statements.sort_by_key(|one| (std::cmp::Reverse(one.calls()), one.facts.fingerprint));
        Gathered { statements, others, forgotten }
    }
}

impl Table {
    fn add(&mut self, sheet: &Sheet) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        self.others += sheet.others;
        self.add_routes(sheet, |at| wall.checked_sub(now.saturating_duration_since(at)).unwrap_or(wall));
        for (key, line) in &sheet.lines {
            let last = wall.checked_sub(now.saturating_duration_since(line.last)).unwrap_or(wall);
            let statement = self.statements.entry(*key).or_insert_with(|| {
                let statement = Statement::new(line, last);
                self.bytes += statement.bytes();
                Arc::new(statement)
            });
            let before = statement.bytes();
            // Copied only while somebody looks at what there was before.
            Arc::make_mut(statement).add(line, last);
            self.bytes = (self.bytes + statement.bytes()).saturating_sub(before);
        }
    }

    fn add_routes(&mut self, sheet: &Sheet, wall: impl Fn(Instant) -> SystemTime) {
        for line in sheet.routes.values() {
            let known =
                self.routes.contains_key(&fingerprint(line.name.as_bytes())) || self.routes.len() < ROUTES;
            // The same route may be written in several ways.
            let name: Arc<str> = if known { line.name.clone() } else { OTHERS.into() };
            let key = fingerprint(name.as_bytes());
            let last = wall(line.last);
            let route = self.routes.entry(key).or_insert_with(|| Route {
                name,
                sides: Default::default(),
                errors: 0,
                last,
            });
            route.sides.iter_mut().zip(&line.sides).for_each(|(side, more)| side.add(more));
            route.errors += u64::from(line.errors);
            route.last = route.last.max(last);
        }
    }

    /// The least called go, and of these the ones called longest ago, until an eighth of the room is free again: what is
    /// new can then show that it is called often.
    fn make_room(&mut self, most: usize) {
        if self.bytes <= most {
            return;
        }
        let mut least: Vec<_> =
            self.statements.iter().map(|(key, one)| (one.calls(), one.last, *key)).collect();
        least.sort_unstable();
        for (calls, _, key) in least {
            if self.bytes <= most / 8 * 7 {
                return;
            }
            if let Some(gone) = self.statements.remove(&key) {
                self.bytes = self.bytes.saturating_sub(gone.bytes());
                self.others += calls;
                self.forgotten += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgsplit_route::{Decision, Target};
    use pgsplit_sql::{Analyzer, Catalog};
    use std::time::Duration;

    fn note(statistics: &Statistics, text: &str, times: u32) {
        note_from(statistics, text, times, &Caller::default);
    }

    fn note_from(statistics: &Statistics, text: &str, times: u32, caller: &dyn Fn() -> Caller) {
        let analyzer = Analyzer::new(1 << 20);
        let facts = analyzer.facts(text.as_bytes(), &Arc::new(Catalog::unknown()));
        let decision = Decision { target: Target::Primary, reason: Reason::Transaction };
        for _ in 0..times {
            statistics.recorder().note(&Ran {
                facts: &facts,
                database: &Database::new("app"),
                decision: &decision,
                replica: false,
                began: Instant::now(),
                took: Duration::from_micros(100),
                failed: false,
                rows: 2,
                pinned: false,
                tags: b"",
                caller,
            });
        }
    }

    #[test]
    fn values_and_comments_make_no_new_statements() {
        let statistics = Statistics::new(1 << 20);
        for n in 0..50 {
            note(&statistics, &format!("SELECT {n}, '{n}' /*traceparent='{n}'*/"), 1);
        }
        let all = statistics.all();
        let [one] = &*all.statements else { panic!("{all:?}") };
        assert_eq!((one.calls(), one.rows, one.reason()), (50, 100, "transaction"));
        assert_eq!(one.facts.text(), "select 0 , ''");
        assert_eq!(one.times().quantile(0.5), Some(112.0));
        note(&statistics, "SELECT 1, 'x'", 1);
        assert_eq!(statistics.all().statements.iter().map(|one| one.calls()).sum::<u64>(), 51);
    }

    #[test]
    fn the_table_stays_within_its_bytes_and_keeps_what_is_called_often() {
        let most = 256 << 10;
        let statistics = Statistics::new(most);
        note(&statistics, "SELECT often", 1000);
        for n in 0..2_000 {
            note(&statistics, &format!("SELECT a{n}"), 1);
            if n % 100 == 0 {
                statistics.gather();
                assert!(statistics.table.lock().unwrap().bytes <= most);
            }
        }
        let all = statistics.all();
        assert_eq!(all.statements.first().map(|one| one.calls()), Some(1000));
        assert!(all.forgotten > 0 && all.statements.len() > 50, "{}", all.statements.len());
        let calls: u64 = all.statements.iter().map(|one| one.calls()).sum();
        assert_eq!(calls + all.others, 3_000, "no call is lost");
    }

    #[test]
    fn callers_count_in_the_bytes() {
        let most = 256 << 10;
        let statistics = Statistics::new(most);
        for n in 0..2_000 {
            for caller in 0..10 {
                let user: Box<str> = format!("{caller}{}", "x".repeat(200)).into();
                let caller = || Caller { user: user.clone(), ..Caller::default() };
                note_from(&statistics, &format!("SELECT a{}", n / 2), 1, &caller);
            }
            if n % 50 == 0 {
                statistics.gather();
                let table = statistics.table.lock().unwrap();
                let bytes: usize = table.statements.values().map(|one| one.bytes()).sum();
                assert!(bytes == table.bytes && bytes <= most, "{bytes} {}", table.bytes);
            }
        }
        let all = statistics.all();
        let told: Vec<_> = all.statements.iter().map(|one| one.callers.shares().count()).collect();
        assert!(told.contains(&8) && told.iter().all(|callers| (1..=8).contains(callers)), "{told:?}");
    }

    #[test]
    fn a_sheet_has_room_for_so_many_and_counts_the_others() {
        let statistics = Statistics::new(1 << 30);
        (0..5_000).for_each(|n| note(&statistics, &format!("SELECT a{n}"), 1));
        let all = statistics.all();
        let calls: u64 = all.statements.iter().map(|one| one.calls()).sum();
        assert!(all.others > 0 && all.statements.len() > 500, "{}", all.statements.len());
        assert_eq!(calls + all.others, 5_000);
    }
}
