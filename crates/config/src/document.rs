//! A file's text and, for every key in it, where it stands.
//!
//! Decoding and validation speak of keys by their path (`rules[0].target`); this is where a path becomes a
//! line and a column, so that neither the model nor the checks carry positions around.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Position, Problem};

/// The text that is being read, and where its keys are.
pub(crate) struct Document<'t> {
    text: &'t str,
    file: PathBuf,
    places: BTreeMap<String, Place>,
}

/// Byte ranges in the text.
struct Place {
    key: Range<usize>,
    value: Range<usize>,
    is_list: bool,
}

impl<'t> Document<'t> {
    /// Parses the text; syntax errors come back as problems.
    pub(crate) fn parse(text: &'t str, file: &Path) -> Result<(Self, Spanned<DeTable<'t>>), Vec<Problem>> {
        let mut document = Self { text, file: file.to_owned(), places: BTreeMap::new() };
        let (tree, errors) = DeTable::parse_recoverable(text);
        document.index_table("", tree.get_ref());
        if errors.is_empty() {
            return Ok((document, tree));
        }
        Err(errors
            .iter()
            .map(|error| document.problem_in(error.span(), String::new(), error.message()))
            .collect())
    }

    fn index_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path =
                if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.index_value(path, key.span(), value);
        }
    }

    fn index_value(&mut self, path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.index_table(&path, table),
            DeValue::Array(array) => {
                for (i, member) in array.iter().enumerate() {
                    self.index_value(format!("{path}[{i}]"), member.span(), member);
                }
            }
            _ => {}
        }
        let is_list = value.get_ref().is_array();
        self.places.insert(path, Place { key, value: value.span(), is_list });
    }

    /// A problem with a key, at its value; one that is not in the file has its table's place, or none.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let place = self.places.get(key).or_else(|| self.nearest(key));
        self.problem_in(place.map(|place| place.value.clone()), key.to_owned(), message)
    }

    /// A problem at a place; the key is found by it.
    pub(crate) fn problem_at(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        self.problem_in(Some(span.clone()), self.key_at(span), message)
    }

    /// A problem at a place with a known key.
    fn problem_in(&self, span: Option<Range<usize>>, key: String, message: impl Into<String>) -> Problem {
        let position = span.map(|span| self.position(&span));
        Problem { file: self.file.clone(), position, key, message: message.into() }
    }

    /// The paths of all lists, with their places.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.places
            .iter()
            .filter(|(_, place)| place.is_list)
            .map(|(path, place)| (path.as_str(), &place.value))
    }

    /// The path of the key or value that has exactly this range; the longest, as a table made by a dotted key
    /// has the range of its key.
    pub(crate) fn key_at(&self, span: &Range<usize>) -> String {
        let at = self.places.iter().filter(|(_, place)| place.key == *span || place.value == *span);
        at.map(|(path, _)| path.as_str()).max_by_key(|path| path.len()).unwrap_or_default().to_owned()
    }

    /// The place of the closest table that encloses a key which is not in the file.
    fn nearest(&self, key: &str) -> Option<&Place> {
        let parent = key.rfind(['.', '[']).and_then(|end| key.get(..end))?;
        self.places.get(parent).or_else(|| self.nearest(parent))
    }

    fn position(&self, span: &Range<usize>) -> Position {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            width: self.text.get(span.clone()).map_or(0, |value| first_line(value).chars().count()).max(1),
            text: without_secret(first_line(self.text.get(line_start..).unwrap_or_default())),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A line with a key that may hold a password, even a misspelt one, is shown only up to its value: problems
/// are logged.
fn without_secret(line: &str) -> String {
    let key = line.to_ascii_lowercase().find("pas");
    let value = key.and_then(|key| line.get(key..)?.find('=').map(|equals| key + equals + 1));
    match value.and_then(|value| line.get(..value)) {
        Some(shown) => format!("{shown} ..."),
        None => line.to_owned(),
    }
}
