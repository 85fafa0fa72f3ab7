//! A cluster for one run of one suite, with pgsplit in front of it where that is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use pgsplit_testkit::{Account, Cluster, Proxy};

use crate::home;
use crate::variation::{LAG, Trouble, Variation};

/// As many server connections as the largest group of parallel tests has clients; much less than the default.
const POOL: &str = "primary_connections = 20\nreplica_connections = 5\n";

/// The user that the suites run as: they make roles, extensions and tablespaces.
pub(crate) const USER: &str = Account::POSTGRES.user();

/// How the servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Direct,
    Proxied,
}

/// Where a suite runs.
pub(crate) struct Stage {
    // Dropped in this order.
    proxy: Option<Proxy>,
    pub(crate) cluster: Cluster,
    /// Where its results go.
    pub(crate) results: PathBuf,
    /// What is running, for whoever waits.
    pub(crate) what: String,
}

impl Stage {
    pub(crate) fn start(variation: &Variation, suite: &str, side: Side) -> Self {
        let word = if side == Side::Direct { "directly" } else { "proxied" };
        let results = home::results(suite, word);
        let cluster = Cluster::builder().name("conformance").replicas(2).access(
            // Ahead of the kit's lines, which ask for passwords.
            "local all all trust\nhost all all 127.0.0.1/32 trust",
        );
        let cluster = cluster.setting("max_prepared_transactions", "50").start().unwrap();
        let proxy = (side == Side::Proxied).then(|| {
            let (pool, routing) = (&variation.pool_mode, &variation.routing_mode);
            let extra = format!("[pool]\nmode = \"{pool}\"\n{POOL}[routing]\nmode = \"{routing}\"\n");
            let binary = Path::new(env!("CARGO_BIN_EXE_pgsplit"));
            Proxy::start_with_auth(binary, &cluster, &extra, "method = \"trust\"").unwrap()
        });
        // Behind the proxy's start, which waits for all nodes.
        trouble(&cluster, variation.trouble);
        let what = format!("{suite}, {}", if side == Side::Direct { "directly" } else { "through pgsplit" });
        Self { proxy, cluster, results, what }
    }

    /// The port that the suite is to use, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.proxy.as_ref().map_or_else(|| self.cluster.primary().port(), Proxy::port)
    }

    pub(crate) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Takes everything down, and keeps the logs.
    pub(crate) fn end(self) {
        fs::write(self.results.join("primary.log"), self.cluster.primary().log()).unwrap();
        let Some(proxy) = &self.proxy else { return };
        fs::write(self.results.join("pgsplit.log"), proxy.log()).unwrap();
        let metrics = proxy.metrics().unwrap_or_else(|error| panic!("pgsplit has died: {error}"));
        let told = |name: &str, label: &str| {
            let counts = metrics.by_label(name, label);
            counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
        };
        println!("  statements by target: {}", told("pgsplit_routing_decisions_total", "target"));
        println!("  statements by reason: {}", told("pgsplit_routing_decisions_total", "reason"));
        println!("  pins: {}", told("pgsplit_pins_total", "reason"));
    }
}

fn trouble(cluster: &Cluster, trouble: Trouble) {
    let replica = cluster.replica(0);
    match trouble {
        Trouble::None => {}
        Trouble::Paused => replica.freeze().unwrap(),
        Trouble::Killed => replica.kill9().unwrap(),
        Trouble::Lagging => {
            let lag = format!("ALTER SYSTEM SET recovery_min_apply_delay = '{LAG}'");
            replica.sql("postgres", &lag).unwrap();
            replica.sql("postgres", "SELECT pg_reload_conf()").unwrap();
        }
    }
}
