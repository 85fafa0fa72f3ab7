//! When all have left: the rows, what the servers say, what a new client finds on the pool's connections, and what the
//! process still has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Barrier;
use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Node, Proxy, Samples, wait};

use crate::ledger::Ledger;
use crate::look;
use crate::model::Model;
use crate::world::POOL;

const SOON: Duration = Duration::from_secs(30);

/// Rows, servers, connections.
pub(crate) fn audit(cluster: &Cluster, proxy: &Proxy, ledgers: &[Ledger]) {
    quiet(proxy);
    cluster.nodes().iter().for_each(clean);
    let left =
        cluster.primary().sql("app", "SELECT count(*) FROM pg_class WHERE relpersistence = 't'").unwrap();
    assert_eq!(left, "0", "temporary relations are left");
    rows(cluster, ledgers);
    primary_connections(proxy);
    replica_connections(proxy);
    quiet(proxy);
}

/// Waits until the proxy has no clients, and nothing that it keeps for one.
pub(crate) fn quiet(proxy: &Proxy) {
    let names = ["pgsplit_client_connections", "pgsplit_pinned_sessions", "pgsplit_clients_waiting"];
    wait::until("all clients have left", SOON, || {
        let left = |metrics: Samples| names.iter().map(|name| metrics.sum(name, &[])).sum::<f64>();
        Ok(proxy.metrics().is_ok_and(|metrics| left(metrics) == 0.0).then_some(()))
    })
    .unwrap();
}

/// No transaction, no lock, nothing running, as the server sees it.
fn clean(node: &Node) {
    let question = "SELECT a.pid, a.state, a.xact_start, a.query, l.locktype, l.mode \
        FROM pg_stat_activity a LEFT JOIN pg_locks l USING (pid) \
        WHERE a.backend_type = 'client backend' AND a.pid <> pg_backend_pid() AND a.usename <> 'pgsplit' \
          AND (a.state <> 'idle' OR a.xact_start IS NOT NULL OR l.pid IS NOT NULL) \
        UNION ALL SELECT NULL, gid, prepared, owner, NULL, NULL FROM pg_prepared_xacts";
    let mut found = String::new();
    wait::until("the server is clean", SOON, || {
        found = node.sql("app", question)?;
        Ok(found.is_empty().then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {} still has\n{found}", node.name()));
}

/// Every row that was acknowledged is there once; what was rolled back, or sent in half, is not; what nobody knows is
/// there whole, once, or not at all.
fn rows(cluster: &Cluster, ledgers: &[Ledger]) {
    let sql = "SELECT client, step, count(*) FROM writes GROUP BY 1, 2";
    let answer = cluster.primary().sql_within("app", sql, Duration::from_secs(120)).unwrap();
    let mut there: BTreeMap<(usize, u64), u64> = BTreeMap::new();
    for line in answer.lines() {
        let numbers: Vec<u64> = line.split('|').map(|number| number.parse().unwrap()).collect();
        there.insert((numbers[0] as usize, numbers[1]), numbers[2]);
    }
    let twice: Vec<_> = there.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "written more than once: {twice:?}");
    for (client, ledger) in ledgers.iter().enumerate() {
        let lost: Vec<_> =
            ledger.written.iter().filter(|key| there.remove(&(client, **key)).is_none()).collect();
        assert!(lost.is_empty(), "client {client}: acknowledged, and not there: {lost:?}");
        for keys in ledger.missing.iter().chain(&ledger.doubtful) {
            let found = keys.iter().filter(|key| there.remove(&(client, **key)).is_some()).count();
            assert!(
                found == 0 || found == keys.len(),
                "client {client}: {found} of the rows {keys:?}, sent as one"
            );
        }
    }
    assert!(there.is_empty(), "rolled back or never sent, and there: {there:?}");
}

/// So many clients at once, one on each connection of the pool, see nothing but defaults.
fn primary_connections(proxy: &Proxy) {
    for account in [Account::APP, Account::POSTGRES] {
        let all = Barrier::new(POOL);
        let pids = each(POOL, || {
            let mut client = proxy.client(&account, "app").unwrap();
            client.rows("BEGIN").unwrap();
            let pid = client.rows("SELECT pg_backend_pid(), txid_current_if_assigned()").unwrap();
            all.wait();
            defaults(&mut client, account);
            let objects = client.rows(look::OBJECTS).unwrap();
            let known = ["", "", "0", "", "0", "t"].map(|value| Some(value.to_owned()));
            assert_eq!(objects, [known], "objects of another session");
            let set = "SELECT name, setting, source FROM pg_settings WHERE source IN ('session', 'client')";
            let rows = client.rows(set).unwrap();
            assert!(rows.is_empty(), "settings of another session: {rows:?}");
            let unknown = "SELECT current_setting('app.tenant', true) IS NULL, current_setting('app.other', true) IS NULL";
            assert_eq!(client.rows(unknown).unwrap(), [["t", "t"].map(|value| Some(value.to_owned()))]);
            client.rows("ROLLBACK").unwrap();
            pid[0][0].clone().unwrap()
        });
        assert_eq!(pids.len(), POOL, "each had a connection of its own");
    }
}

/// Reads that take a while, so that they are spread over all connections of the replicas.
fn replica_connections(proxy: &Proxy) {
    let sql = format!("{}, pg_sleep(0.3)", look::question());
    for account in [Account::APP, Account::POSTGRES] {
        let all = Barrier::new(2 * POOL);
        each(2 * POOL, || {
            let mut client = proxy.client(&account, "app").unwrap();
            all.wait();
            let rows = client.rows(&sql).unwrap();
            compare(&rows[0], account);
            String::new()
        });
    }
}

fn each(count: usize, act: impl Fn() -> String + Sync) -> BTreeSet<String> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..count).map(|_| scope.spawn(&act)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn defaults(client: &mut RawClient, account: Account) {
    let rows = client.rows(&look::question()).unwrap();
    compare(&rows[0], account);
}

fn compare(row: &[Option<String>], account: Account) {
    let known = look::known(&Model::new(account.user(), BTreeMap::new()));
    let seen: Vec<_> = row.iter().take(known.len()).map(|value| value.clone().unwrap_or_default()).collect();
    assert_eq!(seen, known, "settings of another session");
}

/// Proportional set size in KiB.
pub(crate) fn memory(proxy: &Proxy) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", proxy.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Open files that are no connections to servers.
pub(crate) fn files(cluster: &Cluster, proxy: &Proxy) -> i64 {
    let question = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
        AND client_addr IS NOT NULL AND usename IN ('app', 'postgres', 'pgsplit')";
    let servers: i64 =
        cluster.nodes().iter().map(|node| node.sql("app", question).unwrap().parse::<i64>().unwrap()).sum();
    fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count() as i64 - servers
}
