//! The top of the file, and the small table `[topology]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};

use super::{Auth, Balance, Consistency, Health, Log, Node, Pool, Routing, Rule, Test, Timeouts, Tls};
use crate::address::{Address, Listen};
use crate::one_or_many::list;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    #[serde(deserialize_with = "list")]
    pub(crate) listen: Vec<Listen>,
    pub(crate) admin: Switchable,
    pub(crate) http: Switchable,
    #[serde(deserialize_with = "list")]
    pub(crate) admin_users: Vec<String>,
    pub(crate) watch: bool,
    pub(crate) workers: usize,
    pub(crate) reuse_port: bool,
    #[serde(deserialize_with = "list")]
    pub(crate) peers: Vec<Address>,
    pub(crate) state_file: PathBuf,
    pub(crate) topology: Topology,
    #[serde(deserialize_with = "list")]
    pub(crate) nodes: Vec<Node>,
    pub(crate) auth: Auth,
    pub(crate) tls: Tls,
    pub(crate) pool: Pool,
    pub(crate) timeouts: Timeouts,
    pub(crate) routing: Routing,
    pub(crate) consistency: Consistency,
    pub(crate) balance: Balance,
    pub(crate) health: Health,
    pub(crate) rules: Vec<Rule>,
    pub(crate) tests: Vec<Test>,
    pub(crate) log: Log,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: vec![tcp("0.0.0.0", 6432)],
            admin: Switchable(Some(tcp("127.0.0.1", 6433))),
            http: Switchable(Some(tcp("127.0.0.1", 9187))),
            admin_users: Vec::new(),
            watch: false,
            workers: 0,
            reuse_port: false,
            peers: Vec::new(),
            state_file: PathBuf::from("pgsplit.state"),
            topology: Topology::default(),
            nodes: Vec::new(),
            auth: Auth::default(),
            tls: Tls::default(),
            pool: Pool::default(),
            timeouts: Timeouts::default(),
            routing: Routing::default(),
            consistency: Consistency::default(),
            balance: Balance::default(),
            health: Health::default(),
            rules: Vec::new(),
            tests: Vec::new(),
            log: Log::default(),
        }
    }
}

fn tcp(host: &str, port: u16) -> Listen {
    Listen::Tcp(Address { host: host.to_owned(), port })
}

/// A listening address, or "off".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Switchable(pub(crate) Option<Listen>);

impl<'de> Deserialize<'de> for Switchable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OffOrAddress;
        impl de::Visitor<'_> for OffOrAddress {
            type Value = Switchable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as \"127.0.0.1:6433\", or \"off\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Switchable, E> {
                match text {
                    "off" => Ok(Switchable(None)),
                    _ => text.parse().map(|listen| Switchable(Some(listen))).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_any(OffOrAddress)
    }
}

/// `[topology]`: other sources that tell where the nodes are and when their roles change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// Addresses of Patroni's REST interface; hints only, roles are always asked of the servers.
    #[serde(deserialize_with = "list")]
    pub patroni: Vec<String>,
}
