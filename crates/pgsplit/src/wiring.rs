//! From the configuration to the settings of each crate.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pgsplit_config::{
    AuthMethod, ClientTls, Config, MaxConnections, PoolMode, ReadOnlyTransactions, Reads, RoutingMode,
    ServerTls,
};
use pgsplit_net::{AcceptLevel, ConnectLevel};
use pgsplit_pool::PoolSettings;
use pgsplit_route::{Rules, View};
use pgsplit_session::{Fallback, SessionSettings};

/// Stands for no limit where a limit must be given.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// `[pool]` and the time-outs that belong to it.
pub(crate) fn pool(config: &Config) -> PoolSettings {
    let pool = &config.pool;
    PoolSettings {
        primary_connections: pool.primary_connections,
        replica_connections: pool.replica_connections,
        max_connections: match pool.max_connections {
            MaxConnections::Auto => None,
            MaxConnections::Limit(most) => Some(most),
        },
        min_idle: pool.min_idle,
        wait: pool.wait,
        idle_timeout: pool.idle_timeout,
        lifetime: pool.lifetime,
        prepared_statements: NonZeroUsize::new(pool.prepared_statements).unwrap_or(NonZeroUsize::MIN),
        waiting: pool.waiting,
        connect: config.timeouts.connect.unwrap_or(NEVER),
        asks_search_path: config.rules.iter().any(|rule| {
            let matching = &rule.matching;
            !matching.tables.is_empty() || !matching.only_tables.is_empty()
        }),
    }
}

/// The rules of a configuration, for its nodes.
pub(crate) fn rules(config: &Config) -> Arc<Rules> {
    let nodes: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    Arc::new(Rules::new(&config.rules, &nodes, None))
}

/// The rules of a configuration that takes another's place, for the nodes as they are now. Rules that were there before go on
/// counting.
pub(crate) fn rules_again(config: &Config, view: &View, before: &Rules) -> Arc<Rules> {
    let nodes: Vec<&str> =
        view.nodes.iter().map(|node| if node.is_listed() { &*node.name } else { "" }).collect();
    Arc::new(Rules::new(&config.rules, &nodes, Some(before)))
}

/// What sessions read.
pub(crate) fn session(config: &Config, rules: Arc<Rules>) -> SessionSettings {
    let (timeouts, routing) = (&config.timeouts, &config.routing);
    SessionSettings {
        auth: match config.auth.method {
            AuthMethod::ScramSha256 => pgsplit_session::AuthMethod::Scram,
            AuthMethod::Cert => pgsplit_session::AuthMethod::Cert,
            AuthMethod::Trust => pgsplit_session::AuthMethod::Trust,
        },
        max_clients: config.pool.max_clients,
        session_pooling: config.pool.mode == PoolMode::Session,
        reads_on_primary: routing.reads != Reads::Replica,
        spill: (routing.reads == Reads::Spill).then_some(pgsplit_route::SpillLimits {
            read_latency: routing.spill.read_latency,
            load: routing.spill.load,
            window: routing.spill.window,
        }),
        shadow: routing.mode == RoutingMode::Shadow,
        hints: routing.hints,
        rules,
        consistency: config.consistency.level,
        login: timeouts.login.unwrap_or(NEVER),
        idle_client: timeouts.idle_client,
        idle_transaction: timeouts.idle_transaction,
        query: timeouts.query,
        slow: config.log.slow,
        failover_wait: config.health.failover_wait,
        read_only_on_replica: routing.read_only_transactions == ReadOnlyTransactions::Replica,
        retry_buffer: routing.retry.buffer,
        retry_earning: pgsplit_route::retry::Budget::earning(routing.retry.budget),
        peers: config.peers.as_slice().into(),
        consistency_wait: config.consistency.wait,
        fallback: match routing.fallback {
            pgsplit_config::Fallback::Primary => Fallback::Primary,
            pgsplit_config::Fallback::Wait => Fallback::Wait,
            pgsplit_config::Fallback::Error => Fallback::Error,
        },
        replica_wait: config.pool.wait,
    }
}

/// TLS of both sides.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// Towards clients.
    pub(crate) clients: pgsplit_net::ServerTls,
    /// Towards servers.
    pub(crate) servers: pgsplit_net::ClientTls,
}

impl Tls {
    /// Loads the files that the configuration names.
    pub(crate) fn load(config: &Config) -> anyhow::Result<Self> {
        let tls = &config.tls;
        let (accept, connect) = (accept_level(tls.client), connect_level(tls.server));
        let identity = tls.identity.as_ref();
        let (certificate, key) = (identity.map(|pair| &*pair.cert), identity.map(|pair| &*pair.key));
        let ca = tls.ca.as_deref();
        Ok(Self {
            clients: pgsplit_net::ServerTls::load(accept, certificate, key, ca)
                .context("tls, towards clients")?,
            servers: pgsplit_net::ClientTls::load(connect, ca, None, None).context("tls, towards servers")?,
        })
    }

    /// The control plane's connections ask of servers what the data path's do.
    pub(crate) fn control(&self) -> pgsplit_cluster::ServerTls {
        match (self.servers.level(), self.servers.config()) {
            (_, None) | (ConnectLevel::Disable, _) => pgsplit_cluster::ServerTls::Disable,
            (ConnectLevel::Prefer, Some(config)) => pgsplit_cluster::ServerTls::Prefer(config),
            (_, Some(config)) => pgsplit_cluster::ServerTls::Require(config),
        }
    }
}

fn accept_level(level: ClientTls) -> AcceptLevel {
    match level {
        ClientTls::Disable => AcceptLevel::Disable,
        ClientTls::Prefer => AcceptLevel::Prefer,
        ClientTls::Require => AcceptLevel::Require,
        ClientTls::VerifyFull => AcceptLevel::VerifyFull,
    }
}

fn connect_level(level: ServerTls) -> ConnectLevel {
    match level {
        ServerTls::Disable => ConnectLevel::Disable,
        ServerTls::Prefer => ConnectLevel::Prefer,
        ServerTls::Require => ConnectLevel::Require,
        ServerTls::VerifyCa => ConnectLevel::VerifyCa,
        ServerTls::VerifyFull => ConnectLevel::VerifyFull,
    }
}
