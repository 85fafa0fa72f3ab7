//! Rules that are allowed by their form and cannot do what is meant: those that nothing reaches, routes that never
//! match, words that stand for nothing.

use std::collections::BTreeMap;

use super::pattern::matches;
use super::{Report, commands};
use crate::config::Rule;
use crate::model::{Match, RuleMode, Sticky, Target};

/// More are not looked at, and not needed by anybody who must understand them.
const MOST_RULES: usize = 256;

/// Those that write whatever else is in them.
const WRITES: [&str; 8] = ["INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP"];

pub(super) fn check(rules: &[Rule], hints: bool, report: &mut Report<'_>) {
    report.require(rules.len() <= MOST_RULES, "rules", "there can be at most 256 rules");
    for (i, rule) in rules.iter().enumerate() {
        let key = format!("rules[{i}]");
        check_route(&rule.matching.route, &format!("{key}.match.route"), report);
        check_commands(rule, &format!("{key}.match.commands"), report);
        for fingerprint in &rule.matching.fingerprint {
            let hexadecimal = fingerprint.len() <= 16 && u64::from_str_radix(fingerprint, 16).is_ok();
            let message = format!("`{fingerprint}` is no fingerprint: up to 16 hexadecimal digits");
            report.require(hexadecimal, &format!("{key}.match.fingerprint"), &message);
        }
        check_words(rule, hints, &format!("{key}.match"), report);
        check_percent(rule, &format!("{key}.percent"), report);
        let earlier = rules.iter().take(i).find(|earlier| covers(earlier, rule));
        if let Some(earlier) = earlier {
            let message = format!(
                "the rule `{}` is never reached: `{}` before it matches all that it matches",
                rule.name, earlier.name
            );
            report.warn(&format!("{key}.name"), message);
        }
    }
}

/// Tags are compared decoded, so a route with `%2F` in it matches nothing.
fn check_route(routes: &[String], key: &str, report: &mut Report<'_>) {
    for route in routes {
        let decoded = decoded(route);
        if decoded != *route {
            report.error(key, format!("is URL-encoded and would match nothing; write `{decoded}`"));
        }
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let pair = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            _ => out.push(*first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn check_commands(rule: &Rule, key: &str, report: &mut Report<'_>) {
    let commands: Vec<String> = rule.matching.commands.iter().map(|c| c.to_ascii_uppercase()).collect();
    for command in &commands {
        if let Err(message) = commands::known(command) {
            report.error(key, message);
        }
    }
    let for_replicas = matches!(rule.target, Some(Target::Replica | Target::Nodes(_)));
    if for_replicas && !commands.is_empty() && commands.iter().all(|c| WRITES.contains(&c.as_str())) {
        let message = format!("the rule `{}` matches only writes, which never go to a replica", rule.name);
        report.warn(key, message);
    }
}

/// Tags and hints that nothing can have.
fn check_words(rule: &Rule, hints: bool, key: &str, report: &mut Report<'_>) {
    if !hints && !rule.matching.hint.is_empty() {
        let message =
            format!("the rule `{}` never matches: routing.hints = false, and it asks for one", rule.name);
        report.warn(&format!("{key}.hint"), message);
    }
    for (name, _) in rule.matching.tags.iter().filter(|(_, values)| values.is_empty()) {
        let message = format!("the rule `{}` never matches: no value of the tag is listed", rule.name);
        report.warn(&format!("{key}.tags.{name}"), message);
    }
}

/// A share of one statement by its fingerprint is all of it or nothing.
fn check_percent(rule: &Rule, key: &str, report: &mut Report<'_>) {
    let statements = rule.matching.fingerprint.len() + rule.matching.same_as.len();
    if rule.percent < 100.0 && rule.sticky == Sticky::Statement && statements > 0 {
        let message = format!(
            "the rule `{}` takes each statement that it names wholly or not at all; with sticky = \"session\" it takes \
             this share of the sessions",
            rule.name
        );
        report.warn(key, message);
    }
}

/// Whether a rule matches whatever another one matches, and keeps it.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    earlier.mode == RuleMode::Enforce
        && earlier.percent >= 100.0
        && implied(&earlier.matching, &later.matching)
}

/// Whether every condition of one follows from those of the other.
fn implied(general: &Match, special: &Match) -> bool {
    let plain = [
        (&general.route, &special.route),
        (&general.client, &special.client),
        (&general.fingerprint, &special.fingerprint),
        (&general.same_as, &special.same_as),
    ];
    let patterns = [
        (&general.hint, &special.hint),
        (&general.user, &special.user),
        (&general.database, &special.database),
        (&general.application_name, &special.application_name),
    ];
    let names = [(&general.functions, &special.functions), (&general.only_tables, &special.only_tables)];
    let same = |pattern: &str, value: &str| pattern == value || pattern == "*";
    // Whoever touches nothing but some tables touches one of them.
    let tables = follows(&general.tables, &special.tables, covers_name)
        || follows(&general.tables, &special.only_tables, covers_name);
    let all = |lists: &[(&Vec<String>, &Vec<String>)], covers: fn(&str, &str) -> bool| {
        lists.iter().all(|(general, special)| follows(general, special, covers))
    };
    tables
        && all(&plain, same)
        && all(&patterns, matches)
        && all(&names, covers_name)
        && follows(&general.commands, &special.commands, covers_command)
        && tags_follow(&general.tags, &special.tags)
}

/// Whether a condition follows from another one; `covers` tells it of two members.
fn follows(general: &[String], special: &[String], covers: fn(&str, &str) -> bool) -> bool {
    let within = |value: &String| general.iter().any(|pattern| covers(pattern, value));
    general.is_empty() || !special.is_empty() && special.iter().all(within)
}

/// Of tables and functions: without a schema one stands for that name in any.
fn covers_name(general: &str, special: &str) -> bool {
    match (general.split_once('.'), special.split_once('.')) {
        (None, None) => matches(general, special),
        (None, Some((_, name))) => matches(general, name),
        (Some((schema, name)), Some((in_schema, of_name))) => {
            matches(schema, in_schema) && matches(name, of_name)
        }
        (Some(_), None) => false,
    }
}

/// Commands are compared in upper case.
fn covers_command(general: &str, special: &str) -> bool {
    matches(&general.to_ascii_uppercase(), &special.to_ascii_uppercase())
}

fn tags_follow(general: &BTreeMap<String, Vec<String>>, special: &BTreeMap<String, Vec<String>>) -> bool {
    let follow = |values: &Vec<String>, other: &Vec<String>| {
        !other.is_empty() && other.iter().all(|value| values.iter().any(|pattern| matches(pattern, value)))
    };
    general.iter().all(|(name, values)| special.get(name).is_some_and(|other| follow(values, other)))
}
