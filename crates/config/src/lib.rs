//! The TOML configuration: its model, its defaults, and the checks that every file must pass.
//!
//! A file goes one way: text, tree with `${NAME}` replaced (`document`, `substitute`), raw model (`decode`,
//! `model`), then the validated [`Config`] that the rest of the proxy sees (`validate`). Every complaint names
//! file, line, column and key. The crate reads the files that the configuration names as secrets and users,
//! and nothing else; what the values do is the business of the crates that use them. It is a leaf: it depends
//! on no other crate here.

mod address;
mod config;
mod date;
mod decode;
mod document;
mod listing;
mod model;
mod one_or_many;
mod problem;
mod secret;
mod substitute;
mod suggest;
mod units;
mod users;
mod validate;

pub use address::{Address, AddressError, Listen};
pub use config::{Auth, Config, Node, Rule, Tls, TlsIdentity};
pub use date::Date;
pub use listing::Entry;
pub use model::{
    AuthMethod, Balance, BalancePolicy, ClientTls, Consistency, ConsistencyLevel, Expect, Fallback, Health,
    Log, LogFormat, Match, MaxConnections, NodeRole, Pool, PoolMode, ReadOnlyTransactions, Reads, Retry,
    Routing, RoutingMode, RuleMode, ServerTls, Spill, Sticky, Target, Test, Timeouts, Topology,
};
pub use problem::{Error, Position, Problem, Warning};
pub use secret::Secret;
pub use suggest::nearest;
pub use units::parse_duration as duration;
pub use validate::COMMANDS;
