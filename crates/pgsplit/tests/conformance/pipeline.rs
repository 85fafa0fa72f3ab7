//! `libpq_pipeline` of PostgreSQL's sources: pipeline mode, as libpq uses it. Where the sources have the expected trace of
//! a test's messages, the messages are compared as well, as PostgreSQL's own script does.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::home;
use crate::outcome::{Outcome, Outcomes};
use crate::program;
use crate::stage::{Stage, USER};

const LIMIT: Duration = Duration::from_secs(120);

/// What libpq_pipeline.c's own script uses.
const ROWS: &str = "700";

pub(crate) fn run(stage: &Stage) -> Outcomes {
    let source = home::postgres();
    let here = source.join("src/test/modules/libpq_pipeline");
    let program = || -> Command {
        let mut command = program::clean(&here.join("libpq_pipeline"));
        command.env("LD_LIBRARY_PATH", source.join("src/interfaces/libpq"));
        command
    };
    let names = program().arg("tests").output().unwrap().stdout;
    let mut outcomes = Outcomes::default();
    for name in String::from_utf8(names).unwrap().split_whitespace() {
        let conninfo = format!("host=127.0.0.1 port={} user={USER} dbname=postgres", stage.port());
        let expected = fs::read_to_string(here.join(format!("traces/{name}.trace"))).ok();
        let trace = stage.results.join(format!("{name}.trace"));
        let mut command = program();
        command.args(["-r", ROWS]);
        if expected.is_some() {
            command.arg("-t").arg(&trace);
        }
        command.args([name, &conninfo]);
        let log = stage.results.join(format!("{name}.out"));
        let ended = program::run(&mut command, &format!("{}: {name}", stage.what), LIMIT, &log);
        let same = expected.is_none_or(|text| fs::read_to_string(&trace).is_ok_and(|traced| traced == text));
        let outcome = if ended.status.success() && same { Outcome::Passed } else { Outcome::Failed };
        outcomes.add(name, outcome);
        outcomes.time += ended.time;
    }
    outcomes
}
