//! `[[rules]]` and `[[tests]]`.

use std::net::IpAddr;

use super::Report;
use crate::config::{Node, Rule};
use crate::date::Date;
use crate::model::{self, Match, Target, Test};
use crate::suggest::nearest;

pub(super) fn check(rules: Vec<model::Rule>, nodes: &[Node], report: &mut Report<'_>) -> Vec<Rule> {
    let mut complete: Vec<Rule> = Vec::with_capacity(rules.len());
    let today = Date::today();
    for (i, rule) in rules.into_iter().enumerate() {
        let key = format!("rules[{i}]");
        let rule = completed(rule);
        check_name(&rule.name, &complete, &key, report);
        check_effect(&rule, &key, report);
        check_match(&rule.matching, &format!("{key}.match"), report);
        if let Some(target) = &rule.target {
            check_target(target, nodes, &format!("{key}.target"), report);
        }
        if let Some(expires) = rule.expires.filter(|expires| *expires < today) {
            report.warn(&format!("{key}.expires"), format!("the rule `{}` expired on {expires}", rule.name));
        }
        complete.push(rule);
    }
    complete
}

fn completed(rule: model::Rule) -> Rule {
    let model::Rule { name, why, matching, target, consistency, max_lag, timeout, .. } = rule;
    let model::Rule { percent, sticky, expires, mode, .. } = rule;
    let percent = percent.unwrap_or(100.0);
    Rule { name, why, matching, target, consistency, max_lag, timeout, percent, sticky, expires, mode }
}

/// Names are metric labels and reason codes (`rule:<name>`), so they are plain and unique.
fn check_name(name: &str, before: &[Rule], key: &str, report: &mut Report<'_>) {
    let key = format!("{key}.name");
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        report.error(&key, "must be 1 to 64 letters, digits, `-`, `_` or `.`");
    } else if before.iter().any(|other| other.name == name) {
        report.error(&key, format!("another rule is called `{name}` already"));
    }
}

fn check_effect(rule: &Rule, key: &str, report: &mut Report<'_>) {
    let nothing = rule.target.is_none()
        && rule.consistency.is_none()
        && rule.max_lag.is_none()
        && rule.timeout.is_none();
    if nothing {
        report.error(key, format!("the rule `{}` changes nothing: it needs a `target`", rule.name));
    }
    if rule.target == Some(Target::Primary) && (rule.consistency.is_some() || rule.max_lag.is_some()) {
        let given = if rule.consistency.is_some() { "consistency" } else { "max_lag" };
        report.error(
            &format!("{key}.{given}"),
            "has no meaning with target = \"primary\", which is never behind",
        );
    }
    let range = "must be above 0 and at most 100";
    report.require(rule.percent > 0.0 && rule.percent <= 100.0, &format!("{key}.percent"), range);
}

fn check_target(target: &Target, nodes: &[Node], key: &str, report: &mut Report<'_>) {
    let Target::Nodes(names) = target else { return };
    report.require(!names.is_empty(), key, "must be \"primary\", \"replica\" or names of nodes");
    let roles: &[&str] = if names.len() == 1 { &["primary", "replica"] } else { &[] };
    let known: Vec<&str> = roles.iter().copied().chain(nodes.iter().map(|node| node.name.as_str())).collect();
    for name in names.iter().filter(|name| nodes.iter().all(|node| node.name != **name)) {
        let message = match nearest(name, known.iter().copied()) {
            _ if ["primary", "replica"].contains(&name.as_str()) => {
                format!("`{name}` cannot be one of several")
            }
            Some(near) => format!("no node is called `{name}`; did you mean `{near}`?"),
            None => format!("no node is called `{name}`; known: {}", known.join(", ")),
        };
        report.error(key, message);
    }
}

fn check_match(matching: &Match, key: &str, report: &mut Report<'_>) {
    if *matching == Match::default() {
        report.warn(key, "has no condition: the rule matches every statement, and later rules none");
    }
    for block in matching.client.iter().filter(|block| !is_network(block)) {
        let message = format!("`{block}` is not an IP address or a block such as 10.0.0.0/8");
        report.error(&format!("{key}.client"), message);
    }
    let members: [(&str, &[String]); 12] = [
        ("tables", &matching.tables),
        ("only_tables", &matching.only_tables),
        ("functions", &matching.functions),
        ("commands", &matching.commands),
        ("route", &matching.route),
        ("hint", &matching.hint),
        ("user", &matching.user),
        ("database", &matching.database),
        ("application_name", &matching.application_name),
        ("client", &matching.client),
        ("fingerprint", &matching.fingerprint),
        ("same_as", &matching.same_as),
    ];
    for (name, values) in members {
        report.require(
            values.iter().all(|value| !value.is_empty()),
            &format!("{key}.{name}"),
            "has an empty member",
        );
    }
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= longest))
}

pub(super) fn check_tests(tests: &[Test], rules: &[Rule], nodes: &[Node], report: &mut Report<'_>) {
    for (i, test) in tests.iter().enumerate() {
        let key = format!("tests[{i}].expect");
        let expect = &test.expect;
        let any = expect.target.is_some() || expect.rule.is_some();
        report.require(any, &key, "expects nothing: it needs `target` or `rule`");
        if let Some(target) = &expect.target {
            check_target(target, nodes, &format!("{key}.target"), report);
        }
        if let Some(name) = expect.rule.as_deref().filter(|name| rules.iter().all(|rule| rule.name != *name))
        {
            report.error(
                &format!("{key}.rule"),
                match nearest(name, rules.iter().map(|rule| rule.name.as_str())) {
                    Some(near) => format!("no rule is called `{name}`; did you mean `{near}`?"),
                    None => format!("no rule is called `{name}`"),
                },
            );
        }
    }
}
