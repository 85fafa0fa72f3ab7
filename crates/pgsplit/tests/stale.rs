//! Stale reads: a client writes, and as soon as its write is acknowledged another one reads. At level causal no read may
//! be older, however far the replicas are behind; at level eventual thousands are, which shows that the harness can tell.
//!
//! Replay is paused and resumed at random meanwhile, and delayed by `recovery_min_apply_delay`. `STALE_TRIALS` sets how
//! many trials each part makes (`make stale`: enough for 200,000 in all), `STALE_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]
#![allow(clippy::print_stdout, reason = "what was seen, and the seed")]

#[path = "stale/chaos.rs"]
mod chaos;
#[path = "stale/trial.rs"]
mod trial;
#[path = "stale/world.rs"]
mod world;

use trial::{Kind, Run};
use world::World;

/// Trials of each part when nothing else is said.
const TRIALS: usize = 400;

fn trials() -> usize {
    std::env::var("STALE_TRIALS").ok().map_or(TRIALS, |text| text.parse().unwrap())
}

const CAUSAL: &str = "";
const EVENTUAL: &str = "[consistency]\nlevel = 'eventual'";

/// Every kind of trial, idle and under load, at level causal and at level eventual.
#[test]
fn no_read_is_older_than_an_acknowledged_write() {
    let world = World::start();
    let (mut stale, mut on_replicas) = (Vec::new(), 0);
    for (kind, loaded) in [
        (Kind::Simple, false),
        (Kind::Extended, false),
        (Kind::Flush, false),
        (Kind::Prepared, false),
        (Kind::Transaction, false),
        (Kind::Asynchronous, false),
        (Kind::Hasty, false),
        (Kind::Simple, true),
        (Kind::Extended, true),
    ] {
        let run = Run { kind, loaded, trials: trials(), level: CAUSAL };
        let seen = world.play(&run);
        println!("causal {kind:?} loaded={loaded}: {seen}");
        on_replicas += seen.on_replicas;
        if seen.stale > 0 {
            stale.push(format!("{kind:?} loaded={loaded}: {seen}"));
        }
    }
    assert!(stale.is_empty(), "stale reads at level causal: {stale:#?}");
    assert!(on_replicas > trials(), "only {on_replicas} reads ran on replicas, which proves little");

    let run = Run { kind: Kind::Simple, loaded: false, trials: trials(), level: EVENTUAL };
    let seen = world.play(&run);
    println!("eventual: {seen}");
    assert!(
        seen.stale * 10 > seen.reads,
        "the harness hardly finds stale reads where there are many: {seen}"
    );
}

/// A session reads what it wrote itself, and never an older state than before, whoever writes.
#[test]
fn a_session_never_goes_back() {
    let world = World::start();
    for (level, bypass) in [
        (CAUSAL, true),
        ("[consistency]\nlevel = 'session'", true),
        ("[consistency]\nlevel = 'strict'", true),
    ] {
        let seen = world.watch(level, bypass, trials());
        println!("{level:?}: {seen}");
        assert_eq!(seen.stale, 0, "{level:?}: {seen}");
        assert!(seen.on_replicas > 0, "{level:?}: {seen}");
    }
    let seen = world.watch(EVENTUAL, true, 20 * trials());
    assert!(seen.stale > 0, "the harness finds no step back where there are some: {seen}");
}

/// Strict reads see what was written past the proxy.
#[test]
fn a_strict_read_sees_writes_that_bypass_the_proxy() {
    let world = World::start();
    let run =
        Run { kind: Kind::Bypass, loaded: false, trials: trials(), level: "[consistency]\nlevel = 'strict'" };
    let seen = world.play(&run);
    println!("strict: {seen}");
    assert_eq!(seen.stale, 0, "{seen}");
    assert!(seen.on_replicas > trials() / 10, "{seen}");
    let seen = world.play(&Run { level: CAUSAL, ..run });
    assert!(seen.stale > 0, "the harness finds no stale read where there are some: {seen}");
}

/// A hint asks for more than the configuration.
#[test]
fn a_hint_makes_a_read_strict() {
    let world = World::start();
    let run = Run { kind: Kind::StrictHint, loaded: false, trials: trials(), level: EVENTUAL };
    let seen = world.play(&run);
    println!("strict by a hint: {seen}");
    assert_eq!(seen.stale, 0, "{seen}");
    assert!(seen.on_replicas > trials() / 10, "{seen}");
}

/// A token carries causality to a reader for whom nothing else does.
#[test]
fn a_token_makes_a_reader_wait_for_what_it_stands_for() {
    let world = World::start();
    let run = Run { kind: Kind::Token, loaded: false, trials: trials(), level: EVENTUAL };
    let seen = world.play(&run);
    println!("token: {seen}");
    assert_eq!(seen.stale, 0, "{seen}");
    assert!(seen.on_replicas > trials() / 10, "{seen}");
}

/// What is known to be wrong is found: each of the ways to get it wrong, planted on purpose.
#[cfg(feature = "planted")]
#[test]
fn planted_bugs_are_found() {
    let world = World::start();
    for (bug, kind, loaded) in [
        ("receive-time", Kind::Simple, true),
        ("command-complete", Kind::Flush, false),
        ("flushed", Kind::Asynchronous, false),
    ] {
        let run = Run { kind, loaded, trials: trials(), level: CAUSAL };
        let seen = world.play_planted(&run, bug);
        println!("planted {bug}: {seen}");
        assert!(seen.stale > 0, "{bug} was not found: {seen}");
    }
}
