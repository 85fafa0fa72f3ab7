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

/// Nothing is wider, but for a word (a path), or a line of somebody's file.
pub(crate) const WIDTH: usize = 80;
/// Before what a line goes on with.
const INDENT: &str = "    ";

/// Cuts lines at blanks. Lines of a file that are shown, and what points at a place in them, stay as they are.
pub(crate) fn wrapped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_end().chars().count() <= WIDTH || is_of_a_file(line) {
            out.push_str(line);
            continue;
        }
        let begin = line.len() - line.trim_start().len();
        out.push_str(line.get(..begin).unwrap_or_default());
        let mut used = begin;
        for (at, word) in line.split_whitespace().enumerate() {
            let length = word.chars().count();
            if at > 0 && used + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(INDENT);
                used = INDENT.len();
            } else if at > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += length;
        }
        if line.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// `  3 | pool.wait = 5`, or the marks below it.
fn is_of_a_file(line: &str) -> bool {
    line.starts_with(' ')
        && line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_blanks() {
        let words = "word ".repeat(20);
        let whole = format!("error: {words}\n  3 | {words}\n    | ^^^ {words}\nshort\n");
        let cut = wrapped(&whole);
        let (first, rest) = cut.split_once("  3 |").unwrap();
        assert!(first.lines().all(|line| line.len() <= WIDTH), "{first}");
        assert_eq!(first.lines().count(), 2);
        assert_eq!(first.split_whitespace().count(), 21);
        assert_eq!(rest, whole.split_once("  3 |").unwrap().1);
        let path = "/x".repeat(60);
        assert_eq!(wrapped(&format!("a {path} b\n")), format!("a\n    {path}\n    b\n"));
    }
}
