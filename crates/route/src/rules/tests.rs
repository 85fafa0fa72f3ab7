//! Each key of a rule: the tests fail when it is not looked at.

use std::path::Path;
use std::sync::Arc;

use pgsplit_config::Config;
use pgsplit_sql::catalog::{FunctionConfig, RelationRow, Rows};
use pgsplit_sql::{Analyzer, Catalog, Command};

use super::*;

/// Rules from TOML, behind three nodes.
pub(crate) fn rules(text: &str) -> Rules {
    let text = format!("nodes = ['db1', 'db2', 'db3']\n{text}");
    let (config, _) = Config::parse(&text, Path::new(".")).unwrap();
    let nodes: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    Rules::new(&config.rules, &nodes, None)
}

/// One rule with this condition.
fn one(condition: &str) -> Rules {
    rules(&format!("[[rules]]\nname = 'r'\ntarget = 'primary'\n{condition}\n"))
}

/// Tables in `public`, and `twin` in two other schemas.
fn catalog() -> Arc<Catalog> {
    let row = |(at, (schema, name)): (usize, (&str, &str))| RelationRow {
        oid: 20_000 + i64::try_from(at).unwrap(),
        schema: schema.into(),
        name: name.into(),
        kind: "r".into(),
        persistence: "p".into(),
        populated: true,
    };
    let names = [
        ("public", "Session"),
        ("public", "Region"),
        ("public", "Bid"),
        ("shop", "orders"),
        ("a", "twin"),
        ("b", "twin"),
    ];
    let rows = Rows { relations: names.into_iter().enumerate().map(row).collect(), ..Rows::default() };
    Arc::new(Catalog::build(&rows, &FunctionConfig::default(), 1))
}

struct Said<'a> {
    rules: &'a Rules,
    speaker: Speaker<'a>,
    path: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn to(rules: &'a Rules) -> Self {
        Self { rules, speaker: Speaker { user: "ann", database: "shop", ..Speaker::default() }, path: None }
    }

    fn find(&self, sql: &str) -> Found {
        let (analyzer, catalog) = (Analyzer::new(1 << 16), catalog());
        let (facts, around) = analyzer.read(sql.as_bytes(), &catalog);
        let (hint, tags) = around.said();
        let words = Words { hint, tags };
        let path = SearchPath::new(self.path, self.speaker.user);
        let (session, of_words) = (self.rules.of_session(&self.speaker), self.rules.of_words(&words));
        let found = self.rules.find(&facts, &catalog, session, of_words, || Arc::new(path.clone()));
        let told = self.rules.tell(&facts, &catalog, &self.speaker, words, &path);
        let decides = told.iter().position(|told| told.outcome == TellOf::Decides);
        assert_eq!(decides, found.rule.map(|id| usize::from(id.0)), "explain says something else: {sql}");
        found
    }

    fn matches(&self, sql: &str) -> bool {
        self.find(sql).rule.is_some()
    }
}

/// Whether one rule with a condition matches a statement.
fn holds(condition: &str, sql: &str) -> bool {
    Said::to(&one(condition)).matches(sql)
}

