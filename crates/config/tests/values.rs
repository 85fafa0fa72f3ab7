//! Good files: the smallest one, the defaults, the example of the documentation, secrets, variables, warnings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgsplit_config::{
    AuthMethod, BalancePolicy, ClientTls, Config, ConsistencyLevel, Date, Fallback, Listen, LogFormat,
    MaxConnections, NodeRole, PoolMode, ReadOnlyTransactions, Reads, RoutingMode, RuleMode, Secret,
    ServerTls, Sticky, Target, TlsIdentity,
};

fn parse(text: &str, folder: &Path) -> Config {
    parse_all(text, folder).0
}

/// The configuration and the warnings' messages.
fn parse_all(text: &str, folder: &Path) -> (Config, Vec<String>) {
    let variables = |name: &str| (name == "PGSPLIT_PASSWORD").then(|| "it's \"secret\"".to_owned());
    match Config::parse_with(text, folder, &variables) {
        Ok((config, warnings)) => (config, warnings.iter().map(ToString::to_string).collect()),
        Err(error) => panic!("{error}"),
    }
}

fn repository_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn the_six_lines() {
    let text = repository_file("pgsplit.toml");
    assert_eq!(text.lines().count(), 6);
    let (config, warnings) = parse_all(&text, Path::new("/etc/pgsplit"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.1:5432", "10.0.0.2:5432", "10.0.0.3:5432"]);
    assert_eq!(config.auth.user, "pgsplit");
    assert_eq!(config.auth.password, Some(Secret::new("it's \"secret\"")));
    assert_eq!(config.state_file, Path::new("/etc/pgsplit/pgsplit.state"));
    assert!(!format!("{config:?}").contains("secret\\\""));
}

#[test]
fn the_full_file_is_the_defaults() {
    let text = Config::defaults_toml();
    assert_eq!(repository_file("pgsplit.full.toml"), text);
    let nodes = "nodes = [\"10.0.0.1:5432\", \"10.0.0.2:5432\", \"10.0.0.3:5432\"]";
    assert_eq!(parse(&text, Path::new("/x")), parse(nodes, Path::new("/x")));
}

#[test]
fn defaults() {
    let config = parse("nodes = 'a'", Path::new("/x"));
    let shown: Vec<String> = config.listen.iter().map(Listen::to_string).collect();
    assert_eq!(shown, ["0.0.0.0:6432"]);
    assert_eq!(config.admin.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:6433"));
    assert_eq!(config.http.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:9187"));
    assert_eq!((config.workers, config.watch, config.reuse_port), (0, false, false));
    let node = &config.nodes[0];
    assert_eq!((node.weight, node.role, node.zone.as_deref()), (1, NodeRole::Auto, None));
    assert_eq!((config.auth.method, config.auth.password), (AuthMethod::ScramSha256, None));
    assert!(config.auth.query.is_some_and(|query| query.contains("pg_authid")));
    assert_eq!((config.tls.client, config.tls.server), (ClientTls::Prefer, ServerTls::Prefer));

    let pool = &config.pool;
    assert_eq!((pool.mode, pool.max_connections), (PoolMode::Transaction, MaxConnections::Auto));
    assert_eq!((pool.max_clients, pool.primary_connections, pool.replica_connections), (10_000, 60, 40));
    assert_eq!((pool.min_idle, pool.prepared_statements, pool.logins, pool.waiting), (0, 500, 32, 20_000));
    assert_eq!(
        (pool.wait, pool.idle_timeout, pool.lifetime),
        (seconds(5), Some(seconds(600)), Some(seconds(3600)))
    );

    let timeouts = &config.timeouts;
    assert_eq!(
        (timeouts.connect, timeouts.login, timeouts.drain),
        (Some(seconds(5)), Some(seconds(15)), seconds(30))
    );
    assert_eq!((timeouts.idle_client, timeouts.idle_transaction, timeouts.query), (None, None, None));

    let routing = &config.routing;
    assert_eq!((routing.reads, routing.fallback), (Reads::Replica, Fallback::Primary));
    assert_eq!(
        (routing.read_only_transactions, routing.mode),
        (ReadOnlyTransactions::Primary, RoutingMode::Enforce)
    );
    assert_eq!((routing.hints, routing.cache, routing.retry.buffer), (true, 64 << 20, 64 << 10));
    assert_eq!((routing.spill.read_latency, routing.spill.window), (Duration::from_millis(100), seconds(60)));

    let consistency = &config.consistency;
    assert_eq!((consistency.level, consistency.max_lag), (ConsistencyLevel::Causal, seconds(10)));
    assert_eq!(
        (consistency.wait, config.balance.policy),
        (Duration::from_millis(5), BalancePolicy::LeastOutstanding)
    );
    assert_eq!((config.health.interval, config.health.timeout), (Duration::from_millis(500), seconds(1)));
    assert_eq!((config.health.slow_start, config.health.failover_wait), (seconds(30), seconds(45)));
    assert_eq!((config.health.eject_after, config.log.format), (3, LogFormat::Text));
    assert_eq!(config.log.slow, Some(Duration::from_millis(250)));
}

/// The keys of every table, as the model itself tells them when it meets an unknown one.
#[test]
fn every_key_is_in_the_full_file() {
    let full = Config::defaults_toml();
    let tables =
        ["topology", "auth", "tls", "pool", "timeouts", "routing", "consistency", "balance", "health", "log"];
    let (mut keys, word) = (0, "unheard-of-word");
    for section in tables.into_iter().chain(["", "nodes.x", "rules.x", "rules.x.match"]) {
        let (text, heading) = match section {
            "" => (format!("{word} = 1"), ""),
            "nodes.x" => (format!("nodes = [{{ {word} = 1 }}]"), "# [[nodes]]"),
            "rules.x" => (format!("rules = [{{ {word} = 1 }}]"), "#[[rules]]"),
            "rules.x.match" => (format!("rules = [{{ match.{word} = 1 }}]"), "#[[rules]]"),
            table => (format!("{table}.{word} = 1"), table),
        };
        let error = Config::parse(&text, Path::new("/x")).unwrap_err();
        let known =
            error.problems().iter().find_map(|problem| problem.message.split_once("known here: ")).unwrap().1;
        let start = if heading.starts_with('#') { heading.to_owned() } else { format!("\n[{heading}]\n") };
        let from = if heading.is_empty() { 0 } else { full.find(&start).unwrap() + start.len() };
        let part = full[from..].split("\n[").next().unwrap();
        for key in known.split(", ") {
            let written = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']).trim_start_matches("match.");
                line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
            };
            let is_table = section.is_empty() && full.contains(&format!("[{key}]"));
            let is_nested = section == "rules.x" && key == "match";
            assert!(is_table || is_nested || part.lines().any(written), "{section}: {key}");
            keys += 1;
        }
    }
    assert!(keys > 100, "{keys}");
}

#[test]
fn the_examples_in_the_full_file_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("users.toml"), "").unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    let is_example = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let text: String = Config::defaults_toml()
        .lines()
        .map(|line| if is_example(line) { format!("{}\n", &line[1..]) } else { format!("{line}\n") })
        .collect();
    let (config, warnings) = parse_all(&text.replace("/run/secrets/pgsplit", "secret"), folder.path());
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((config.rules.len(), config.tests.len()), (2, 1));
    assert_eq!(config.auth.hba, Some(folder.path().join("pg_hba.conf")));
}

/// Everything that the documentation's example sets.
#[test]
fn the_marketplace() {
    let folder = tempfile::tempdir().unwrap();
    let verifier = "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy";
    std::fs::write(folder.path().join("users.toml"), format!("alice = '{verifier}'\n\"bob b\" = 'pw'\n"))
        .unwrap();
    std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
    let config = parse(include_str!("marketplace.toml"), folder.path());

    let shown: Vec<String> = config.listen.iter().map(Listen::to_string).collect();
    assert_eq!(shown, ["0.0.0.0:6432", "unix:/run/pgsplit"]);
    assert_eq!(config.socket_path(Path::new("/run/pgsplit")), Path::new("/run/pgsplit/.s.PGSQL.6432"));
    assert_eq!(config.node("db1").map(|node| node.address.to_string()).as_deref(), Some("db1.internal:5432"));
    assert_eq!(config.auth.password, Some(Secret::new("hush")));
    let users =
        [("alice", verifier), ("bob b", "pw")].map(|(name, secret)| (name.to_owned(), Secret::new(secret)));
    assert_eq!(config.auth.users, BTreeMap::from(users));
    let in_folder = |name: &str| -> PathBuf { folder.path().join(name) };
    let identity = TlsIdentity { cert: in_folder("server.crt"), key: in_folder("server.key") };
    assert_eq!((config.tls.identity, config.tls.ca), (Some(identity), Some(in_folder("ca.crt"))));
    assert_eq!(config.routing.triggers["Bid"], ["AuditLog"]);
    assert!(config.routing.triggers["Review"].is_empty());

    let rule = |name: &str| config.rules.iter().find(|rule| rule.name == name).unwrap();
    assert_eq!(rule("auth-state").matching.tables, ["Session", "TokenBlacklist"]);
    assert_eq!(rule("auth-state").why.as_deref(), Some("A revoked session must never be accepted."));
    assert_eq!(rule("unread-count").matching.route, ["GET /api/notifications"]);
    assert_eq!(rule("catalogue").consistency, Some(ConsistencyLevel::Eventual));
    assert_eq!(rule("catalogue").max_lag, Some(seconds(30)));
    assert_eq!((rule("catalogue").percent, rule("catalogue").mode), (100.0, RuleMode::Enforce));
    let reports = rule("reports");
    assert_eq!(reports.target, Some(Target::Nodes(vec!["db3".to_owned(), "db2".to_owned()])));
    assert_eq!((reports.timeout, reports.percent, reports.mode), (Some(seconds(30)), 10.0, RuleMode::Shadow));
    assert_eq!((reports.sticky, rule("catalogue").sticky), (Sticky::Session, Sticky::Statement));
    assert_eq!(reports.expires, Some(Date { year: 2027, month: 6, day: 30 }));
    assert_eq!(reports.matching.tags["team"], ["bi"]);
    assert_eq!(config.tests[0].expect.rule.as_deref(), Some("marketplace"));
    assert_eq!(config.tests[0].expect.target, Some(Target::Replica));
}

#[test]
fn zero_is_off() {
    let text =
        "nodes = 'a'\nhttp = 'off'\ntimeouts = { connect = '0', login = 0 }\npool = { idle_timeout = '0s' }";
    let config = parse(text, Path::new("/x"));
    assert_eq!(
        (config.timeouts.connect, config.timeouts.login, config.pool.idle_timeout),
        (None, None, None)
    );
    assert_eq!(config.http, None);
}

#[test]
fn load_resolves_against_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pgsplit.toml");
    std::fs::write(folder.path().join("pw"), "hush\r\n").unwrap();
    std::fs::write(&file, "nodes = ['a']\nauth.password = 'file:pw'\n").unwrap();
    let (config, _) = Config::load(&file).unwrap();
    assert_eq!(config.auth.password, Some(Secret::new("hush")));
    assert_eq!(config.state_file, folder.path().join("pgsplit.state"));

    std::fs::write(&file, "nodes = ['a']\nx = 1\n").unwrap();
    let error = Config::load(&file).unwrap_err();
    assert_eq!(error.problems()[0].file, file);
    assert_eq!(
        error.problems()[0].position.as_ref().map(|at| (at.line, at.column, at.width)),
        Some((2, 1, 1))
    );
}

