//! Simple queries: several statements, empty ones, any way of cutting the bytes; function calls, notices, parameters.

use pgsplit_testkit::peer::message;

use crate::script::{Case, Step, case, q, queries, send};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        queries("simple: one", &["SELECT 1", "SELECT id, name FROM t WHERE id < 4 ORDER BY id"]),
        queries(
            "simple: several statements",
            &["SELECT 1; SELECT 'a' AS b; SELECT NULL", "SELECT 1;;SELECT 2;"],
        ),
        queries("simple: empty", &["", ";", " ", "-- nothing", "/* nothing */", ";;", "SELECT"]),
        queries(
            "simple: reads and writes in one",
            &["SELECT 1; INSERT INTO log (what) VALUES ('a') RETURNING what; SELECT 2"],
        ),
        queries("simple: an error stops the rest", &["SELECT 1; SELECT 1/0; SELECT 2", "SELECT 3"]),
        queries(
            "simple: syntax errors",
            &["SELEC 1", "SELECT 1; SELEC 2", "SELECT (", "\u{1}", "SELECT 'open"],
        ),
        queries(
            "simple: errors of all kinds",
            &[
                "SELECT * FROM nowhere",
                "SELECT nothing FROM t",
                "SELECT 1/0",
                "SELECT 'x'::int",
                "SELECT nofunction()",
                "INSERT INTO t VALUES (1, 'twice')",
            ],
        ),
        queries(
            "simple: an error undoes the message's writes",
            &[
                "INSERT INTO log (what) VALUES ('lost'); SELECT 1/0",
                "SELECT count(*) FROM log WHERE what = 'lost'",
            ],
        ),
        queries(
            "simple: begin and commit in one",
            &[
                "BEGIN; INSERT INTO log (what) VALUES ('kept'); COMMIT",
                "SELECT count(*) > 0 FROM log WHERE what = 'kept'",
            ],
        ),
        queries(
            "simple: an open transaction in one",
            &["SELECT 1; BEGIN; INSERT INTO log (what) VALUES ('open')", "SELECT 2", "ROLLBACK"],
        ),
        queries("simple: two transactions in one", &["BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2", "COMMIT"]),
        queries("simple: an error behind begin", &["BEGIN; SELECT 1/0; SELECT 2", "SELECT 3", "COMMIT"]),
        queries(
            "simple: rollback in the midst",
            &["INSERT INTO log (what) VALUES ('x'); ROLLBACK; SELECT 1"],
        ),
        queries(
            "simple: notices",
            &[
                "SELECT shout()",
                "DO $$ BEGIN RAISE NOTICE 'n'; RAISE INFO 'i'; RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h'; END $$",
                "DROP TABLE IF EXISTS nowhere",
            ],
        ),
        queries(
            "simple: parameters are reported",
            &[
                "SET application_name = 'x y'",
                "SET TimeZone = 'Europe/Berlin'",
                "SET DateStyle = 'SQL, DMY'",
                "SET client_encoding = 'LATIN1'",
                "RESET ALL",
                "SHOW TimeZone",
            ],
        ),
        queries(
            "simple: parameters in a transaction",
            &[
                "BEGIN",
                "SET TimeZone = 'Asia/Tokyo'",
                "SHOW TimeZone",
                "ROLLBACK",
                "SHOW TimeZone",
                "SELECT 1",
            ],
        ),
        queries(
            "simple: set local",
            &["BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'", "SELECT 1", "COMMIT", "SHOW TimeZone"],
        ),
        queries(
            "simple: a large value",
            &["SELECT repeat('a', 1000000)", "SELECT repeat('b', 100000) FROM generate_series(1, 20)"],
        ),
        queries("simple: a long text", &[&format!("SELECT '{}'", "z".repeat(200_000)), "SELECT 1"]),
        queries("simple: many statements", &[&"SELECT 1;".repeat(2_000)]),
        queries(
            "simple: notifications to oneself",
            &[
                "LISTEN here",
                "NOTIFY here, 'hello'",
                "BEGIN; NOTIFY here, 'a'; NOTIFY here, 'b'; COMMIT",
                "UNLISTEN here",
                "NOTIFY here",
            ],
        ),
        queries(
            "simple: sql cursors",
            &[
                "BEGIN",
                "DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id",
                "FETCH 3 FROM c",
                "MOVE 2 IN c",
                "FETCH c",
                "CLOSE c",
                "FETCH c",
                "ROLLBACK",
            ],
        ),
        queries(
            "simple: sql prepare",
            &[
                "PREPARE a (int) AS SELECT $1 + 1",
                "EXECUTE a(1)",
                "EXECUTE a(2)",
                "PREPARE a AS SELECT 1",
                "DEALLOCATE a",
                "EXECUTE a(3)",
            ],
        ),
        queries(
            "simple: explain and show",
            &["EXPLAIN (COSTS off) SELECT * FROM t WHERE id = 1", "SHOW server_version", "SHOW nothing"],
        ),
        queries("simple: discard", &["DISCARD ALL", "BEGIN; DISCARD ALL", "SELECT 1", "ROLLBACK"]),
        case(
            "simple: many messages in one write",
            [send((0..50).map(|n| q(&format!("SELECT {n}")))), Step::Ready(50)],
        ),
        case(
            "simple: reads and writes in one write",
            [
                send([
                    q("SELECT 1"),
                    q("INSERT INTO log (what) VALUES ('m')"),
                    q(""),
                    q("SELECT 1/0"),
                    q("BEGIN"),
                    q("SELECT 2"),
                    q("COMMIT"),
                ]),
                Step::Ready(7),
            ],
        ),
        case("simple: terminate behind a query", [send([q("SELECT 1"), message::terminate()]), Step::End]),
        case(
            "simple: terminate in a transaction",
            [send([q("BEGIN"), q("SELECT 1"), message::terminate()]), Step::End],
        ),
        functions(),
        case(
            "stray copy messages are ignored",
            [
                send([
                    message::copy_data(b"1\n"),
                    message::copy_done(),
                    message::copy_fail("no"),
                    q("SELECT 1"),
                ]),
                Step::Ready(1),
            ],
        ),
        case(
            "sync alone",
            [send([message::sync(), message::sync(), message::flush(), message::sync()]), Step::Ready(3)],
        ),
    ];
    cases.extend(cut());
    cases
}

