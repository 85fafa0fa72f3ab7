//! psycopg, asyncpg, node-postgres, Prisma, tokio-postgres, psql and pgbench see one PostgreSQL server.
//!
//! Each script of the usual things is run on a direct connection to the primary and through pgsplit, in a database of
//! its own each time, and what it prints must be the same. The scripts of drivers in other languages are in
//! `tests/drivers` at the top of the repository; `scripts/drivers-setup` brings the drivers. `DRIVERS=psql` in the
//! environment runs only the parts whose name contains the word.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helpers")]
#![allow(clippy::print_stdout, reason = "the figures of a run, and which part has failed")]

#[path = "drivers/compare.rs"]
mod compare;
#[path = "drivers/pgbench.rs"]
mod pgbench;
#[path = "drivers/prisma.rs"]
mod prisma;
#[path = "drivers/psql.rs"]
mod psql;
#[path = "drivers/rust/mod.rs"]
mod rust;
#[path = "drivers/scripts.rs"]
mod scripts;
#[path = "drivers/stage.rs"]
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use stage::Stage;

/// Parts that are known to fail, each with the reason; they are run, and must go on failing until the entry is taken
/// out.
const KNOWN: &[(&str, &str)] = &[];

type Part = (&'static str, fn(&Stage));

const PARTS: [Part; 17] = [
    ("psycopg statements", |stage| scripts::python(stage, "psycopg_statements.py")),
    ("psycopg sessions", |stage| scripts::python(stage, "psycopg_sessions.py")),
    ("asyncpg", |stage| scripts::python(stage, "asyncpg_all.py")),
    ("node-postgres", |stage| scripts::node(stage, "pg_all.js")),
    ("Prisma", prisma::marketplace),
    ("tokio-postgres statements", |stage| rust::compare(stage, "statements", rust::statements)),
    ("tokio-postgres sessions", |stage| rust::compare(stage, "sessions", rust::sessions)),
    ("psql describe", psql::describe),
    ("psql queries", psql::queries),
    ("psql copy", psql::copy),
    ("psql watch", psql::watch),
    ("psql Ctrl-C", psql::interrupt),
    ("pgbench -i", pgbench::initialise),
    ("pgbench -S", pgbench::select_only),
    ("pgbench TPC-B", pgbench::tpc_b),
    ("pgbench with 1,000 clients", pgbench::a_thousand),
    ("nothing stays behind", Stage::assert_quiet),
];

/// All of it, on one cluster.
#[test]
fn drivers_see_one_server() {
    let only = std::env::var("DRIVERS").unwrap_or_default();
    let stage = Stage::start();
    let mut failed = Vec::new();
    for (name, part) in PARTS.iter().filter(|(name, _)| name.contains(&only)) {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| part(&stage)));
        println!("{name}: {} in {:.1?}", if outcome.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
        let known = KNOWN.iter().find(|(known, _)| known == name);
        match (outcome.is_ok(), known) {
            (false, None) => failed.push((*name).to_owned()),
            (true, Some(_)) => failed.push(format!("{name} (passes now: take it off the list)")),
            (false, Some((_, why))) => println!("{name}: known: {why}"),
            (true, None) => {}
        }
    }
    assert!(failed.is_empty(), "failed: {failed:#?}\nthe end of pgsplit's log:\n{}", stage.log_end());
}
