//! Commands that the scanner reads by itself, and values of SET as PostgreSQL flattens them.
#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

mod common;

use pgsplit_sql::command::{Command, CopyDirection, Discard, Isolation, SetValue, TransactionModes};

fn command(sql: &str) -> Command {
    let facts = common::facts(sql);
    facts.single().unwrap_or_else(|| panic!("{sql}: {facts}")).command.clone()
}

fn check(rows: impl IntoIterator<Item = (&'static str, Command)>) {
    for (sql, expected) in rows {
        assert_eq!(command(sql), expected, "{sql}");
    }
}

fn modes(
    isolation: Option<Isolation>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
) -> TransactionModes {
    TransactionModes { isolation, read_only, deferrable }
}

#[test]
fn transactions() {
    let plain = modes(None, None, None);
    check([
        ("begin", Command::Begin(plain)),
        ("BEGIN WORK;", Command::Begin(plain)),
        ("begin transaction read only", Command::Begin(modes(None, Some(true), None))),
        ("/* a */ begin -- b", Command::Begin(plain)),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
            Command::Begin(modes(Some(Isolation::Serializable), Some(true), Some(true))),
        ),
        (
            "start transaction isolation level repeatable read read write not deferrable",
            Command::Begin(modes(Some(Isolation::RepeatableRead), Some(false), Some(false))),
        ),
        (
            "begin isolation level read committed",
            Command::Begin(modes(Some(Isolation::ReadCommitted), None, None)),
        ),
        (
            "begin isolation level read uncommitted",
            Command::Begin(modes(Some(Isolation::ReadUncommitted), None, None)),
        ),
        ("begin read only, read write", Command::Begin(modes(None, Some(false), None))),
        ("commit", Command::Commit { chain: false }),
        ("end transaction", Command::Commit { chain: false }),
        ("commit work and chain", Command::Commit { chain: true }),
        ("commit and no chain", Command::Commit { chain: false }),
        ("rollback", Command::Rollback { chain: false }),
        ("abort and chain", Command::Rollback { chain: true }),
        ("savepoint A", Command::Savepoint("a".into())),
        ("savepoint \"A\"\"b\"", Command::Savepoint("A\"b".into())),
        ("release savepoint a", Command::Release("a".into())),
        ("release a", Command::Release("a".into())),
        ("rollback to a", Command::RollbackTo("a".into())),
        ("rollback work to savepoint a", Command::RollbackTo("a".into())),
        ("rollback transaction to a", Command::RollbackTo("a".into())),
        ("set transaction isolation level serializable", {
            Command::SetTransaction(modes(Some(Isolation::Serializable), None, None))
        }),
        ("set local transaction read only", Command::SetTransaction(modes(None, Some(true), None))),
        ("set transaction snapshot '00000003-1'", Command::SetTransactionSnapshot),
        ("set session characteristics as transaction deferrable", {
            Command::SetSessionCharacteristics(modes(None, None, Some(true)))
        }),
        ("prepare transaction 'x'", Command::PrepareTransaction),
        ("commit prepared 'x'", Command::CommitPrepared),
        ("rollback prepared 'x'", Command::RollbackPrepared),
        ("set constraints all deferred", Command::SetConstraints),
        ("begin read", Command::Unknown("begin".into())),
        ("begin read only,", Command::Unknown("begin".into())),
        ("begin; ;", Command::Begin(plain)),
        ("begin transaction now", Command::Unknown("begin".into())),
        ("commit chain", Command::Unknown("commit".into())),
        ("start", Command::Unknown("start".into())),
        ("set transaction", Command::Unknown("set".into())),
        ("savepoint", Command::Unknown("savepoint".into())),
        ("savepoint a b", Command::Unknown("savepoint".into())),
        ("rollback to", Command::Unknown("rollback".into())),
    ]);
}

