//! What the control plane is told: nodes, pgsplit's own login, intervals and limits.
//!
//! Not for: reading files or checking them; `pgsplit-config` does that and is turned into these.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgsplit_config::{BalancePolicy, Config, NodeRole};
use pgsplit_route::{Balance, Policy};
use pgsplit_sql::catalog::FunctionConfig;

/// The whole of the control plane's settings, as it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The servers, in the order of the configuration; a node's index is its `NodeId`.
    pub nodes: Vec<NodeSettings>,
    /// pgsplit's own login.
    pub login: Login,
    /// Asks for a role's verifier: `$1` is its name; two or three columns: name, verifier, expiry. None: no look-ups.
    pub verifier_query: Option<String>,
    /// Time between two probes of a node.
    pub interval: Duration,
    /// A probe's deadline, connecting included.
    pub timeout: Duration,
    /// Consecutive failed probes after which a node is down.
    pub eject_after: u32,
    /// A replica further behind takes no reads.
    pub max_lag: Duration,
    /// Time over which a node that comes back gets its full share.
    pub slow_start: Duration,
    /// How reads are shared out among replicas.
    pub balance: Balance,
    /// Addresses of Patroni's REST interface, whose answers are hints.
    pub patroni: Vec<String>,
    /// Time between two looks for catalog changes that did not come through this proxy.
    pub catalog_interval: Duration,
    /// Deadline of one read of a catalog.
    pub catalog_timeout: Duration,
    /// A database not asked for during this time is no longer watched.
    pub catalog_idle: Duration,
    /// How long a verifier that was looked up is believed.
    pub verifier_ttl: Duration,
    /// Deadline of one look-up of a verifier.
    pub verifier_timeout: Duration,
    /// Functions that the configuration trusts or distrusts.
    pub functions: Arc<FunctionConfig>,
    /// TLS towards the servers.
    pub tls: ServerTls,
    /// Who knows the addresses of names.
    pub resolver: Resolver,
}

/// Who knows the addresses of names: the system, or somebody else.
#[derive(Clone, Default)]
pub struct Resolver(Option<Arc<Knows>>);

type Knows = dyn Fn(&str, u16) -> Vec<SocketAddr> + Send + Sync;

impl Resolver {
    /// Somebody else.
    pub fn new(knows: impl Fn(&str, u16) -> Vec<SocketAddr> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(knows)))
    }

    /// The addresses of a name; `None`: the system knows.
    pub(crate) fn ask(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        self.0.as_ref().map(|knows| knows(host, port))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(own)" } else { "Resolver(system)" })
    }
}

impl PartialEq for Resolver {
    /// Functions do not compare, so only one and the same is equal to itself.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => true,
            _ => false,
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name in metrics and rules.
    pub name: Arc<str>,
    /// Its zone, empty when there is none.
    pub zone: Arc<str>,
    /// Share of reads; 0: none.
    pub weight: u32,
    /// What it may be.
    pub role: AllowedRole,
}

impl From<&pgsplit_config::Node> for NodeSettings {
    fn from(node: &pgsplit_config::Node) -> Self {
        Self {
            host: node.address.host.clone(),
            port: node.address.port,
            name: node.name.as_str().into(),
            zone: node.zone.as_deref().unwrap_or_default().into(),
            weight: node.weight,
            role: match node.role {
                NodeRole::Auto => AllowedRole::Auto,
                NodeRole::Primary => AllowedRole::Primary,
                NodeRole::Replica => AllowedRole::Replica,
            },
        }
    }
}

impl NodeSettings {
    /// `host:port`, IPv6 addresses in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What the configuration lets a node be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AllowedRole {
    /// Whatever it says it is.
    #[default]
    Auto,
    /// Never read from as a replica.
    Primary,
    /// Never written to; its timeline decides nothing.
    Replica,
}

/// User and password of the control connections.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Role name.
    pub user: String,
    /// Password in clear, when the server asks for one.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether control connections use TLS. What is verified is the client configuration's affair.
#[derive(Debug, Clone, Default)]
pub enum ServerTls {
    /// Never.
    #[default]
    Disable,
    /// If the server offers it.
    Prefer(Arc<rustls::ClientConfig>),
    /// Or no connection.
    Require(Arc<rustls::ClientConfig>),
}

