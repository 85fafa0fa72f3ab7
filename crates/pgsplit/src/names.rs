//! Tables and functions that the configuration names and the database does not have.

use pgsplit_config::{Config, nearest};
use pgsplit_sql::Catalog;

use crate::wiring;

/// Each of them: the key, and what may have been meant.
pub(crate) fn unknown(config: &Config, catalog: &Catalog) -> Vec<(String, String)> {
    let mut found = of_rules(config, catalog);
    let routing = &config.routing;
    for (key, names) in [
        ("functions_read_only", &routing.functions_read_only),
        ("functions_write", &routing.functions_write),
        ("functions_stateless", &routing.functions_stateless),
    ] {
        let unknown = names.iter().filter_map(|name| function(catalog, split(name)));
        found.extend(unknown.map(|said| (format!("routing.{key}"), said)));
    }
    let triggers = routing.triggers.iter().flat_map(|(table, written)| std::iter::once(table).chain(written));
    let unknown = triggers.filter_map(|name| table(catalog, split(name)));
    found.extend(unknown.map(|said| ("routing.triggers".to_owned(), said)));
    found
}

/// A name of the configuration, with its schema where it has one.
fn split(name: &str) -> (Option<&str>, &str) {
    name.split_once('.').map_or((None, name), |(schema, name)| (Some(schema), name))
}

fn table(catalog: &Catalog, (schema, name): (Option<&str>, &str)) -> Option<String> {
    let system = name.starts_with("pg_") || matches!(schema, Some("pg_catalog" | "information_schema"));
    if system || is_known(schema, catalog.schemas(name)) {
        return None;
    }
    Some(sentence("table", schema, name, meant(schema, name, catalog.relation_names())))
}

fn function(catalog: &Catalog, (schema, name): (Option<&str>, &str)) -> Option<String> {
    let builtin = schema.is_none_or(|schema| schema == "pg_catalog")
        && pgsplit_sql::builtin::function(name) != pgsplit_sql::builtin::Function::Unlisted;
    if builtin || is_known(schema, catalog.function_schemas(name)) {
        return None;
    }
    Some(sentence("function", schema, name, meant(schema, name, catalog.function_names())))
}

fn of_rules(config: &Config, catalog: &Catalog) -> Vec<(String, String)> {
    let rules = wiring::rules(config);
    let mut found = Vec::new();
    for (i, (rule, written)) in rules.iter().zip(&config.rules).enumerate() {
        let list = if written.matching.tables.is_empty() { "only_tables" } else { "tables" };
        let tables = rule.tables().filter_map(|name| table(catalog, name));
        found.extend(tables.map(|said| (format!("rules[{i}].match.{list}"), said)));
        let functions = rule.functions().filter_map(|name| function(catalog, name));
        found.extend(functions.map(|said| (format!("rules[{i}].match.functions"), said)));
    }
    found
}

fn is_known<'a>(schema: Option<&str>, mut schemas: impl Iterator<Item = &'a str>) -> bool {
    schemas.any(|known| schema.is_none_or(|schema| schema == known))
}

/// The nearest name, with its schema where one was given.
fn meant<'a>(
    schema: Option<&str>,
    name: &str,
    known: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<String> {
    let mut all: Vec<(&str, &str)> = known.collect();
    all.sort_unstable();
    // The same name elsewhere, or in other letters, is nearer than any other.
    let same = all.iter().find(|(_, other)| other.eq_ignore_ascii_case(name));
    let near = nearest(name, all.iter().map(|(_, other)| *other));
    let (in_schema, near) =
        same.copied().or_else(|| all.iter().find(|(_, other)| Some(*other) == near).copied())?;
    Some(if schema.is_some() { format!("{in_schema}.{near}") } else { near.to_owned() })
}

fn sentence(what: &str, schema: Option<&str>, name: &str, near: Option<String>) -> String {
    let written = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
    match near {
        Some(near) => format!("the database has no {what} `{written}`; did you mean `{near}`?"),
        None => format!("the database has no {what} `{written}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nearly_right() {
        let known = || [("public", "Session"), ("shop", "orders")].into_iter();
        assert_eq!(meant(None, "session", known()).as_deref(), Some("Session"));
        assert_eq!(meant(Some("public"), "orders", known()).as_deref(), Some("shop.orders"));
        assert_eq!(meant(None, "order", known()).as_deref(), Some("orders"));
        assert_eq!(meant(None, "nothing", known()), None);
        assert_eq!(sentence("table", Some("a"), "b", None), "the database has no table `a.b`");
    }
}
