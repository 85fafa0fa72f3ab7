//! Real PostgreSQL clusters, and scripted protocol peers, for tests, benchmarks and the demo.
//!
//! A [`Cluster`] is a primary and its streaming replicas, made from the PostgreSQL that is installed
//! on this machine, in a temporary directory of its own and on free loopback ports. It can be stopped,
//! killed, frozen, paused and promoted, and it is gone when its owner is: after `Drop`, after a panic,
//! after Ctrl-C, and after a `kill -9` of the owning process.
//!
//! The interface is blocking. Async code calls it through `spawn_blocking`.
//!
//! ```no_run
//! let cluster = pgsplit_testkit::Cluster::builder().replicas(2).start()?;
//! cluster.primary().sql("app", "CREATE TABLE t (id int)")?;
//! cluster.wait_caught_up()?;
//! assert_eq!(cluster.replica(0).sql("app", "SELECT count(*) FROM t")?, "0");
//! # Ok::<(), pgsplit_testkit::Error>(())
//! ```
//!
//! It is not for production, and no other crate's code runs in it: only the `pgsplit` binary (for its
//! demo) and tests depend on it. What it knows of the protocol ([`peer`]) is written apart from
//! `pgsplit-wire` on purpose, so that neither can hide the other's mistakes.

mod builder;
mod cluster;
mod error;
mod guardian;
mod node;
mod owner;
pub mod peer;
mod port;
mod postgres;
mod process;
mod proxy;
mod text;
pub mod wait;

pub use builder::Builder;
pub use cluster::{Account, Cluster};
pub use error::Error;
pub use node::{Node, StopMode};
pub use postgres::Postgres;
pub use proxy::{Proxy, Samples};
pub use rustix::process::Signal;
pub use text::unwrapped;
