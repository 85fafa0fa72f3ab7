//! Who looks after it: an ordinary client on the console, `pgsplit` on the command line, and an editor.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use pgsplit_testkit::{Account, Proxy, wait};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Row};

use crate::{BEFORE, BINARY};

/// Longest wait for calls to pass: on a busy machine the load is a light one.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Operator {
    runtime: Runtime,
    console: Client,
    file: PathBuf,
    /// What the file says without the rule of the story.
    text: String,
}

/// Calls of the list of notifications.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) primary: i64,
    pub(crate) replica: i64,
}

impl Calls {
    pub(crate) fn calls(&self) -> i64 {
        self.primary + self.replica
    }
}

/// A line of SHOW RULES.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) row: Row,
}

impl Rule {
    pub(crate) fn of(&self, column: &str) -> i64 {
        self.row.get(column)
    }
}

impl Operator {
    pub(crate) fn new(proxy: &Proxy) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut options = tokio_postgres::Config::new();
        options.host("127.0.0.1").port(proxy.admin_port()).dbname("pgsplit");
        options.user(Account::PGSPLIT.user()).password(Account::PGSPLIT.password());
        let (console, connection) = runtime.block_on(options.connect(NoTls)).unwrap();
        runtime.spawn(connection);
        let file = proxy.config();
        Self { runtime, console, text: fs::read_to_string(&file).unwrap(), file }
    }

    pub(crate) fn rows(&self, command: &str) -> Vec<Row> {
        self.runtime
            .block_on(self.console.query(command, &[]))
            .unwrap_or_else(|error| panic!("{command}: {error:?}"))
    }

    /// The only column, line by line.
    pub(crate) fn lines(&self, command: &str) -> String {
        self.rows(command).iter().map(|row| row.get::<_, String>(0) + "\n").collect()
    }

    pub(crate) fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        wait::until(what, PATIENCE, || Ok(look(self))).unwrap()
    }

    /// The list of notifications, once it has been called.
    pub(crate) fn statement(&self) -> Option<Row> {
        let is = |row: &Row| {
            let text: &str = row.get("statement");
            text.contains("\"Notification\"") && text.contains("\"title\"") && text.contains("limit")
        };
        self.rows("SHOW STATEMENTS").into_iter().find(is)
    }

    pub(crate) fn list(&self) -> Calls {
        let row = self.statement().unwrap();
        Calls { primary: row.get("primary"), replica: row.get("replica") }
    }

    pub(crate) fn rule(&self, name: &str) -> Option<Rule> {
        let rows = self.rows("SHOW RULES").into_iter();
        rows.map(|row| Rule { row }).find(|rule| rule.row.get::<_, &str>("rule") == name)
    }

    fn with(&self, rule: &str) -> String {
        self.text.replacen(BEFORE, &format!("{rule}{BEFORE}"), 1)
    }

    /// Saves the file with this rule in it.
    pub(crate) fn put(&self, rule: &str) {
        fs::write(&self.file, self.with(rule)).unwrap();
    }

    /// `pgsplit check` and `pgsplit diff` of a file with this rule in it.
    pub(crate) fn diff(&self, rule: &str) -> String {
        let new = self.file.with_file_name("new.toml");
        fs::write(&new, self.with(rule)).unwrap();
        let new = new.display().to_string();
        run(&["check", "-c", &new]);
        self.pgsplit(&["diff", &new])
    }

    /// The calls that would move, as DIFF tells; all of them of the list.
    pub(crate) fn moved_calls(&self, rule: &str) -> i64 {
        let rows = self.rows(&format!("DIFF '{}'", self.with(rule).replace('\'', "''")));
        let list = self.statement().unwrap();
        let fingerprint: &str = list.get("fingerprint");
        assert!(rows.iter().all(|row| row.get::<_, &str>("fingerprint") == fingerprint), "{rows:?}");
        rows.iter().map(|row| row.get::<_, i64>("calls")).sum()
    }

    /// `pgsplit` with the file that is in force.
    pub(crate) fn pgsplit(&self, arguments: &[&str]) -> String {
        let file = self.file.display().to_string();
        let (command, rest) = arguments.split_first().unwrap();
        run(&[&[*command, "-c", &file], rest].concat())
    }
}

fn run(arguments: &[&str]) -> String {
    let mut program = Command::new(BINARY);
    program.args(arguments).env_remove("PGUSER").env_remove("PGPASSWORD").env_remove("RUST_LOG");
    let output = program.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}
