//! `pgsplit run` against a real primary and a replica: from its first line in the log to its exit code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

mod program;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pgsplit_testkit::{Account, Cluster, wait};
use program::{LIMIT, Program, Reads};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A proxy in front of a cluster.
struct Proxy<'c> {
    cluster: &'c Cluster,
    program: Program,
    port: u16,
    http: String,
    directory: TempDir,
}

fn configuration(cluster: &Cluster, more: &str) -> String {
    let nodes =
        cluster.nodes().iter().map(|node| format!("'{}'", node.address())).collect::<Vec<_>>().join(", ");
    let (user, password) = (Account::PGSPLIT.user(), Account::PGSPLIT.password());
    format!(
        "listen = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nadmin = 'off'\nnodes = [{nodes}]\n\
         auth.user = '{user}'\nauth.password = '{password}'\nlog.format = 'json'\n\
         consistency.level = 'eventual'\n{more}"
    )
}

fn run(path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
    command.arg("run").arg("-c").arg(path);
    command
}

impl<'c> Proxy<'c> {
    fn start(cluster: &'c Cluster) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgsplit.toml");
        fs::write(&path, configuration(cluster, "")).unwrap();
        let mut program = Program::start(&mut run(&path), Reads::Log);
        let line: Value = serde_json::from_str(&program.line_with("listening on")).unwrap();
        assert_eq!(line["primary"], cluster.primary().address());
        assert_eq!(line["replicas"], cluster.nodes().len() - 1);
        let (_, port) = line["message"].as_str().unwrap().rsplit_once(':').unwrap();
        let (port, http) = (port.parse().unwrap(), line["http"].as_str().unwrap().to_owned());
        Self { cluster, program, port, http, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("pgsplit.toml")
    }

    fn psql(&self, sql: &str) -> Command {
        self.psql_as(Account::APP.user(), Account::APP.password(), sql)
    }

    fn psql_as(&self, user: &str, password: &str, sql: &str) -> Command {
        let mut command = Command::new(self.cluster.postgres().program("psql"));
        command.args(["-XAtq", "-c", sql]);
        command.arg(format!("postgresql://{user}:{password}@127.0.0.1:{}/app?connect_timeout=10", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn answer(&self, sql: &str) -> String {
        let output = self.psql(sql).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The value of a series in `/metrics`.
    fn metric(&self, series: &str) -> f64 {
        let text = get(&self.http, "/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    /// Starts a statement and returns once it runs on the primary.
    fn begin(&self, seconds: u32) -> std::process::Child {
        let child = self.psql(&format!("SELECT 'slept' FROM pg_sleep({seconds})")).spawn().unwrap();
        let running = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep({seconds})' \
             AND pid <> pg_backend_pid()"
        );
        wait::until("the statement to run", LIMIT, || {
            let nodes = self.cluster.nodes().iter();
            let counts: Vec<_> = nodes.map(|node| node.sql("app", &running)).collect::<Result<_, _>>()?;
            Ok(counts.iter().any(|count| count == "1").then_some(()))
        })
        .unwrap();
        child
    }
}

fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text
}

fn text(output: &Output) -> (String, String) {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (out, err)
}

#[test]
fn a_life() {
    let cluster = Cluster::builder().name("run").replicas(1).start().unwrap();
    serves_and_counts(&cluster);
    reloads(&cluster);
    logs_what_is_slow(&cluster);
    drains(&cluster);
    stops_at_once(&cluster);
    refuses_a_taken_port(&cluster);
    refuses_tests_that_fail(&cluster);
    explains(&cluster);
    checks_live(&cluster);
}

fn serves_and_counts(cluster: &Cluster) {
    let mut proxy = Proxy::start(cluster);
    assert!(get(&proxy.http, "/readyz").ends_with("ready\n"));
    assert_eq!(proxy.answer("SELECT 1"), "1");
    assert_eq!(proxy.metric("pgsplit_routing_decisions_total{target=\"replica\",reason=\"read\"}"), 1.0);
    proxy.answer("CREATE TABLE IF NOT EXISTS kept (id int); INSERT INTO kept VALUES (1)");
    cluster.wait_caught_up().unwrap();
    assert_eq!(proxy.answer("SELECT count(*) FROM kept"), "1");
    assert_eq!(proxy.metric("pgsplit_routing_decisions_total{target=\"replica\",reason=\"read\"}"), 2.0);
    for (user, password) in [(Account::APP.user(), "wrong"), ("nobody", "wrong")] {
        let (_, said) = text(&proxy.psql_as(user, password, "SELECT 1").output().unwrap());
        assert!(said.contains(&format!("password authentication failed for user \"{user}\"")), "{said}");
    }
    proxy.program.signal(Signal::INT);
    assert_eq!(proxy.program.end().code(), Some(0));
}

fn reloads(cluster: &Cluster) {
    let mut proxy = Proxy::start(cluster);
    let successful = "pgsplit_config_last_reload_successful";
    fs::write(proxy.path(), configuration(cluster, "pool.wait = 'soon'\n")).unwrap();
    proxy.program.signal(Signal::HUP);
    let line = proxy.program.line_with("not reloaded");
    assert!(line.contains("pool.wait") && line.contains("stays in force"), "{line}");
    assert_eq!((proxy.metric(successful), proxy.answer("SELECT 2")), (0.0, "2".to_owned()));

    let more = "pool.max_clients = 77\nlog.level = 'error,pgsplit=info'\n";
    fs::write(proxy.path(), configuration(cluster, more)).unwrap();
    proxy.program.signal(Signal::HUP);
    let line = proxy.program.line_with("reloaded");
    assert!(!line.contains("restart"), "{line}");
    assert_eq!((proxy.metric(successful), proxy.metric("pgsplit_client_connections_max")), (1.0, 77.0));

    fs::write(proxy.path(), configuration(cluster, "workers = 1\n")).unwrap();
    proxy.program.signal(Signal::HUP);
    let line = proxy.program.line_with("restart");
    assert!(line.contains("workers: 0 -> 1, in force only after a restart"), "{line}");
    proxy.program.signal(Signal::TERM);
    assert_eq!(proxy.program.end().code(), Some(0));
}

fn logs_what_is_slow(cluster: &Cluster) {
    let mut proxy = Proxy::start(cluster);
    let slow = |setting: &str| {
        let rule = "[[rules]]\nname = 'app'\nmatch.user = 'app'\ntarget = 'replica'\n";
        format!("log.slow = '{setting}'\n{rule}")
    };
    let configure = |proxy: &mut Proxy<'_>, setting: &str| {
        fs::write(proxy.path(), configuration(cluster, &slow(setting))).unwrap();
        proxy.program.signal(Signal::HUP);
        proxy.program.line_with("reloaded");
    };
    configure(&mut proxy, "0");
    proxy.answer("SELECT pg_sleep(0.4), 'off'");
    configure(&mut proxy, "300ms");
    proxy.answer("SELECT 'quick'");
    proxy.answer("SELECT 'secret', pg_sleep(0.4) /*route='%2Fapi%2Fslow'*/");
    let line: Value = serde_json::from_str(&proxy.program.line_with("slow statement")).unwrap();
    assert!(!line.to_string().contains("secret"), "{line}");
    assert!(line["duration_ms"].as_f64().is_some_and(|time| (400.0..5_000.0).contains(&time)), "{line}");
    assert!(line["wait_ms"].as_f64().is_some_and(|time| time < 300.0), "{line}");
    let expected = serde_json::json!({
        "level": "WARN",
        "target": "pgsplit::slow",
        "node": cluster.replica(0).address(),
        "side": "replica",
        "reason": "rule:app",
        "rule": "app",
        "user": "app",
        "database": "app",
        "tags": "route='%2Fapi%2Fslow'",
        "failed": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line}");
    }
    let statement = line["statement"].as_str().unwrap();
    assert!(statement.contains("pg_sleep"), "off with \"0\", and what is quick is not logged: {line}");
    assert_eq!(line["fingerprint"].as_str().map(str::len), Some(16), "{line}");
    proxy.program.signal(Signal::TERM);
    assert_eq!(proxy.program.end().code(), Some(0));
    let logged = proxy.program.rest().into_iter().filter(|line| line.contains("slow statement")).count();
    assert_eq!(logged, 0, "one line");
}

fn drains(cluster: &Cluster) {
    let mut proxy = Proxy::start(cluster);
    let running = proxy.begin(2);
    proxy.program.signal(Signal::TERM);
    proxy.program.line_with("stopping");
    // Nobody gets in any more, but the statement ends as it would have.
    let refused = proxy.psql("SELECT 1").output().unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    // Whether psql still hears the farewell depends on who is quicker to leave.
    let (answer, farewell) = text(&running.wait_with_output().unwrap());
    assert_eq!(answer, "slept\n");
    let terminated = "FATAL:  terminating connection due to administrator command\n";
    assert!(["", terminated].contains(&farewell.as_str()), "{farewell}");
    assert_eq!(proxy.program.end().code(), Some(0));
}

fn stops_at_once(cluster: &Cluster) {
    let mut proxy = Proxy::start(cluster);
    let mut running = proxy.begin(100);
    let begun = Instant::now();
    proxy.program.signal(Signal::TERM);
    proxy.program.line_with("stopping");
    proxy.program.signal(Signal::TERM);
    assert_eq!(proxy.program.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!running.wait().unwrap().success());
}

fn refuses_a_taken_port(cluster: &Cluster) {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pgsplit.toml");
    fs::write(&path, configuration(cluster, "").replacen("127.0.0.1:0", &address, 1)).unwrap();
    let output = run(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (_, said) = text(&output);
    assert!(said.contains(&format!("listen: `{address}` cannot be used; choose another address")), "{said}");
}

fn refuses_tests_that_fail(cluster: &Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pgsplit.toml");
    let test = "[[tests]]\nsql = 'DELETE FROM kept'\nexpect = { target = 'replica' }\n";
    fs::write(&path, configuration(cluster, test)).unwrap();
    let output = run(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (_, said) = text(&output);
    assert!(
        said.contains("tests[0].expect.target: expected replica; it goes to the primary (write)"),
        "{said}"
    );
}

fn explains(cluster: &Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pgsplit.toml");
    fs::write(&path, configuration(cluster, "")).unwrap();
    let explain = |sql: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
        command.args(["explain", "--live", "--database", "app", "--json", "-c"]).arg(&path).arg(sql);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let read = explain("SELECT count(*) FROM kept");
    assert_eq!((&read["target"], &read["reason"]), (&Value::from("replica"), &Value::from("read")));
    assert_eq!(read["candidates"], serde_json::json!([cluster.replica(0).address()]));
    assert_eq!(read["nodes"][0]["role"], "primary");
    let unknown = explain("SELECT count(*) FROM lost");
    assert_eq!((&unknown["target"], &unknown["reason"]), (&"primary".into(), &"relation:lost".into()));
    assert_eq!(unknown["candidates"], serde_json::json!([cluster.primary().address()]));
}

fn checks_live(cluster: &Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pgsplit.toml");
    let primary = cluster.primary();
    let tables = "CREATE TABLE \"Session\" (id int); CREATE FUNCTION score(int) RETURNS int LANGUAGE sql AS 'SELECT $1'";
    primary.sql("app", tables).unwrap();
    let check = |settings: &str| {
        fs::write(&path, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
        let output =
            command.args(["check", "--live", "--database", "app", "-c"]).arg(&path).output().unwrap();
        let (said, _) = text(&output);
        (output.status.code(), said.replace(&format!("{}", path.display()), "FILE"))
    };
    let names = "[routing]\nfunctions_read_only = ['score', 'scor']\nfunctions_write = ['public.scores', 'now']\n\
        functions_stateless = ['nothing_like_it']\ntriggers = { 'Session' = ['kept'], 'sessions' = ['Kept'] }\n\
        [[rules]]\nname = 'r'\nmatch.tables = ['session', 'kept']\ntarget = 'primary'\n";
    let (code, said) = check(&configuration(cluster, names));
    assert_eq!(code, Some(0), "{said}");
    for (key, expected) in [
        ("rules[0].match.tables", "table `session`; did you mean `Session`?"),
        ("routing.functions_read_only", "function `scor`; did you mean `score`?"),
        ("routing.functions_write", "function `public.scores`; did you mean `public.score`?"),
        ("routing.functions_stateless", "function `nothing_like_it`"),
        ("routing.triggers", "table `Kept`; did you mean `kept`?"),
        ("routing.triggers", "table `sessions`; did you mean `Session`?"),
    ] {
        let line = format!("{key}: the database has no {expected}");
        assert!(said.lines().any(|shown| shown.ends_with(&line)), "{line} is not in\n{said}");
    }
    assert_eq!(said.matches("the database has no").count(), 6, "{said}");
    lacks(cluster, &check);
}

/// What a login lacks is said as SQL that gives it.
fn lacks(cluster: &Cluster, check: &dyn Fn(&str) -> (Option<i32>, String)) {
    let primary = cluster.primary();
    let roles = "CREATE ROLE \"Weak\" PASSWORD 'weak'; CREATE DATABASE closed; \
        REVOKE CONNECT ON DATABASE closed FROM PUBLIC";
    roles.split("; ").for_each(|statement| drop(primary.sql("postgres", statement).unwrap()));
    cluster.wait_caught_up().unwrap();
    let account = Account::PGSPLIT;
    let weak = configuration(cluster, "")
        .replace(&format!("'{}'", account.user()), "'Weak'")
        .replace(&format!("'{}'", account.password()), "'weak'");
    let needs = |expected: &[&str]| {
        let (code, said) = check(&weak);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("auth.user: `Weak` lacks rights that it needs"), "{said}");
        let starts = ["ALTER ", "GRANT ", "--"];
        let sql: Vec<_> =
            said.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
        assert_eq!(sql, expected, "{said}");
        sql.iter().for_each(|statement| drop(primary.sql("postgres", statement).unwrap()));
        cluster.wait_caught_up().unwrap();
    };
    needs(&["ALTER ROLE \"Weak\" LOGIN;"]);
    needs(&[
        "GRANT pg_monitor TO \"Weak\";",
        "GRANT SELECT ON pg_catalog.pg_authid TO \"Weak\"; -- in postgres",
        "GRANT CONNECT ON DATABASE closed TO \"Weak\";",
    ]);
    let (code, said) = check(&weak);
    assert!(code == Some(0) && !said.contains("lacks"), "{said}");
}