/// `int4pl` has the object id 177, `abs(int4)` 1397; 0 does not exist.
fn functions() -> Case {
    let call = |oid, arguments: &[Option<&str>]| message::function_call(oid, arguments);
    case(
        "function calls",
        [
            send([call(177, &[Some("1"), Some("2")])]),
            Step::Ready(1),
            send([call(1397, &[None])]),
            Step::Ready(1),
            send([call(177, &[Some("x"), Some("2")])]),
            Step::Ready(1),
            send([call(0, &[])]),
            Step::Ready(1),
            send([
                q("BEGIN"),
                call(177, &[Some("3"), Some("4")]),
                call(1397, &[]),
                call(177, &[Some("1"), Some("1")]),
            ]),
            Step::Ready(4),
            send([q("ROLLBACK"), call(177, &[Some("5"), Some("6")])]),
            Step::Ready(2),
        ],
    )
}

/// The same messages, cut in every way.
fn cut() -> Vec<Case> {
    let bytes = [
        q("SELECT 1"),
        message::parse("", "SELECT $1::text", &[]),
        message::bind("", "", &[Some("v")]),
        message::describe(b'P', ""),
        message::execute("", 0),
        message::sync(),
        q("INSERT INTO log (what) VALUES ('cut')"),
    ]
    .concat();
    let each: Vec<_> = bytes.iter().map(|byte| vec![*byte]).collect();
    let mut cases = vec![case("cut: a byte at a time", [Step::Apart(each), Step::Ready(3)])];
    let split = (1..bytes.len()).flat_map(|at| {
        let (head, tail) = bytes.split_at(at);
        [Step::Apart(vec![head.to_vec(), tail.to_vec()]), Step::Ready(3)]
    });
    cases.push(case("cut: at every boundary", split));
    cases
}
