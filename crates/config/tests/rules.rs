//! What is said of rules that cannot do what is meant.
#![allow(missing_docs)]

use std::path::Path;

use pgsplit_config::Config;

fn said(rules: &str) -> Vec<String> {
    let text = format!("nodes = ['a']\n{rules}");
    let problems = match Config::parse(&text, Path::new(".")) {
        Ok((_, warnings)) => warnings,
        Err(error) => error.problems().to_vec(),
    };
    let line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    problems.iter().map(|problem| line(problem.to_string())).collect()
}

fn rule(name: &str, rest: &str) -> String {
    format!("[[rules]]\nname = '{name}'\ntarget = 'replica'\n{rest}\n")
}

#[test]
fn a_rule_that_nothing_reaches() {
    let tables = rule("a", "match.tables = ['T', 'U']");
    let reached = |later: &str| said(&format!("{tables}{}", rule("b", later)));
    let warning = "<config>:7:8: rules[1].name: the rule `b` is never reached: `a` before it matches all that it matches";
    assert_eq!(reached("match.tables = 'U'"), [warning]);
    assert_eq!(reached("match.only_tables = 'U'\nmatch.user = 'x'"), [warning]);
    assert!(reached("match.tables = 'V'").is_empty());
    assert!(reached("match.user = 'x'").is_empty());
    let canary = rule("a", "match.tables = 'T'\npercent = 10");
    assert!(said(&format!("{canary}{}", rule("b", "match.tables = 'T'"))).is_empty());
    let shadow = rule("a", "match.tables = 'T'\nmode = 'shadow'");
    assert!(said(&format!("{shadow}{}", rule("b", "match.tables = 'T'"))).is_empty());
    let tag = rule("a", "match.tags.x = ['1', '2']");
    assert_eq!(said(&format!("{tag}{}", rule("b", "match.tags.x = '1'\nmatch.user = 'u'"))).len(), 1);
}

/// Whether nothing is left for a rule with one condition behind a rule with another one.
fn hides(first: &str, second: &str) -> bool {
    let rules = format!("{}{}", rule("a", first), rule("b", second));
    said(&rules).iter().any(|line| line.contains("`b` is never reached"))
}

#[test]
fn wildcards_and_schemas_hide_what_they_stand_for() {
    for (first, second) in [
        ("match.tables = 'B*'", "match.tables = ['Bid', 'Bonus']"),
        ("match.tables = 'B*'", "match.tables = 'Bid*'"),
        ("match.tables = 'orders'", "match.tables = 'shop.orders'"),
        ("match.tables = 'shop.*'", "match.tables = 'shop.orders'"),
        ("match.functions = 'f?'", "match.functions = 'f1'"),
        ("match.commands = 'select'", "match.commands = 'SELECT'"),
        ("match.commands = 'c*'", "match.commands = ['CREATE', 'copy']"),
        ("match.user = 'app_*'", "match.user = 'app_web'"),
        ("match.tags.x = 'a*'", "match.tags.x = ['ab', 'ac']"),
    ] {
        assert!(hides(first, second), "{first} {second}");
    }
    for (first, second) in [
        ("match.tables = 's*'", "match.tables = 'shop.orders'"),
        ("match.tables = 'shop.orders'", "match.tables = 'orders'"),
        ("match.tables = 'Bid*'", "match.tables = 'B*'"),
        ("match.tables = 'B??'", "match.tables = 'B*'"),
        ("match.commands = 'C*'", "match.commands = ['CREATE', 'SELECT']"),
        ("match.user = 'APP'", "match.user = 'app'"),
        ("match.tags.x = 'a*'", "match.tags.y = 'ab'"),
    ] {
        assert!(!hides(first, second), "{first} {second}");
    }
}

#[test]
fn words_that_nothing_can_have() {
    let off = "[routing]\nhints = false\n";
    let expected = "<config>:5:14: rules[0].match.hint: the rule `a` never matches: routing.hints = false, and it asks \
                    for one";
    assert_eq!(said(&format!("{}{off}", rule("a", "match.hint = 'h'"))), [expected]);
    assert!(said(&rule("a", "match.hint = 'h'")).is_empty());
    let expected =
        "<config>:5:16: rules[0].match.tags.x: the rule `a` never matches: no value of the tag is listed";
    assert_eq!(said(&rule("a", "match.tags.x = []")), [expected]);
}

