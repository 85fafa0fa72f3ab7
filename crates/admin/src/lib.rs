//! What an operator sees: metrics in the OpenMetrics text format, liveness and readiness over HTTP, and the console for
//! `psql`.
//!
//! It reads the atomics that the data path counts in and the view that the control plane publishes, at the moment of
//! a scrape, and keeps nothing of its own. It stands at the end of the line, beside the data path: no client's
//! statement comes through here. What only the binary can reach (the control plane's counters, the last reload) it
//! hands in as [`ControlFigures`].

pub mod console;
mod figures;
mod http;
mod metrics;
mod page;

pub use figures::{ControlFigures, ControlSource, NodeFigures, Reload};
pub use http::{Sources, serve};
pub use metrics::text;
