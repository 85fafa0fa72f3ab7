//! An explanation for programs. Names are those of metrics and configuration.

use std::collections::BTreeMap;

use pgsplit_route::rules::TellOf;
use pgsplit_sql::facts::Relations;
use serde_json::{Value, json};

use super::answer::{Answer, Background, commands};
use super::consider::RuleTold;
use super::text::state;

pub(super) fn render(answer: &Answer) -> String {
    let facts = &answer.facts;
    let mut value = json!({
        "sql": answer.sql,
        "target": answer.target,
        "reason": answer.reason.to_string(),
        "candidates": answer.candidates.iter().map(|name| &**name).collect::<Vec<_>>(),
        "live": matches!(answer.background, Background::Live { .. }),
        "facts": {
            "read": facts.is_read(),
            "commands": commands(facts),
            "effects": effects(&facts.effects.to_string()),
            "reads": relations(&facts.reads),
            "writes": relations(&facts.writes),
            "functions": facts.functions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "fingerprint": format!("{:016x}", facts.fingerprint),
            "cache_key": answer.canonical,
        },
        "consistency": answer.level.as_ref().map(|(level, _)| level.name()),
        "hint": answer.hint,
        "tags": answer.tags.iter().cloned().collect::<BTreeMap<String, String>>(),
        "rules": answer.rules.iter().map(rule).collect::<Vec<_>>(),
        "notes": answer.notes,
    });
    match &answer.background {
        Background::Offline { assumption: None } => {}
        Background::Offline { assumption: Some(assumption) } => {
            value["if_ordinary_tables"] = json!({
                "tables": assumption.tables,
                "target": assumption.target,
                "reason": assumption.reason.to_string(),
            });
        }
        Background::Live { database, nodes } => {
            value["database"] = json!(database);
            value["nodes"] = nodes
                .iter()
                .map(|(node, has)| {
                    json!({
                        "name": &*node.name,
                        "address": &*node.address,
                        "role": node.role.name(),
                        "state": state(node),
                        "takes_reads": node.takes_reads(),
                        "lag_seconds": node.lag.as_secs_f64(),
                        "lag_bytes": node.lag_bytes,
                        "has_what_is_read": has,
                    })
                })
                .collect();
        }
    }
    format!("{value:#}\n")
}

fn rule(told: &RuleTold) -> Value {
    let (outcome, failed): (_, &[(String, String)]) = match &told.outcome {
        TellOf::Decides => ("decides", &[]),
        TellOf::Shadow => ("shadow", &[]),
        TellOf::TooLate(_) => ("too-late", &[]),
        TellOf::Not(failed) => ("no", failed),
    };
    let failed = failed.iter().map(|(key, found)| json!({ "key": key, "found": found }));
    json!({ "name": &*told.name, "why": told.why, "outcome": outcome, "failed": failed.collect::<Vec<_>>() })
}

fn relations(relations: &Relations) -> Value {
    let names: Vec<_> = relations.names.iter().map(ToString::to_string).collect();
    json!({ "any": relations.any, "names": names })
}

fn effects(listed: &str) -> Vec<&str> {
    if listed == "none" { Vec::new() } else { listed.split(", ").collect() }
}
