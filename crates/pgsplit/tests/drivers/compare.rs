//! Running a program with a time limit, and telling two transcripts apart.

use std::fs::File;
use std::io::{Seek, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use pgsplit_testkit::wait;

use crate::stage::{DIRECT, PROXIED, Stage};

/// The longest that one run of one script takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// What a program has printed, and how it ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Output {
    #[track_caller]
    pub(crate) fn expect_success(self, what: &str) -> Self {
        assert!(self.status.success(), "{what}: {}\n{}\n{}", self.status, self.text, self.errors);
        self
    }
}

/// A program that runs, with files as its standard streams: nothing can block on a full one.
pub(crate) struct Running {
    pub(crate) child: Child,
    what: String,
    output: File,
    errors: File,
}

impl Running {
    pub(crate) fn start(command: &mut Command, input: &str) -> Self {
        let what = command.get_program().to_string_lossy().into_owned();
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        let (output, errors) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdin(stdin).stdout(output.try_clone().unwrap()).stderr(errors.try_clone().unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        Self { child, what, output, errors }
    }

    /// What it has printed so far.
    pub(crate) fn so_far(&mut self) -> String {
        read(&mut self.output)
    }

    /// Waits for its end; it is killed when the limit is over.
    pub(crate) fn finish(mut self, limit: Duration) -> Output {
        let status = wait::until(&self.what, limit, || Ok(self.child.try_wait().unwrap_or(None)));
        if status.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let (text, errors) = (read(&mut self.output), read(&mut self.errors));
        let status = status.unwrap_or_else(|error| panic!("{error}; it printed:\n{}\n{errors}", tail(&text)));
        Output { status, text, errors }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads by position: the program writes through the same file description.
fn read(file: &mut File) -> String {
    use std::os::unix::fs::FileExt;
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Runs one command directly and through pgsplit; both must print the same. `command` is made for a URI.
#[track_caller]
pub(crate) fn same(stage: &Stage, name: &str, input: &str, command: impl Fn(&str) -> Command) {
    let run = |uri: &str| Running::start(&mut command(uri), input).finish(LIMIT);
    let direct = run(&stage.direct(DIRECT)).expect_success(&format!("{name}, directly"));
    let proxied = run(&stage.proxied(PROXIED));
    assert_same(stage, name, &direct.text, &proxied.text);
    proxied.expect_success(&format!("{name}, through pgsplit"));
}

#[track_caller]
pub(crate) fn assert_same(stage: &Stage, name: &str, direct: &str, proxied: &str) {
    let (direct, proxied) = (stage.normalised(direct), stage.normalised(proxied));
    assert!(!direct.trim().is_empty(), "{name} has printed nothing");
    assert!(direct == proxied, "{name}: the transcripts differ\n{}", difference(&direct, &proxied));
}

/// A unified diff, by the program that makes them.
fn difference(direct: &str, proxied: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("direct", direct), ("proxied", proxied)] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let mut command = Command::new("diff");
    command.args(["-u", "-a", "direct", "proxied"]).current_dir(directory.path()).stdin(Stdio::null());
    let mut output = Running::start(&mut command, "").finish(wait::LIMIT).text;
    output.truncate(output.floor_char_boundary(20_000));
    output
}
