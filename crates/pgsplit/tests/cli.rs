//! The program as somebody calls it: what it prints and how it exits, without servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pgsplit_testkit::unwrapped;

/// Runs it in a directory of its own, so that no configuration of the tester's is found.
fn pgsplit(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
    command.args(arguments).current_dir(directory).env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Exit code and standard output of a call in an empty directory.
fn answer(arguments: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let output = pgsplit(directory.path(), arguments, "");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// `check` of a file with this text: exit code and what it prints.
fn check(text: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pgsplit.toml"), text).unwrap();
    let output = pgsplit(directory.path(), &["check"], "");
    (output.status.code(), narrow(output.stdout))
}

/// What was printed, with whole lines, once it is known that none is wider than a terminal: but for lines of the file, and
/// words that are longer themselves.
fn narrow(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).unwrap();
    for line in text.lines().filter(|line| line.chars().count() > 80) {
        assert!(line.contains(" | ") || line.split_whitespace().count() == 1, "{line}");
    }
    unwrapped(&text)
}

const EVENTUAL: &str = "nodes = ['127.0.0.1:1']\nconsistency.level = 'eventual'\n";

#[test]
fn help_names_every_command_within_80_columns() {
    let (code, help) = answer(&["--help"]);
    assert_eq!(code, Some(0));
    for command in ["run", "check", "explain", "reload", "diff", "demo", "config"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in\n{help}");
        let (code, help) = answer(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    let (code, version) = answer(&["--version"]);
    assert_eq!((code, version.as_str()), (Some(0), concat!("pgsplit ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn check_of_a_good_file() {
    let expected = (Some(0), "pgsplit.toml: good (no errors, no warnings)\n".to_owned());
    assert_eq!(check(EVENTUAL), expected);
}

#[test]
fn check_of_a_wrong_key() {
    let expected = "\
error: pgsplit.toml:3:6: pool.waite: unknown key `waite`; did you mean `wait`?
  3 | pool.waite = '3s'
    |      ^^^^^
pgsplit.toml: refused (1 error, no warnings)
";
    assert_eq!(check(&format!("{EVENTUAL}pool.waite = '3s'\n")), (Some(1), expected.to_owned()));
}

#[test]
fn check_loads_the_files_of_tls() {
    let (code, said) = check(&format!("{EVENTUAL}tls.cert = 'none.crt'\ntls.key = 'none.key'\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: pgsplit.toml: tls, towards clients: "), "{said}");
    assert!(said.contains("none.crt: "), "{said}");
    assert!(said.ends_with("pgsplit.toml: refused (1 error, no warnings)\n"), "{said}");
}

#[test]
fn check_refuses_what_nobody_enforces() {
    let (code, said) = check(&format!("{EVENTUAL}auth.hba = 'pg_hba.conf'\n"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: pgsplit.toml: auth.hba: "), "{said}");
}

#[test]
fn a_broken_verifier_in_the_users_file_is_found_and_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{EVENTUAL}auth.users = 'users.toml'\n");
    fs::write(directory.path().join("pgsplit.toml"), config).unwrap();
    fs::write(directory.path().join("users.toml"), "ann = 'SCRAM-SHA-256$4096:broken'\n").unwrap();
    let output = pgsplit(directory.path(), &["check"], "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("auth.users: user `ann`: "), "{said}");
    assert!(!said.contains("4096:broken"), "{said}");
}

#[test]
fn errors_of_run_name_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = pgsplit(directory.path(), arguments, "");
        assert_eq!(output.status.code(), Some(1));
        narrow(output.stderr)
    };
    assert_eq!(
        said(&["run"]),
        "pgsplit: the configuration file is named with -c FILE; `pgsplit config --defaults` prints one: \
         pgsplit.toml: cannot be read: No such file or directory (os error 2)\n"
    );
    fs::write(directory.path().join("other.toml"), "nodes = []\n").unwrap();
    assert_eq!(
        said(&["run", "-c", "other.toml"]),
        "pgsplit: other.toml:1:9: nodes: at least one node is needed: nodes = [\"10.0.0.1:5432\"]\n  \
         1 | nodes = []\n    |         ^^\n"
    );
}

#[test]
fn the_defaults_are_a_good_file() {
    let (code, defaults) = answer(&["config", "--defaults"]);
    assert_eq!(code, Some(0));
    assert!(defaults.lines().all(|line| line.chars().count() <= 80), "{defaults}");
    let (code, said) = check(&defaults);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn explain_of_a_read() {
    let expected = "\
statement    SELECT 1
target       replica
reason       read
             It is a proved read.
commands     query
effects      none
reads        none
writes       none
consistency  causal (consistency.level): every write acknowledged through this
             proxy before it
functions    none
fingerprint  0c169a7a5e00c976
cache key    select 0
note         Asked without --live: the tables, views and functions of the
             database are unknown, and what is unknown goes to the primary.
";
    assert_eq!(answer(&["explain", "SELECT 1"]), (Some(0), expected.to_owned()));
}

#[test]
fn explain_assumes_ordinary_tables_besides() {
    let sql = "SELECT lower(a.name), count(*) FROM shop.\"Orders\" a JOIN lines l ON l.id = a.id GROUP BY 1";
    let (code, text) = answer(&["explain", sql]);
    assert_eq!(code, Some(0));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("target       primary\nreason       relation:Orders\n"), "{text}");
    assert!(text.contains("if           Orders, lines are ordinary tables: replica (read)\n"), "{text}");
    assert!(text.contains("functions    count, lower\n"), "{text}");
    let (_, text) = answer(&["explain", "SELECT nextval('s') FROM t"]);
    assert!(text.contains("if           t is an ordinary table: primary (function:nextval)\n"), "{text}");
}

#[test]
fn explain_as_json_from_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let output =
        pgsplit(directory.path(), &["explain", "--json", "-"], "BEGIN; INSERT INTO t VALUES (1); COMMIT");
    assert_eq!(output.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["target"], "primary");
    assert_eq!(value["live"], false);
    assert_eq!(value["facts"]["read"], false);
    assert_eq!(value["facts"]["commands"], serde_json::json!(["begin", "insert", "commit"]));
    assert_eq!(value["facts"]["writes"]["names"], serde_json::json!(["t"]));
}

#[test]
fn explain_reads_a_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("query.sql"), "SELECT 1\n").unwrap();
    let asked = |arguments: &[&str]| {
        let output = pgsplit(directory.path(), &[&["explain"], arguments].concat(), "");
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = asked(&["--file", "query.sql"]);
    assert!(code == Some(0) && said.starts_with("statement    SELECT 1\ntarget       replica\n"), "{said}");
    let (code, said) = asked(&["--file", "none.sql"]);
    assert!(code == Some(1) && said.starts_with("pgsplit: none.sql: "), "{said}");
    assert_eq!(asked(&["--file", "query.sql", "SELECT 2"]).0, Some(2));
    assert_eq!(asked(&[]).0, Some(2));
}

#[test]
fn explain_takes_functions_from_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{EVENTUAL}routing.functions_read_only = 'score'\n");
    fs::write(directory.path().join("pgsplit.toml"), config).unwrap();
    let target = |arguments: &[&str]| {
        let output = pgsplit(directory.path(), arguments, "");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("target       ").map(str::to_owned)).unwrap()
    };
    assert_eq!(target(&["explain", "SELECT score(1)"]), "replica");
    assert_eq!(target(&["explain", "SELECT scored(1)"]), "primary");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
    let mut child = command.args(["config", "--defaults"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

const RULES: &str = "
[[rules]]
name = 'auth-state'
why = 'A revoked session must never be accepted.'
match.tables = 'Session'
target = 'primary'

[[rules]]
name = 'marketplace'
match.route = ['GET /api/projects', '/api/reviews/contractors/:id']
target = 'replica'

[[rules]]
name = 'reports'
match.user = 'metabase'
target = 'replica'
mode = 'shadow'
";

#[test]
fn explain_tells_of_each_rule() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pgsplit.toml"), format!("{EVENTUAL}{RULES}")).unwrap();
    let asked = |more: &[&str]| {
        let sql = r#"SELECT "id" FROM "Project" WHERE "status" = $1 /*app='web'*/"#;
        let arguments = [&["explain"], more, &[sql]].concat();
        let output = pgsplit(directory.path(), &arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = "\
statement    SELECT \"id\" FROM \"Project\" WHERE \"status\" = $1 /*app='web'*/
target       primary
reason       relation:Project
             This relation is not known, or a replica cannot read it or would
             answer differently.
if           Project is an ordinary table: replica (rule:marketplace)
tags         app = web
             method = GET
             route = /api/projects
rules        auth-state: no, match.tables: it touches Project, public.Project
             marketplace: matches
             reports: would match, but marketplace comes first
commands     query
effects      none
reads        any
writes       none
functions    none
fingerprint  4b6a8d5c4e5c5b0f
cache key    select \"id\" from \"Project\" where \"status\" = $1
note         Asked without --live: the tables, views and functions of the
             database are unknown, and what is unknown goes to the primary.
";
    let without_fingerprint = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("fingerprint"));
        lines.map(str::to_owned).collect()
    };
    let said = asked(&["--route", "GET /api/projects", "--user", "metabase"]);
    assert_eq!(without_fingerprint(&said), without_fingerprint(expected));
    let said = asked(&["--route", "POST /api/projects", "--user", "metabase"]);
    let other = "\
             marketplace: no, match.route: its tag `route` is `/api/projects`,
             its tag `method` is `POST`
             reports: matches, in shadow mode: only counted
";
    assert!(said.contains(other), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&asked(&["--json", "--tag", "route=/api/reviews/contractors/7"])).unwrap();
    assert_eq!(json["rules"][1]["outcome"], "decides");
    assert_eq!(json["rules"][0]["failed"][0]["key"], "match.tables");
    assert_eq!(json["tags"]["route"], "/api/reviews/contractors/7");
    assert_eq!(json["if_ordinary_tables"]["reason"], "rule:marketplace");
}

#[test]
fn check_runs_the_tests_of_the_file() {
    let test = |sql: &str, expect: &str| format!("[[tests]]\nsql = '{sql}'\nexpect = {{ {expect} }}\n");
    let good = test("SELECT 1 FROM \"Session\"", "target = 'primary', rule = 'auth-state'")
        + &test(
            "SELECT 1 FROM \"P\" /*route=%2Fapi%2Freviews%2Fcontractors%2F7*/",
            "target = 'replica', rule = 'marketplace'",
        )
        + &test("UPDATE \"P\" SET a = 1", "target = 'primary'");
    let (code, said) = check(&format!("{EVENTUAL}{RULES}{good}"));
    let expected =
        "note: pgsplit.toml: no test meets the rule reports\npgsplit.toml: good (no errors, no warnings)\n";
    assert_eq!((code, said.as_str()), (Some(0), expected));
    let bad = test("DELETE FROM \"P\"", "target = 'replica'") + &test("SELECT 1", "rule = 'marketplace'");
    let (code, said) = check(&format!("{EVENTUAL}{RULES}{bad}"));
    let expected = "\
error: pgsplit.toml:22:21: tests[0].expect.target: expected replica; it goes to the primary (write)
  22 | expect = { target = 'replica' }
     |                     ^^^^^^^^^
error: pgsplit.toml:25:19: tests[1].expect.rule: expected the rule marketplace; no rule matches: it goes to a replica (read)
  25 | expect = { rule = 'marketplace' }
     |                   ^^^^^^^^^^^^^
note: pgsplit.toml: no test meets the rules auth-state, marketplace, reports
pgsplit.toml: refused (2 errors, no warnings)
";
    assert_eq!((code, said.as_str()), (Some(1), expected));
}

#[test]
fn tests_say_who_speaks() {
    let rule = "[[rules]]\nname = 'bi'\nmatch.user = 'metabase'\nmatch.database = 'shop'\n\
        match.application_name = 'Meta*'\nmatch.client = '10.1.0.0/16'\ntarget = 'primary'\n";
    let test =
        |who: &str, expect: &str| format!("[[tests]]\nsql = 'SELECT 1'\n{who}\nexpect = {{ {expect} }}\n");
    let all = "user = 'metabase'\ndatabase = 'shop'\napplication_name = 'Metabase'\nclient = '10.1.2.3'";
    let tests = test(all, "target = 'primary', rule = 'bi'")
        + &test("", "target = 'replica'")
        + &test(&all.replace("10.1.2.3", "10.2.2.3"), "target = 'replica'")
        + &test(&all.replace("'shop'", "'other'"), "target = 'replica'");
    let (code, said) = check(&format!("{EVENTUAL}{rule}{tests}"));
    assert_eq!((code, said.as_str()), (Some(0), "pgsplit.toml: good (no errors, no warnings)\n"));
    let (code, said) = check(&format!("{EVENTUAL}{rule}{}", test("client = 'ten'", "target = 'replica'")));
    assert!(code == Some(1) && said.contains("tests[0].client: "), "{said}");
}

/// The keys of a table in the schema, and those that the program says it knows.
#[test]
fn the_schema_has_the_keys_of_the_model() {
    let (code, schema) = answer(&["config", "--schema"]);
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let known = |text: &str| -> Vec<String> {
        let (_, said) = check(&format!("nodes = ['a']\n{text}"));
        let (_, keys) = said.split_once("known here: ").unwrap_or_else(|| panic!("{said}"));
        let mut keys: Vec<_> = keys.lines().next().unwrap().split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let rule = "/rules/items/properties";
    let tables = [
        ("", "zzzqqqzzz = 1".to_owned()),
        (rule, "[[rules]]\nname = 'r'\nzzzqqqzzz = 1".to_owned()),
        ("/rules/items/properties/match/properties", "[[rules]]\nname = 'r'\nmatch.zzzqqqzzz = 1".to_owned()),
        ("/tests/items/properties", "[[tests]]\nsql = ''\nzzzqqqzzz = 1".to_owned()),
        ("/tests/items/properties/expect/properties", "[[tests]]\nsql = ''\nexpect.zzzqqqzzz = 1".to_owned()),
    ]
    .into_iter()
    .map(|(path, text)| (path.to_owned(), text));
    let of_tables =
        ["topology", "auth", "tls", "pool", "timeouts", "routing", "consistency", "balance", "health", "log"];
    let of_tables = of_tables.map(|name| (format!("/{name}/properties"), format!("[{name}]\nzzzqqqzzz = 1")));
    let nested = ["spill", "retry"].map(|name| {
        (format!("/routing/properties/{name}/properties"), format!("[routing]\n{name}.zzzqqqzzz = 1"))
    });
    for (path, text) in tables.chain(of_tables).chain(nested) {
        let table = schema["properties"].pointer(&path).unwrap_or_else(|| panic!("{path}"));
        let mut keys: Vec<_> = table.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, known(&text), "{path}");
    }
    let node = schema["properties"].pointer("/nodes/oneOf/1/items/oneOf/1/properties").unwrap();
    let mut keys: Vec<_> = node.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let (_, said) = check("[[nodes]]\naddress = 'a'\nzzzqqqzzz = 1\n");
    for key in keys {
        assert!(said.contains(&key), "{key}: {said}");
    }
}

/// Where the schema lists words, they are those that the program says it takes.
#[test]
fn the_schema_has_the_words_of_the_model() {
    let (_, schema) = answer(&["config", "--schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let tables = schema["properties"].as_object().unwrap().iter();
    let tables = tables.filter(|(_, table)| table.get("properties").is_some());
    let keys = tables.flat_map(|(name, table)| {
        let keys = table["properties"].as_object().unwrap().iter();
        keys.map(move |(key, below)| (format!("[{name}]\n{key}"), below))
    });
    let rule = schema.pointer("/properties/rules/items/properties").unwrap().as_object().unwrap().iter();
    let rule = rule.map(|(key, below)| (format!("[[rules]]\nname = 'r'\ntarget = 'replica'\n{key}"), below));
    let mut asked = 0;
    for (key, below) in keys.chain(rule) {
        let Some(words) = below["enum"].as_array() else { continue };
        let words: Vec<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
        let (_, said) = check(&format!("nodes = ['a']\n{key} = 'zzzqqqzzz'\n"));
        let expected = format!("`zzzqqqzzz` is not one of {}\n", words.join(", "));
        assert!(said.contains(&expected), "{key}: {expected}{said}");
        asked += 1;
    }
    assert!(asked >= 12, "{asked}");
}
