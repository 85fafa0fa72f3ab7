//! What the scenes have in common.

use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Node, Proxy, wait};

/// Long enough for whatever is awaited, so that only a failure waits so long.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Goes to the primary and changes nothing.
pub(crate) const ON_PRIMARY: &str = "SELECT pg_backend_pid(), txid_current_if_assigned()";

pub(crate) fn prepare(cluster: &Cluster) {
    let primary = cluster.primary();
    primary.sql("postgres", "CREATE DATABASE other OWNER app").unwrap();
    primary
        .sql("app", "CREATE TABLE counted (v int); CREATE SEQUENCE turns; GRANT ALL ON counted, turns TO app")
        .unwrap();
    let function = "CREATE FUNCTION node_name() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('cluster_name') $$";
    primary.sql("app", function).unwrap();
    cluster.wait_caught_up().unwrap();
}

/// Which node answers: a read that the configuration of [`TRUSTING`] trusts.
pub(crate) const WHERE: &str = "SELECT node_name()";

/// Settings that make [`WHERE`] a read.
pub(crate) const TRUSTING: &str =
    "[routing]\nfunctions_read_only = ['node_name']\nfunctions_stateless = ['node_name']\n";

/// A proxy with these settings in front of the whole cluster.
pub(crate) fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, settings).unwrap()
}

/// A client of the database `app`.
pub(crate) fn client(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

/// Runs statements that must all succeed.
pub(crate) fn run(client: &mut RawClient, texts: &[&str]) {
    for text in texts {
        client.rows(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// The first column of the first row.
pub(crate) fn value(client: &mut RawClient, text: &str) -> String {
    let rows = client.rows(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    rows[0][0].clone().unwrap()
}

/// The SQLSTATE of the answer's error, if there is one.
pub(crate) fn code(answer: &[Message]) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E').and_then(|error| error.field(b'C'))
}

/// The status byte of the answer's ReadyForQuery.
pub(crate) fn status(answer: &[Message]) -> u8 {
    answer.last().unwrap().body[0]
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    wait::until(what, SOON, || Ok(holds().then_some(()))).unwrap();
}

/// A sum of samples now.
pub(crate) fn sample(proxy: &Proxy, name: &str, labels: &[(&str, &str)]) -> f64 {
    proxy.metrics().unwrap().sum(name, labels)
}

/// Waits until so many clients wait for a connection.
pub(crate) fn until_waiting(proxy: &Proxy, count: f64) {
    until("clients wait", || sample(proxy, "pgsplit_clients_waiting", &[]) == count);
}

/// Connections of clients of the proxy on a node.
pub(crate) fn connections(node: &Node, database: &str) -> u32 {
    let question = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'app' AND backend_type = 'client backend'"
    );
    node.sql("postgres", &question).unwrap().parse().unwrap()
}

/// Ends all connections of `app` on a node.
pub(crate) fn terminate(node: &Node) {
    node.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'",
    )
    .unwrap();
}

/// Whatever a failed scene has left: all nodes run, follow and have caught up.
pub(crate) fn heal(cluster: &Cluster) {
    for node in cluster.nodes() {
        node.start().unwrap();
        let _ = node.thaw();
    }
    for replica in &cluster.nodes()[1..] {
        let _ = replica.sql("postgres", "SELECT pg_wal_replay_resume()");
    }
    cluster.wait_caught_up().unwrap();
}
