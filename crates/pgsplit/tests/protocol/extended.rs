//! The extended protocol: statements by name and without, parameters, and simple queries amid all that.

use pgsplit_testkit::peer::message;

use crate::script::{Case, Step, again, b, batches, c, case, d, e, h, p, q, run, run_described, s, send};

const READ: &str = "SELECT id, name FROM t WHERE id > $1::int ORDER BY id";
const WRITE: &str = "INSERT INTO log (what) VALUES ($1) RETURNING what";

pub(crate) fn cases() -> Vec<Case> {
    [plain(), mixed()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    vec![
        batches(
            "extended: unnamed",
            [run("SELECT 1"), run_described(READ), vec![b("", "", &["17"]), e("", 0)]],
        ),
        batches(
            "extended: parameters",
            [
                vec![p("", READ), b("", "", &["17"]), d(b'P', ""), e("", 0)],
                vec![
                    message::parse("", "SELECT $1, $2", &[23, 25]),
                    message::bind("", "", &[Some("1"), None]),
                    e("", 0),
                ],
                vec![
                    message::bind_formats("", "", &[1, 0], &[Some(&[0, 0, 0, 9]), Some(b"x")], &[1]),
                    d(b'P', ""),
                    e("", 0),
                ],
            ],
        ),
        batches(
            "extended: named, many times",
            [
                vec![p("a", READ)],
                again("a", &["18"]),
                again("a", &["19"]),
                vec![p("w", WRITE), d(b'S', "w")],
                again("w", &["x"]),
                again("a", &["18"]),
                again("w", &["y"]),
                again("a", &["19"]),
                again("w", &["z"]),
            ],
        ),
        batches(
            "extended: one text under two names",
            [
                vec![p("a", READ), p("b", READ)],
                again("a", &["19"]),
                vec![c(b'S', "a")],
                again("b", &["19"]),
                again("a", &["19"]),
            ],
        ),
        batches(
            "extended: empty texts",
            [
                run(""),
                run(";"),
                run("-- x"),
                run_described(""),
                vec![p("e", ""), d(b'S', "e")],
                again("e", &[]),
            ],
        ),
        batches(
            "extended: several statements in one Parse",
            [run("SELECT 1; SELECT 2"), run("BEGIN; COMMIT")],
        ),
        batches(
            "extended: commands",
            [
                run("SET TimeZone = 'Asia/Tokyo'"),
                run("SHOW TimeZone"),
                run("RESET TimeZone"),
                run("SELECT shout()"),
                run("SELECT txid_current() > 0"),
            ],
        ),
        batches("extended: several executes", [[run("SELECT 1"), run("SELECT 2"), run("SELECT 3")].concat()]),
        batches("extended: nothing but sync", [vec![], vec![], run("SELECT 1")]),
        batches(
            "extended: wrong number of parameters",
            [
                vec![p("", READ), b("", "", &[]), e("", 0)],
                vec![p("", READ), b("", "", &["1", "2"]), e("", 0)],
                run("SELECT 1"),
            ],
        ),
        batches(
            "extended: a bad parameter",
            [vec![p("", READ), b("", "", &["x"]), e("", 0)], run("SELECT 1")],
        ),
        batches(
            "extended: a bad type",
            [vec![message::parse("", "SELECT $1", &[999_999]), b("", "", &["x"]), e("", 0)], run("SELECT 1")],
        ),
        batches(
            "extended: a parameter of unknown type",
            [
                vec![p("", "SELECT $1"), d(b'S', ""), b("", "", &["x"]), e("", 0)],
                vec![p("", "SELECT $2"), b("", "", &["x"])],
            ],
        ),
        batches(
            "extended: long names",
            [
                vec![p(&"n".repeat(3_000), "SELECT 7")],
                again(&"n".repeat(3_000), &[]),
                vec![p("\u{1}pgsplit_1", "SELECT 8")],
                again("\u{1}pgsplit_1", &[]),
                again("\u{1}pgsplit_2", &[]),
            ],
        ),
        batches(
            "extended: statements that make room for each other",
            [
                ["a", "b", "c"]
                    .map(|name| p(name, &format!("INSERT INTO log (what) VALUES ('{name}') RETURNING what")))
                    .to_vec(),
                again("a", &[]),
                again("b", &[]),
                again("c", &[]),
                [run("INSERT INTO log (id) VALUES (1/0)"), again("a", &[])].concat(),
                again("b", &[]),
                again("c", &[]),
                again("a", &[]),
                run("BEGIN"),
                run("SAVEPOINT s"),
                [run("SELECT 1/0"), again("b", &[])].concat(),
                run("ROLLBACK TO s"),
                again("c", &[]),
                again("a", &[]),
                again("b", &[]),
                run("ROLLBACK"),
            ],
        ),
        batches(
            "extended: hundreds of statements",
            [
                (0..700).map(|n| p(&format!("s{n}"), &format!("SELECT {n}"))).collect(),
                (0..700).flat_map(|n| again(&format!("s{n}"), &[])).collect(),
                again("s0", &[]),
                again("s350", &[]),
                again("s699", &[]),
            ],
        ),
    ]
}

/// Simple queries amid the extended protocol.
fn mixed() -> Vec<Case> {
    let open = || vec![p("", "SELECT 1"), b("", "", &[]), e("", 0)];
    let write = || run("INSERT INTO log (what) VALUES ('mixed')");
    vec![
        case(
            "mixed: a query behind an open batch",
            [send([open(), vec![q("SELECT 2")]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)],
        ),
        case(
            "mixed: a write behind an open batch",
            [
                send([open(), vec![q("INSERT INTO log (what) VALUES ('m')")]].concat()),
                Step::Ready(1),
                send([s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "mixed: a query behind an open write",
            [send([write(), vec![q("SELECT 2")]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)],
        ),
        case(
            "mixed: a query behind an open Parse",
            [
                send([p("a", READ), d(b'S', "a"), q("INSERT INTO log (what) VALUES ('m')")]),
                Step::Ready(1),
                send([b("", "a", &["19"]), e("", 0), s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "mixed: a query behind a flushed Parse",
            [
                send([p("a", READ), d(b'S', "a"), h()]),
                Step::Until(b'T'),
                send([q("INSERT INTO log (what) VALUES ('m')")]),
                Step::Ready(1),
                send([b("", "a", &["19"]), e("", 0), s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "mixed: a function call behind an open batch",
            [
                send([open(), vec![message::function_call(177, &[Some("1"), Some("2")])]].concat()),
                Step::Ready(1),
                send([s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "mixed: a query behind an open failed batch",
            [
                send([run("SELECT 1/0"), vec![q("SELECT 2")]].concat()),
                Step::Until(b'E'),
                send([q("SELECT 3"), s()]),
                Step::Ready(1),
                send([q("SELECT 4")]),
                Step::Ready(1),
            ],
        ),
        case(
            "mixed: a query destroys the unnamed",
            [send([p("", "SELECT 1"), s(), q("SELECT 2"), b("", "", &[]), e("", 0), s()]), Step::Ready(3)],
        ),
        case(
            "mixed: an empty query too",
            [send([p("", "SELECT 1"), s(), q(""), b("", "", &[]), e("", 0), s()]), Step::Ready(3)],
        ),
        case(
            "mixed: begin too",
            [
                send([p("", "SELECT 1"), s(), q("BEGIN"), b("", "", &[]), e("", 0), s(), q("COMMIT")]),
                Step::Ready(4),
            ],
        ),
        case(
            "mixed: a failed query too",
            [send([p("", "SELECT 1"), s(), q("SELEC"), b("", "", &[]), e("", 0), s()]), Step::Ready(3)],
        ),
        case(
            "mixed: sql by protocol names",
            [
                send([
                    p("a", "SELECT 5"),
                    s(),
                    q("EXECUTE a"),
                    q("DEALLOCATE a"),
                    b("", "a", &[]),
                    e("", 0),
                    s(),
                    q("EXECUTE a"),
                ]),
                Step::Ready(5),
            ],
        ),
        case(
            "mixed: a name that Parse has taken",
            [
                send([
                    p("a", "SELECT 5"),
                    s(),
                    q("PREPARE a AS SELECT 6"),
                    q("EXECUTE a"),
                    q("DEALLOCATE a; PREPARE a AS SELECT 7"),
                    q("EXECUTE a"),
                    q("DEALLOCATE ALL"),
                ]),
                Step::Ready(6),
            ],
        ),
        case(
            "mixed: a name that SQL has taken",
            [
                send([q("PREPARE z AS SELECT 6")]),
                Step::Ready(1),
                send([p("z", "SELECT 7"), s()]),
                Step::Ready(1),
                send([p("y", "SELECT 8"), b("", "y", &[]), e("", 0), s(), q("DEALLOCATE z")]),
                Step::Ready(2),
                send([p("z", "SELECT 9"), b("", "z", &[]), e("", 0), s(), q("EXECUTE z")]),
                Step::Ready(2),
            ],
        ),
        case(
            "mixed: a name whose table is gone",
            [
                send([
                    q("CREATE TABLE named (x int)"),
                    p("n", "SELECT * FROM named"),
                    s(),
                    q("DROP TABLE named"),
                    q("EXECUTE n"),
                    q("SELECT 1; EXECUTE n"),
                    q("EXECUTE nobody"),
                    q("BEGIN"),
                    q("EXECUTE n"),
                    q("ROLLBACK"),
                ]),
                Step::Ready(9),
            ],
        ),
        case(
            "mixed: deallocate all",
            [
                send([p("a", "SELECT 5"), s(), q("DEALLOCATE ALL"), b("", "a", &[]), e("", 0), s()]),
                Step::Ready(3),
            ],
        ),
        case(
            "mixed: protocol by sql names",
            [
                send([
                    q("PREPARE z AS SELECT 6"),
                    b("", "z", &[]),
                    e("", 0),
                    s(),
                    d(b'S', "z"),
                    s(),
                    c(b'S', "z"),
                    s(),
                    q("EXECUTE z"),
                ]),
                Step::Ready(5),
            ],
        ),
        case(
            "mixed: an open batch, then goodbye",
            [send([write(), vec![message::terminate()]].concat()), Step::End],
        ),
    ]
}
