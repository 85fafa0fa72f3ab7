//! The control plane: what the cluster's servers are, how far they are, what their catalogs say, and the verifiers
//! that logins are checked against.
//!
//! It stands beside the data path's line and talks to the servers through connections of its own, with an ordinary
//! client library. What it finds out is published in immutable snapshots that the data path reads without waiting:
//! the [`pgsplit_route::View`] behind [`Cluster::view`] and the catalogs behind [`CatalogHandle`].
//! Not for: clients' statements, which never go through here, and deciding where they go, which is `pgsplit-route`.

mod catalog;
mod cluster;
mod connect;
mod error;
mod event;
mod history;
mod judge;
mod metrics;
mod names;
mod node;
mod pace;
mod positions;
mod probe;
mod roster;
mod settings;
mod sql;
mod standing;
mod state_file;
mod tell;
mod tls;
mod topology;
mod verifier;

pub use catalog::CatalogHandle;
pub use cluster::{Cluster, Primary};
pub use error::Error;
pub use metrics::{Counter, Metrics, NodeMetrics};
pub use settings::{AllowedRole, Login, NodeSettings, Resolver, ServerTls, Settings};
pub use tls::Tls as ControlTls;
pub use verifier::{Lookup, Verifier};
