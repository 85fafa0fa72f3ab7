//! The test suites of asyncpg and of SQLAlchemy's PostgreSQL dialect, by pytest.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::exceptions::Exceptions;
use crate::home;
use crate::outcome::{Outcome, Outcomes};
use crate::program;
use crate::stage::{Stage, USER};

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// The drivers below SQLAlchemy.
const DRIVERS: [&str; 3] = ["psycopg2", "psycopg", "asyncpg"];

/// asyncpg's own tests. With PGHOST in the environment it uses the server there instead of starting one, and skips what
/// needs a server of its own (start-up with other settings, TLS, a standby).
pub(crate) fn asyncpg(stage: &Stage) -> Outcomes {
    asyncpg_one(stage, "tests")
}

/// One of them, by the name that outcomes have, or those in one place.
pub(crate) fn asyncpg_one(stage: &Stage, test: &str) -> Outcomes {
    let suite = home::python().join("suites/asyncpg");
    let mut command = pytest(&suite);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", stage.port().to_string());
    command.env("PGUSER", USER).env("PGDATABASE", "postgres").arg(test);
    run(stage, &mut command)
}

/// SQLAlchemy's dialect tests, and its suite for dialects, on each driver.
pub(crate) fn sqlalchemy(stage: &Stage) -> Outcomes {
    let primary = stage.cluster.primary();
    primary.sql("postgres", "CREATE DATABASE test").unwrap();
    // As README.unittests.rst of SQLAlchemy asks.
    let setup = "CREATE SCHEMA test_schema; CREATE SCHEMA test_schema_2; CREATE EXTENSION hstore; CREATE EXTENSION citext;
                 ALTER DATABASE test SET default_text_search_config = 'pg_catalog.english'";
    primary.sql("test", setup).unwrap();
    let suite = home::python().join("suites/sqlalchemy");
    let mut command = pytest(&suite);
    command.args(["--maxfail=100000", "test/dialect/postgresql", "test/dialect/test_suite.py"]);
    for driver in DRIVERS {
        let port = stage.port();
        command.arg("--dburi").arg(format!("postgresql+{driver}://{USER}@127.0.0.1:{port}/test"));
    }
    run(stage, &mut command)
}

/// pytest, for all tests of a suite; or for those that `CONFORMANCE_TESTS` names, an expression of its option `-k`.
fn pytest(suite: &Path) -> Command {
    let mut command = program::clean(&home::python().join("bin/python"));
    command.current_dir(suite).args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "-p", "outcomes"]);
    if let Ok(wanted) = std::env::var("CONFORMANCE_TESTS") {
        command.args(["-k", &wanted]);
    }
    command.env("PYTHONPATH", home::repository().join("tests/conformance")).env("PYTHONIOENCODING", "utf-8");
    command
}

/// Runs pytest with the plugin that writes down what became of each test.
fn run(stage: &Stage, command: &mut Command) -> Outcomes {
    let path = stage.results.join("outcomes");
    command.env("OUTCOMES", &path).env("OUTCOMES_PORT", stage.port().to_string());
    let ended = program::run(command, &stage.what, LIMIT, &stage.results.join("output"));
    let mut outcomes = Outcomes::default();
    outcomes.time = ended.time;
    for line in fs::read_to_string(&path).unwrap_or_default().lines() {
        let Some((outcome, name)) = line.split_once('\t') else { continue };
        let outcome = match outcome {
            "passed" => Outcome::Passed,
            "skipped" => Outcome::Skipped,
            _ => Outcome::Failed,
        };
        outcomes.add(name, outcome);
    }
    if stage.is_proxied() {
        let failures = fs::read_to_string(stage.results.join("outcomes.failures")).unwrap_or_default();
        except(&mut outcomes, &failures);
    }
    outcomes
}

/// Tests that have failed in one way only, which is on the list, have passed.
fn except(outcomes: &mut Outcomes, failures: &str) {
    let exceptions = Exceptions::load();
    for test in outcomes.failed() {
        let head = format!("{test} (call)\n");
        let parts: Vec<_> =
            failures.split("=== ").filter(|part| part.starts_with(&format!("{test} ("))).collect();
        if let [only] = parts[..]
            && let Some(said) = only.strip_prefix(&head)
            && exceptions.cover_failure(&test, said)
        {
            outcomes.replace(&test, Outcome::Excepted);
        }
    }
}
