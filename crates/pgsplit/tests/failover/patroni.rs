//! A switchover, and leaders that are lost, under Patroni and etcd, while clients read and write. `scripts/patroni-cluster`
//! makes the cluster and breaks it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::RawClient;

use crate::ledger::counted;
use crate::primary::under_load;
use crate::{until, wanted};

/// The nodes of `scripts/patroni-cluster`.
const PORTS: [u16; 3] = [18432, 18433, 18434];
const USER: (&str, &str) = ("postgres", "pw");
const SETUP: &str = "CREATE TABLE ledger (writer int, n int); CREATE TABLE still (id int PRIMARY KEY, v text); \
    INSERT INTO still SELECT g, 'v' || g FROM generate_series(1, 1000) g";

pub(crate) fn play() {
    let patroni = Patroni::start();
    let mut client = patroni.direct(patroni.leader()).unwrap();
    client.rows("CREATE DATABASE app").unwrap();
    let mut client = connect(patroni.leader(), "app").unwrap();
    client.rows(SETUP).unwrap();
    let proxy = Front::start();
    for (name, act) in [
        ("switchover", &["switchover"][..]),
        ("the leader's PostgreSQL is killed", &["kill-leader", "pg"]),
        ("the leader's machine is lost", &["kill-leader", "node"]),
        ("the leader is frozen", &["kill-leader", "freeze"]),
    ] {
        if wanted(name) {
            println!("{name}");
            patroni.until_whole();
            lose(&patroni, &proxy, act);
            patroni.command(&["thaw"]);
            patroni.command(&["revive"]);
        }
    }
}

fn lose(patroni: &Patroni, proxy: &Front, act: &[&str]) {
    connect(patroni.leader(), "app").unwrap().rows("TRUNCATE ledger").unwrap();
    let old = patroni.leader();
    let ledger = under_load(&|| proxy.client(), |seen, ledger| {
        ledger.go_on(100);
        let (accepts, end) = (Mutex::new(None), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _end = Ends(&end);
            for port in PORTS {
                let (accepts, end) = (&accepts, &end);
                scope.spawn(move || watch(port, port == old, accepts, end));
            }
            let begun = Instant::now();
            patroni.command(act);
            until("there is a new leader", || accepts.lock().unwrap().is_some());
            let leader: Instant = accepts.lock().unwrap().unwrap();
            until("writes are accepted", || ledger.last().is_some_and(|last| last > leader));
            let accepted = ledger.first_after(leader).unwrap() - leader;
            println!("  a new leader after {:.1?}, writes accepted {accepted:.1?} later", leader - begun);
            assert!(accepted < Duration::from_secs(1), "{accepted:?}");
            if act.last() == Some(&"freeze") {
                patroni.command(&["thaw"]);
            }
        });
        ledger.go_on(200);
        seen.go_on(200);
    });
    let leader = patroni.leader();
    let rows = connect(leader, "app").unwrap().rows("SELECT writer || '|' || n FROM ledger").unwrap();
    let lines: Vec<_> = rows.into_iter().filter_map(|row| row[0].clone()).collect();
    ledger.check_rows(&counted(&lines.join("\n")), 8);
}

/// Ends those who watch, also when the one they watch for has failed.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Notes when a node takes writes; the old leader only after it was gone, since it may become the new one.
fn watch(port: u16, mut old: bool, accepts: &Mutex<Option<Instant>>, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) && accepts.lock().unwrap().is_none() {
        let Ok(mut client) = connect(port, "postgres") else {
            old = false;
            std::thread::park_timeout(Duration::from_millis(20));
            continue;
        };
        while let Ok(rows) = client.rows("SELECT pg_is_in_recovery()") {
            let leads = rows[0][0].as_deref() == Some("f");
            old &= leads;
            if leads && !old {
                accepts.lock().unwrap().get_or_insert_with(Instant::now);
            }
            if end.load(Ordering::Relaxed) || accepts.lock().unwrap().is_some() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        old = false;
    }
}

fn connect(port: u16, database: &str) -> std::io::Result<RawClient> {
    let mut client = RawClient::connect((Ipv4Addr::LOCALHOST, port))?;
    client.login(USER.0, USER.1, database, &[])?;
    Ok(client)
}

/// The cluster; stopped when it is dropped.
struct Patroni {
    script: PathBuf,
}

impl Patroni {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/patroni-cluster");
        let patroni = Self { script };
        patroni.command(&["stop"]);
        patroni.command(&["start"]);
        patroni.until_whole();
        patroni
    }

    fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("bash");
        command.arg(&self.script).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    /// The port of the leader.
    fn leader(&self) -> u16 {
        let mut port = None;
        until("there is a leader", || {
            port = self.command(&["leader"]).split_whitespace().nth(1).and_then(|port| port.parse().ok());
            port.is_some()
        });
        port.unwrap()
    }

    fn direct(&self, port: u16) -> std::io::Result<RawClient> {
        connect(port, "postgres")
    }

    /// All nodes follow the leader, one of them synchronously.
    fn until_whole(&self) {
        until("all nodes are there", || {
            let Ok(mut client) = self.direct(self.leader()) else { return false };
            let state = "SELECT count(*) FILTER (WHERE state = 'streaming'), \
                count(*) FILTER (WHERE sync_state = 'sync') FROM pg_stat_replication WHERE application_name ~ '^n'";
            client.rows(state).is_ok_and(|rows| rows[0] == ["2", "1"].map(|text| Some(text.to_owned())))
        });
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        self.command(&["thaw"]);
        self.command(&["stop"]);
    }
}

/// pgsplit in front of it.
struct Front {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Front {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let nodes = PORTS.map(|port| format!("'127.0.0.1:{port}'")).join(", ");
        let config = format!(
            "listen = '127.0.0.1:{port}'\nhttp = 'off'\nadmin = 'off'\nnodes = [{nodes}]\nstate_file = '{}'\n\
             [auth]\nuser = '{}'\npassword = '{}'\n",
            directory.path().join("state").display(),
            USER.0,
            USER.1
        );
        let file = directory.path().join("pgsplit.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
        command.args(["run", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let front = Self { child: command.spawn().unwrap(), port, _directory: directory };
        until("pgsplit listens", || connect(front.port, "app").is_ok());
        front
    }

    fn client(&self) -> RawClient {
        connect(self.port, "app").unwrap()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
