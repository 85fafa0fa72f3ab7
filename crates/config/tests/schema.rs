//! The JSON Schema that editors use says of durations and sizes what the program says.
#![allow(missing_docs, clippy::unwrap_used, reason = "a failed test panics, also in its helper functions")]

use std::path::Path;

use pgsplit_config::Config;
use regex::Regex;
use serde_json::Value;

/// Keys of each kind, as pointers into the schema and as they are written.
const DURATIONS: [(&str, &str); 9] = [
    ("/properties/timeouts/properties/query", "timeouts.query"),
    ("/properties/timeouts/properties/drain", "timeouts.drain"),
    ("/properties/pool/properties/wait", "pool.wait"),
    ("/properties/pool/properties/lifetime", "pool.lifetime"),
    ("/properties/consistency/properties/wait", "consistency.wait"),
    ("/properties/consistency/properties/max_lag", "consistency.max_lag"),
    ("/properties/health/properties/slow_start", "health.slow_start"),
    ("/properties/health/properties/failover_wait", "health.failover_wait"),
    ("/properties/log/properties/slow", "log.slow"),
];
const POSITIVE: [(&str, &str); 2] = [
    ("/properties/rules/items/properties/max_lag", "max_lag"),
    ("/properties/rules/items/properties/timeout", "timeout"),
];
const SIZES: [(&str, &str); 2] = [
    ("/properties/routing/properties/cache", "routing.cache"),
    ("/properties/routing/properties/retry/properties/buffer", "routing.retry.buffer"),
];

/// Values as TOML has them, good and bad.
const TIMES: [&str; 24] = [
    "'0'",
    "0",
    "' 0 '",
    "'0s'",
    "'500ms'",
    "'5 s'",
    "' 5s '",
    "'1h30m'",
    "'1h 30m'",
    "'250us'",
    "'7d'",
    "'20ms'",
    "'${TIME}'",
    "'${NUMBER}s'",
    "'${UNSET'",
    "'1.5s'",
    "'5'",
    "'s'",
    "'-5s'",
    "'5sec'",
    "''",
    "5",
    "'file:/x'",
    "true",
];
const BYTES: [&str; 14] = [
    "'0'",
    "0",
    "'512B'",
    "'64MiB'",
    "'64 KiB'",
    "'1MiB512KiB'",
    "'${SIZE}'",
    "'1.5MiB'",
    "'64MB'",
    "'64'",
    "64",
    "''",
    "'KiB'",
    "'-1KiB'",
];

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/pgsplit.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether a value is what the schema asks for, as far as these keys ask for anything.
fn fits(wanted: &Value, value: &toml::Value) -> bool {
    let types: Vec<&str> = match &wanted["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match value {
        toml::Value::String(text) => {
            types.contains(&"string")
                && Regex::new(wanted["pattern"].as_str().unwrap()).unwrap().is_match(text)
        }
        toml::Value::Integer(number) => {
            let within = |bound: &str, holds: fn(&i64, &i64) -> bool| {
                wanted[bound].as_i64().is_none_or(|bound| holds(number, &bound))
            };
            types.contains(&"integer") && within("minimum", i64::ge) && within("maximum", i64::le)
        }
        _ => false,
    }
}

/// What the program says of the form of a value; whether a key may be zero or so large is another question.
fn accepted(text: &str, key: &str) -> bool {
    let variables = |name: &str| match name {
        "TIME" => Some("20ms".to_owned()),
        "NUMBER" => Some("20".to_owned()),
        "SIZE" => Some("64KiB".to_owned()),
        _ => None,
    };
    let parsed = Config::parse_with(&format!("nodes = ['a', 'b']\n{text}"), Path::new("."), &variables);
    let complaints = parsed.err().map(|error| error.problems().to_vec()).unwrap_or_default();
    let of_the_value = |said: &str| {
        ["must be above", "must be at least", "must be at most"].iter().any(|bound| said.contains(bound))
            && !said.contains("rules[0]")
    };
    let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    let wrong: Vec<_> = complaints.iter().filter(|said| !of_the_value(said)).collect();
    assert!(wrong.iter().all(|said| said.contains(key)), "{wrong:?}");
    wrong.is_empty()
}

fn agree(keys: &[(&str, &str)], values: &[&str], written: impl Fn(&str, &str) -> String) {
    let schema = schema();
    for (pointer, key) in keys {
        let wanted = schema.pointer(pointer).unwrap();
        for value in values {
            let parsed: toml::Table = format!("v = {value}").parse().unwrap();
            let by_schema = fits(wanted, &parsed["v"]);
            assert_eq!(accepted(&written(key, value), key), by_schema, "{key} = {value}");
        }
    }
}

#[test]
fn durations_and_sizes_are_what_the_program_takes() {
    agree(&DURATIONS, &TIMES, |key, value| format!("{key} = {value}\n"));
    agree(&SIZES, &BYTES, |key, value| format!("{key} = {value}\n"));
    agree(&POSITIVE, &TIMES, |key, value| {
        format!("[[rules]]\nname = 'r'\nmatch.user = 'x'\ntarget = 'replica'\n{key} = {value}\n")
    });
}

/// No duration or size has a pattern of its own.
#[test]
fn all_of_them_are_alike() {
    let text = schema().to_string();
    assert!(!text.contains(r"[0-9]+(\\.[0-9]+)"), "fractions are not taken");
}