#[test]
fn a_broken_users_file_does_not_show_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("users.toml"), "a = 'x'\nb = hunter2\n").unwrap();
    let error =
        Config::parse("nodes = ['a']\nauth.users = 'users.toml'", folder.path()).unwrap_err().to_string();
    assert!(error.contains("line 2: expected name = \"SCRAM verifier or password\""), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn warnings() {
    for (lines, expected) in [
        (
            "auth.method = 'trust'",
            "<config>:2:15: auth.method: trust lets everyone in who reaches `0.0.0.0:6432`",
        ),
        (
            "pool.max_connections = 50",
            "<config>:2:24: pool.max_connections: is less than one pool may have (60): that many can never be reached",
        ),
        (
            "rules = [{ name = 'r', target = 'primary' }]",
            "<config>:2:10: rules[0].match: has no condition: the rule matches every statement, and later rules none",
        ),
        (
            "rules = [{ name = 'r', target = 'primary', match.user = 'u', expires = 2020-01-01 }]",
            "<config>:2:72: rules[0].expires: the rule `r` expired on 2020-01-01",
        ),
    ] {
        let (_, warnings) = parse_all(&format!("nodes = 'a'\n{lines}"), Path::new("/x"));
        let first: Vec<&str> = warnings.iter().filter_map(|warning| warning.lines().next()).collect();
        assert_eq!(first, [expected]);
    }
    let local = "nodes = 'a'\nauth.method = 'trust'\nlisten = ['127.0.0.1:6432', 'unix:/tmp']";
    assert!(parse_all(local, Path::new("/x")).1.is_empty());
}
