//! The protocol, message by message: scripts of raw frontend messages are run against a direct connection and through
//! pgsplit, on equal databases, and the complete streams of answers must be equal byte for byte.
//!
//! Only process ids, cancel keys and the place of ParameterStatus messages during login are taken out of the comparison.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "protocol/arena.rs"]
mod arena;
#[path = "protocol/cancel.rs"]
mod cancel;
#[path = "protocol/copy.rs"]
mod copy;
#[path = "protocol/errors.rs"]
mod errors;
#[path = "protocol/extended.rs"]
mod extended;
#[path = "protocol/large.rs"]
mod large;
#[path = "protocol/pipeline.rs"]
mod pipeline;
#[path = "protocol/portals.rs"]
mod portals;
#[path = "protocol/script.rs"]
mod script;
#[path = "protocol/simple.rs"]
mod simple;
#[path = "protocol/standing.rs"]
mod standing;
#[path = "protocol/startup.rs"]
mod startup;
#[path = "protocol/transactions.rs"]
mod transactions;

use arena::Arena;

/// The scripts are played through each of these: with room, with one connection a node that keeps hardly any
/// statement, and with a connection for each session.
const SETUPS: [(&str, &str); 3] = [
    ("as by default", ""),
    ("tight", "[pool]\nprimary_connections = 1\nreplica_connections = 1\nprepared_statements = 2\n"),
    ("session pooling", "[pool]\nmode = \"session\"\n"),
];

/// One cluster for all: each case says its name when it fails, and the others still run.
#[test]
fn answers_are_those_of_a_direct_connection() {
    let arena = Arena::start();
    let mut failed = Vec::new();
    let groups = [
        simple::cases(),
        extended::cases(),
        portals::cases(),
        errors::cases(),
        pipeline::cases(),
        transactions::cases(),
        copy::cases(),
    ];
    let only = std::env::var("PGSPLIT_CASE").unwrap_or_default();
    let mut ran = 0;
    let cases: Vec<_> = groups.into_iter().flatten().filter(|case| case.name.contains(&only)).collect();
    for (setup, settings) in SETUPS {
        let proxy = Arena::proxy(&arena.cluster, settings);
        for case in &cases {
            ran += 1;
            if let Err(why) = arena.compare(&proxy, case) {
                failed.push(format!("== {} ({setup})\n{why}", case.name));
            }
        }
    }
    for (name, check) in [startup::CHECKS, standing::CHECKS, large::CHECKS, cancel::CHECKS].concat() {
        if name.contains(&only) {
            ran += 1;
            if let Err(why) = arena.check(check) {
                failed.push(format!("== {name}\n{why}"));
            }
        }
    }
    assert!(ran > 0, "no case is named like {only:?}");
    assert!(failed.is_empty(), "{} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
}
