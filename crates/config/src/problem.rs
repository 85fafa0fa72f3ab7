//! What is wrong with a file, shown as a person wants to see it: place, key, reason, the line and a caret.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::document::Document;

/// More than these are not reported at once.
pub(crate) const MOST_PROBLEMS: usize = 20;

/// One complaint about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file; `<config>` for a text that came from none.
    pub file: PathBuf,
    /// Where in the file; absent when a key is missing altogether.
    pub position: Option<Position>,
    /// The key's path, such as `pool.min_idle` or `rules[0].target`; empty when it is the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem with a key of a file that was read before: found by whoever uses the configuration.
    #[must_use]
    pub fn at(file: &Path, key: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let text = std::fs::read_to_string(file).unwrap_or_default();
        match Document::parse(&text, file) {
            Ok((document, _)) => document.problem(key, message),
            Err(_) => Self { file: file.to_owned(), position: None, key: key.to_owned(), message },
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub width: usize,
    /// The line's text.
    pub text: String,
}

/// Something that is allowed and probably not meant.
pub type Warning = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Position { line, column, .. }) = &self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        let Some(Position { line, column, width, text }) = &self.position else { return Ok(()) };
        // Tabs stay tabs under the line, or the caret would stand somewhere else.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let gutter = line.to_string().len();
        write!(f, "\n  {line} | {text}\n  {:gutter$} | {indent}{}", "", "^".repeat(*width))
    }
}

/// Why a configuration was refused: all that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.position.as_ref().map(|at| (at.line, at.column)));
        problems.truncate(MOST_PROBLEMS);
        Self { problems }
    }

    /// Each of them; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
