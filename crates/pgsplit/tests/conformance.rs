//! Suites that others have written see one PostgreSQL server: PostgreSQL's own regression suite (in parallel groups, and
//! one test after the other) and `libpq_pipeline`, asyncpg's tests, and those of SQLAlchemy's PostgreSQL dialect.
//!
//! Each is run on a direct connection to the primary and through pgsplit with two replicas, a small pool and the
//! otherwise default configuration, each time on a cluster of its own, and a table is printed: what has passed, how long
//! it took, and which tests have another outcome through pgsplit. Any such test is a failure. `make conformance` fetches
//! and builds the suites (scripts/conformance-setup) and runs this; `make conformance-quick` runs what takes minutes.
//!
//! - Servers and proxy ask for no passwords (`trust`), because the suites make roles and log in as them.
//! - What no proxy can hide is listed in tests/conformance/exceptions.txt.
//! - Variations, by the environment: see [`variation`].
//!
//! The results are left in target/conformance/results: outputs, differences, logs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helpers")]
#![allow(clippy::print_stdout, reason = "the table, and what is running")]

#[path = "conformance/exceptions.rs"]
mod exceptions;
#[path = "conformance/home.rs"]
mod home;
#[path = "conformance/outcome.rs"]
mod outcome;
#[path = "conformance/pipeline.rs"]
mod pipeline;
#[path = "conformance/program.rs"]
mod program;
#[path = "conformance/python.rs"]
mod python;
#[path = "conformance/regress.rs"]
mod regress;
#[path = "conformance/report.rs"]
mod report;
#[path = "conformance/stage.rs"]
mod stage;
#[path = "conformance/variation.rs"]
mod variation;

use std::path::PathBuf;

use outcome::{Outcome, Outcomes};
use report::Report;
use stage::{Side, Stage};
use variation::Variation;

/// A suite, by the name that the table and the environment know it by.
struct Suite {
    name: &'static str,
    /// Where it is; panics when it is not there.
    place: fn() -> PathBuf,
    run: fn(&Stage) -> Outcomes,
    /// Runs one of its tests, where that can be done alone.
    one: Option<fn(&Stage, &str) -> Outcomes>,
}

/// How often a test that has failed through pgsplit alone is tried directly, so that whoever reads of the difference knows
/// whether it fails there now and then, too. It is a difference all the same.
const TRIES: usize = 30;

const SUITES: [Suite; 5] = [
    Suite {
        name: "regression-parallel",
        place: home::postgres,
        run: |stage| regress::run(stage, regress::Order::Groups),
        one: None,
    },
    Suite {
        name: "regression-serial",
        place: home::postgres,
        run: |stage| regress::run(stage, regress::Order::OneByOne),
        one: None,
    },
    Suite { name: "libpq_pipeline", place: home::postgres, run: pipeline::run, one: None },
    Suite { name: "asyncpg", place: home::python, run: python::asyncpg, one: Some(python::asyncpg_one) },
    Suite { name: "sqlalchemy", place: home::python, run: python::sqlalchemy, one: None },
];

/// All of them, or those that are asked for.
#[test]
#[ignore = "takes long, and needs what scripts/conformance-setup brings: see `make conformance`"]
fn suites_see_one_server() {
    let variation = Variation::from_environment();
    let chosen: Vec<_> = SUITES.iter().filter(|suite| variation.wants(suite.name)).collect();
    assert!(!chosen.is_empty(), "no suite has that name: {:?}", SUITES.map(|suite| suite.name));
    for suite in &chosen {
        (suite.place)();
    }
    println!("conformance: {variation}");
    let mut report = Report::default();
    for suite in chosen {
        let run = |side| {
            let stage = Stage::start(&variation, suite.name, side);
            let outcomes = (suite.run)(&stage);
            stage.end();
            outcomes
        };
        let (direct, proxied) = (run(Side::Direct), run(Side::Proxied));
        let alone = |test: &String| direct.of(test) == Some(Outcome::Passed);
        let doubtful: Vec<_> = proxied.failed().into_iter().filter(alone).collect();
        if let Some(one) = suite.one.filter(|_| !doubtful.is_empty()) {
            let stage = Stage::start(&variation, &format!("{}-again", suite.name), Side::Direct);
            for test in doubtful {
                if (0..TRIES).any(|_| one(&stage, &test).of(&test) == Some(Outcome::Failed)) {
                    println!("{test}: fails directly too, now and then");
                }
            }
            stage.end();
        }
        report.add(suite.name, direct, proxied);
    }
    println!("\n{report}");
    let differences = report.differences();
    assert!(
        differences.is_empty(),
        "other outcomes through pgsplit than directly:\n{}",
        differences.join("\n")
    );
}
