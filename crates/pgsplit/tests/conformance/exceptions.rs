//! The list of what no proxy can hide. A line names a test of the regression suite, the line of its output that asks for
//! it, the line that is expected and the one that comes instead, separated by ` | `. Of a test in Python it is the line of
//! the test that fails, `passes`, and the last line of what is said then.

use std::fs;

use crate::home;

/// The most entries that the list may have.
const MOST: usize = 10;

/// One entry of the list.
#[derive(Debug, PartialEq, Eq)]
struct Exception {
    test: String,
    asked: String,
    expected: String,
    instead: String,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Exceptions(Vec<Exception>);

impl Exceptions {
    pub(crate) fn load() -> Self {
        let path = home::repository().join("tests/conformance/exceptions.txt");
        let list = Self::read(&fs::read_to_string(path).unwrap());
        assert!(list.0.len() <= MOST, "the list of exceptions has more than {MOST} entries");
        list
    }

    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| Exception::read(line).unwrap_or_else(|| panic!("not an exception: {line}")))
                .collect(),
        )
    }

    /// Whether all that differs in a test is on the list. `diff` is the test's part of regression.diffs.
    pub(crate) fn cover(&self, test: &str, diff: &str) -> bool {
        let hunks: Vec<&str> = diff.split("\n@@ ").skip(1).collect();
        !hunks.is_empty()
            && hunks.iter().all(|hunk| self.0.iter().any(|entry| entry.test == test && entry.covers(hunk)))
    }
}

impl Exceptions {
    /// Whether a failure of a test in Python is on the list. `said` is what pytest said of it.
    pub(crate) fn cover_failure(&self, test: &str, said: &str) -> bool {
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        self.0.iter().any(|entry| {
            entry.test == test
                && entry.expected == "passes"
                && entry.instead == last.trim()
                && said.lines().any(|line| line.trim() == entry.asked)
        })
    }
}

impl Exception {
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split(" | ").map(|field| field.trim().to_owned()).collect();
        let [test, asked, expected, instead] = fields.try_into().ok()?;
        Some(Self { test, asked, expected, instead })
    }

    /// Whether a hunk of a diff has this one line changed, and behind that question.
    fn covers(&self, hunk: &str) -> bool {
        let mut lines = hunk.lines().skip(1);
        let before: Vec<_> = lines.by_ref().take_while(|line| line.starts_with(' ')).collect();
        // The first changed line ended the iteration: look again from there.
        let changed: Vec<_> = hunk.lines().skip(1).filter(|line| line.starts_with(['-', '+'])).collect();
        let asked = before.iter().any(|line| line.trim() == self.asked);
        let [minus, plus] = changed[..] else { return false };
        asked
            && minus.strip_prefix('-').is_some_and(|line| line.trim() == self.expected)
            && plus.strip_prefix('+').is_some_and(|line| line.trim() == self.instead)
    }
}

#[test]
fn an_exception_covers_one_line_and_nothing_else() {
    let list = Exceptions::read("# why\nstats | SELECT a > b; | t | f\n");
    let diff = |asked: &str, more: &str| {
        format!(
            "diff x\n--- x\n+++ y\n@@ -1,3 +1,3 @@\n {asked}\n  ?column?\n ---\n- t\n+ f\n (1 row)\n{more}"
        )
    };
    assert!(list.cover("stats", &diff("SELECT a > b;", "")));
    assert!(!list.cover("other", &diff("SELECT a > b;", "")));
    assert!(!list.cover("stats", &diff("SELECT a > c;", "")));
    assert!(!list.cover("stats", &diff("SELECT a > b;", "+more\n")));
    assert!(!list.cover("stats", &diff("SELECT a > b;", "@@ -9 +9 @@\n-u\n+v\n")));
    assert!(!list.cover("stats", ""));
}

#[test]
fn an_exception_covers_one_failure_and_nothing_else() {
    let list = Exceptions::read("tests/t.py::T::f | await gone() | passes | TimeoutError\n");
    let said = |line: &str, last: &str| format!("Traceback\n  File \"t.py\", line 1\n    {line}\n{last}\n\n");
    assert!(list.cover_failure("tests/t.py::T::f", &said("await gone()", "TimeoutError")));
    assert!(!list.cover_failure("tests/t.py::T::g", &said("await gone()", "TimeoutError")));
    assert!(!list.cover_failure("tests/t.py::T::f", &said("await other()", "TimeoutError")));
    assert!(!list.cover_failure("tests/t.py::T::f", &said("await gone()", "AssertionError")));
}
