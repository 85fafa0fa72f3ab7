//! An explanation for people: a label, what it says, nothing wider than a terminal.

use std::fmt::Write;

use pgsplit_route::rules::TellOf;
use pgsplit_route::{Level, Node, NodeState};

use super::answer::{Answer, Background, commands, meaning};
use super::consider::RuleTold;

const WIDTH: usize = 80;
const LABELS: usize = 13;
/// Of a longer statement only the beginning is shown.
const SHOWN: usize = 240;

pub(super) fn render(answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |label: &str, content: &str| entry(&mut text, label, content);
    let facts = &answer.facts;
    line("statement", &shortened(&answer.sql));
    line("target", &target(answer));
    line("reason", &answer.reason.to_string());
    line("", meaning(&answer.reason));
    if let Background::Offline { assumption: Some(assumption) } = &answer.background {
        let tables = assumption.tables.join(", ");
        let kind = if assumption.tables.len() == 1 { "an ordinary table" } else { "ordinary tables" };
        line(
            "if",
            &format!(
                "{tables} {verb} {kind}: {target} ({reason})",
                verb = if assumption.tables.len() == 1 { "is" } else { "are" },
                target = assumption.target,
                reason = assumption.reason,
            ),
        );
    }
    answer.hint.iter().for_each(|hint| line("hint", hint));
    for (i, (name, value)) in answer.tags.iter().enumerate() {
        line(if i == 0 { "tags" } else { "" }, &format!("{name} = {value}"));
    }
    for (i, rule) in answer.rules.iter().enumerate() {
        line(if i == 0 { "rules" } else { "" }, &told(rule));
    }
    line("commands", &commands(facts).join("; "));
    line("effects", &facts.effects.to_string());
    line("reads", &facts.reads.to_string());
    line("writes", &facts.writes.to_string());
    if let Some((level, who)) = &answer.level {
        line("consistency", &format!("{} ({who}){}", level.name(), sees(*level)));
    }
    let functions: Vec<_> = facts.functions.iter().map(ToString::to_string).collect();
    line("functions", if functions.is_empty() { "none".to_owned() } else { functions.join(", ") }.as_str());
    line("fingerprint", &format!("{:016x}", facts.fingerprint));
    line("cache key", &shortened(&answer.canonical));
    if let Background::Live { database, nodes } = &answer.background {
        line("database", database);
        for (i, (node, has)) in nodes.iter().enumerate() {
            let has = match has {
                None => "",
                Some(true) => ", has every write to what is read",
                Some(false) => ", lacks a write to what is read: a read waits, or goes elsewhere",
            };
            line(if i == 0 { "nodes" } else { "" }, &format!("{}: {}{has}", node.name, state(node)));
        }
    }
    answer.notes.iter().for_each(|note| line("note", note));
    text
}

/// A rule and what became of it, in words.
fn told(rule: &RuleTold) -> String {
    let why = rule.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    match &rule.outcome {
        TellOf::Decides => format!("{}: matches{why}", rule.name),
        TellOf::Shadow => format!("{}: matches, in shadow mode: only counted{why}", rule.name),
        TellOf::TooLate(first) => format!("{}: would match, but {first} comes first", rule.name),
        TellOf::Not(failed) => {
            let failed: Vec<_> = failed.iter().map(|(key, found)| format!("{key}: {found}")).collect();
            format!("{}: no, {}", rule.name, failed.join("; "))
        }
    }
}

fn target(answer: &Answer) -> String {
    match answer.candidates.as_slice() {
        [] => answer.target.to_owned(),
        [one] => format!("{} ({one})", answer.target),
        [most @ .., last] => format!("{} ({} or {last})", answer.target, most.join(", ")),
    }
}

/// What a read of this level sees, in words.
fn sees(level: Level) -> &'static str {
    match level {
        Level::Eventual => ": any state within max_lag",
        Level::Session => ": at least what its own session has written and seen",
        Level::Causal => ": every write acknowledged through this proxy before it",
        Level::Strict => ": every write acknowledged by anyone before it",
    }
}

/// Role, state and lag of a node, in words.
pub(super) fn state(node: &Node) -> String {
    match node.state {
        NodeState::Unknown => "not asked yet".to_owned(),
        NodeState::Down => "down".to_owned(),
        NodeState::Gone => "gone".to_owned(),
        NodeState::Up => {
            let mut text = node.role.name().to_owned();
            if node.takes_reads() {
                // Writing to a string cannot fail.
                let _ = write!(text, ", lag {:.1?}, {} bytes", node.lag, node.lag_bytes);
            } else if !node.within_max_lag {
                let _ = write!(text, ", lag {:.1?}, more than consistency.max_lag", node.lag);
            } else if node.weight == 0 {
                text.push_str(", weight 0: no reads");
            }
            text
        }
    }
}

/// On one line, and not all of a long one.
fn shortened(sql: &str) -> String {
    let words: Vec<_> = sql.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Appends a label and its content, wrapped. An empty content says nothing and an empty label continues the one before.
fn entry(text: &mut String, label: &str, content: &str) {
    if content.is_empty() {
        return;
    }
    let lines = wrapped(content, WIDTH - LABELS);
    for (i, line) in lines.iter().enumerate() {
        let label = if i == 0 { label } else { "" };
        let _ = writeln!(text, "{label:LABELS$}{line}");
    }
}

/// Cuts at blanks, and inside a word only where a word alone is too long.
fn wrapped(content: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in content.split_whitespace() {
        let used = line.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if line.chars().count() == width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_blanks_and_cuts_what_has_none() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("é é", 3), ["é é"]);
    }

    #[test]
    fn long_statements_are_cut() {
        let long = shortened(&"SELECT  é,\n".repeat(100));
        assert_eq!(long.chars().count(), SHOWN + 2);
        assert!(long.starts_with("SELECT é, SELECT é,") && long.ends_with(" …"));
    }
}
