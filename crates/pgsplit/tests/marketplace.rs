//! The scaling plan's application: its example configuration is good, and its load test (`benches/marketplace`) runs and
//! tells where each script's statements go.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helpers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pgsplit_testkit::{Account, Cluster, Proxy};

const PGSPLIT: &str = env!("CARGO_BIN_EXE_pgsplit");
/// What the whole load test may take, pgbench's own limits aside.
const LIMIT: &str = "150";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn the_example_configuration_is_good() {
    let mut command = Command::new(PGSPLIT);
    command.args(["check", "-c", "config/marketplace.toml"]).current_dir(repository());
    let output = command.env("PGSPLIT_PASSWORD", "secret").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// The scripts of `mix.txt`, and whether each only reads.
fn scripts() -> BTreeMap<String, bool> {
    let list = std::fs::read_to_string(repository().join("benches/marketplace/mix.txt")).unwrap();
    let entries = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names = entries.map(|line| {
        let [group, name, _] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        (name.to_owned(), ["public", "authenticated", "admin"].contains(&group))
    });
    names.collect()
}

/// All that only reads goes to replicas, all else to the primary, and nothing fails.
#[test]
fn the_load_test_runs() {
    let cluster = Cluster::builder().name("marketplace").replicas(2).start().unwrap();
    // Where reads go must not depend on how fast the replicas are.
    let proxy = Proxy::start(Path::new(PGSPLIT), &cluster, "[consistency]\nlevel = \"eventual\"").unwrap();
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", LIMIT, "python3", "-B", "benches/marketplace/run"])
        .current_dir(repository());
    command.args(["-T", "2", "-c", "8", "-s", "1", "--each", "2", "--load"]);
    command.args([
        "--port",
        &proxy.port().to_string(),
        "--http",
        &format!("127.0.0.1:{}", proxy.http_port()),
    ]);
    let output = command.env("PGPASSWORD", Account::APP.password()).output().unwrap();
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");

    let (alone, mixed) = shown.split_once("\nThe mix: ").unwrap();
    let scripts = scripts();
    assert_eq!(scripts.len(), 34);
    for (script, reads) in &scripts {
        let line = |part: &str| -> Vec<String> {
            let found = part.lines().find(|line| line.starts_with(&format!("{script} ")));
            found
                .unwrap_or_else(|| panic!("no {script} in\n{shown}"))
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        let decided = line(alone);
        assert_eq!(decided.last().unwrap() == "-", *reads, "{decided:?}");
        assert_eq!(decided[1] != "-", *reads, "{decided:?}");
        // Name, calls, share, mean, p99, failed.
        assert_eq!(line(mixed)[5], "0", "{shown}");
    }
}
