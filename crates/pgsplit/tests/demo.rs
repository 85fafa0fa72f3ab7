//! `pgsplit demo` from its first line to nothing left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

mod program;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use program::{Program, Reads};
use rustix::process::Signal;

/// A line that it printed, as the shell runs it.
fn shell(line: &str) -> String {
    let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{line}: {out}{err}");
    out
}

#[test]
fn prints_lines_that_work_and_leaves_nothing() {
    // The servers' user must be able to enter it.
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
    command.args(["demo", "--replicas", "1", "--port", "0", "--scale", "1"]).env("TMPDIR", directory.path());
    let mut demo = Program::start(&mut command, Reads::Output);

    let psql = demo.line_with("postgresql://");
    assert_eq!(shell(&format!("{psql} -XAtc 'SELECT count(*) FROM pgbench_accounts'")), "100000\n");
    for mode in ["simple", "extended", "prepared"] {
        let line = demo.line_with(&format!("-S -M {mode}")).replace("-c 32 -T 10", "-c 2 -t 10");
        assert!(shell(&line).contains("number of failed transactions: 0"), "{line}");
    }
    let line = demo.line_with("pgbench").replace("-c 32 -T 10", "-c 2 -t 10");
    assert!(shell(&line).contains("number of transactions actually processed: 20/20"), "{line}");
    // One read by psql and twenty by each pgbench, which asks a few questions of its own besides.
    let metrics = shell(&demo.line_with("curl"));
    let reads = "pgsplit_routing_decisions_total{target=\"replica\",reason=\"read\"} ";
    let reads = metrics.lines().find_map(|line| line.strip_prefix(reads)?.parse::<u32>().ok());
    assert!(reads.is_some_and(|reads| (61..100).contains(&reads)), "{reads:?}");
    demo.line_with("clients 0  primary ");

    demo.signal(Signal::INT);
    demo.line_with("Nothing is left.");
    assert_eq!(demo.end().code(), Some(0));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
