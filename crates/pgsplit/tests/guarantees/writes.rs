//! Writes of every shape, and what becomes known of them.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use pgsplit_testkit::peer::message;

use crate::line::{Answer, batch, unnamed};
use crate::model::{Told, parts, table};
use crate::session::Session;

/// What one write is to do: new versions of cells, and at most one operation in the ledger.
struct Intent {
    cells: Vec<(usize, i64)>,
    operation: Option<i64>,
}

impl Intent {
    /// The statements.
    fn texts(&self) -> Vec<String> {
        let updates = self.cells.iter().map(|(cell, version)| update(*cell, *version));
        updates.chain(self.operation.map(insert)).collect()
    }
}

fn update(cell: usize, version: i64) -> String {
    format!("UPDATE cells{} SET version = {version} WHERE id = {cell}", table(cell))
}

/// The ledger has no unique constraint: what runs twice is there twice.
fn insert(operation: i64) -> String {
    format!("INSERT INTO ledger VALUES ({operation})")
}

impl Session<'_> {
    /// Whether all went well.
    pub(crate) fn write_something(&mut self) -> bool {
        if self.random.below(1000) < self.plan.deaths {
            return self.last_words();
        }
        let kind = if self.random.chance(self.plan.flushes) { 10 } else { self.random.below(10) };
        match kind {
            0 | 1 => self
                .write("simple", 1, false, |session, intent| session.line.query(&intent.texts()[0]).into()),
            2 => self.write("extended", 1, false, |session, intent| {
                let (cell, version) = intent.cells[0];
                let text = format!("UPDATE cells{} SET version = $1 WHERE id = $2::int", table(cell));
                session.line.talk(&batch(&text, &[version, cell as i64])).into()
            }),
            3 => self.write("ledger simple", 0, true, |session, intent| {
                session.line.query(&intent.texts()[0]).into()
            }),
            4 => self.write("ledger extended", 0, true, |session, intent| {
                let operation = intent.operation.unwrap();
                session.line.talk(&batch("INSERT INTO ledger VALUES ($1)", &[operation])).into()
            }),
            5 => self.write("several statements", 2, true, |session, intent| {
                session.line.query(&intent.texts().join("; ")).into()
            }),
            6 => self.write("with", 1, true, |session, intent| {
                let [update, insert] = &intent.texts()[..] else { unreachable!() };
                session.line.query(&format!("WITH w AS ({update} RETURNING id) {insert}")).into()
            }),
            7 => self.write("pipeline", 2, true, |session, intent| {
                let texts = [vec!["BEGIN".to_owned()], intent.texts(), vec!["COMMIT".to_owned()]].concat();
                let mut messages: Vec<_> = texts.iter().flat_map(|text| unnamed(text, &[])).collect();
                messages.push(message::sync());
                session.line.talk(&messages).into()
            }),
            8 | 9 => self.write("transaction", 2, true, Self::transaction),
            _ => self.write("flush", 1, false, Self::flush),
        }
    }

    /// Statement by statement; what was written is read in between.
    fn transaction(&mut self, intent: &Intent) -> Outcome {
        let extended = self.random.chance(50);
        let mut say = |text: &str| {
            if extended { self.line.talk(&batch(text, &[])) } else { self.line.query(text) }
        };
        let mut texts = vec!["BEGIN".to_owned()];
        texts.extend(intent.texts());
        for text in &texts {
            let answer = say(text);
            if !answer.is_good() {
                let why = format!("no COMMIT was sent after {}", answer.code());
                return Outcome { told: Told::NotDone(why), answer };
            }
        }
        for (cell, version) in &intent.cells {
            let answer = say(&format!("SELECT version FROM cells{} WHERE id = {cell}", table(*cell)));
            if !answer.is_good() {
                let why = format!("no COMMIT was sent after {}", answer.code());
                return Outcome { told: Told::NotDone(why), answer };
            }
            if answer.rows.is_empty() || answer.rows.iter().any(|row| row[0] != *version) {
                let seen = format!("{version} of cell {cell} in its own transaction: {:?}", answer.rows);
                self.model.violation("own transaction", &seen);
            }
        }
        // Some are given up: nothing of them may be seen.
        if self.random.chance(10) {
            let answer = self.line.query("ROLLBACK");
            return Outcome { told: Told::NotDone("rolled back".to_owned()), answer };
        }
        let answer = if extended { self.line.talk(&batch("COMMIT", &[])) } else { self.line.query("COMMIT") };
        if answer.is_good() && answer.tags != ["COMMIT"] {
            let text = format!("COMMIT was answered by {:?}", answer.tags);
            self.model.violation("answers", &text);
            return Outcome { told: Told::Doubt("no COMMIT".to_owned()), answer };
        }
        answer.into()
    }

    /// The statement is done some time before the Sync that commits it.
    fn flush(&mut self, intent: &Intent) -> Outcome {
        let mut messages = unnamed(&intent.texts()[0], &[]);
        messages.push(message::flush());
        let mut answer = self.line.talk_until(&messages, b"C");
        thread::park_timeout(Duration::from_millis(self.random.below(4) as u64));
        let rest = self.line.talk(&[message::sync()]);
        answer.end = rest.end;
        if answer.error.is_none() {
            (answer.error, answer.harmless) = (rest.error, rest.harmless);
        }
        answer.into()
    }

    /// A write that commits and whose answer is lost, because it ends its own connection: not to be repeated.
    fn last_words(&mut self) -> bool {
        self.write("last words", 1, true, |session, intent| {
            let end = "COMMIT; SELECT pg_terminate_backend(pg_backend_pid())";
            session.line.query(&format!("{}; {end}", intent.texts().join("; "))).into()
        })
    }

    /// Chooses cells and an operation, has them written, and notes what was told of it.
    fn write(
        &mut self,
        name: &'static str,
        cells: usize,
        logged: bool,
        act: impl FnOnce(&mut Self, &Intent) -> Outcome,
    ) -> bool {
        let intent = self.intend(cells, logged);
        let sent = self.model.now();
        let Outcome { told, answer } = act(self, &intent);
        self.model.count("write", name);
        let kind = match &told {
            Told::Acknowledged => "acknowledged",
            Told::Doubt(_) => "in doubt",
            Told::NotDone(_) => "not done",
        };
        self.model.count("told", kind);
        for (cell, version) in &intent.cells {
            if told == Told::Acknowledged {
                self.last[*cell] = *version;
                self.check_tags(*cell, &answer);
            }
            self.model.settle(*cell, *version, &told, (name, sent));
        }
        if let Some(operation) = intent.operation {
            let account = &self.model.accounts[self.number];
            if told == Told::Acknowledged {
                account.last.store(operation, SeqCst);
            }
            account.told.lock().unwrap().push((operation, told));
        }
        let good = answer.is_good();
        if !good {
            self.failed(name, &answer);
        }
        good
    }

    /// An acknowledged update has found its rows.
    fn check_tags(&self, cell: usize, answer: &Answer) {
        let mut counts = answer.tags.iter().filter_map(|tag| tag.strip_prefix("UPDATE "));
        if counts.any(|count| count == "0") {
            self.model.violation("answers", &format!("no row of cell {cell} ({} rows)", parts(cell)));
        }
    }

    fn intend(&mut self, cells: usize, logged: bool) -> Intent {
        let mut chosen = Vec::new();
        while chosen.len() < cells {
            let cell = self.own_cell();
            if chosen.iter().all(|(other, _)| *other != cell) {
                // Before it is sent: what is read from now on may be this.
                chosen.push((cell, self.model.cells[cell].attempted.fetch_add(1, SeqCst) + 1));
            }
        }
        let operation = logged.then(|| {
            self.next += 1;
            self.number as i64 * 1_000_000_000 + self.next
        });
        Intent { cells: chosen, operation }
    }
}

/// What a write came to.
struct Outcome {
    told: Told,
    answer: Answer,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { told: answer.told(), answer }
    }
}
