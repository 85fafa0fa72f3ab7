//! Server connections: opened with the client's own credentials, brought into a session's state, lent for a
//! transaction, taken back clean.
//!
//! One [`UserPools`] for each (user, database), in it one [`Pool`] for each node. A [`Server`] knows what is applied
//! to it: settings, prepared statements, what it has reported. Deciding which node, speaking with the client and
//! reading answers belong to `pgsplit-session`; the control plane's own connections are `pgsplit-cluster`'s.
//!
//! Every wait has a deadline and every queue a bound; connections are opened in the background, so that a client
//! that goes away does not take a login in progress with it.

mod budget;
mod cancel;
mod dedicated;
mod error;
mod listing;
mod login;
mod metrics;
mod params;
mod pool;
mod server;
mod settings;
mod statements;
mod users;

pub use cancel::{CancelTarget, InFlight};
pub use dedicated::Dedicated;
pub use error::{CheckoutError, OpenError};
pub use listing::Connection;
pub use login::Credentials;
pub use metrics::{Histogram, Metrics};
pub use params::Params;
pub use pool::{Gauges, Pool};
pub use server::Server;
pub use settings::{Replay, Settings};
pub use statements::{Statement, StatementKey, Statements};
pub use users::{Environment, PoolKey, PoolSettings, Pools, Report, UserPools};
