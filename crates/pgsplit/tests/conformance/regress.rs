//! PostgreSQL's regression suite, by its own driver, pg_regress.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::exceptions::Exceptions;
use crate::home;
use crate::outcome::{Outcome, Outcomes};
use crate::program;
use crate::stage::{Stage, USER};

const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How the tests follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the schedule says: in groups of up to twenty at once.
    Groups,
    /// One after the other.
    OneByOne,
}

/// Runs all of it. Servers read and write files of the suite, so it runs as their user, in their directory.
pub(crate) fn run(stage: &Stage, order: Order) -> Outcomes {
    let suite = home::postgres().join("src/test/regress");
    let here = stage.cluster.directory().join("regress");
    let output = here.join("output");
    finish(stage.cluster.command(Path::new("mkdir")).arg("-p").arg(&output));
    for name in
        ["sql", "expected", "data", "pg_regress", "regress.so", "refint.so", "autoinc.so", "resultmap"]
    {
        finish(Command::new("cp").arg("-R").arg(suite.join(name)).arg(&here));
    }
    let schedule = here.join("parallel_schedule");
    fs::copy(suite.join("parallel_schedule"), &schedule).unwrap();
    finish(Command::new("chmod").args(["-R", "a+rX"]).arg(&here));

    let mut command = stage.cluster.command(&here.join("pg_regress"));
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    command.args([option("inputdir", &here), option("outputdir", &output), option("dlpath", &here)]);
    command.arg(option("bindir", &stage.cluster.postgres().program("")));
    command.args([option("schedule", &schedule), "--host=127.0.0.1".into(), format!("--user={USER}")]);
    command.arg(format!("--port={}", stage.port())).arg("--max-concurrent-tests=20");
    if stage.cluster.postgres().version() >= 16 {
        command.arg(option("expecteddir", &here));
    }
    if order == Order::OneByOne {
        command.arg("--max-connections=1");
    }
    let ended = program::run(&mut command, &stage.what, LIMIT, &stage.results.join("output"));
    finish(Command::new("cp").arg("-R").arg(output.join(".")).arg(&stage.results));
    let mut outcomes = read(&ended.output);
    outcomes.time = ended.time;
    if stage.is_proxied() {
        let diffs = fs::read_to_string(stage.results.join("regression.diffs")).unwrap_or_default();
        except(&mut outcomes, &diffs);
        if !outcomes.failed().is_empty() {
            println!("{diffs}");
        }
    }
    outcomes
}

fn finish(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// Lines of pg_regress: `test_setup ... ok 12 ms` up to version 15, TAP (`not ok 2 + boolean 12 ms`) since.
fn read(output: &str) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for line in output.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match &words[..] {
            ["test", name, "...", result, ..] | [name, "...", result, ..] => {
                let passed = *result == "ok";
                outcomes.add(name, if passed { Outcome::Passed } else { Outcome::Failed });
            }
            ["ok", _, "-" | "+", name, ..] => outcomes.add(name, Outcome::Passed),
            ["not", "ok", _, "-" | "+", name, ..] => outcomes.add(name, Outcome::Failed),
            _ => {}
        }
    }
    outcomes
}

/// Tests of which only what is on the list differs have passed.
fn except(outcomes: &mut Outcomes, diffs: &str) {
    let exceptions = Exceptions::load();
    for test in outcomes.failed() {
        let own = format!("/results/{test}.out");
        let mut parts =
            diffs.split("diff -U3 ").filter(|part| part.lines().next().is_some_and(|l| l.ends_with(&own)));
        if parts.next().is_some_and(|diff| exceptions.cover(&test, diff)) {
            outcomes.replace(&test, Outcome::Excepted);
        }
    }
}

#[test]
fn reads_both_forms_of_output() {
    let old = read(
        "test tablespace       ... ok    5 ms\n     char     ... FAILED   3 ms\nparallel group (2 tests):  a b\n",
    );
    let new = read(
        "ok 1         - tablespace      5 ms\nnot ok 2     + char    3 ms\n# parallel group (2 tests):  a b\n",
    );
    for outcomes in [old, new] {
        assert_eq!(outcomes.len(), 2);
        assert_eq!(outcomes.of("tablespace"), Some(Outcome::Passed));
        assert_eq!(outcomes.failed(), ["char"]);
    }
}
