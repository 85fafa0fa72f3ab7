//! A cluster with two databases that are copies of one, a proxy in front of it, and looks at both behind its back.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy, Samples, wait};

/// The database of direct connections.
pub(crate) const DIRECT: &str = "battery_a";
/// The database that is reached through pgsplit.
pub(crate) const PROXIED: &str = "battery_b";

/// What is made in the database that both are copies of.
const SETUP: &str = include_str!("setup.sql");

/// Every table, view, sequence with a sum of its contents, and how many objects of other kinds there are.
const DATA: &str = "
SELECT n.nspname || '.' || c.relname, CASE
         WHEN c.relkind = 'S' THEN query_to_xml(format('SELECT last_value, is_called FROM %I.%I', n.nspname, c.relname), true, true, '')::text
         WHEN c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated
         THEN query_to_xml(format('SELECT whole_row.*::text AS r FROM %I.%I whole_row ORDER BY 1', n.nspname, c.relname), true, true, '')::text
         ELSE c.relkind::text END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'functions', count(*)::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname !~ '^pg_temp'
UNION ALL SELECT 'types', count(*)::text FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE n.nspname !~ '^pg_'
UNION ALL SELECT 'large objects', count(*)::text FROM pg_largeobject_metadata
UNION ALL SELECT 'prepared transactions', count(*)::text FROM pg_prepared_xacts WHERE database = current_database()
ORDER BY 1";

/// What connections to the two databases hold or have open.
const BUSY: &str = "
SELECT datname || ': ' || state || ': ' || query FROM pg_stat_activity
WHERE datname LIKE 'battery\\__' AND backend_type = 'client backend' AND state <> 'idle' AND usename = 'app'
UNION ALL
SELECT datname || ': a lock of type ' || locktype FROM pg_locks JOIN pg_database d ON d.oid = database
WHERE datname LIKE 'battery\\__' AND locktype = 'advisory'";

/// Whose connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Direct,
    Proxied,
}

pub(crate) struct World {
    proxy: Proxy,
    primary: RawClient,
    data: [RawClient; 2],
    fresh_from: u32,
    /// What was reported already.
    reported: BTreeSet<String>,
    cluster: Cluster,
}

/// A read waits for a replica however busy the machine is, so that where it runs does not depend on luck.
const PATIENT: &str = "[consistency]\nwait = '10s'\n";

