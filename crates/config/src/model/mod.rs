//! The file as it is written: one struct per table, a sentence per key, each table's defaults beside it.
//!
//! Tables that need nothing more than decoding are part of [`crate::Config`] as they are; the others
//! (`File`, `Node`, `Auth`, `Tls`, `Rule`) have a validated twin in `config.rs`.

mod auth;
mod balance;
mod consistency;
mod file;
mod health;
mod log;
mod nodes;
mod pool;
mod routing;
mod rules;
mod statement_test;
mod timeouts;
mod tls;

pub(crate) use auth::Auth;
pub use auth::AuthMethod;
pub use balance::{Balance, BalancePolicy};
pub use consistency::{Consistency, ConsistencyLevel};
pub(crate) use file::File;
pub use file::Topology;
pub use health::Health;
pub use log::{Log, LogFormat};
pub(crate) use nodes::Node;
pub use nodes::NodeRole;
pub use pool::{MaxConnections, Pool, PoolMode};
pub use routing::{Fallback, ReadOnlyTransactions, Reads, Retry, Routing, RoutingMode, Spill};
pub(crate) use rules::Rule;
pub use rules::{Match, RuleMode, Sticky, Target};
pub use statement_test::{Expect, Test};
pub use timeouts::Timeouts;
pub(crate) use tls::Tls;
pub use tls::{ClientTls, ServerTls};
