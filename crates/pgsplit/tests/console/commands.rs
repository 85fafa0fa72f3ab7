//! Every command, in psql and in a driver.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use pgsplit_testkit::{Account, Cluster, Proxy, wait};

use crate::stage::{client, console, error, proxy, said};

pub(crate) fn psql(cluster: &Cluster, proxy: &Proxy, arguments: &[&str]) -> String {
    let mut command = Command::new(cluster.postgres().program("psql"));
    let (user, password) = (Account::PGSPLIT.user(), Account::PGSPLIT.password());
    let uri = format!("postgresql://{user}:{password}@127.0.0.1:{}/pgsplit", proxy.admin_port());
    command.arg("-Xq").args(arguments).arg(uri).stdin(Stdio::null()).env("PGCONNECT_TIMEOUT", "10");
    said(&command.output().unwrap()).1
}

/// Without what is another in every run: ports, process ids, times, hashes.
pub(crate) fn steady(text: &str, proxy: &Proxy, cluster: &Cluster) -> String {
    let mut text = text.replace(&proxy.config().display().to_string(), "FILE");
    let hash = console(proxy).rows("SHOW VERSION").unwrap()[0][3].clone().unwrap();
    text = text.replace(&hash, "HASH");
    for node in cluster.nodes() {
        text = text.replace(&node.port().to_string(), "PORT");
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut shown = String::new();
        for c in line.chars() {
            let c = if c.is_ascii_digit() { 'N' } else { c };
            let repeats = matches!(c, 'N' | '-') && shown.ends_with(c);
            if !repeats {
                shown.push(c);
            }
        }
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        if lines.last() != Some(&shown) {
            lines.push(shown);
        }
    }
    lines.join("\n")
}

pub(crate) fn in_psql(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'kept'\nmatch.tables = ['kept']\ntarget = 'primary'\n");
    let mut one = client(&proxy);
    one.rows("BEGIN").unwrap();
    one.rows("SELECT 1 FROM kept").unwrap();
    let help = psql(cluster, &proxy, &["-c", "SHOW HELP"]);
    assert!(help.lines().all(|line| line.chars().count() <= 80));
    snapshot("help", &help);
    let clients = psql(cluster, &proxy, &["-x", "-c", "SHOW CLIENTS"]);
    snapshot("clients", &steady(&clients, &proxy, cluster));
    let servers = psql(cluster, &proxy, &["-At", "-c", "SHOW SERVERS"]);
    let busy: Vec<_> = servers.lines().filter(|line| line.contains("|busy|")).collect();
    assert_eq!(busy.len(), 1, "{servers}");
    let nodes = psql(cluster, &proxy, &["-At", "-F", " ", "-c", "SHOW NODES"]);
    let mut roles: Vec<_> = nodes.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["primary", "replica"], "{nodes}");
    let several = psql(cluster, &proxy, &["-c", "SHOW POOLS; SHOW PINS; SHOW VERSION"]);
    snapshot("several", &steady(&several, &proxy, cluster));
    one.rows("COMMIT").unwrap();
    one.rows("SELECT 2 FROM kept").unwrap();
    let rules = wait::until("the rule's last hit", wait::LIMIT, || {
        let rules = psql(cluster, &proxy, &["-x", "-c", "SHOW RULES"]);
        Ok((!rules.contains("last_hit       | \n")).then_some(rules))
    });
    snapshot("rules", &steady(&rules.unwrap(), &proxy, cluster));
    let config = psql(cluster, &proxy, &["-At", "-c", "SHOW CONFIG"]);
    assert!(config.contains("\nauth.password|(hidden)|restart\n"), "{config}");
    assert!(config.contains("\npool.wait|5s|reload\n") && !config.contains("secret"), "{config}");
    let metrics = psql(cluster, &proxy, &["-At", "-c", "SHOW METRICS"]);
    assert!(metrics.contains("pgsplit_node_up|node="), "{metrics}");
    let explained = psql(cluster, &proxy, &["-At", "-c", "EXPLAIN ROUTE SELECT name FROM kept WHERE id = 1"]);
    assert!(explained.contains("reads        kept") && explained.contains("database     app"), "{explained}");
    assert!(explained.lines().all(|line| line.chars().count() <= 80), "{explained}");
    // What psql asks of a catalog is refused in a way that it can show.
    let described = psql(cluster, &proxy, &["-c", "\\d", "-c", "\\dt+", "-c", "\\l", "-c", "SHOW VERSION"]);
    assert_eq!(
        described.matches("the console has no tables, so it takes no SELECT").count(),
        3,
        "{described}"
    );
    assert!(described.contains("(1 row)"), "{described}");
    let misspelt = psql(cluster, &proxy, &["-c", "SHOW NODS"]);
    assert_eq!(
        misspelt,
        "ERROR:  unknown command: SHOW NODS\n\
         HINT:  Did you mean SHOW NODES? SHOW HELP lists the commands.\n"
    );
}

/// Compares with the file of that name; `SNAPSHOTS=write` in the environment writes it instead.
pub(crate) fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/console/{name}.txt"));
    if std::env::var("SNAPSHOTS").is_ok_and(|what| what == "write") {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "{}", path.display());
}

pub(crate) fn in_a_driver(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut client = client(&proxy);
    client.rows("SELECT count(*) FROM kept").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut options = tokio_postgres::Config::new();
        options.host("127.0.0.1").port(proxy.admin_port()).dbname("pgsplit");
        options.user(Account::PGSPLIT.user()).password(Account::PGSPLIT.password());
        let (client, connection) = options.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        // Prepared, described, and in binary.
        let nodes = client.query("SHOW NODES", &[]).await.unwrap();
        assert_eq!(nodes.len(), 2);
        let primary = nodes.iter().find(|row| row.get::<_, &str>("role") == "primary").unwrap();
        assert!(!primary.get::<_, bool>("takes_reads"));
        assert!(primary.get::<_, i64>("connection_limit") > 0);
        assert_eq!(primary.get::<_, f64>("lag_ms"), 0.0);
        assert_eq!(primary.get::<_, Option<&str>>("zone"), None);
        let clients = client.query("SHOW CLIENTS", &[]).await.unwrap();
        let since = clients[0].get::<_, SystemTime>("since");
        assert!(since.elapsed().unwrap() < Duration::from_secs(60));
        let statement = client.prepare("SHOW STATEMENTS").await.unwrap();
        for _ in 0..2 {
            let rows = client.query(&statement, &[]).await.unwrap();
            assert_eq!(rows[0].get::<_, &str>("statement"), "select count ( * ) from kept");
        }
        let wrong = client.query("SHOW NOTHING", &[]).await.unwrap_err();
        assert_eq!(wrong.code().unwrap().code(), "42601");
        assert!(client.query("SHOW NODES", &[&1i64]).await.is_err());
        client.batch_execute("BEGIN; SHOW NODES; COMMIT; SET extra_float_digits = 3").await.unwrap();
        assert_eq!(client.query("SHOW VERSION", &[]).await.unwrap().len(), 1);
    });
    // A transaction that failed is one until its end.
    let mut raw = console(&proxy);
    let answer = raw.query("BEGIN; SHOW NONSENSE").unwrap();
    assert_eq!(error(&answer, b'C').as_deref(), Some("42601"));
    assert_eq!(raw.rows("SHOW HELP").unwrap().len(), 21);
}
