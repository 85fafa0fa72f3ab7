//! The scripts in other languages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compare::same;
use crate::stage::Stage;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file that `scripts/drivers-setup` makes. A driver that is missing is a failure, not a reason to pass.
fn installed(path: &str) -> PathBuf {
    let path = repository().join(path);
    assert!(
        path.exists(),
        "{} is missing: run scripts/drivers-setup, which installs the drivers",
        path.display()
    );
    path
}

/// A script under `tests/drivers`, run by the environment that has the drivers.
pub(crate) fn python(stage: &Stage, script: &str) {
    let interpreter = installed("target/drivers/bin/python");
    installed("target/drivers/requirements.txt");
    let script = repository().join("tests/drivers").join(script);
    same(stage, &script.display().to_string(), "", |uri| {
        let mut command = clean(&interpreter);
        command.arg("-B").arg(&script).arg(uri).env("PYTHONIOENCODING", "utf-8");
        command
    });
}

/// A script under `tests/drivers/node`.
pub(crate) fn node(stage: &Stage, script: &str) {
    installed("tests/drivers/node/node_modules/.installed");
    let script = repository().join("tests/drivers/node").join(script);
    same(stage, &script.display().to_string(), "", |uri| {
        let mut command = clean(Path::new("node"));
        command.arg("--no-deprecation").arg(&script).arg(uri);
        command
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
