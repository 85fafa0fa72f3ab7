//! From the tree to the model, collecting every complaint on the way.
//!
//! serde stops at the first error. So the offending key is taken out of the tree and decoding starts anew,
//! until nothing is left to complain about; files are small and wrong ones rare.

use std::mem;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

use crate::config::DEFAULTS;
use crate::document::Document;
use crate::model::File;
use crate::problem::{MOST_PROBLEMS, Problem};
use crate::substitute::Complaint;
use crate::suggest::nearest;

/// Decodes the tree, or tells what is wrong with it. What was found wrong before is taken out first.
pub(crate) fn decode(
    tree: Spanned<DeTable<'_>>,
    found: Vec<Complaint>,
    document: &Document<'_>,
) -> Result<File, Vec<Problem>> {
    let mut tree = Spanned::new(tree.span(), DeValue::Table(tree.into_inner()));
    let mut problems = Vec::new();
    for (span, message) in found.into_iter().chain(lists_for_tables(document)) {
        problems.push(document.problem_at(&span, message));
        remove(tree.get_mut(), &span);
    }
    while problems.len() < MOST_PROBLEMS {
        match File::deserialize(ValueDeserializer::from(tree.clone())) {
            Ok(file) if problems.is_empty() => return Ok(file),
            Ok(_) => break,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                problems.push(document.problem_at(&span, explain(error.message())));
                if !remove(tree.get_mut(), &span) {
                    break;
                }
            }
        }
    }
    Err(problems)
}

/// Tables, by their paths without indices.
const TABLES: [&str; 14] = [
    "topology",
    "auth",
    "tls",
    "pool",
    "timeouts",
    "routing",
    "routing.spill",
    "routing.retry",
    "consistency",
    "balance",
    "health",
    "log",
    "rules[].match",
    "tests[].expect",
];

/// serde takes a list for a struct, its fields in order; nobody means that.
fn lists_for_tables(document: &Document<'_>) -> Vec<Complaint> {
    let misplaced = document.lists().filter_map(|(path, span)| {
        let general: String = path.chars().filter(|c| !c.is_ascii_digit()).collect();
        let message = match general.as_str() {
            table if TABLES.contains(&table) => "expected a table, found a list",
            member if member.ends_with("[]") => "a list cannot stand in a list here",
            _ => return None,
        };
        Some((span.clone(), message.to_owned()))
    });
    misplaced.collect()
}

/// Takes out the innermost key or member at a place; false when nothing is there.
fn remove(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => {
            if table.iter_mut().any(|(_, member)| remove(member.get_mut(), span)) {
                return true;
            }
            let before = table.len();
            let kept = mem::take(table).into_iter();
            *table = kept.filter(|(key, member)| key.span() != *span && member.span() != *span).collect();
            table.len() < before
        }
        DeValue::Array(members) => {
            if members.iter_mut().any(|member| remove(member.get_mut(), span)) {
                return true;
            }
            let before = members.len();
            *members =
                mem::replace(members, DeArray::new()).into_iter().filter(|m| m.span() != *span).collect();
            members.len() < before
        }
        _ => false,
    }
}

/// serde's message in this file's words, with the nearest valid word.
fn explain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown(rest, |word, known| match (nearest(word, known.iter().copied()), home_of(word)) {
            (Some(near), _) => format!("unknown key `{word}`; did you mean `{near}`?"),
            (None, Some(home)) => format!("unknown key `{word}` here; it belongs {home}"),
            (None, None) => format!("unknown key `{word}`; known here: {}", known.join(", ")),
        });
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown(rest, |word, known| match nearest(word, known.iter().copied()) {
            Some(near) => format!("`{word}` is not one of {}; did you mean `{near}`?", known.join(", ")),
            None => format!("`{word}` is not one of {}", known.join(", ")),
        });
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("the key {rest} is missing");
    }
    plain_types(message)
}

/// Where a key of the defaults stands: in TOML a key after `[auth]` is one of `auth`, which surprises people.
fn home_of(word: &str) -> Option<String> {
    let defaults = DeTable::parse(DEFAULTS).ok()?;
    if defaults.get_ref().contains_key(word) {
        return Some("at the top of the file, before the first [table]".to_owned());
    }
    let tables = defaults.get_ref().iter();
    let mut homes =
        tables.filter(|(_, value)| value.get_ref().as_table().is_some_and(|t| t.contains_key(word)));
    homes.next().map(|(name, _)| format!("in [{}]", name.get_ref()))
}

/// Splits "`word`, expected one of `a`, `b`" and hands the word and the valid ones on.
fn unknown(rest: &str, tell: impl Fn(&str, &[&str]) -> String) -> String {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let word = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    tell(word, &known)
}

/// Rust's names of types in the words of TOML.
fn plain_types(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        "usize" | "u32" | "u64" | "i64" => "a whole number, 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "path string" => "a path",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    };
    let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "));
    let found = found.map(|found| match found {
        "map" => "a table",
        "sequence" => "a list",
        _ => found,
    });
    found.map_or_else(|| message.to_owned(), |found| format!("expected {expected}, found {found}"))
}
