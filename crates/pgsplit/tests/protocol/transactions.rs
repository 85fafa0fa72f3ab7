//! Transactions, where pgsplit answers for itself until a server is needed.

use crate::script::{
    Case, Step, again, b, batches, c, case, d, e, p, q, queries, run, run_described, s, send,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = simple();
    cases.extend(extended());
    cases
}

fn simple() -> Vec<Case> {
    let w = "INSERT INTO log (what) VALUES ('tx')";
    vec![
        queries("transaction: plain", &["BEGIN", "SELECT 1", w, "COMMIT", "BEGIN", w, "ROLLBACK"]),
        queries(
            "transaction: empty",
            &[
                "BEGIN",
                "COMMIT",
                "BEGIN",
                "ROLLBACK",
                "START TRANSACTION",
                "END",
                "BEGIN WORK",
                "ABORT",
                "begin;",
                "commit;",
            ],
        ),
        queries(
            "transaction: spelled otherwise",
            &[
                "/* c */ BEGIN",
                "COMMIT",
                "-- c\nBEGIN",
                w,
                "ROLLBACK",
                " begin transaction isolation level serializable, read only, deferrable ",
                "SHOW transaction_isolation",
                "SHOW transaction_read_only",
                "COMMIT /* c */",
                "BEGIN -- c",
                "COMMIT",
            ],
        ),
        queries("transaction: begin within", &["BEGIN", "BEGIN", "SELECT 1", "BEGIN", "COMMIT", "COMMIT"]),
        queries(
            "transaction: ends without",
            &[
                "COMMIT",
                "ROLLBACK",
                "END",
                "ABORT",
                "SAVEPOINT a",
                "RELEASE a",
                "ROLLBACK TO a",
                "COMMIT AND CHAIN",
                "SET TRANSACTION READ ONLY",
                "SET LOCAL TimeZone = 'UTC'",
            ],
        ),
        queries(
            "transaction: an error",
            &["BEGIN", "SELECT 1/0", "SELECT 1", "SELEC", "", "COMMIT", "SELECT 2"],
        ),
        queries(
            "transaction: an error as the first statement",
            &[
                "BEGIN",
                "SELEC",
                "SELECT 1",
                "ROLLBACK",
                "BEGIN",
                "SELECT * FROM nowhere",
                "COMMIT",
                "SELECT 2",
            ],
        ),
        queries(
            "transaction: set transaction",
            &[
                "BEGIN",
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "SET TRANSACTION READ ONLY",
                "SHOW transaction_isolation",
                "SHOW transaction_read_only",
                w,
                "ROLLBACK",
            ],
        ),
        queries(
            "transaction: set transaction too late",
            &[
                "BEGIN",
                "SELECT 1 FROM t",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                "COMMIT",
                "BEGIN",
                "SET TRANSACTION READ ONLY",
                "SELECT 1 FROM t",
                "SET TRANSACTION READ WRITE",
                "ROLLBACK",
            ],
        ),
        queries(
            "transaction: set transaction and nothing",
            &["BEGIN", "SET TRANSACTION READ ONLY", "COMMIT", "SHOW transaction_read_only"],
        ),
        queries(
            "transaction: malformed begin",
            &[
                "BEGIN ISOLATION LEVEL NOTHING",
                "BEGIN READ",
                "START",
                "BEGIN",
                "SET TRANSACTION NOTHING",
                "ROLLBACK",
                "SET TRANSACTION SNAPSHOT 'x'",
                "BEGIN",
                "SET TRANSACTION SNAPSHOT 'x'",
                "ROLLBACK",
            ],
        ),
        queries(
            "transaction: read only",
            &[
                "BEGIN READ ONLY",
                "SELECT 1",
                w,
                "ROLLBACK",
                "START TRANSACTION READ ONLY",
                "SELECT count(*) FROM t",
                "COMMIT",
            ],
        ),
        queries(
            "transaction: chain",
            &[
                "BEGIN ISOLATION LEVEL REPEATABLE READ",
                "SELECT 1",
                "COMMIT AND CHAIN",
                "SHOW transaction_isolation",
                "ROLLBACK AND CHAIN",
                "SELECT 1/0",
                "COMMIT AND CHAIN",
                "SELECT 1",
                "COMMIT AND NO CHAIN",
            ],
        ),
        queries(
            "transaction: chain of an empty one",
            &["BEGIN READ ONLY", "COMMIT AND CHAIN", "SHOW transaction_read_only", "ROLLBACK"],
        ),
        queries(
            "transaction: savepoints",
            &[
                "BEGIN",
                "SAVEPOINT a",
                w,
                "SAVEPOINT b",
                "SELECT 1/0",
                "SELECT 1",
                "ROLLBACK TO b",
                "SELECT 2",
                "RELEASE b",
                "ROLLBACK TO a",
                "RELEASE a",
                "ROLLBACK TO a",
                "COMMIT",
            ],
        ),
        queries(
            "transaction: a savepoint first",
            &["BEGIN", "SAVEPOINT a", "COMMIT", "BEGIN", "ROLLBACK TO a", "ROLLBACK"],
        ),
        queries(
            "transaction: settings and savepoints",
            &[
                "BEGIN",
                "SET TimeZone = 'Asia/Tokyo'",
                "SAVEPOINT a",
                "SET TimeZone = 'Europe/Berlin'",
                "ROLLBACK TO a",
                "SHOW TimeZone",
                "COMMIT",
                "SHOW TimeZone",
                "RESET TimeZone",
            ],
        ),
        queries(
            "transaction: a deferred constraint",
            &["BEGIN", "INSERT INTO once VALUES (1)", "SELECT 1", "COMMIT", "SELECT 2"],
        ),
        queries(
            "transaction: two-phase",
            &[
                "BEGIN",
                w,
                "PREPARE TRANSACTION 'two'",
                "ROLLBACK PREPARED 'two'",
                "ROLLBACK PREPARED 'nothing'",
                "PREPARE TRANSACTION 'x'",
                "BEGIN",
                "PREPARE TRANSACTION 'two'",
                "COMMIT PREPARED 'two'",
            ],
        ),
        queries(
            "transaction: ddl",
            &[
                "BEGIN",
                "CREATE TABLE fresh (id int)",
                "INSERT INTO fresh VALUES (1)",
                "SELECT id + 0 AS n FROM fresh",
                "ROLLBACK",
                "SELECT id + 0 AS n FROM fresh",
            ],
        ),
        queries(
            "transaction: what cannot be in one",
            &["BEGIN", "VACUUM t", "ROLLBACK", "BEGIN", "CREATE DATABASE nothing", "ROLLBACK"],
        ),
        queries(
            "transaction: default read only",
            &[
                "SET default_transaction_read_only = on",
                "BEGIN",
                w,
                "ROLLBACK",
                w,
                "RESET default_transaction_read_only",
                "SELECT 1",
            ],
        ),
        queries(
            "transaction: in several messages and one",
            &["BEGIN", "SELECT 1; COMMIT; SELECT 2", "BEGIN; SELECT 3", "ROLLBACK; BEGIN", "COMMIT"],
        ),
    ]
}