impl PartialEq for ServerTls {
    /// Client configurations do not compare, so only one and the same is equal to itself.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disable, Self::Disable) => true,
            (Self::Prefer(one), Self::Prefer(two)) | (Self::Require(one), Self::Require(two)) => {
                Arc::ptr_eq(one, two)
            }
            _ => false,
        }
    }
}

impl Settings {
    /// The parts of a configuration that concern the control plane; `tls` is what `tls.server` was made into.
    #[must_use]
    pub fn from_config(config: &Config, tls: ServerTls) -> Self {
        let password = config.auth.password.as_ref().map(|password| password.expose().to_owned());
        let login = Login { user: config.auth.user.clone(), password };
        let routing = &config.routing;
        Self {
            verifier_query: config.auth.query.clone(),
            interval: config.health.interval,
            timeout: config.health.timeout,
            eject_after: config.health.eject_after,
            max_lag: config.consistency.max_lag,
            slow_start: config.health.slow_start,
            balance: balance(config),
            patroni: config.topology.patroni.clone(),
            functions: Arc::new(FunctionConfig {
                read_only: routing.functions_read_only.clone(),
                write: routing.functions_write.clone(),
                stateless: routing.functions_stateless.clone(),
                triggers: routing.triggers.clone(),
            }),
            tls,
            ..Self::new(config.nodes.iter().map(NodeSettings::from).collect(), login)
        }
    }

    /// Settings with the defaults of the configuration's reference, for these nodes and this login.
    #[must_use]
    pub fn new(nodes: Vec<NodeSettings>, login: Login) -> Self {
        Self {
            nodes,
            login,
            verifier_query: Some(DEFAULT_QUERY.to_owned()),
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            eject_after: 3,
            max_lag: Duration::from_secs(10),
            slow_start: Duration::from_secs(30),
            balance: Balance::default(),
            patroni: Vec::new(),
            catalog_interval: Duration::from_secs(2),
            catalog_timeout: Duration::from_secs(30),
            catalog_idle: Duration::from_secs(600),
            verifier_ttl: Duration::from_secs(10),
            verifier_timeout: Duration::from_secs(5),
            functions: Arc::default(),
            tls: ServerTls::Disable,
            resolver: Resolver::default(),
        }
    }
}

/// How a configuration wants reads to be shared out.
fn balance(config: &Config) -> Balance {
    Balance {
        policy: match config.balance.policy {
            BalancePolicy::LeastOutstanding => Policy::LeastOutstanding,
            BalancePolicy::Latency => Policy::Latency,
            BalancePolicy::RoundRobin => Policy::RoundRobin,
        },
        zone: config.balance.zone.as_deref().unwrap_or_default().into(),
    }
}

const DEFAULT_QUERY: &str = "SELECT rolname, rolpassword, rolvaliduntil FROM pg_authid WHERE rolname = $1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_settings() {
        let text = r#"
            listen = "127.0.0.1:6432"
            [[nodes]]
            address = "[::1]:5433"
            name = "db1"
            zone = "a"
            weight = 2
            role = "primary"
            [auth]
            user = "u"
            password = "p"
            [consistency]
            max_lag = "3s"
            [balance]
            policy = "round-robin"
            zone = "a"
            [health]
            interval = "250ms"
            [routing]
            functions_write = ["f"]
        "#;
        let (config, _) = Config::parse(text, std::path::Path::new(".")).unwrap();
        let settings = Settings::from_config(&config, ServerTls::Disable);
        let node = NodeSettings {
            host: "::1".into(),
            port: 5433,
            name: "db1".into(),
            zone: "a".into(),
            weight: 2,
            role: AllowedRole::Primary,
        };
        assert_eq!(node.address(), "[::1]:5433");
        let login = Login { user: "u".into(), password: Some("p".into()) };
        assert!(!format!("{login:?}").contains("\"p\""));
        let functions = FunctionConfig { write: vec!["f".into()], ..FunctionConfig::default() };
        let expected = Settings {
            interval: Duration::from_millis(250),
            max_lag: Duration::from_secs(3),
            balance: Balance { policy: Policy::RoundRobin, zone: "a".into() },
            functions: Arc::new(functions),
            ..Settings::new(vec![node], login)
        };
        assert_eq!(settings, expected);
    }
}
