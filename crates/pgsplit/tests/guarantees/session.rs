//! One client: it connects, writes its own cells and reads all, until the end.

use std::thread;
use std::time::Duration;

use pgsplit_testkit::Proxy;

use crate::line::{Answer, End, Line};
use crate::model::{CELLS, Model};
use crate::random::Random;
use crate::run::Plan;

/// Errors that faults of nodes explain. Whatever else a client hears is a mistake of somebody.
fn is_expected(code: &str) -> bool {
    code.starts_with("08") || ["57P01", "57P02", "57P03", "53300", "25006"].contains(&code)
}

/// A client and its present connection.
pub(crate) struct Session<'r> {
    pub(crate) model: &'r Model,
    pub(crate) plan: &'r Plan,
    proxy: &'r Proxy,
    pub(crate) number: usize,
    pub(crate) random: Random,
    pub(crate) line: Line,
    /// The newest version of each cell that this connection has read or written.
    pub(crate) last: Vec<i64>,
    /// The number of the next operation in the ledger.
    pub(crate) next: i64,
    /// Statements that this connection has prepared.
    pub(crate) prepared: [bool; crate::model::TABLES],
}

impl<'r> Session<'r> {
    /// Plays to the end.
    pub(crate) fn play(model: &'r Model, plan: &'r Plan, proxy: &'r Proxy, number: usize, seed: u64) {
        let Some(line) = connect(model, plan, proxy, number) else { return };
        let mut session = Self {
            model,
            plan,
            proxy,
            number,
            random: Random::new(seed, number as u64),
            line,
            last: vec![0; model.cells.len()],
            next: 1,
            prepared: [false; crate::model::TABLES],
        };
        while !model.is_over() {
            let good = if session.random.chance(plan.writes) {
                session.write_something()
            } else {
                session.read_something()
            };
            if !good && !session.recover() {
                return;
            }
            let pause = session.random.below(plan.pause + 1) as u64;
            if pause > 0 {
                thread::park_timeout(Duration::from_millis(pause));
            }
        }
    }

    /// A cell of its own.
    pub(crate) fn own_cell(&mut self) -> usize {
        self.number * CELLS + self.random.below(CELLS)
    }

    /// Counts an answer that is not good, and finds fault with what no fault explains.
    pub(crate) fn failed(&mut self, what: &str, answer: &Answer) {
        let code = answer.code();
        self.model.count("error", &format!("{code} ({what})"));
        if answer.end == End::Silent {
            self.model.violation("answers", &format!("client {} has got none: {what}", self.number));
        } else if let Some((code, text)) = &answer.error
            && !is_expected(code)
        {
            self.model.violation("errors", &format!("client {}, {what}: {text}", self.number));
        }
    }

    /// After an answer that was not good: the session goes on where it can, or else there is a new one. False at the end.
    fn recover(&mut self) -> bool {
        let answer = self.line.query("ROLLBACK");
        if answer.end == End::Ready(b'I') {
            return true;
        }
        let Some(line) = connect(self.model, self.plan, self.proxy, self.number) else { return false };
        self.line = line;
        self.last.fill(0);
        self.prepared.fill(false);
        self.model.count("session", "again");
        true
    }
}

/// A new connection, when there is one before the end.
fn connect(model: &Model, plan: &Plan, proxy: &Proxy, number: usize) -> Option<Line> {
    while !model.is_over() {
        match Line::open(proxy) {
            Ok(line) if number >= plan.asynchronous => return Some(line),
            Ok(mut line) => {
                if line.query("SET synchronous_commit = off").is_good() {
                    return Some(line);
                }
            }
            Err(error) => {
                let text = error.to_string();
                let code = text.split(' ').next().unwrap_or_default();
                model.count("error", &format!("{code} (login)"));
            }
        }
        thread::park_timeout(Duration::from_millis(50));
    }
    None
}
