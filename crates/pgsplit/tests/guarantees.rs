//! What sessions are promised, checked on histories at random: clients write rows with versions and read each other's,
//! by every kind of statement, while replicas lag, freeze and die and the primary is restarted. No read may be older than
//! what was acknowledged before it began, or than what its session has seen; nothing that was acknowledged may be lost,
//! nothing may happen twice, and nothing that was refused may be there.
//!
//! `GUARANTEES_SECONDS` sets how long it takes (`make guarantees`: 15 minutes), `GUARANTEES_SEED` repeats its choices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]
#![allow(clippy::print_stdout, reason = "what was seen, and the seed")]

#[path = "guarantees/audit.rs"]
mod audit;
#[path = "guarantees/chaos.rs"]
mod chaos;
#[path = "guarantees/line.rs"]
mod line;
#[path = "guarantees/model.rs"]
mod model;
#[path = "soak/random.rs"]
mod random;
#[path = "guarantees/reads.rs"]
mod reads;
#[path = "guarantees/run.rs"]
mod run;
#[path = "guarantees/session.rs"]
mod session;
#[path = "guarantees/writes.rs"]
mod writes;

use std::time::Duration;

use run::{Plan, USUAL};

#[test]
fn sessions_see_what_they_are_promised() {
    let seconds = std::env::var("GUARANTEES_SECONDS").ok().map(|text| text.parse().unwrap());
    let plan = Plan { time: seconds.map_or(USUAL.time, Duration::from_secs), ..USUAL };
    let came = run::play(&plan, run::seed());
    assert_eq!(came.violations, 0, "guarantees were broken");
    let (reads, on_replicas) = (came.reads, came.on_replicas);
    assert!(
        on_replicas * 5 > reads,
        "only {on_replicas} of {reads} reads ran on replicas, which proves little"
    );
}

/// What is known to be wrong is found: each of the ways to get it wrong, planted on purpose.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_are_found() {
    use chaos::Fault;
    let lagging = &[Fault::Pause, Fault::Delay, Fault::Delay];
    let quiet = Plan { time: Duration::from_secs(30), replicas: lagging, primary: &[], ..USUAL };
    for plan in [
        Plan { bug: Some("no-marks"), ..quiet.clone() },
        Plan { bug: Some("retry-write"), deaths: 20, ..quiet.clone() },
        Plan { bug: Some("command-complete"), flushes: 60, ..quiet.clone() },
        Plan { bug: Some("receive-time"), pause: 0, ..quiet.clone() },
    ] {
        let bug = plan.bug.unwrap_or_default();
        println!("planted {bug}");
        let came = run::play(&plan, run::seed());
        assert!(came.violations > 0, "{bug} was not found");
    }
}