impl World {
    pub(crate) fn start() -> Self {
        let cluster = Cluster::builder().name("battery").replicas(2).setting("autovacuum", "off");
        let cluster = cluster.start().unwrap();
        let primary = cluster.primary();
        primary.sql("postgres", &format!("CREATE DATABASE {DIRECT} OWNER app")).unwrap();
        primary.sql(DIRECT, SETUP).unwrap();
        primary.sql("postgres", &format!("CREATE DATABASE {PROXIED} OWNER app TEMPLATE {DIRECT}")).unwrap();
        cluster.wait_caught_up().unwrap();
        let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), &cluster, PATIENT).unwrap();
        let superuser = |node: usize, database| login(cluster.node(node).port(), Account::POSTGRES, database);
        let mut control = superuser(0, "postgres");
        let newest = format!("SELECT oid FROM pg_database WHERE datname = '{PROXIED}'");
        let fresh_from = single(&mut control, &newest).parse().unwrap();
        Self {
            proxy,
            primary: control,
            data: [DIRECT, PROXIED].map(|database| superuser(0, database)),
            fresh_from,
            reported: BTreeSet::new(),
            cluster,
        }
    }

    /// Identifiers from this one on were given after the databases were made.
    pub(crate) fn fresh_from(&self) -> u32 {
        self.fresh_from
    }

    /// A new connection of the ordinary user.
    pub(crate) fn client(&self, side: Side) -> RawClient {
        match side {
            Side::Direct => login(self.cluster.primary().port(), Account::APP, DIRECT),
            Side::Proxied => login(self.proxy.port(), Account::APP, PROXIED),
        }
    }

    /// The proxy's counters, where it takes part.
    pub(crate) fn samples(&self, side: Side) -> Samples {
        match side {
            Side::Direct => Samples::default(),
            Side::Proxied => self.proxy.metrics().unwrap(),
        }
    }

    /// The decisions since `before`, as expectations are written.
    pub(crate) fn decisions_since(&self, before: &Samples, side: Side) -> String {
        let decisions = self.samples(side).decisions_since(before);
        let words = decisions.iter().map(|(target, reason, count)| match count {
            1 => format!("{target} {reason}"),
            _ => format!("{target} {reason} x{count}"),
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Waits until the catalog is known again that a statement changed.
    pub(crate) fn catch_up(&mut self, side: Side) {
        if side == Side::Direct {
            return;
        }
        // A session holds its connection behind its answer: it has decided when it waits for its client again.
        let settled = || {
            let samples = self.proxy.metrics().unwrap();
            let busy = ["active", "waiting"]
                .map(|state| samples.sum("pgsplit_client_connections", &[("state", state)]));
            let held = samples.sum("pgsplit_pinned_sessions", &[("reason", "ddl")]);
            Ok((busy == [0.0; 2] && held == 0.0).then_some(()))
        };
        wait::until("the catalog to be read", wait::LIMIT, settled).unwrap();
    }

    /// What is still held or open when both clients are gone.
    pub(crate) fn left_behind(&mut self) -> Option<String> {
        let mut busy = Vec::new();
        let gone = wait::until("the end of what ran", Duration::from_secs(5), || {
            busy = self.primary.rows(BUSY).unwrap();
            Ok(busy.is_empty().then_some(()))
        });
        gone.is_err().then(|| format!("  left behind: {busy:?}"))
    }

    /// Tables whose contents differ in the two databases, and did not before.
    pub(crate) fn difference_of_data(&mut self) -> Option<String> {
        let [direct, proxied] = &mut self.data;
        let [direct, proxied] = [direct, proxied].map(|client| client.rows(DATA).unwrap());
        let [direct, proxied]: [BTreeSet<_>; 2] = [direct, proxied].map(|rows| rows.into_iter().collect());
        let only = |side: &str, a: &BTreeSet<Vec<Option<String>>>, b: &BTreeSet<_>| -> Vec<String> {
            a.difference(b).map(|row| format!("  only {side}: {row:?}")).collect()
        };
        let all = [only("direct", &direct, &proxied), only("proxied", &proxied, &direct)].concat();
        let new: Vec<_> = all.into_iter().filter(|line| self.reported.insert(line.clone())).collect();
        (!new.is_empty()).then(|| format!("  the data differ:\n{}", new.join("\n")))
    }

    /// New lines in the replicas' logs that say that something did not belong there.
    pub(crate) fn new_refusals(&mut self) -> Option<String> {
        let refusal = |line: &&str| {
            let words = ["read-only transaction", "during recovery", "in progress", "hot standby mode"];
            line.contains("ERROR") && words.iter().any(|word| line.contains(word))
        };
        let logs: Vec<_> = self.cluster.nodes().iter().skip(1).map(pgsplit_testkit::Node::log).collect();
        let all: Vec<_> = logs.iter().flat_map(|log| log.lines().filter(refusal)).collect();
        let new: Vec<_> = all.into_iter().filter(|line| self.reported.insert((*line).to_owned())).collect();
        (!new.is_empty()).then(|| format!("  a replica was sent what it refuses: {new:?}"))
    }
}

fn login(port: u16, account: Account, database: &str) -> RawClient {
    let mut client = RawClient::connect(("127.0.0.1", port)).unwrap();
    client.login(account.user(), account.password(), database, &[]).unwrap();
    client
}

/// The only value of an answer.
fn single(client: &mut RawClient, sql: &str) -> String {
    let rows = client.rows(sql).unwrap();
    rows.into_iter().flatten().flatten().next().unwrap_or_default()
}