#[test]
fn tables() {
    let key = "match.tables = ['Session', 'B*']";
    assert!(holds(key, r#"select * from "Session""#));
    assert!(holds(key, r#"select * from "Region" join public."Bid" using (id)"#));
    assert!(holds(key, r#"update "Session" set a = 1"#));
    assert!(holds(key, r#"select * from "Session" for update"#));
    assert!(holds(key, r#"insert into "Region" select * from "Bid""#));
    assert!(!holds(key, "select * from Session"), "names without quotes are folded");
    assert!(!holds(key, r#"select * from "Region" where "Session" = 1"#));
    assert!(!holds(key, "select 'Session'"));
}

#[test]
fn tables_with_a_schema_are_matched_as_the_session_resolves_them() {
    let with = |key: &str, sql: &str, path| {
        let rules = one(key);
        Said { path, ..Said::to(&rules) }.matches(sql)
    };
    assert!(with("match.tables = 'public.Session'", r#"select * from "Session""#, None));
    assert!(!with("match.tables = 'other.Session'", r#"select * from "Session""#, None));
    let key = "match.tables = 'b.twin'";
    assert!(with(key, "select * from b.twin", Some("a")));
    assert!(!with(key, "select * from a.twin", Some("b")));
    assert!(with(key, "select * from twin", Some("b, a")));
    assert!(!with(key, "select * from twin", Some("a, b")));
    assert!(!with(key, "select * from twin", None), "neither is in the default path");
    assert!(with("match.tables = 'twin'", "select * from twin", None));
    let only = "match.only_tables = 'b.twin'";
    assert!(with(only, "select * from twin", Some("b")) && !with(only, "select * from twin", Some("a")));
}

#[test]
fn only_tables() {
    let key = "match.only_tables = ['Region', 'shop.orders']";
    assert!(holds(key, r#"select * from "Region", shop.orders"#));
    assert!(holds(key, r#"select * from "Region" r join "Region" p on p.id = r.parent"#));
    assert!(!holds(key, r#"select * from "Region", "Bid""#));
    assert!(!holds(key, "select 1"), "it touches none");
    assert!(!holds(key, r#"select * from "Region" where exists (select 1 from pg_class)"#));
}

#[test]
fn functions() {
    let key = "match.functions = ['score', 'app.*']";
    assert!(holds(key, "select score(1)") && holds(key, "select app.anything(1)"));
    assert!(!holds(key, "select lower('score')"));
}

#[test]
fn commands() {
    let key = "match.commands = ['copy', 'SELECT']";
    assert!(holds(key, "select 1") && holds(key, "values (1)") && holds(key, "copy (select 1) to stdout"));
    assert!(!holds(key, r#"delete from "Bid""#));
    assert!(holds("match.commands = 'CREATE'", "create table t (a int)"));
}

#[test]
fn every_command_that_may_be_written_is_a_statement() {
    let examples = |command: &str| match command {
        "EMPTY" => String::new(),
        "COMMIT PREPARED" | "ROLLBACK PREPARED" | "PREPARE TRANSACTION" => format!("{command} 'x'"),
        "PREPARE" => "PREPARE x AS SELECT 1".to_owned(),
        "DECLARE" => "DECLARE x CURSOR FOR SELECT 1".to_owned(),
        "COPY" => "COPY x FROM STDIN".to_owned(),
        "SET" => "SET x.y = 1".to_owned(),
        "SET CONSTRAINTS" | "DISCARD" => format!("{command} ALL"),
        "SET TRANSACTION" => "SET TRANSACTION READ ONLY".to_owned(),
        "SET SESSION CHARACTERISTICS" => "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY".to_owned(),
        "BEGIN" | "COMMIT" | "ROLLBACK" => command.to_owned(),
        _ => format!("{command} x"),
    };
    for command in pgsplit_config::COMMANDS {
        let sql = examples(command);
        let (facts, _) = Analyzer::new(1 << 16).read(sql.as_bytes(), &catalog());
        let found = facts.statements.first().map(|one| one.command.keywords().to_ascii_uppercase());
        assert_eq!(found.as_deref(), Some(command), "{sql}");
        let unread = matches!(facts.statements.first().map(|one| &one.command), Some(Command::Unknown(_)));
        assert!(!unread, "{sql}");
    }
}

#[test]
fn fingerprint_and_same_as() {
    let sql = r#"SELECT * FROM "Bid" WHERE id = 7"#;
    let found = format!("match.fingerprint = '{:016x}'", super::fingerprint(sql));
    let same = r#"match.same_as = 'select * from "Bid" where id = 1;'"#;
    for key in [found.as_str(), same] {
        assert!(holds(key, sql), "{key}");
        assert!(holds(key, r#"select  * from "Bid" where id = 8 /*route='x'*/"#), "{key}");
        assert!(!holds(key, r#"select * from "Bid" where id = $1"#), "{key}");
    }
}

#[test]
fn route() {
    let key = "match.route = ['GET /api/projects', '/api/reviews/contractors/:id']";
    let said = |tags: &str| holds(key, &format!("select 1 /*{tags}*/"));
    assert!(said("method='GET',route='%2Fapi%2Fprojects'"));
    assert!(said("route='/api/reviews/contractors/7',traceparent='00-1'"));
    assert!(!said("method='POST',route='%2Fapi%2Fprojects'"));
    assert!(!said("route='%2Fapi%2Fprojects'"));
    assert!(!said("controller='x'") && !holds(key, "select 1"));
}

#[test]
fn tags() {
    let key = "match.tags.controller = 'proj*'\nmatch.tags.app = ['a', 'b']";
    assert!(holds(key, "select 1 /*app='b',controller='projects'*/"));
    assert!(!holds(key, "select 1 /*app='c',controller='projects'*/"));
    assert!(!holds(key, "select 1 /*controller='projects'*/"));
    assert!(!holds(key, "select '/*app=''b'',controller=''projects''*/'"));
}

#[test]
fn hint() {
    let key = "match.hint = 'report*'";
    assert!(holds(key, "/* pgsplit: reports */ select 1") && holds(key, "select 1 /*pgsplit:report*/"));
    assert!(!holds(key, "/* pgsplit: primary */ select 1") && !holds(key, "select 1"));
}

#[test]
fn user_database_application_and_client() {
    let said = |key: &str| {
        let rules = one(key);
        let client = Some("10.1.2.3".parse().unwrap());
        let speaker =
            Speaker { user: "ann", database: "shop", application_name: "Metabase 1", client, share: None };
        Said { speaker, ..Said::to(&rules) }.matches("select 1")
    };
    assert!(said("match.user = ['bob', 'a*']") && !said("match.user = 'bob'"));
    assert!(said("match.database = 'shop'") && !said("match.database = 'blog'"));
    assert!(said("match.application_name = 'Metabase*'") && !said("match.application_name = 'Metabase'"));
    assert!(said("match.client = ['10.1.0.0/16']") && !said("match.client = '10.1.2.4'"));
    assert!(!holds("match.client = '0.0.0.0/0'", "select 1"), "a client on a Unix socket has no address");
}

#[test]
fn every_key_must_hold() {
    let key = "match.user = 'ann'\nmatch.tables = 'Bid'";
    assert!(holds(key, r#"select * from "Bid""#) && !holds(key, r#"select * from "Region""#));
    assert!(!holds("match.user = 'bob'\nmatch.tables = 'Bid'", r#"select * from "Bid""#));
}

#[test]
fn percent_is_sticky_and_grows() {
    let share = |percent: u32| {
        let rules = one(&format!("percent = {percent}"));
        let said = Said::to(&rules);
        let taken = |n: &u32| said.matches(&format!("select c{n} from \"Bid\""));
        (0..400).filter(taken).collect::<Vec<_>>()
    };
    let (ten, fifty) = (share(10), share(50));
    assert!((20..=60).contains(&ten.len()), "{}", ten.len());
    assert!((160..=240).contains(&fifty.len()), "{}", fifty.len());
    assert!(ten.iter().all(|n| fifty.contains(n)));
    assert_eq!(ten, share(10));
    assert_eq!(share(100).len(), 400);
}

#[test]
fn the_first_match_wins_and_shadow_changes_nothing() {
    let rules = rules(
        "[[rules]]\nname = 'a'\ntarget = 'primary'\nmatch.tables = 'Bid'\nmode = 'shadow'\n\
         [[rules]]\nname = 'b'\ntarget = 'replica'\nmatch.tables = 'B*'\n\
         [[rules]]\nname = 'c'\ntarget = 'primary'\nmatch.user = '*'\n",
    );
    let said = Said::to(&rules);
    let bid = said.find(r#"select * from "Bid""#);
    assert_eq!(bid, Found { rule: Some(RuleId(1)), shadow: Some(RuleId(0)) });
    assert_eq!(said.find("select 1"), Found { rule: Some(RuleId(2)), shadow: None });
}

#[test]
fn counters_survive_by_name() {
    let text = "nodes = ['a']\n[[rules]]\nname = 'r'\ntarget = 'primary'\nmatch.user = 'x'";
    let config = Config::parse(text, Path::new(".")).unwrap().0;
    let before = Rules::new(&config.rules, &["a"], None);
    before.iter().for_each(|rule| rule.counters.stale());
    let after = Rules::new(&config.rules, &["a"], Some(&before));
    assert_eq!(after.iter().next().unwrap().counters.figures().stale, 1);
    assert_ne!(before.generation(), after.generation());
    let without = Rules::new(&[], &["a"], Some(&after));
    let back = Rules::new(&config.rules, &["a"], Some(&without));
    assert_eq!(back.iter().next().unwrap().counters.figures().stale, 1, "it was away for one reload");
}

#[test]
fn facts_that_other_rules_have_marked_are_marked_anew() {
    let (analyzer, catalog) = (Analyzer::new(1 << 16), catalog());
    let (old, new) = (Arc::new(one("match.tables = 'Session'")), Arc::new(one("match.tables = 'Region'")));
    let sql = br#"select * from "Region""#;
    let find = |rules: &Rules, facts: &pgsplit_sql::Facts| {
        rules.find(facts, &catalog, Mask::ALL, Mask::ALL, Arc::default).rule
    };
    analyzer.set_marker(old.clone());
    let facts = analyzer.facts(sql, &catalog);
    assert_eq!((find(&old, &facts), find(&new, &facts)), (None, Some(RuleId(0))));
    analyzer.set_marker(new.clone());
    let again = analyzer.facts(sql, &catalog);
    assert_eq!(again.noted.generation, new.generation());
    assert_eq!(find(&new, &again), Some(RuleId(0)));
}