fn extended() -> Vec<Case> {
    let w = || run("INSERT INTO log (what) VALUES ('ext')");
    vec![
        batches(
            "transaction, extended: plain",
            [run("BEGIN"), w(), run("COMMIT"), run("BEGIN"), w(), run("ROLLBACK"), run("SELECT 1")],
        ),
        batches(
            "transaction, extended: described",
            [
                run_described("BEGIN"),
                run_described("SELECT 1"),
                run_described("COMMIT"),
                run_described("BEGIN"),
                run_described("COMMIT"),
            ],
        ),
        batches(
            "transaction, extended: empty",
            [run("BEGIN"), run("COMMIT"), run("START TRANSACTION READ ONLY"), run("ROLLBACK")],
        ),
        batches(
            "transaction, extended: a comment before",
            [
                run("/* c */ BEGIN"),
                w(),
                run("ROLLBACK"),
                run("SELECT count(*) FROM log WHERE what = 'ext'"),
                run("-- c\nSTART TRANSACTION"),
                run("COMMIT"),
            ],
        ),
        batches(
            "transaction, extended: prepared begin",
            [
                vec![
                    p("begin", "BEGIN"),
                    p("commit", "COMMIT"),
                    p("rollback", "ROLLBACK"),
                    p("w", "INSERT INTO log (what) VALUES ('prep')"),
                ],
                again("begin", &[]),
                again("w", &[]),
                again("commit", &[]),
                again("begin", &[]),
                again("commit", &[]),
                again("begin", &[]),
                again("rollback", &[]),
                again("begin", &[]),
                again("w", &[]),
                again("rollback", &[]),
                again("commit", &[]),
                again("w", &[]),
            ],
        ),
        batches(
            "transaction, extended: all in one batch",
            [
                [run("BEGIN"), w(), run("COMMIT")].concat(),
                [run("BEGIN"), run("COMMIT")].concat(),
                [run("BEGIN"), run("SELECT 1/0"), run("COMMIT")].concat(),
                run("ROLLBACK"),
            ],
        ),
        batches(
            "transaction, extended: begin behind a write",
            [[w(), run("BEGIN"), w()].concat(), run("ROLLBACK")],
        ),
        batches(
            "transaction, extended: begin twice",
            [run("BEGIN"), run("BEGIN"), run("COMMIT"), run("COMMIT")],
        ),
        batches(
            "transaction, extended: an error",
            [
                run("BEGIN"),
                run("SELECT 1/0"),
                run("SELECT 1"),
                vec![p("", "COMMIT"), d(b'S', ""), b("", "", &[]), d(b'P', ""), e("", 0)],
                run("SELECT 2"),
            ],
        ),
        batches(
            "transaction, extended: set transaction",
            [
                run("BEGIN"),
                run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
                run("SHOW transaction_isolation"),
                run("COMMIT AND CHAIN"),
                run("SHOW transaction_isolation"),
                run("COMMIT"),
            ],
        ),
        batches(
            "transaction, extended: savepoints",
            [
                run("BEGIN"),
                w(),
                run("SAVEPOINT a"),
                run("SELECT 1/0"),
                run("ROLLBACK TO a"),
                run("SELECT 1"),
                run("RELEASE a"),
                run("COMMIT"),
            ],
        ),
        batches(
            "transaction, extended: a Parse of begin, another executed",
            [
                vec![p("w", "INSERT INTO log (what) VALUES ('other') RETURNING what"), p("r", "SELECT 'r'")],
                vec![p("begin", "BEGIN"), b("", "w", &[]), e("", 0)],
                vec![p("b2", "BEGIN"), b("", "none", &[]), e("", 0)],
                vec![p("b3", "BEGIN"), b("", "r", &[]), d(b'P', ""), e("", 0)],
                vec![p("b4", "BEGIN"), d(b'S', "r"), b("", "b4", &[]), e("", 0)],
                run("ROLLBACK"),
                run("SELECT count(*) FROM log WHERE what = 'other'"),
            ],
        ),
        batches(
            "transaction, extended: begin under a taken name",
            [vec![p("a", "SELECT 1")], vec![p("a", "BEGIN"), b("", "a", &[]), e("", 0)], again("a", &[])],
        ),
        batches(
            "transaction, extended: begin through odd portals",
            [
                vec![p("", "BEGIN"), b("", "", &[]), e("none", 0)],
                vec![p("", "BEGIN"), e("", 0)],
                vec![p("", "BEGIN"), d(b'P', ""), b("", "", &[]), e("", 0)],
                vec![p("", "BEGIN"), b("x", "", &[]), e("x", 0)],
                run("ROLLBACK"),
                vec![p("", "BEGIN"), b("", "", &[]), e("", 1)],
                run("ROLLBACK"),
                vec![p("", "BEGIN"), b("", "", &["1"]), e("", 0)],
                run("SELECT 1"),
                vec![p("", "BEGIN"), b("", "", &[]), e("", 0), d(b'P', "")],
                run("ROLLBACK"),
            ],
        ),
        batches(
            "transaction, extended: close with begin",
            [
                vec![p("x", "SELECT 1")],
                vec![p("", "BEGIN"), b("", "", &[]), e("", 0), c(b'P', ""), c(b'P', "x"), c(b'S', "y")],
                again("x", &[]),
                vec![p("", "COMMIT"), b("", "", &[]), e("", 0), c(b'S', "x")],
                again("x", &[]),
            ],
        ),
        batches(
            "transaction, extended: statements prepared within",
            [
                run("BEGIN"),
                vec![p("a", "SELECT 1")],
                run("ROLLBACK"),
                again("a", &[]),
                run("BEGIN"),
                vec![p("b", "SELECT 2")],
                run("SELECT 1/0"),
                again("b", &[]),
                run("ROLLBACK"),
                again("b", &[]),
            ],
        ),
        case(
            "transaction, extended: simple begin, extended rest",
            [
                send([vec![q("BEGIN")], w(), vec![s()], run("COMMIT"), vec![s(), q("SELECT 1")]].concat()),
                Step::Ready(4),
            ],
        ),
        batches(
            "transaction, extended: a drop within",
            [
                vec![p("a", "SELECT id + 1 FROM fleeting")],
                run("CREATE TABLE fleeting (id int)"),
                vec![p("a", "SELECT id + 1 FROM fleeting")],
                again("a", &[]),
                run("BEGIN"),
                run("DROP TABLE fleeting"),
                again("a", &[]),
                run("ROLLBACK"),
                again("a", &[]),
                run("DROP TABLE fleeting"),
                again("a", &[]),
            ],
        ),
    ]
}
