//! Server connections: limits, the queue, ends of connections, nodes that fail, and the proxy's own end.
//!
//! One cluster for all; every scene has a proxy of its own with the settings that it is about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]

#[path = "pooling/life.rs"]
mod life;
#[path = "pooling/limits.rs"]
mod limits;
#[path = "pooling/nodes.rs"]
mod nodes;
#[path = "pooling/process.rs"]
mod process;
#[path = "pooling/tools.rs"]
mod tools;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pgsplit_testkit::Cluster;

/// A scene and its name.
pub(crate) type Scene = (&'static str, fn(&Cluster));

/// Scenes that are known to fail, each with the reason.
const KNOWN: &[(&str, &str)] = &[];

/// All of it, on one cluster. `POOLING` in the environment picks the scenes whose name contains it.
#[test]
#[allow(clippy::print_stderr, reason = "shown with --nocapture, and when the test fails")]
fn connections_are_pooled_as_promised() {
    let only = std::env::var("POOLING").unwrap_or_default();
    let cluster =
        Cluster::builder().name("pooling").replicas(2).setting("max_connections", "200").start().unwrap();
    tools::prepare(&cluster);
    let scenes = [limits::scenes(), life::scenes(), process::scenes(), nodes::scenes()].concat();
    let mut failures = Vec::new();
    let mut played = 0;
    for (name, scene) in scenes.into_iter().filter(|(name, _)| name.contains(&only)) {
        played += 1;
        let known = KNOWN.iter().any(|(known, _)| *known == name);
        let passed = catch_unwind(AssertUnwindSafe(|| scene(&cluster))).is_ok();
        eprintln!("{} {name}", if passed { "ok    " } else { "FAILED" });
        if passed == known {
            failures.push(name);
        }
        tools::heal(&cluster);
    }
    assert!(played > 0, "no scene has this name");
    assert!(failures.is_empty(), "{} of {played} scenes failed: {failures:?}", failures.len());
}
