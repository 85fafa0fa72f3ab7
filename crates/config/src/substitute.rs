//! `${NAME}` in strings is an environment variable; `$${` is a literal `${`.
//!
//! It is done on the parsed tree, not on the text: a variable's value can hold quotes and newlines without
//! changing the meaning of the file, and comments are left alone.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A complaint about the string at a place.
pub(crate) type Complaint = (Range<usize>, String);

/// Replaces variables in every string of the tree.
pub(crate) fn substitute(tree: &mut DeTable<'_>, environment: Environment<'_>) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (_, value) in tree {
        in_value(value, environment, &mut complaints);
    }
    complaints
}

fn in_value(value: &mut Spanned<DeValue<'_>>, environment: Environment<'_>, complaints: &mut Vec<Complaint>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => match replaced(text, environment) {
            Ok(None) => {}
            Ok(Some(new)) => *text = Cow::Owned(new),
            Err(message) => complaints.push((span, message)),
        },
        DeValue::Array(members) => {
            members.iter_mut().for_each(|member| in_value(member, environment, complaints))
        }
        DeValue::Table(table) => {
            table.iter_mut().for_each(|(_, member)| in_value(member, environment, complaints))
        }
        _ => {}
    }
}

/// The text with its variables replaced, or `None` when it has none.
fn replaced(text: &str, environment: Environment<'_>) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = after;
            continue;
        }
        result.push_str(before);
        let (name, tail) =
            after.split_once('}').ok_or("`${` is not closed by `}` (a literal `${` is `$${`)")?;
        result.push_str(&value_of(name, environment)?);
        rest = tail;
    }
    result.push_str(rest);
    Ok(Some(result))
}

fn value_of(name: &str, environment: Environment<'_>) -> Result<String, String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(valid) {
        return Err(format!(
            "`${{{name}}}` does not name an environment variable (a literal `${{` is `$${{`)"
        ));
    }
    environment(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "A" => Some("alpha".to_owned()),
            "QUOTED" => Some("it's \"${A}\"".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables() {
        for (text, expected) in [
            ("plain $1 text", Ok(None)),
            ("${A}", Ok(Some("alpha"))),
            ("x${A}-${A}y", Ok(Some("xalpha-alphay"))),
            ("$${A} ${A}", Ok(Some("${A} alpha"))),
            ("${QUOTED}", Ok(Some("it's \"${A}\""))),
            ("${B}", Err("the environment variable `B` is not set")),
            ("${A", Err("`${` is not closed by `}` (a literal `${` is `$${`)")),
            ("${}", Err("`${}` does not name an environment variable (a literal `${` is `$${`)")),
        ] {
            let result = replaced(text, &environment);
            assert_eq!(result.as_ref().map(Option::as_deref).map_err(String::as_str), expected, "{text}");
        }
    }
}
