//! What sessions are promised, checked on histories at random: clients write rows with versions and read each other's,
//! by every kind of statement, while replicas lag, freeze and die and the primary is restarted. No read may be older than
//! what was acknowledged before it began, or than what its session has seen; nothing that was acknowledged may be lost,
//! nothing may happen twice, and nothing that was refused may be there.
//!
//! `GUARANTEES_SECONDS` sets how long the longest part takes (`make guarantees`: 15 minutes), `GUARANTEES_SEED` repeats
//! its choices, and `GUARANTEES_BUG` picks among the bugs on purpose.

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

use chaos::Fault;
use run::{Plan, USUAL};

const PATIENT: &str = "[consistency]\nwait = '100ms'";

fn time() -> Duration {
    let seconds = std::env::var("GUARANTEES_SECONDS").ok().map(|text| text.parse().unwrap());
    seconds.map_or(USUAL.time, Duration::from_secs)
}

/// Plays a plan, in which nothing may be broken.
fn holds(plan: &Plan) {
    let came = run::play(plan, run::seed());
    assert!(came.violations.is_empty(), "guarantees were broken: {:?}", came.violations);
    let (reads, on_replicas) = (came.reads, came.on_replicas);
    assert!(
        on_replicas * 5 > reads,
        "only {on_replicas} of {reads} reads ran on replicas, which proves little"
    );
}

#[test]
fn sessions_see_what_they_are_promised() {
    holds(&Plan { time: time(), ..USUAL });
}

/// Reads wait for replicas instead of going to the primary.
#[test]
fn patient_reads_see_it_too() {
    holds(&Plan { time: time() / 3, level: PATIENT, pause: 3, ..USUAL });
}

/// What one client writes is not flushed when it is acknowledged, so that it cannot be on any replica.
#[test]
fn asynchronous_commits_are_seen_too() {
    holds(&Plan { time: time() / 3, asynchronous: 1, primary: &[Fault::Restart, Fault::Terminate], ..USUAL });
}

/// Where nothing is promised much is found, which shows that the checker can tell.
#[test]
fn eventual_reads_break_all_of_it() {
    let lagging = &[Fault::Pause, Fault::Delay];
    let time = Duration::from_secs(6);
    let level = "[consistency]\nlevel = 'eventual'";
    let came = run::play(&Plan { time, level, replicas: lagging, primary: &[], ..USUAL }, run::seed());
    for guarantee in ["own writes", "causal", "monotonic"] {
        assert!(came.violations.get(guarantee).is_some_and(|count| *count > 10), "{guarantee}");
    }
    assert_eq!(came.violations.len(), 3, "writes are safe at every level: {:?}", came.violations);
}

/// What is known to be wrong is found: each of the ways to get it wrong, planted on purpose.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_are_found() {
    let lagging = &[Fault::Pause, Fault::Delay, Fault::Delay];
    let quiet = Plan { time: Duration::from_secs(30), replicas: lagging, primary: &[], ..USUAL };
    // Where replicas are always late and waited for, much depends on what a wait ends by.
    let waiting = Plan { level: PATIENT, pause: 0, replicas: &[Fault::Delay], ..quiet.clone() };
    let wanted = std::env::var("GUARANTEES_BUG").unwrap_or_default();
    for (plan, guarantees) in [
        (Plan { bug: Some("no-marks"), ..quiet.clone() }, ["causal", "own writes"]),
        (Plan { bug: Some("command-complete"), flushes: 60, ..quiet.clone() }, ["causal", "own writes"]),
        (Plan { bug: Some("receive-time"), ..waiting }, ["causal", "own writes"]),
        (Plan { bug: Some("flushed"), asynchronous: 1, ..quiet.clone() }, ["causal", "own writes"]),
        (Plan { bug: Some("retry-write"), primary: &[Fault::Crash], ..quiet.clone() }, ["twice"; 2]),
        (Plan { bug: Some("retry-write"), primary: &[Fault::Stall], ..quiet.clone() }, ["refused"; 2]),
    ] {
        let bug = plan.bug.unwrap_or_default();
        if !bug.contains(&wanted) {
            continue;
        }
        println!("planted {bug}");
        let came = run::play(&plan, run::seed());
        let found = guarantees.iter().any(|guarantee| came.violations.contains_key(*guarantee));
        assert!(found, "{bug} was not found");
    }
}
