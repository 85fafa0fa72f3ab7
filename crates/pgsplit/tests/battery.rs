//! A battery of statements, each run on a direct connection to the primary and through pgsplit, in the simple and in the
//! extended protocol, each on a fresh connection. The whole streams of answers are compared, then all data of the two
//! databases; and where each statement went, and why, is compared with what its row in the tables says.
//!
//! The two databases are copies of one template, so that even object identifiers in the answers are equal. A row that
//! expects the primary for a harmless read is a conservative miss, which costs speed; no row expects a replica for
//! anything that writes or leaves something behind. `BATTERY=copy` in the environment runs only the kinds and texts
//! that contain the word.

#![allow(clippy::unwrap_used, reason = "a failed test panics, also in its helper functions")]

#[path = "battery/case.rs"]
mod case;
#[path = "battery/copy_explain.rs"]
mod copy_explain;
#[path = "battery/functions.rs"]
mod functions;
#[path = "battery/messages.rs"]
mod messages;
#[path = "battery/names.rs"]
mod names;
#[path = "battery/reached.rs"]
mod reached;
#[path = "battery/reads.rs"]
mod reads;
#[path = "battery/run.rs"]
mod run;
#[path = "battery/session.rs"]
mod session;
#[path = "battery/tables.rs"]
mod tables;
#[path = "battery/transactions.rs"]
mod transactions;
#[path = "battery/transcript.rs"]
mod transcript;
#[path = "battery/world.rs"]
mod world;
#[path = "battery/writes.rs"]
mod writes;

use case::{Case, Kind, Protocol};
use world::World;

/// All kinds of statements.
fn kinds() -> Vec<Kind> {
    let files: [fn() -> Vec<Kind>; 11] = [
        reads::kinds,
        writes::kinds,
        functions::kinds,
        reached::kinds,
        copy_explain::kinds,
        messages::kinds,
        session::kinds,
        transactions::kinds,
        tables::kinds,
        names::kinds,
        || vec![tables::sequences()],
    ];
    files.into_iter().flat_map(|file| file()).collect()
}

#[test]
fn the_battery_is_as_large_as_it_should_be() {
    let kinds = kinds();
    let small: Vec<_> = kinds.iter().filter(|kind| kind.cases().len() < 5).map(|kind| kind.name).collect();
    assert!(small.is_empty(), "fewer than five cases: {small:?}");
    let all: usize = kinds.iter().map(|kind| kind.cases().len()).sum();
    assert!(all >= 250, "{all} cases");
}

#[test]
fn answers_data_and_targets_are_as_expected() {
    let mut world = World::start();
    let (mut run, mut failed) = (0, Vec::new());
    for kind in kinds() {
        for case in kind.cases().into_iter().filter(|case| wanted(&kind, case)) {
            let reports = [Protocol::Simple, Protocol::Extended].map(|p| run::judge(&mut world, &case, p));
            let reports: Vec<_> = reports.into_iter().flatten().collect();
            run += 1;
            if !reports.is_empty() {
                failed.push(format!("[{}]\n{}", kind.name, reports.join("\n")));
            }
        }
    }
    assert!(failed.is_empty(), "{} of {run} cases failed\n\n{}", failed.len(), failed.join("\n"));
}

/// Whether the environment asks for this case, or for none in particular.
fn wanted(kind: &Kind, case: &Case) -> bool {
    std::env::var("BATTERY").map_or(true, |word| kind.name.contains(&word) || case.name().contains(&word))
}
