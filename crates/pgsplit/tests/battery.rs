//! A battery of statements, each run on a direct connection to the primary and through pgsplit, in the simple and in the
//! extended protocol, each on a fresh connection. The whole streams of answers are compared, then all data of the two
//! databases; and where each statement went, and why, is compared with what its row in the tables says.
//!
//! The two databases are copies of one template, so that even object identifiers in the answers are equal. A row that
//! expects the primary for a harmless read is a conservative miss, which costs speed; no row expects a replica for
//! anything that writes or leaves something behind. `BATTERY=copy` in the environment runs only the kinds and texts
//! that contain the word.

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
#[path = "battery/reads.rs"]
mod reads;
#[path = "battery/run.rs"]
mod run;
#[path = "battery/session.rs"]
mod session;
#[path = "battery/tables.rs"]
mod tables;
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
    let files: [fn() -> Vec<Kind>; 9] = [
        reads::kinds,
        writes::kinds,
        functions::kinds,
        copy_explain::kinds,
        messages::kinds,
        session::kinds,
        tables::kinds,
        names::kinds,
        || vec![tables::sequences()],
    ];
    files.into_iter().flat_map(|file| file()).collect()
}

/// Cases that fail for a reason that is known: the first statement's text, and why. They stay out of the verdict, and
/// one that passes must leave the list.
const KNOWN: &[(&str, &str)] = &[
    ("SELECT 1::pair", COMPOSITE_CAST),
    ("SELECT CAST(2 AS public.pair)", COMPOSITE_CAST),
    ("SELECT (ROW(1, 2)::pair)::text", COMPOSITE_CAST),
    ("SELECT ARRAY[4, 5]::pair[]", COMPOSITE_CAST),
    ("SELECT * FROM crosstab('SELECT 1, 1, put(''crosstab'')') AS x(a int, b int)", STRING_IN_EXTENSION),
    (
        "SELECT * FROM crosstab('SELECT 1, 1, pg_try_advisory_xact_lock(7003)::int') AS x(a int, b int)",
        STRING_IN_EXTENSION,
    ),
    (
        "SELECT * FROM crosstab('SELECT 1, 1, 5', 'SELECT put(''categories'') * 0 + 1') AS x(a int, b int)",
        STRING_IN_EXTENSION,
    ),
    ("SELECT * FROM connectby('v_put', 'id', 'n', '1', 0) AS x(a int, b int, c int)", STRING_IN_EXTENSION),
];

const COMPOSITE_CAST: &str = "the catalog has no casts of composite types: a replica refuses it, and the primary runs it";
const STRING_IN_EXTENSION: &str = "functions in C of an extension are trusted, also those that run SQL from a string";

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
    let (mut run, mut failures, mut cured) = (0, Vec::new(), Vec::new());
    for kind in kinds() {
        for case in kind.cases().into_iter().filter(|case| wanted(&kind, case)) {
            let known = KNOWN.iter().any(|(text, _)| *text == case.name());
            let reports: Vec<String> =
                [Protocol::Simple, Protocol::Extended].map(|p| run::judge(&mut world, &case, p)).into_iter().flatten().collect();
            run += 1;
            match (known, reports.is_empty()) {
                (false, false) => failures.push(format!("[{}]\n{}", kind.name, reports.join("\n"))),
                (true, true) => cured.push(case.name()),
                _ => {}
            }
        }
    }
    println!("{run} cases, {} failed", failures.len());
    assert!(failures.is_empty(), "{} of {run} cases failed\n\n{}", failures.len(), failures.join("\n"));
    for (text, why) in KNOWN {
        println!("known to fail: {text}: {why}");
    }
    assert!(cured.is_empty(), "listed as known failures, but they pass: {cured:#?}");
}

/// Whether the environment asks for this case, or for none in particular.
fn wanted(kind: &Kind, case: &Case) -> bool {
    std::env::var("BATTERY").map_or(true, |word| kind.name.contains(&word) || case.name().contains(&word))
}