fn set(sql: &str) -> (bool, String, SetValue) {
    match command(sql) {
        Command::Set { local, name, value } => (local, name.into(), value),
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn settings() {
    let rows = [
        ("set work_mem = '4MB'", "work_mem", "4MB"),
        ("SET Work_Mem TO 4096", "work_mem", "4096"),
        ("set x.Y = On", "x.y", "on"),
        ("set session x.y = true", "x.y", "true"),
        ("set \"X\".\"Y\" = 'A'", "x.y", "A"),
        ("set session.x = 1", "session.x", "1"),
        ("set local.x to 1", "local.x", "1"),
        ("set search_path = a, B, \"C d\", '$user'", "search_path", "a, b, \"C d\", \"$user\""),
        ("set search_path = ''", "search_path", "\"\""),
        ("set search_path to 'a, b'", "search_path", "\"a, b\""),
        ("set search_path to 'user', \"select\"", "search_path", "\"user\", \"select\""),
        ("set schema 'x'", "search_path", "x"),
        ("set schema 'X'", "search_path", "\"X\""),
        ("set datestyle = iso, mdy", "datestyle", "iso, mdy"),
        ("set datestyle to 'ISO, DMY'", "datestyle", "ISO, DMY"),
        ("set a.b = -5", "a.b", "-5"),
        ("set a.b = +5", "a.b", "5"),
        ("set a.b = 1.50", "a.b", "1.50"),
        ("set a.b = -1e3", "a.b", "-1e3"),
        ("set a.b = 007", "a.b", "7"),
        ("set a.b = 12345678901", "a.b", "12345678901"),
        ("set a.b = 'it''s'", "a.b", "it's"),
        ("set a.b = E'a\\nb\\'c'", "a.b", "a\nb'c"),
        ("set a.b = $$x'y$$", "a.b", "x'y"),
        ("set a.b = $t$x$t$", "a.b", "x"),
        ("set time zone 'Europe/Berlin'", "timezone", "Europe/Berlin"),
        ("set time zone utc", "timezone", "utc"),
        ("set time zone -7", "timezone", "-7"),
        ("set timezone = 'UTC'", "timezone", "UTC"),
        ("set names 'utf8'", "client_encoding", "utf8"),
        ("set role admin", "role", "admin"),
        ("set role 'Admin'", "role", "Admin"),
        ("set role none", "role", "none"),
        ("set role = x", "role", "x"),
        ("set session authorization bob", "session_authorization", "bob"),
        ("set session session authorization 'Bob'", "session_authorization", "Bob"),
        ("set seed to 0.5", "seed", "0.5"),
        ("set xml option document", "xmloption", "document"),
    ];
    for (sql, name, value) in rows {
        assert_eq!(set(sql), (false, name.into(), SetValue::Value(value.into())), "{sql}");
    }
    let others = [
        ("set local a.b = 'x'", true, "a.b", SetValue::Value("x".into())),
        ("set local session authorization default", true, "session_authorization", SetValue::Default),
        ("set local time zone local", true, "timezone", SetValue::Default),
        ("set local role x", true, "role", SetValue::Value("x".into())),
        ("set work_mem to default", false, "work_mem", SetValue::Default),
        ("set time zone default", false, "timezone", SetValue::Default),
        ("set names", false, "client_encoding", SetValue::Default),
        ("set names default", false, "client_encoding", SetValue::Default),
        ("set work_mem from current", false, "work_mem", SetValue::FromCurrent),
        ("set time zone interval '-08:00' hour to minute", false, "timezone", SetValue::Opaque),
        ("set a.b = U&'\\0041'", false, "a.b", SetValue::Opaque),
        ("set a.b = E'\\x41'", false, "a.b", SetValue::Opaque),
    ];
    for (sql, local, name, value) in others {
        assert_eq!(set(sql), (local, name.into(), value), "{sql}");
    }
    for sql in [
        "set",
        "set a",
        "set a =",
        "set a = 1,",
        "set a = 1 2",
        "set a = (1)",
        "set catalog 'x'",
        "set a b = 1",
    ] {
        assert_eq!(command(sql), Command::Unknown("set".into()), "{sql}");
    }
}

#[test]
fn resets_and_shows() {
    check([
        ("reset all", Command::ResetAll),
        ("reset Work_Mem", Command::Reset("work_mem".into())),
        ("reset a.b", Command::Reset("a.b".into())),
        ("reset time zone", Command::Reset("timezone".into())),
        ("reset role", Command::Reset("role".into())),
        ("reset session authorization", Command::Reset("session_authorization".into())),
        ("reset transaction isolation level", Command::Reset("transaction_isolation".into())),
        ("reset", Command::Unknown("reset".into())),
        ("show all", Command::Show("all".into())),
        ("show time zone", Command::Show("timezone".into())),
        ("show Search_Path", Command::Show("search_path".into())),
        ("show transaction isolation level", Command::Show("transaction_isolation".into())),
        ("show pgsplit.target", Command::Show("pgsplit.target".into())),
        ("discard all", Command::Discard(Discard::All)),
        ("discard plans", Command::Discard(Discard::Plans)),
        ("discard sequences", Command::Discard(Discard::Sequences)),
        ("discard temporary", Command::Discard(Discard::Temp)),
        ("discard everything", Command::Unknown("discard".into())),
    ]);
}

#[test]
fn prepared_statements_cursors_and_channels() {
    let name = |name: &str| name.into();
    check([
        ("prepare p as select 1", Command::Prepare { name: name("p") }),
        ("prepare P (int, text) as insert into t values ($1)", Command::Prepare { name: name("p") }),
        ("prepare transaction as select 1", Command::Prepare { name: name("transaction") }),
        ("prepare p", Command::Unknown(name("prepare"))),
        ("execute p", Command::Execute { name: name("p") }),
        ("execute \"P\" (1, (2))", Command::Execute { name: name("P") }),
        ("execute p (1) x", Command::Unknown(name("execute"))),
        ("deallocate p", Command::Deallocate(Some(name("p")))),
        ("deallocate prepare p", Command::Deallocate(Some(name("p")))),
        ("deallocate prepare", Command::Deallocate(Some(name("prepare")))),
        ("deallocate prepare all", Command::Deallocate(None)),
        ("deallocate \"all\"", Command::Deallocate(Some(name("all")))),
        ("declare c cursor for select 1", Command::Declare { name: name("c"), hold: false }),
        ("declare c binary insensitive no scroll cursor with hold for select 1", {
            Command::Declare { name: name("c"), hold: true }
        }),
        ("declare c cursor without hold for values (1)", Command::Declare { name: name("c"), hold: false }),
        ("fetch next from c", Command::Fetch),
        ("fetch absolute -1 c", Command::Fetch),
        ("move all in c", Command::Move),
        ("close c", Command::CloseCursor(Some(name("c")))),
        ("close all", Command::CloseCursor(None)),
        ("listen \"Ch\"", Command::Listen(name("Ch"))),
        ("unlisten ch", Command::Unlisten(Some(name("ch")))),
        ("unlisten *", Command::Unlisten(None)),
        ("notify ch, 'x'", Command::Notify),
        ("load '$libdir/x'", Command::Load),
    ]);
}

#[test]
fn the_rest() {
    let unknown = |word: &str| Command::Unknown(word.into());
    check([
        ("", Command::Empty),
        ("-- x", Command::Empty),
        ("select 1", Command::Query),
        ("((values (1)))", Command::Query),
        ("with x as (select 1) select 1", Command::Query),
        ("with x as (delete from t returning *) select * from x", Command::Query),
        ("with x as (select 1) update t set a = 1", Command::Update),
        ("with x(a) as materialized (select 1), y as (select 2) insert into t select 1", Command::Insert),
        ("with insert as (select 1) select * from insert", Command::Query),
        ("copy t from stdin", Command::Copy(CopyDirection::In)),
        ("copy \"T\" (a, b) from stdin with (format csv) where a > 1", Command::Copy(CopyDirection::In)),
        ("copy t to stdout", Command::Copy(CopyDirection::Out)),
        ("copy binary s.t to stdout", Command::Copy(CopyDirection::Out)),
        ("copy (select ')') to stdout", Command::Copy(CopyDirection::Out)),
        ("copy t from stdout", Command::Copy(CopyDirection::In)),
        ("copy t from program 'x'", Command::Copy(CopyDirection::Server)),
        ("copy t", unknown("copy")),
        ("truncate t", Command::Truncate),
        ("create table t (a int)", Command::Ddl("create".into())),
        ("vacuum (analyze) t", Command::Utility("vacuum".into())),
        ("explain select 1", Command::Explain),
        ("checkpoint", Command::Checkpoint),
        ("call p()", Command::Call),
        ("do $$ $$", Command::Do),
        ("lock t", Command::Lock),
        ("frobnicate x", unknown("frobnicate")),
        ("\"select\" 1", unknown("")),
        ("1", unknown("")),
    ]);
}

#[test]
fn names_are_cut_as_in_postgresql() {
    let long = "x".repeat(70);
    assert_eq!(command(&format!("savepoint {long}")), Command::Savepoint("x".repeat(63).into()));
    let wide = format!("savepoint \"{}\"", "\u{e9}".repeat(40));
    assert_eq!(command(&wide), Command::Savepoint("\u{e9}".repeat(31).into()));
}

#[test]
fn statements_are_split_where_postgresql_splits() {
    let count = |sql: &str| common::facts(sql).statements.len();
    assert_eq!(count("select 1; select 2"), 2);
    assert_eq!(count(";;select 1;;"), 1);
    assert_eq!(count("select ';'; select \";\"; select $$;$$; select /* ; */ 1 -- ;"), 4);
    assert_eq!(count("create rule r as on insert to t do (delete from u; delete from t); select 1"), 2);
    let body = "create or replace function f() returns int language sql begin atomic select 1; \
                select case when true then 1 end; end; select 2";
    assert_eq!(count(body), 2);
    assert_eq!(count("create procedure p() begin atomic begin; end; commit"), 2);
    assert_eq!(count("create function atomic() returns int as 'x' language sql; begin; commit"), 3);
    assert_eq!(count("begin; select atomic; commit"), 3);
}
