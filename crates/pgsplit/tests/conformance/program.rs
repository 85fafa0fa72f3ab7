//! A program that takes minutes: its output in a file, a time limit, and a sign of life now and then.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pgsplit_testkit::wait;

/// How often something is said of a program that runs.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// How a program has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) time: Duration,
}

/// Runs a program to its end, with all of its output in `log`. It is killed when `limit` is over; that is an ordinary end
/// here, as the tests that it did not get to are missing then. What it has started ends with the cluster.
pub(crate) fn run(command: &mut Command, what: &str, limit: Duration, log: &Path) -> Ended {
    let output = File::create(log).unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output).stdin(Stdio::null());
    let (begun, mut said) = (Instant::now(), Instant::now());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let status = wait::until(what, limit, || {
        if said.elapsed() >= SIGN_OF_LIFE {
            said = Instant::now();
            println!("{what}: {} s, {}", begun.elapsed().as_secs(), last_line(log));
        }
        Ok(child.try_wait().unwrap_or(None))
    });
    let time = begun.elapsed();
    let status = status.unwrap_or_else(|error| {
        println!("{error}");
        let _ = child.kill();
        child.wait().unwrap()
    });
    Ended { status, output: read(log), time }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn last_line(log: &Path) -> String {
    let text = read(log);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().collect();
    let mut line = words.join(" ");
    line.truncate(line.floor_char_boundary(100));
    line
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
