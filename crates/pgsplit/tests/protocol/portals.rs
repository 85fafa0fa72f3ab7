//! Portals and their row limits; Describe and Close of either kind.

use pgsplit_testkit::peer::message;

use crate::script::{Case, Step, again, b, batches, c, case, d, e, p, q, run, s, send};

const READ: &str = "SELECT id, name FROM t WHERE id > $1::int ORDER BY id";
const WRITE: &str = "INSERT INTO log (what) VALUES ($1) RETURNING what";

pub(crate) fn cases() -> Vec<Case> {
    [portals(), describe_and_close()].into_iter().flatten().collect()
}

fn portals() -> Vec<Case> {
    let go_on = |rows| vec![e("", rows)];
    vec![
        batches("portals: a row limit", [vec![p("", READ), b("", "", &["0"]), e("", 5)], vec![e("", 5)]]),
        batches(
            "portals: a row limit goes on in the batch",
            [vec![p("", READ), b("", "", &["10"]), e("", 4), e("", 4), e("", 4), e("", 4)]],
        ),
        batches("portals: exactly as many rows", [vec![p("", READ), b("", "", &["18"]), e("", 2), e("", 2)]]),
        batches(
            "portals: go on in a transaction",
            [
                run("BEGIN"),
                vec![p("", READ), b("", "", &["0"]), e("", 7)],
                go_on(7),
                go_on(7),
                go_on(7),
                run("COMMIT"),
                go_on(7),
            ],
        ),
        batches(
            "portals: go on in a transaction of a simple query",
            [
                vec![p("a", READ)],
                run("BEGIN"),
                vec![b("one", "a", &["0"]), b("two", "a", &["10"]), e("one", 3)],
                vec![e("two", 3)],
                vec![e("one", 3)],
                vec![c(b'P', "one"), e("two", 0)],
                vec![e("one", 1)],
                run("ROLLBACK"),
            ],
        ),
        batches(
            "portals: of a write",
            [
                run("BEGIN"),
                vec![
                    p("", "INSERT INTO log (what) SELECT 'p' FROM generate_series(1,5) RETURNING what"),
                    b("", "", &[]),
                    e("", 2),
                ],
                go_on(0),
                run("COMMIT"),
            ],
        ),
        batches(
            "portals: bound twice under one name",
            [run("BEGIN"), vec![p("", READ), b("x", "", &["1"]), b("x", "", &["2"])], run("ROLLBACK")],
        ),
        batches(
            "portals: missing",
            [
                vec![e("none", 0)],
                vec![d(b'P', "none")],
                vec![c(b'P', "none")],
                vec![e("", 0)],
                vec![d(b'P', "")],
            ],
        ),
        batches(
            "portals: gone with the sync",
            [vec![p("", READ), b("x", "", &["18"])], vec![e("x", 0)], run("SELECT 1")],
        ),
        batches(
            "portals: executed twice",
            [
                vec![p("", "SELECT 1"), b("", "", &[]), e("", 0), e("", 0)],
                vec![p("", WRITE), b("", "", &["t"]), e("", 0), e("", 0)],
            ],
        ),
        batches(
            "portals: a limit of one",
            [
                run("SELECT 1"),
                vec![
                    p("", "SELECT set_config('application_name', 'limited', false)"),
                    b("", "", &[]),
                    e("", 1),
                ],
                run("SHOW application_name"),
            ],
        ),
        batches(
            "portals: of commands",
            [
                vec![p("", "SHOW ALL"), b("", "", &[]), e("", 1)],
                vec![p("", "EXPLAIN (COSTS off) SELECT * FROM t"), b("", "", &[]), e("", 1), e("", 0)],
            ],
        ),
        case(
            "portals: a simple query in between",
            [
                send(
                    [
                        run("BEGIN"),
                        vec![s()],
                        vec![p("", READ), b("", "", &["0"]), b("n", "", &["0"]), e("", 2), e("n", 2), s()],
                    ]
                    .concat(),
                ),
                Step::Ready(2),
                send([q("SELECT 1")]),
                Step::Ready(1),
                send([e("n", 2), s()]),
                Step::Ready(1),
                send([e("", 2), s()]),
                Step::Ready(1),
                send([q("ROLLBACK")]),
                Step::Ready(1),
            ],
        ),
    ]
}

