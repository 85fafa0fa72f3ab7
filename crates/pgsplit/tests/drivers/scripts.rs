//! The scripts in other languages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compare::same;
use crate::stage::Stage;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Drivers that are missing, or not those of the list, are a failure and not a reason to pass. `scripts/drivers-setup`
/// leaves a copy of the list behind.
fn assert_installed(list: &str, stamp: &str) {
    let read = |path: &str| std::fs::read(repository().join(path)).ok();
    let same = read(list).is_some_and(|list| read(stamp) == Some(list));
    assert!(same, "the drivers of {list} are not installed: run scripts/drivers-setup");
}

/// A script under `tests/drivers`, run by the environment that has the drivers.
pub(crate) fn python(stage: &Stage, script: &str) {
    assert_installed("tests/drivers/requirements.txt", "target/drivers/requirements.txt");
    let interpreter = repository().join("target/drivers/bin/python");
    let script = repository().join("tests/drivers").join(script);
    let name = script.display().to_string();
    stage.reading_on_replicas(|| {
        same(stage, &name, "", |uri| {
            let mut command = clean(&interpreter);
            command.arg("-B").arg(&script).arg(uri).env("PYTHONIOENCODING", "utf-8");
            command
        })
    });
}

/// A script under `tests/drivers/node`.
pub(crate) fn node(stage: &Stage, script: &str) {
    assert_installed("tests/drivers/node/package-lock.json", "tests/drivers/node/node_modules/.installed");
    let script = repository().join("tests/drivers/node").join(script);
    let name = script.display().to_string();
    stage.reading_on_replicas(|| {
        same(stage, &name, "", |uri| {
            let mut command = clean(Path::new("node"));
            command.arg("--no-deprecation").arg(&script).arg(uri);
            command
        })
    });
}

/// A command that no PG variable of the environment and no file in a home directory can lead astray.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8").env("HOME", "/nonexistent").env("TZ", "UTC");
    command
}
