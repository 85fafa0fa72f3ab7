//! One trial: a write through one connection, and a read through another as soon as the write is acknowledged.

use std::thread;
use std::time::Duration;

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Proxy};

use crate::world::{World, value};

/// How the write is made and read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Simple queries.
    Simple,
    /// Parse to Sync in one message.
    Extended,
    /// Execute and Flush; the Sync, which commits, comes later.
    Flush,
    /// The reader has parsed and described its statement, with Flush, before the write; what it binds comes afterwards.
    Prepared,
    /// An explicit transaction.
    Transaction,
    /// An explicit transaction that does not wait for its flush, by a function.
    Hasty,
    /// `synchronous_commit = off`.
    Asynchronous,
    /// The write goes past the proxy.
    Bypass,
    /// The write goes past the proxy, and the read asks for the level.
    StrictHint,
    /// The reader is given the writer's token.
    Token,
}

/// What is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) loaded: bool,
    pub(crate) trials: usize,
    /// More of the configuration.
    pub(crate) level: &'static str,
}

/// Two clients, of which one writes a row of its own and the other reads it.
pub(crate) struct Pair {
    kind: Kind,
    writer: RawClient,
    reader: RawClient,
    row: usize,
    written: i64,
    /// A comment behind the reader's statement.
    hint: String,
}

impl Pair {
    pub(crate) fn new(world: &World, proxy: &Proxy, run: &Run, row: usize) -> Self {
        let client = || proxy.client(&Account::APP, "app").unwrap();
        let bypass = matches!(run.kind, Kind::Bypass | Kind::StrictHint);
        let mut writer = if bypass { world.direct() } else { client() };
        if run.kind == Kind::Asynchronous {
            writer.query("SET synchronous_commit = off").unwrap();
        }
        let written = value(&mut world.direct(), &format!("SELECT v FROM stale WHERE id = {row}"));
        Self { kind: run.kind, writer, reader: client(), row, written, hint: String::new() }
    }

    /// Writes and reads; whether the read did not show the write.
    pub(crate) fn is_stale(&mut self) -> bool {
        let read = format!("SELECT v FROM stale WHERE id = {}", self.row);
        if self.kind == Kind::Prepared {
            let begins = [message::parse("", &read, &[]), message::describe(b'S', ""), message::flush()];
            self.reader.send_all(&begins).unwrap();
            self.reader.read_until(b'T').unwrap();
        }
        self.write();
        self.written += 1;
        let read = format!("{read}{}", self.hint);
        let seen = match self.kind {
            Kind::Prepared => {
                let rest = [message::bind("", "", &[]), message::execute("", 0), message::sync()];
                self.reader.send_all(&rest).unwrap();
                only_value(&mut self.reader)
            }
            Kind::Extended | Kind::Flush => extended_value(&mut self.reader, &read),
            _ => value(&mut self.reader, &read),
        };
        assert!(seen <= self.written, "row {} has {seen}, written {}", self.row, self.written);
        seen < self.written
    }

    fn write(&mut self) {
        let text = format!("UPDATE stale SET v = v + 1 WHERE id = {}", self.row);
        match self.kind {
            Kind::StrictHint => {
                self.writer.query(&text).unwrap();
                self.hint = " /* pgsplit: strict */".to_owned();
            }
            Kind::Simple | Kind::Asynchronous | Kind::Bypass | Kind::Prepared => {
                self.writer.query(&text).unwrap();
            }
            Kind::Token => {
                self.writer.query(&text).unwrap();
                // In turn, all the ways to carry a token.
                if self.written % 2 == 0 {
                    let rows = self.writer.rows("SHOW pgsplit.token").unwrap();
                    let token = rows[0][0].as_ref().unwrap();
                    self.reader.query(&format!("SET pgsplit.min_lsn = '{token}'")).unwrap();
                    self.hint.clear();
                } else {
                    let batch = unnamed("SHOW pgsplit.token");
                    self.writer.send_all(&[batch.as_slice(), &[message::sync()]].concat()).unwrap();
                    let token = only_text(&mut self.writer);
                    self.reader.query("RESET pgsplit.min_lsn").unwrap();
                    self.hint = format!(" /* pgsplit: min_lsn={token} */");
                }
            }
            Kind::Hasty => {
                let hasty = "SELECT set_config('synchronous_commit', 'off', true)";
                for text in ["BEGIN", hasty, &text, "COMMIT"] {
                    self.writer.query(text).unwrap();
                }
            }
            Kind::Transaction => {
                for text in ["BEGIN", &text, "SELECT 1", "COMMIT"] {
                    self.writer.query(text).unwrap();
                }
            }
            Kind::Extended => {
                let batch = unnamed(&text);
                self.writer.send_all(&[batch.as_slice(), &[message::sync()]].concat()).unwrap();
                self.writer.read_until(b'Z').unwrap();
            }
            Kind::Flush => {
                self.writer.send_all(&[unnamed(&text).as_slice(), &[message::flush()]].concat()).unwrap();
                self.writer.read_until(b'C').unwrap();
                // What happens between the answer and the commit is what this kind is for.
                thread::park_timeout(Duration::from_millis(2));
                extended_value(&mut self.reader, &format!("SELECT v FROM stale WHERE id = {}", self.row));
                self.writer.send(&message::sync()).unwrap();
                self.writer.read_until(b'Z').unwrap();
            }
        }
    }
}

fn unnamed(text: &str) -> Vec<Vec<u8>> {
    vec![message::parse("", text, &[]), message::bind("", "", &[]), message::execute("", 0)]
}

fn extended_value(client: &mut RawClient, text: &str) -> i64 {
    client.send_all(&[unnamed(text).as_slice(), &[message::sync()]].concat()).unwrap();
    only_value(client)
}

fn only_value(client: &mut RawClient) -> i64 {
    only_text(client).parse().unwrap()
}

fn only_text(client: &mut RawClient) -> String {
    let answers = client.read_until(b'Z').unwrap();
    let row = answers.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{answers:?}"));
    row.columns().unwrap()[0].clone().unwrap()
}
