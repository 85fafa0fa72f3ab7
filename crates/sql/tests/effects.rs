//! What texts leave behind, what they write and read, and calls of `set_config`.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use pgsplit_sql::catalog::FunctionConfig;
use pgsplit_sql::facts::{Argument, SettingCall};
use pgsplit_sql::{Analyzer, Catalog, Effects};

#[test]
fn effects() {
    let hidden = "sequence-use, opaque, maybe-ddl, code";
    // Proved to touch rows only.
    let quiet = "sequence-use, code";
    let rows = [
        ("select * from t", "none"),
        ("select upper(b), count(*) from t where a in (1) group by 1", "none"),
        // A list of columns is no call.
        ("select x from (values (1), (2)) _(x)", "none"),
        ("begin", "tx-control"),
        ("commit prepared 'x'", "tx-control"),
        ("set a.b = 1", "setting"),
        ("set local a.b = 1", "setting"),
        ("set transaction_read_only = on", "tx-control"),
        ("set search_path = pg_temp, public", "setting, temp-object"),
        ("set seed = 0.5", "setting, seed"),
        ("set time zone interval '1' hour", "setting-opaque"),
        ("set x from current", "setting-opaque"),
        ("set nonsense", "setting-opaque, sequence-use, opaque, maybe-ddl, code"),
        ("reset all", "setting, may-end-state"),
        ("discard all", "may-end-state"),
        ("select set_config('a.b', 'c', false)", "setting"),
        ("select pg_catalog.set_config('search_path', '', false)", "setting"),
        ("select set_config('seed', '0.5', false)", "setting, seed"),
        ("select set_config('a.b', 'c', false) from t", "setting-opaque"),
        ("select set_config('a.b', 'c' || 'd', false)", "setting-opaque"),
        ("select set_config(name, 'c', false) from t", "setting-opaque"),
        ("select 1 where set_config('a', 'b', false) = ''", "setting-opaque"),
        ("with x as (select set_config('a', 'b', false)) select 1", "setting-opaque"),
        ("create temp table x (a int)", "temp-object, ddl"),
        (
            "create or replace temporary view x as select 1",
            "temp-object, sequence-use, opaque, ddl, maybe-ddl, code",
        ),
        ("create table pg_temp.x (a int)", "temp-object, ddl"),
        ("create table temporary_x (a int)", "ddl"),
        ("create table x (a int default 1, b varchar(10))", "ddl"),
        ("create table x (a int default -currval('s'))", "sequence-ask, ddl"),
        ("create table x as select 1", "sequence-use, opaque, ddl, maybe-ddl, code"),
        ("create extension hstore", "sequence-use, opaque, ddl, maybe-ddl, code"),
        ("drop table t", "may-end-state, ddl"),
        ("grant select on t to x", "ddl"),
        ("select * into temp x from t", "temp-object, sequence-use, opaque, ddl, maybe-ddl, code"),
        ("declare c cursor with hold for select 1", "hold-cursor"),
        ("declare c cursor for select 1", "none"),
        ("declare c cursor for select f_volatile()", quiet),
        ("select pg_advisory_lock(1)", "advisory-lock"),
        ("select pg_try_advisory_lock_shared(1, 2)", "advisory-lock"),
        ("select pg_advisory_xact_lock(1)", "locking"),
        ("select pg_advisory_unlock(1)", "may-end-state"),
        ("insert into t select pg_advisory_lock(1)", "advisory-lock, sequence-use"),
        ("listen x", "listen"),
        ("unlisten *", "may-end-state"),
        ("notify x", "none"),
        ("select pg_notify('a', 'b')", "none"),
        ("load 'x'", "load"),
        ("prepare p as select 1", "sql-prepared, prepares-plain"),
        ("prepare p as select set_config('a.b', $1, false)", "sql-prepared"),
        ("execute p", "setting-opaque, sql-prepared, sequence-use, opaque, maybe-ddl, code"),
        ("deallocate p", "sql-prepared, may-end-state"),
        ("deallocate all", "may-end-state"),
        ("select setseed(0.5)", "seed"),
        ("select nextval('sq')", "sequence-use"),
        ("select currval('sq'), lastval()", "sequence-ask"),
        ("insert into t values (1)", "sequence-use"),
        (
            "insert into public.t (a, b) values (1, 2) on conflict (a) do nothing returning (a)",
            "sequence-use",
        ),
        ("insert into triggered values (1)", quiet),
        ("insert into touched values (1)", "sequence-use"),
        ("insert into ruled values (1)", hidden),
        ("insert into default_bad values (1)", quiet),
        ("delete from parent_of_triggered", quiet),
        ("insert into not_in_catalog values (1)", hidden),
        ("update pg_settings set setting = 'x'", hidden),
        ("update pg_catalog.pg_settings set setting = 'x'", hidden),
        ("update t set a = f_volatile()", quiet),
        ("update t set a = f_stateless()", "sequence-use"),
        ("with x as (insert into triggered values (1)) select 1", quiet),
        ("with x (a, b) as (select 1, 2) insert into t select * from x", "sequence-use"),
        ("truncate t, triggered", quiet),
        ("copy t from stdin", "sequence-use, copy-in"),
        ("copy triggered from stdin", "sequence-use, copy-in, code"),
        ("copy t to stdout", "copy-out"),
        ("select * from t for update", "locking"),
        ("lock t", "locking"),
        ("do $$ begin end $$", hidden),
        ("call proc(1)", quiet),
        ("call proc_stateless(1)", "sequence-use, maybe-ddl, code"),
        ("select f_volatile()", quiet),
        ("select f_trusted(), f_sql(1), f_extension(2)", "none"),
        ("select f_stateless()", "none"),
        ("select f_sets()", "sequence-use, opaque, code"),
        ("select f_calls_sets()", "sequence-use, opaque, code"),
        ("update t set a = f_sets()", "sequence-use, opaque, code"),
        ("call proc(f_sets())", "sequence-use, opaque, code"),
        ("call proc(set_config('a.b', 'c', false))", "setting-opaque, sequence-use, code"),
        // Reading fires nothing, but words are all that is compared.
        ("select f_volatile() from fires_sets", "sequence-use, opaque, code"),
        ("insert into fires_sets values (1)", "sequence-use, opaque, code"),
        ("insert into fires_fires_sets values (1)", "sequence-use, opaque, code"),
        ("select f_makes()", hidden),
        // Declared IMMUTABLE, and sets something for the session.
        ("select isn_weak()", hidden),
        ("select f_unknown_call()", hidden),
        ("select f_extension_volatile()", hidden),
        ("select other.f_volatile()", hidden),
        ("select unknown_function()", hidden),
        ("select a === b from t", quiet),
        ("select 1::d_bad", quiet),
        ("select t.fullname from t", quiet),
        ("select * from v_volatile", quiet),
        ("select * from v_unlogged", "none"),
        ("select query_to_xml('x', true, true, '')", hidden),
        ("select lo_open(1, 2)", "tx-state"),
        ("select pg_export_snapshot()", "tx-state"),
        ("select * from pg_backup_start('x')", "other-state"),
        ("select pg_backend_pid(), version(), pg_is_in_recovery()", "none"),
        ("explain analyze create table x as select 1", {
            "setting-opaque, sql-prepared, sequence-use, opaque, ddl, maybe-ddl, code"
        }),
        ("select * from f_volatile(1) as (a int, b text)", quiet),
        ("select u&\"pg_advisory\\005flock\"(1)", "setting-opaque, sequence-use, opaque, maybe-ddl, code"),
        // It computes the expressions of indexes.
        ("vacuum", "opaque, code"),
        ("what is this", "setting-opaque, sequence-use, opaque, maybe-ddl, code"),
    ];
    let wrong: Vec<String> = rows
        .iter()
        .map(|(sql, expected)| {
            (sql, *expected, common::facts(sql).effects.without(Effects::SETS_ANYTHING).to_string())
        })
        .filter(|(_, expected, found)| expected != found)
        .map(|(sql, expected, found)| format!("{sql}\n    expected {expected}\n    found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Five functions as applications have them, and one that runs what it is given.
#[test]
fn only_what_leads_to_unproved_code_may_set_anything() {
    let sources = [
        (
            1,
            "audit",
            "BEGIN EXECUTE format('INSERT INTO %I (what) VALUES (%L)', TG_TABLE_NAME || '_log', NEW); RETURN NEW; END",
        ),
        (
            2,
            "partition",
            "BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF t FOR VALUES FROM (%L) TO (%L)', a, b, c); UPDATE t SET x = 1; END",
        ),
        (3, "touch", "BEGIN NEW.updated_at = now(); RETURN NEW; END"),
        (4, "count_up", "BEGIN UPDATE counters SET n = n + 1 WHERE id = NEW.id; RETURN NEW; END"),
        (5, "search", "BEGIN RETURN QUERY EXECUTE 'SELECT * FROM t WHERE name ILIKE $1' USING pattern; END"),
        (6, "run_anything", "BEGIN EXECUTE command; END"),
        (7, "caller", "BEGIN PERFORM run_anything('x'); END"),
    ];
    let base = 90_000;
    let rows = |last: i64| {
        let mut rows = common::rows();
        rows.functions.retain(|row| matches!(&*row.language, "plpgsql" | "sql") || row.extension);
        // What a rule does is not known, so with one every computed name of a table leads anywhere.
        rows.rules.clear();
        for (oid, name, source) in sources.iter().filter(|(oid, ..)| *oid <= last) {
            rows.functions.push(common::function(base + oid, name, "plpgsql", "v", source));
        }
        Arc::new(Catalog::build(&rows, &FunctionConfig::default(), 1))
    };
    let pins = |text: &str, catalog: &Arc<Catalog>| {
        let facts = Analyzer::new(1 << 20).facts(text.as_bytes(), catalog);
        assert!(facts.effects.contains(Effects::CODE), "{text}");
        facts.effects.contains(Effects::SETS_ANYTHING)
    };
    let (usual, unsafe_one) = (rows(5), rows(7));
    assert!(!usual.has_code_that_sets_anything());
    for (_, name, _) in &sources[..5] {
        assert!(
            !pins(&format!("select {name}(1)"), &usual) && !pins(&format!("select {name}(1)"), &unsafe_one)
        );
    }
    for text in
        ["select run_anything('x')", "select caller()", "do $$ begin perform caller(); end $$", "execute p"]
    {
        assert!(pins(text, &unsafe_one), "{text}");
    }
    for (text, expected) in [
        ("create function f() returns void language plpgsql as $$ begin execute x; end $$", true),
        ("create function f() returns void language plpgsql as $$ begin execute 'select 1'; end $$", false),
        ("create trigger t after insert on orders execute function caller()", true),
    ] {
        let facts = Analyzer::new(1 << 20).facts(text.as_bytes(), &unsafe_one);
        assert_eq!(facts.effects.contains(Effects::SETS_ANYTHING), expected, "{text}");
    }
    for (text, expected) in [
        ("do $$ begin execute 'set a.b = ' || c; end $$", true),
        ("do $$ begin perform touch(1); end $$", false),
        ("do $$ begin execute 'select 1'; end $$", false),
        ("do language plperl $$ x $$", true),
        ("select query_to_xml('x', true, true, '')", true),
    ] {
        assert_eq!(pins(text, &usual), expected, "{text}");
    }
}

#[test]
fn a_drivers_reset_creates_no_state() {
    for sql in [
        "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
        "DISCARD ALL",
        "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *; \
         SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES",
    ] {
        let facts = common::facts(sql);
        let allowed = pgsplit_sql::Effects::SETTING | pgsplit_sql::Effects::MAY_END_STATE;
        assert!(facts.effects.without(allowed).is_empty(), "{facts}");
        assert!(facts.writes.is_empty(), "{facts}");
    }
}

#[test]
fn what_is_written_and_read() {
    let rows = [
        ("select * from u join public.accounts a on true", "accounts, u", "none"),
        ("select 1", "none", "none"),
        ("select * from v_ok", "t, v_ok", "none"),
        ("select * from part", "part, part_1", "none"),
        ("select * from rls_ok", "rls_ok, u", "none"),
        ("select f_sql(1)", "any", "none"),
        ("select * from pg_class", "any", "none"),
        ("select 'u'::regclass", "any", "none"),
        ("update u set a = 1", "any", "u"),
        ("insert into t values (1)", "any", "child, t"),
        ("insert into part values (1)", "any", "part, part_1"),
        ("insert into v_ok values (1)", "any", "child, t, v_ok"),
        ("insert into touched values (1)", "any", "touched"),
        ("insert into triggered values (1)", "any", "any, triggered"),
        ("update u set a = f_stateless()", "any", "any, u"),
        ("with x as (delete from u returning *) insert into accounts select * from x", "any", "accounts, u"),
        ("with x as (update only public.u set a = 1 returning *) select * from x", "any", "u"),
        ("merge into u using accounts on true when matched then update set a = 1", "any", "u"),
        ("truncate table only u, accounts restart identity", "any", "accounts, u"),
        ("truncate u cascade", "any", "any, u"),
        ("copy u from stdin", "any", "u"),
        ("select lo_create(0)", "any", "any"),
        ("select * from u for update", "any", "none"),
        ("select nextval('sq')", "any", "none"),
        ("select pg_notify('a', 'b')", "any", "none"),
        ("select f_volatile()", "any", "any"),
        ("commit prepared 'x'", "any", "any"),
        ("begin", "any", "none"),
        ("drop table u", "any", "any"),
        ("do $$ $$", "any", "any"),
    ];
    for (sql, reads, writes) in rows {
        let facts = common::facts(sql);
        assert_eq!(
            (names(&facts.reads), names(&facts.writes)),
            (reads.to_owned(), writes.to_owned()),
            "{sql}"
        );
    }
}

/// The configuration says what a table's triggers write.
#[test]
fn triggers_that_are_configured_write_no_more_than_is_said() {
    let mut config = common::config();
    config.triggers.insert("triggered".into(), vec!["accounts".into()]);
    let catalog = Arc::new(Catalog::build(&common::rows(), &config, 1));
    let facts = Analyzer::new(1 << 16).facts(b"insert into triggered values (1)", &catalog);
    assert_eq!(names(&facts.writes), "accounts, triggered");
    assert_eq!(facts.written.keys.len(), 2);
    assert!(!facts.written.any);
}

/// What a statement may show of tables: what it names, and all where code runs out of sight.
#[test]
fn what_is_shown() {
    let of = |sql: &str| common::facts(sql).shown;
    assert_eq!(of("select 1"), 0);
    assert_eq!(of("update u set a = 1"), of("select * from u"));
    assert_eq!(of("delete from u using accounts"), of("select * from u, accounts"));
    assert_eq!(of("select f_volatile()"), u64::MAX);
    assert_eq!(of("select f_sql(1)"), u64::MAX);
}

/// Names without schemas, each once.
fn names(relations: &pgsplit_sql::facts::Relations) -> String {
    let mut names: Vec<&str> = relations.names.iter().map(|name| &*name.name).collect();
    names.sort_unstable();
    names.dedup();
    names.splice(0..0, relations.any.then_some("any"));
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[test]
fn set_config_is_read() {
    let of = |text: &str| Argument::Const(text.into());
    let call = |name, value, local| SettingCall { name, value, local };
    let rows = [
        ("select set_config('A.b', 'C', false)", vec![call(of("a.b"), of("C"), of("false"))]),
        (
            "select set_config('a.b'::text, $1::text, 't'::boolean) as x",
            vec![call(of("a.b"), Argument::Param(1), of("t"))],
        ),
        (
            "select set_config($1, $2, $3)",
            vec![call(Argument::Param(1), Argument::Param(2), Argument::Param(3))],
        ),
        ("select set_config('a.b', null, true), pg_catalog.set_config('c.d', '''', true)", {
            vec![call(of("a.b"), Argument::Null, of("true")), call(of("c.d"), of("'"), of("true"))]
        }),
        ("select set_config('a', 'b', false), 1", vec![]),
        ("select set_config('a', 'b', false) limit 0", vec![]),
        ("select set_config('a', E'\\x41', false)", vec![]),
    ];
    for (sql, expected) in rows {
        let facts = common::facts(sql);
        assert_eq!(facts.statements[0].settings.to_vec(), expected, "{sql}");
        assert_eq!(
            facts.effects.contains(pgsplit_sql::Effects::SETTING_OPAQUE),
            expected.is_empty(),
            "{sql}"
        );
    }
}

#[test]
fn literals_that_matter_are_not_mixed_up() {
    let (analyzer, catalog) = (Analyzer::new(1 << 20), common::catalog());
    let ask = |sql: &str| analyzer.facts(sql.as_bytes(), &catalog);
    for _ in 0..3 {
        assert!(ask("select current_setting('app.x')").is_read());
        assert!(!ask("select current_setting('data_directory')").is_read());
        let one = ask("select set_config('a.b', 'one', false)");
        let two = ask("select set_config('a.b', 'two', false)");
        assert_ne!(one.statements[0].settings, two.statements[0].settings);
        assert_ne!(ask("set a.b = 'one'"), ask("set a.b = 'two'"));
        assert!(Arc::ptr_eq(&ask("select 1 from t where a = 'x'"), &ask("SELECT 2 FROM t WHERE a='y' -- z")));
    }
}

#[test]
fn facts_belong_to_their_catalog() {
    let analyzer = Analyzer::new(1 << 20);
    let (known, unknown) = (common::catalog(), Arc::new(Catalog::unknown()));
    for _ in 0..2 {
        assert!(analyzer.facts(b"select * from t", &known).is_read());
        assert!(!analyzer.facts(b"select * from t", &unknown).is_read());
        assert!(!analyzer.facts(b"select upper('x')", &unknown).is_read());
        assert!(analyzer.facts(b"select 1", &unknown).is_read());
    }
    let again = Catalog::build(&common::rows(), &common::config(), 2);
    assert_eq!(again.key(), known.key());
    let mut rows = common::rows();
    rows.relations.pop();
    assert_ne!(Catalog::build(&rows, &common::config(), 2).key(), known.key());
}
