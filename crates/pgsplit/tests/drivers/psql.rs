//! psql: its describing commands, errors with positions, `\copy`, `\watch`, `\gdesc`, `\bind`, and Ctrl-C.

use std::process::Command;
use std::time::{Duration, Instant};

use pgsplit_testkit::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::compare::{LIMIT, Running, assert_same, same};
use crate::scripts::clean;
use crate::stage::{DIRECT, PROXIED, Stage};

const SETUP: &str = include_str!("psql/setup.sql");
const DESCRIBE: &str = include_str!("psql/describe.sql");
const QUERIES: &str = include_str!("psql/queries.sql");
const COPY: &str = include_str!("psql/copy.sql");

/// psql with the script on its standard input; both of its outputs go one way, in the order of printing.
fn psql(stage: &Stage, uri: &str) -> Command {
    let program = stage.cluster.postgres().program("psql");
    let mut command = clean("sh".as_ref());
    command.args(["-c", r#"exec "$0" "$@" 2>&1"#]).arg(program);
    command.args(["-X", "-e", "-P", "pager=off", "-d", uri]);
    command
}

fn script(stage: &Stage, name: &str, text: &str) {
    same(stage, &format!("psql {name}"), &format!("{SETUP}{text}"), |uri| psql(stage, uri));
}

pub(crate) fn describe(stage: &Stage) {
    script(stage, "describe", DESCRIBE);
}

pub(crate) fn queries(stage: &Stage) {
    script(stage, "queries", QUERIES);
    let heard = |uri: &str| {
        let text = "LISTEN news;\nNOTIFY news, 'heard';\nUNLISTEN news;\n";
        let output = Running::start(&mut psql(stage, uri), text).finish(LIMIT).text;
        // Who sent it is a process id.
        let known = |line: &str| line.split(" received from").next().unwrap_or(line).to_owned();
        output.lines().map(known).collect::<Vec<_>>().join("\n")
    };
    let direct = heard(&stage.direct(DIRECT));
    assert!(direct.contains(r#"Asynchronous notification "news" with payload "heard""#), "{direct}");
    assert_same(stage, "psql LISTEN", &direct, &heard(&stage.proxied(PROXIED)));
    let version = stage.cluster.postgres().version();
    if version >= 16 {
        script(stage, r"\bind", "SELECT $1::int + $2::int AS sum \\bind 40 2 \\g\nSELECT $1 \\bind \\g\n");
    }
    // The status that scripts rely on: 3 after an error with ON_ERROR_STOP.
    for (database, uri) in [(DIRECT, stage.direct(DIRECT)), (PROXIED, stage.proxied(PROXIED))] {
        let mut command = psql(stage, &uri);
        command.args(["-v", "ON_ERROR_STOP=1"]);
        let output = Running::start(&mut command, "SELECT 1; SELECT 1/0; SELECT 2;").finish(LIMIT);
        assert_eq!(output.status.code(), Some(3), "{database}: {}", output.text);
    }
    same(stage, "psql -1 -c -c", "", |uri| {
        let mut command = psql(stage, uri);
        command.args(["-1", "-At", "-c", "SELECT 1; SELECT 2"]);
        command.args(["-c", "SELECT current_setting('search_path')"]);
        command
    });
    same(stage, "psql with options", "SHOW work_mem; SHOW application_name; \\conninfo\n", |uri| {
        let mut command = psql(stage, uri);
        command
            .env("PGOPTIONS", "-c work_mem=7MB")
            .env("PGAPPNAME", "named")
            .env("PGCLIENTENCODING", "LATIN1");
        command
    });
}

pub(crate) fn copy(stage: &Stage) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows.csv");
    let text = COPY.replace("FILE", &file.display().to_string());
    // The file's name is in nothing that is printed but the commands, which are the same.
    script(stage, "copy", &text);
    let left = std::fs::read_to_string(&file).unwrap();
    assert_eq!(left.lines().count(), 51, "\\copy has written the header and fifty rows");
}

/// `\watch` ends by itself after an error, in every version of psql; its heading shows the time, and is left out.
pub(crate) fn watch(stage: &Stage) {
    let text =
        format!("{SETUP}SELECT 10 / nextval('countdown') AS tenth \\watch 0.05\nSELECT 'and goes on';\n");
    let run = |uri: &str| {
        let output = Running::start(&mut psql(stage, uri), &text).finish(LIMIT).text;
        output.lines().filter(|line| !line.contains("(every 0.05s)")).collect::<Vec<_>>().join("\n")
    };
    let direct = run(&stage.direct(DIRECT));
    assert_eq!(direct.matches("(1 row)").count(), 4, "three numbers, an error, and it goes on:\n{direct}");
    assert_same(stage, "psql \\watch", &direct, &run(&stage.proxied(PROXIED)));

    // Reads that are watched are spread like any others.
    let before = stage.metrics();
    let mut command = psql(stage, &stage.proxied(PROXIED));
    let mut watching = Running::start(&mut command, "SELECT count(*) FROM psql.item \\watch 0.05\n");
    wait::until("five looks", wait::LIMIT, || {
        Ok((watching.so_far().matches("50\n").count() >= 5).then_some(()))
    })
    .unwrap();
    interrupt_process(&watching);
    let output = watching.finish(Duration::from_secs(5));
    assert!(!output.text.contains("ERROR") || output.text.contains("canceling"), "{}", output.text);
    let decisions = stage.metrics().decisions_since(&before);
    let reads: u64 =
        decisions.iter().filter(|(target, ..)| target == "replica").map(|(.., count)| count).sum();
    assert!(reads >= 5, "{decisions:?}");
}

fn interrupt_process(running: &Running) {
    let id = i32::try_from(running.child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}

/// Ctrl-C ends the statement, wherever it runs. (Reading a script, psql ends with it.)
pub(crate) fn interrupt(stage: &Stage) {
    let endless = "SELECT count(*) FROM generate_series(1, 3000000000) n";
    for statement in ["SELECT pg_sleep(30)", endless, "BEGIN; SELECT pg_sleep(30)"] {
        let running = Running::start(&mut psql(stage, &stage.proxied(PROXIED)), &format!("{statement};\n"));
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state = 'active' \
                     AND datname = 'drivers_b' AND (query LIKE '%pg_sleep(30)%' OR query LIKE '%3000000000%')";
        wait::until("a server runs the statement", wait::LIMIT, || {
            let counts: Result<Vec<_>, _> =
                stage.cluster.nodes().iter().map(|node| node.sql("postgres", asked)).collect();
            Ok(counts?.iter().any(|count| count == "1").then_some(()))
        })
        .unwrap();
        let begun = Instant::now();
        interrupt_process(&running);
        let output = running.finish(Duration::from_secs(5));
        let took = begun.elapsed();
        assert!(
            output.text.contains("canceling statement due to user request"),
            "{statement}: {}",
            output.text
        );
        assert!(took < Duration::from_secs(2), "{statement}: {took:?}");
    }
}
