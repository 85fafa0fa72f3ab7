//! One client, from its first byte to its last.
//!
//! A session reads the client's messages, asks `sql` for facts and `route` for a decision, takes a server connection
//! from `pool`, brings it into the session's state, passes the request on and the answer back up to ReadyForQuery, and
//! keeps track of everything that must be there again on the next connection. It stands at the centre of the line;
//! `pgsplit-admin` shows what it counts. Finding nodes, catalogs and verifiers is the control plane's, reached
//! through [`Control`].
//!
//! The way through the modules: [`serve`] accepts, `login` lets the client in, `turn` takes one unit of its messages at
//! a time, `batch` and `query` put it on a server connection, `relay` carries the bytes, `answers` reads what the
//! server says, `state` and `examine` keep the session's state, `statistics` counts statements. A replication connection
//! is no session: `passage` carries its bytes.

mod account;
mod admit;
mod alarm;
mod answers;
mod ask;
mod batch;
mod cancel;
mod causality;
mod changes;
mod checkout;
mod control;
mod copy_data;
mod end;
mod examine;
mod journal;
mod link;
mod local;
mod login;
mod malformed;
mod metrics;
mod outcome;
mod own;
mod own_answers;
mod passage;
mod patience;
mod phase;
mod prepared;
mod query;
mod question;
mod readings;
mod refusals;
mod registry;
mod relay;
mod requests;
mod resets;
mod retry;
mod serve;
mod session;
mod shared;
mod slow;
mod spare;
mod stale;
mod state;
pub mod statistics;
mod token;
mod trace;
mod traffic;
mod turn;
mod undo;
mod unit;
mod vacate;

pub use admit::{Admitted, admit};
pub use control::{CatalogSource, Control, Later, Stored};
pub use metrics::Metrics;
pub use patience::Fallback;
pub use refusals::{Refusal, Refusals};
pub use registry::{Client, ClientState, Identity, Registry};
pub use serve::{Serve, serve};
pub use shared::{AuthMethod, SessionSettings, Shared};
pub use traffic::{Decisions, Traffic};
