//! Printing for whoever called the program. A reader that has gone away is no reason to panic, as `println!` does.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Prints to standard output.
///
/// # Errors
/// When it cannot be written to, but for a pipe that was closed.
pub(crate) fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Prints to standard error, as well as that goes.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