#[test]
fn a_route_that_is_still_encoded() {
    let expected =
        "<config>:5:15: rules[0].match.route: is URL-encoded and would match nothing; write `/api/projects`";
    assert_eq!(said(&rule("a", "match.route = '%2Fapi%2fprojects'")), [expected]);
    assert!(said(&rule("a", "match.route = '/api/100%'")).is_empty());
}

#[test]
fn a_share_of_one_statement() {
    let expected = "<config>:6:11: rules[0].percent: the rule `a` takes each statement that it names wholly or not at all; \
                    with sticky = \"session\" it takes this share of the sessions";
    for matching in ["match.same_as = 'SELECT 1'", "match.fingerprint = 'abc'"] {
        assert_eq!(said(&rule("a", &format!("{matching}\npercent = 10"))), [expected]);
        assert!(said(&rule("a", &format!("{matching}\npercent = 10\nsticky = 'session'"))).is_empty());
        assert!(said(&rule("a", matching)).is_empty());
    }
    assert!(said(&rule("a", "match.tables = 'T'\npercent = 10")).is_empty());
    assert!(said(&rule("a", "match.tables = 'T'\nsticky = 'client'"))[0].contains("rules[0].sticky"));
}

#[test]
fn commands_and_fingerprints() {
    let expected = "<config>:5:18: rules[0].match.commands: `SELCT` is no command; did you mean `SELECT`?";
    assert_eq!(said(&rule("a", "match.commands = 'selct'")), [expected]);
    let refused = |command: &str| said(&rule("a", &format!("match.commands = '{command}'"))).join("\n");
    for (command, expected) in [
        (
            "create table",
            "`CREATE TABLE` is no command: what follows `CREATE` is not looked at; write `CREATE`",
        ),
        ("SELECT 1", "`SELECT 1` is no command: what follows `SELECT` is not looked at; write `SELECT`"),
        ("rollback  to", "`ROLLBACK  TO` is no command; did you mean `ROLLBACK TO`?"),
        ("with", "`WITH` is no command of its own; it is `SELECT`, as all queries are"),
        ("VALUES", "`VALUES` is no command of its own; it is `SELECT`, as all queries are"),
        ("table", "`TABLE` is no command of its own; it is `SELECT`, as all queries are"),
        ("start transaction", "`START TRANSACTION` is no command of its own; it is `BEGIN`"),
        ("end", "`END` is no command of its own; it is `COMMIT`"),
        ("abort", "`ABORT` is no command of its own; it is `ROLLBACK`"),
        ("create t*", "`CREATE T*` matches no command"),
        ("xyzzy", "`XYZZY` is no command"),
    ] {
        assert_eq!(refused(command), format!("<config>:5:18: rules[0].match.commands: {expected}"));
    }
    for command in ["ROLLBACK TO", "set session characteristics", "SET *", "*"] {
        assert_eq!(refused(command), "", "{command}");
    }
    let expected = "<config>:5:18: rules[0].match.commands: the rule `a` matches only writes, which never go to a replica";
    assert_eq!(said(&rule("a", "match.commands = ['INSERT', 'update']")), [expected]);
    assert!(said(&rule("a", "match.commands = ['SELECT', 'rollback to', 'C*']")).is_empty());
    let expected =
        "<config>:5:21: rules[0].match.fingerprint: `xyz` is no fingerprint: up to 16 hexadecimal digits";
    assert_eq!(said(&rule("a", "match.fingerprint = 'xyz'")), [expected]);
}

#[test]
fn too_many_rules() {
    let many: String = (0..257).map(|n| rule(&format!("r{n}"), &format!("match.user = 'u{n}'"))).collect();
    assert!(said(&many)[0].ends_with("rules: there can be at most 256 rules"), "{:?}", said(&many));
}
