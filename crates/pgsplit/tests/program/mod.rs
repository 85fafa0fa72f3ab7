//! The program as a child process, its log read line by line, and gone when the test ends in whatever way.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use pgsplit_testkit::wait;
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A running `pgsplit`.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

/// Which of its outputs is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    Log,
    Output,
}

impl Program {
    pub(crate) fn start(command: &mut Command, reads: Reads) -> Self {
        command.stdin(Stdio::null()).env_remove("RUST_LOG");
        let (out, err) = match reads {
            Reads::Log => (Stdio::null(), Stdio::piped()),
            Reads::Output => (Stdio::piped(), Stdio::null()),
        };
        let mut child = command.stdout(out).stderr(err).spawn().unwrap();
        let stream: Box<dyn Read + Send> = match reads {
            Reads::Log => Box::new(child.stderr.take().unwrap()),
            Reads::Output => Box::new(child.stdout.take().unwrap()),
        };
        let (sender, lines) = sync_channel(10_000);
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line that contains `text`; those before it are passed over.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} after {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// All lines that are left, once it has ended.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.lines.iter().collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// How it ended.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until("the program's end", LIMIT, || Ok(child.try_wait().unwrap())).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