fn describe_and_close() -> Vec<Case> {
    vec![
        batches(
            "describe: before and after bind",
            [vec![
                p("", READ),
                d(b'S', ""),
                b("", "", &["19"]),
                d(b'S', ""),
                d(b'P', ""),
                e("", 0),
                d(b'P', ""),
            ]],
        ),
        batches(
            "describe: named, in another batch",
            [
                vec![p("a", READ)],
                vec![d(b'S', "a")],
                vec![p("w", WRITE)],
                vec![d(b'S', "w")],
                vec![d(b'S', "a")],
            ],
        ),
        batches(
            "describe: without rows",
            [
                vec![
                    p("", "INSERT INTO log (what) VALUES ('d')"),
                    d(b'S', ""),
                    b("", "", &[]),
                    d(b'P', ""),
                    e("", 0),
                ],
                vec![p("", "BEGIN"), d(b'S', ""), b("", "", &[]), d(b'P', ""), e("", 0)],
                run("ROLLBACK"),
            ],
        ),
        batches(
            "describe: missing",
            [
                vec![d(b'S', "none")],
                vec![d(b'S', "")],
                run("SELECT 1"),
                vec![d(b'P', "none")],
                vec![p("", "SELECT 1"), d(b'S', "")],
                vec![d(b'S', "")],
            ],
        ),
        batches("describe: after a simple query", [vec![p("", "SELECT 1")], vec![d(b'S', "")]]),
        batches(
            "describe: binary results",
            [
                vec![
                    p("", READ),
                    message::bind_formats("", "", &[], &[Some(b"19")], &[1, 0]),
                    d(b'P', ""),
                    e("", 0),
                ],
                vec![
                    p("", READ),
                    message::bind_formats("", "", &[], &[Some(b"19")], &[1, 0, 1]),
                    d(b'P', ""),
                    e("", 0),
                ],
            ],
        ),
        batches(
            "close: known and unknown",
            [
                vec![p("a", READ)],
                vec![c(b'S', "a"), c(b'S', "a"), c(b'S', "none"), c(b'P', "none"), c(b'S', ""), c(b'P', "")],
                again("a", &["1"]),
                vec![p("a", "SELECT 1")],
                again("a", &[]),
            ],
        ),
        batches(
            "close: and prepare anew at once",
            [
                vec![p("a", "SELECT 1")],
                vec![c(b'S', "a"), p("a", "SELECT 2"), b("", "a", &[]), e("", 0)],
                again("a", &[]),
            ],
        ),
        batches(
            "close: the unnamed",
            [vec![p("", "SELECT 1")], vec![c(b'S', "")], vec![b("", "", &[]), e("", 0)]],
        ),
        batches(
            "close: the unnamed, and a new one that is skipped",
            [
                vec![p("", "SELECT 'old'")],
                vec![c(b'S', "")],
                vec![e("none", 0), p("", "SELECT 'new'")],
                vec![b("", "", &[]), e("", 0)],
                vec![p("", "SELECT 'old'")],
                vec![c(b'S', "")],
                vec![e("none", 0), b("", "", &[])],
                vec![b("", "", &[]), e("", 0)],
            ],
        ),
        batches(
            "close: a bound statement",
            [vec![p("a", "SELECT 1"), b("", "a", &[]), c(b'S', "a"), e("", 0)], again("a", &[])],
        ),
        batches(
            "close: in a failed transaction",
            [
                vec![p("a", "SELECT 1")],
                run("BEGIN"),
                run("SELECT 1/0"),
                vec![c(b'S', "a"), c(b'P', "")],
                again("a", &[]),
                run("ROLLBACK"),
                again("a", &[]),
            ],
        ),
        batches(
            "close: undone by nothing",
            [vec![p("a", "SELECT 1")], run("BEGIN"), vec![c(b'S', "a")], run("ROLLBACK"), again("a", &[])],
        ),
        batches(
            "close: skipped behind an error",
            [vec![p("a", "SELECT 1")], [run("SELECT 1/0"), vec![c(b'S', "a")]].concat(), again("a", &[])],
        ),
        batches(
            "close: a portal beside a statement of that name",
            [vec![p("x", "SELECT 1")], vec![c(b'P', "x")], again("x", &[])],
        ),
    ]
}
