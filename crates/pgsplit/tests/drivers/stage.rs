//! The cluster with pgsplit in front, and the two places where each script is run.

use std::path::Path;
use std::time::Duration;

use pgsplit_testkit::{Account, Cluster, Proxy, Samples, wait};

/// Databases of the scripts: for direct connections and for those through pgsplit. The names are equally long, so that
/// tables that show them are equally wide.
pub(crate) const DIRECT: &str = "drivers_a";
pub(crate) const PROXIED: &str = "drivers_b";
/// The database of pgbench.
pub(crate) const BENCH: &str = "bench";

/// Server connections on the primary, and on both replicas together.
pub(crate) const CONNECTIONS: u32 = 100;

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) proxy: Proxy,
}

impl Stage {
    pub(crate) fn start() -> Self {
        let cluster =
            Cluster::builder().name("drivers").replicas(2).max_connections(2 * CONNECTIONS).start().unwrap();
        for database in [DIRECT, PROXIED, BENCH] {
            let make = format!("CREATE DATABASE {database} OWNER {}", Account::APP.user());
            cluster.primary().sql("postgres", &make).unwrap();
        }
        // pgbench counts where its reads run: none may go to the primary because a busy machine was slow to say how far the
        // replicas are.
        let pool = format!(
            "[consistency]\nwait = \"5s\"\n[pool]\nprimary_connections = {CONNECTIONS}\nreplica_connections = {}\nwait = \"30s\"\n",
            CONNECTIONS / 2
        );
        let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), &cluster, &pool).unwrap();
        Self { cluster, proxy }
    }

    /// URI of a direct connection to the primary.
    pub(crate) fn direct(&self, database: &str) -> String {
        uri(self.cluster.primary().port(), database)
    }

    /// URI of a connection through pgsplit.
    pub(crate) fn proxied(&self, database: &str) -> String {
        uri(self.proxy.port(), database)
    }

    /// What is printed on one side, with the other side's names in it.
    pub(crate) fn normalised(&self, text: &str) -> String {
        text.replace(PROXIED, DIRECT)
            .replace(&self.proxy.port().to_string(), "PORT")
            .replace(&self.cluster.primary().port().to_string(), "PORT")
    }

    pub(crate) fn metrics(&self) -> Samples {
        self.proxy.metrics().unwrap()
    }

    /// Does something through pgsplit, of which some part must be reads that run on replicas.
    pub(crate) fn reading_on_replicas<T>(&self, what: impl FnOnce() -> T) -> T {
        let before = self.metrics();
        let done = what();
        let decisions = self.metrics().decisions_since(&before);
        let read = decisions.iter().any(|(target, ..)| target == "replica");
        assert!(read, "no read has run on a replica: {decisions:?}");
        done
    }

    /// When all scripts have ended, no client is connected, none waits, and none is pinned.
    pub(crate) fn assert_quiet(&self) {
        let zero = |name: &str| {
            let limit = Duration::from_secs(10);
            let quiet = wait::until(name, limit, || Ok((self.metrics().sum(name, &[]) == 0.0).then_some(())));
            assert!(quiet.is_ok(), "{name} is {}", self.metrics().sum(name, &[]));
        };
        ["pgsplit_client_connections", "pgsplit_pinned_sessions", "pgsplit_clients_waiting"]
            .into_iter()
            .for_each(zero);
    }

    pub(crate) fn log_end(&self) -> String {
        let log = self.proxy.log();
        let from = log.lines().count().saturating_sub(20);
        log.lines().skip(from).collect::<Vec<_>>().join("\n")
    }
}

pub(crate) fn uri(port: u16, database: &str) -> String {
    let account = Account::APP;
    format!("postgresql://{}:{}@127.0.0.1:{port}/{database}", account.user(), account.password())
}
