//! The validated configuration: what the rest of the proxy reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::{Address, Listen};
use crate::date::Date;
use crate::decode::decode;
use crate::document::Document;
use crate::model::{
    AuthMethod, Balance, ClientTls, Consistency, ConsistencyLevel, Health, Log, Match, NodeRole, Pool,
    Routing, RuleMode, ServerTls, Sticky, Target, Test, Timeouts, Topology,
};
use crate::problem::{Error, Problem, Warning};
use crate::secret::Secret;
use crate::substitute::{Environment, substitute};
use crate::validate::validate;

/// The commented file with every key; a test keeps it equal to the model.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");

/// A configuration that passed every check. Relative paths have been resolved against the file's folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; never empty.
    pub listen: Vec<Listen>,
    /// The admin console; `None` is off.
    pub admin: Option<Listen>,
    /// Metrics, health and dashboard; `None` is off.
    pub http: Option<Listen>,
    /// Who may log in on `admin`, besides `auth.user`.
    pub admin_users: Vec<String>,
    /// Reload when the file changes.
    pub watch: bool,
    /// Threads; 0 is one per core.
    pub workers: usize,
    /// Several processes share the port.
    pub reuse_port: bool,
    /// Admin addresses of other processes that serve the same clients.
    pub peers: Vec<Address>,
    /// Where the highest timeline seen is kept.
    pub state_file: PathBuf,
    /// Other sources of topology.
    pub topology: Topology,
    /// The servers; never empty, names and addresses are unique.
    pub nodes: Vec<Node>,
    /// Logins.
    pub auth: Auth,
    /// TLS on both sides.
    pub tls: Tls,
    /// Server connections and their queue.
    pub pool: Pool,
    /// Time limits.
    pub timeouts: Timeouts,
    /// What goes to replicas.
    pub routing: Routing,
    /// How new an answer must be.
    pub consistency: Consistency,
    /// Which replica.
    pub balance: Balance,
    /// Probes and failover.
    pub health: Health,
    /// In order; names are unique.
    pub rules: Vec<Rule>,
    /// Statements with their expected decisions.
    pub tests: Vec<Test>,
    /// Logging.
    pub log: Log,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// In metrics and rules; the address when none was given.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Its zone.
    pub zone: Option<String>,
    /// Its share of reads against the others'; 0: none.
    pub weight: u32,
    /// What it may be.
    pub role: NodeRole,
}

/// `[auth]`, with its secrets read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// What a client must do.
    pub method: AuthMethod,
    /// pgsplit's own login.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Looks up a client's verifier by name; `None` when it is switched off with an empty string.
    pub query: Option<String>,
    /// Verifiers or passwords by user, from the users file; empty without one.
    pub users: BTreeMap<String, Secret>,
    /// The users file.
    pub users_file: Option<PathBuf>,
    /// The host-based access file.
    pub hba: Option<PathBuf>,
}

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Towards clients.
    pub client: ClientTls,
    /// Towards servers.
    pub server: ServerTls,
    /// PEM file with the certificate and its key, for clients.
    pub identity: Option<TlsIdentity>,
    /// PEM file with the authorities for client certificates and servers.
    pub ca: Option<PathBuf>,
}

/// A certificate and its key; one is useless without the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// A rule; at least one of `target`, `consistency`, `max_lag` and `timeout` is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// The reason, for whoever reads `explain`.
    pub why: Option<String>,
    /// Which statements.
    pub matching: Match,
    /// Where they go; `None` leaves that to the rest of the decision.
    pub target: Option<Target>,
    /// Instead of `consistency.level`.
    pub consistency: Option<ConsistencyLevel>,
    /// Instead of `consistency.max_lag`.
    pub max_lag: Option<Duration>,
    /// Instead of `timeouts.query`.
    pub timeout: Option<Duration>,
    /// Share of the statements, or of the sessions, in percent: above 0 and up to 100.
    pub percent: f64,
    /// What `percent` is a share of.
    pub sticky: Sticky,
    /// `check` warns afterwards.
    pub expires: Option<Date>,
    /// Whether it is carried out.
    pub mode: RuleMode,
}

impl Config {
    /// Reads and validates a file.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Error> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot be read: {error}");
            Error::new(vec![Problem { file: path.to_owned(), position: None, key: String::new(), message }])
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        read(&text, path, folder, &environment)
    }

    /// Validates a text; relative paths in it belong to `base_dir`.
    pub fn parse(text: &str, base_dir: &Path) -> Result<(Self, Vec<Warning>), Error> {
        read(text, Path::new("<config>"), base_dir, &environment)
    }

    /// As [`Config::parse`], with variables from somewhere other than the environment.
    pub fn parse_with(
        text: &str,
        base_dir: &Path,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<Warning>), Error> {
        read(text, Path::new("<config>"), base_dir, variables)
    }

    /// A file with every key, its default and a sentence about it. Keys without a default are commented out.
    pub fn defaults_toml() -> String {
        DEFAULTS.to_owned()
    }

    /// The node of a name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The path of the socket in a `unix:` directory that is listened on.
    pub fn socket_path(&self, directory: &Path) -> PathBuf {
        let ports = self.listen.iter().filter_map(|listen| match listen {
            Listen::Tcp(address) => Some(address.port),
            Listen::Unix { .. } => None,
        });
        directory.join(format!(".s.PGSQL.{}", ports.into_iter().next().unwrap_or(6432)))
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(
    text: &str,
    file: &Path,
    base_dir: &Path,
    variables: Environment<'_>,
) -> Result<(Config, Vec<Warning>), Error> {
    let (document, mut tree) = Document::parse(text, file).map_err(Error::new)?;
    let complaints = substitute(tree.get_mut(), variables);
    let model = decode(tree, complaints, &document).map_err(Error::new)?;
    validate(model, &document, base_dir).map_err(Error::new)
}
