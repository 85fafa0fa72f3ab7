//! Replication connections through pgsplit: the real programs, a real subscription, and what is said message by message,
//! each compared with a direct connection to the primary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "replication/messages.rs"]
mod messages;
#[path = "replication/programs.rs"]
mod programs;

use std::net::Ipv4Addr;
use std::path::Path;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy};

/// A primary that decodes, a replica, and a proxy in front.
struct Stage {
    proxy: Proxy,
    cluster: Cluster,
}

impl Stage {
    fn start() -> Self {
        let cluster =
            Cluster::builder().name("replication").replicas(1).setting("wal_level", "logical").start();
        let cluster = cluster.unwrap();
        let table = "CREATE TABLE item (id int PRIMARY KEY, name text); \
                     INSERT INTO item SELECT n, 'name ' || n FROM generate_series(1, 100) n; \
                     GRANT SELECT ON item TO replicator; CREATE PUBLICATION items FOR TABLE item";
        cluster.primary().sql("app", table).unwrap();
        cluster.primary().sql("app", "CREATE TABLE note (text text)").unwrap();
        let proxy = Self::proxy(&cluster, "");
        Self { proxy, cluster }
    }

    fn proxy(cluster: &Cluster, extra: &str) -> Proxy {
        Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, extra).unwrap()
    }

    /// How to log in as the replicator, by the name of the way: directly, and through pgsplit.
    fn ways(&self, database: &str) -> [(&'static str, String); 2] {
        let direct = self.cluster.primary().connection_string(Account::REPLICATOR.user(), database);
        let port = format!("port={}", self.cluster.primary().port());
        let through = direct.replace(&port, &format!("port={}", self.proxy.port()));
        assert_ne!(direct, through, "the port is named in {direct}");
        [("direct", direct), ("through", through)]
    }
}

/// A replication connection that has logged in.
fn replicator(port: u16, kind: &str) -> RawClient {
    let mut client = RawClient::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let account = Account::REPLICATOR;
    client.login(account.user(), account.password(), "app", &[("replication", kind)]).unwrap();
    client
}

#[test]
fn replication_goes_through() {
    let stage = Stage::start();
    programs::identify_system(&stage);
    programs::pg_basebackup(&stage);
    programs::pg_receivewal(&stage);
    programs::pg_recvlogical(&stage);
    programs::a_subscription(&stage);
    messages::answers_are_alike(&stage);
    messages::refusals_are_alike(&stage);
    messages::a_command_is_cancelled(&stage);
    messages::clients_are_counted_and_connections_are_not(&stage);
    messages::it_is_seen(&stage);
    messages::a_drain_ends_it(&stage);
    messages::a_new_primary_ends_it(&stage);
}
