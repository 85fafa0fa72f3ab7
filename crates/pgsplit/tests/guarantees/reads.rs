//! Reads of every shape, and whether they show what they must.

use std::sync::atomic::Ordering::SeqCst;

use pgsplit_testkit::peer::message;

use crate::line::{Answer, batch};
use crate::model::{CLIENTS, TABLES, owner, parts, table};
use crate::session::Session;

/// Where a read ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the primary, with the rest of its transaction.
    Primary,
    /// `SHOW pgsplit.last` tells.
    Shown,
}

/// What must be seen of a cell: noted before the read is sent.
struct Due {
    cell: usize,
    /// The version that had been acknowledged.
    acknowledged: i64,
    /// When that was noted.
    at: f64,
}

impl Session<'_> {
    /// Whether all went well.
    pub(crate) fn read_something(&mut self) -> bool {
        match self.random.below(12) {
            0..=2 => self.read_one("one, simple", |session, text, _| session.line.query(text)),
            3 | 4 => self.read_one("one, extended", |session, text, _| session.line.talk(&batch(text, &[]))),
            5 => self.read_prepared(),
            6 => self.read_early(),
            7 => self.read_table(),
            8 => self.read_several(),
            9 => self.read_in_transaction("BEGIN"),
            10 => self.read_in_transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            _ => self.read_ledger(),
        }
    }

    /// Any cell; mostly the one that was written last, or one of its own.
    fn any_cell(&mut self) -> usize {
        match self.random.below(4) {
            0 | 1 => self.model.latest.load(SeqCst),
            2 => self.own_cell(),
            _ => self.random.below(self.model.cells.len()),
        }
    }

    fn due(&self, cells: &[usize]) -> Vec<Due> {
        let acknowledged = |cell: usize| self.model.cells[cell].acknowledged.load(SeqCst);
        let at = self.model.now();
        cells.iter().map(|cell| Due { cell: *cell, acknowledged: acknowledged(*cell), at }).collect()
    }

    fn read_one(&mut self, name: &str, act: impl FnOnce(&mut Self, &str, usize) -> Answer) -> bool {
        let cell = self.any_cell();
        let due = self.due(&[cell]);
        let answer = act(self, &select(cell), cell);
        self.check(name, &due, &answer, Place::Shown)
    }

    /// A named statement, which stays with the session.
    fn read_prepared(&mut self) -> bool {
        self.read_one("one, prepared", |session, _, cell| {
            let (at, id) = (table(cell), cell.to_string());
            let name = format!("read{at}");
            let mut messages = Vec::new();
            if !session.prepared[at] {
                let text = format!("SELECT id, version FROM cells{at} WHERE id = $1::int");
                messages.push(message::parse(&name, &text, &[]));
            }
            messages.extend([
                message::bind("", &name, &[Some(&id)]),
                message::execute("", 0),
                message::sync(),
            ]);
            let answer = session.line.talk(&messages);
            session.prepared[at] |= answer.is_good();
            answer
        })
    }

    /// Parsed and described some time before it is executed. It begins when its Bind is sent.
    fn read_early(&mut self) -> bool {
        let cell = self.any_cell();
        let begins = [message::parse("", &select(cell), &[]), message::describe(b'S', ""), message::flush()];
        let answer = self.line.talk_until(&begins, b"T");
        if !answer.is_good() {
            self.failed("early", &answer);
            return false;
        }
        std::thread::yield_now();
        let due = self.due(&[cell]);
        let rest = [message::bind("", "", &[]), message::execute("", 0), message::sync()];
        let answer = self.line.talk(&rest);
        self.check("one, parsed early", &due, &answer, Place::Shown)
    }

    /// All cells of a table in one statement.
    fn read_table(&mut self) -> bool {
        let at = table(self.any_cell());
        let cells: Vec<_> = (0..self.model.cells.len()).filter(|cell| table(*cell) == at).collect();
        let due = self.due(&cells);
        let answer = self.line.query(&format!("SELECT id, version FROM cells{at}"));
        self.check("table", &due, &answer, Place::Shown)
    }

    /// Cells of several tables in one statement.
    fn read_several(&mut self) -> bool {
        let first = self.any_cell();
        let cells: Vec<_> = (0..3).map(|step| (first + step) % self.model.cells.len()).collect();
        let due = self.due(&cells);
        let text: Vec<_> = cells.iter().map(|cell| select(*cell)).collect();
        let text = text.join(" UNION ALL ");
        let answer =
            if self.random.chance(50) { self.line.query(&text) } else { self.line.talk(&batch(&text, &[])) };
        self.check("several tables", &due, &answer, Place::Shown)
    }

    /// A transaction that only reads. It begins with its first statement.
    fn read_in_transaction(&mut self, begin: &str) -> bool {
        let cells = [self.any_cell(), self.any_cell()];
        let due = self.due(&cells);
        let place = if begin == "BEGIN" { Place::Primary } else { Place::Shown };
        let mut answer = self.line.query(begin);
        for due in &due {
            if !answer.is_good() {
                break;
            }
            answer = self.line.query(&select(due.cell));
            if !self.check("in a transaction", std::slice::from_ref(due), &answer, place) {
                return false;
            }
        }
        if answer.is_good() {
            answer = self.line.query("COMMIT");
        }
        if !answer.is_good() {
            self.failed("in a transaction", &answer);
        }
        answer.is_good()
    }

    /// The last acknowledged operation of a client is there, once.
    fn read_ledger(&mut self) -> bool {
        let account = self.random.below(CLIENTS);
        let operation = self.model.accounts[account].last.load(SeqCst);
        let answer = self.line.query(&format!("SELECT count(*) FROM ledger WHERE operation = {operation}"));
        self.model.count("read", "ledger");
        if !answer.is_good() {
            self.failed("read of the ledger", &answer);
            return false;
        }
        let count = answer.rows[0][0];
        if operation > 0 && count != 1 {
            let at = self.line.last_decision();
            let what = if count == 0 { "causal" } else { "twice" };
            let text = format!("acknowledged operation {operation} is there {count} times ({at})");
            self.model.violation(what, &text);
        }
        true
    }

    /// Whether the answer is good; if so, what it shows is checked.
    fn check(&mut self, name: &str, due: &[Due], answer: &Answer, place: Place) -> bool {
        self.model.count("read", name);
        if !answer.is_good() {
            self.failed(name, answer);
            return false;
        }
        for due in due {
            let seen: Vec<_> =
                answer.rows.iter().filter(|row| row[0] == due.cell as i64).map(|row| row[1]).collect();
            let Some(version) = seen.first().copied().filter(|_| seen.len() == parts(due.cell)) else {
                self.broken("answers", name, due, &format!("rows are missing or too many: {seen:?}"));
                continue;
            };
            if seen.iter().any(|other| *other != version) {
                self.broken("atomic", name, due, &format!("half of a transaction: {seen:?}"));
            }
            self.check_version(name, due, version, place);
        }
        true
    }

    fn check_version(&mut self, name: &str, due: &Due, version: i64, place: Place) {
        let Due { cell, acknowledged, .. } = *due;
        let known = &self.model.cells[cell];
        known.seen.fetch_max(version, SeqCst);
        if version > known.attempted.load(SeqCst) {
            self.broken("attempted", name, due, &format!("{version} was never written"));
        }
        if known.is_refused(version) {
            self.broken("refused", name, due, &format!("{version} was refused"));
        }
        let last = self.last[cell];
        if version < acknowledged {
            let guarantee = if owner(cell) == self.number { "own writes" } else { "causal" };
            self.broken(guarantee, name, due, &format!("{version} after {acknowledged} was acknowledged"));
        }
        if version < last {
            // A replica may show a commit an instant before the primary does, which nothing can prevent. So what was seen
            // but not acknowledged may be missing on the primary.
            let excused = acknowledged < last
                && match place {
                    Place::Primary => true,
                    Place::Shown => self.line.last_decision().contains("target=primary"),
                };
            if excused {
                self.model.count("ahead", "replica before primary");
            } else {
                self.broken("monotonic", name, due, &format!("{version} after this session has seen {last}"));
            }
        }
        self.last[cell] = last.max(version);
    }

    fn broken(&mut self, guarantee: &'static str, name: &str, due: &Due, what: &str) {
        let (number, cell, at) = (self.number, due.cell, self.line.last_decision());
        let (begun, recent) = (due.at, self.model.recent(cell));
        let text = format!(
            "client {number}, read ({name}) of cell {cell} in cells{} at {begun:.3}: {what}; SHOW pgsplit.last: {at}; \
             writes:{recent}\n     ",
            table(cell)
        );
        self.model.violation(guarantee, &text);
    }
}

fn select(cell: usize) -> String {
    const { assert!(TABLES < 10) };
    format!("SELECT id, version FROM cells{} WHERE id = {cell}", table(cell))
}
