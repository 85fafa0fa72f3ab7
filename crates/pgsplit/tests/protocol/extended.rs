//! The extended protocol: statements and portals by name, row limits, Describe, Close, Flush, errors at each message.

use pgsplit_testkit::peer::message;

use crate::script::{
    Case, Step, again, b, batches, c, case, d, e, h, p, q, run, run_described, s, send,
};

const READ: &str = "SELECT id, name FROM t WHERE id > $1::int ORDER BY id";
const WRITE: &str = "INSERT INTO log (what) VALUES ($1) RETURNING what";

pub fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(portals());
    cases.extend(describe_and_close());
    cases.extend(flush());
    cases.extend(errors());
    cases.extend(mixed());
    cases
}

fn plain() -> Vec<Case> {
    vec![
        batches("extended: unnamed", [run("SELECT 1"), run_described(READ), vec![b("", "", &["17"]), e("", 0)]]),
        batches("extended: parameters", [
            vec![p("", READ), b("", "", &["17"]), d(b'P', ""), e("", 0)],
            vec![message::parse("", "SELECT $1, $2", &[23, 25]), message::bind("", "", &[Some("1"), None]), e("", 0)],
            vec![message::bind_formats("", "", &[1, 0], &[Some(&[0, 0, 0, 9]), Some(b"x")], &[1]), d(b'P', ""), e("", 0)],
        ]),
        batches("extended: named, many times", [
            vec![p("a", READ)], again("a", &["18"]), again("a", &["19"]), vec![p("w", WRITE), d(b'S', "w")],
            again("w", &["x"]), again("a", &["18"]), again("w", &["y"]), again("a", &["19"]), again("w", &["z"]),
        ]),
        batches("extended: one text under two names", [
            vec![p("a", READ), p("b", READ)], again("a", &["19"]), vec![c(b'S', "a")], again("b", &["19"]), again("a", &["19"]),
        ]),
        batches("extended: empty texts", [run(""), run(";"), run("-- x"), run_described(""), vec![p("e", ""), d(b'S', "e")], again("e", &[])]),
        batches("extended: several statements in one Parse", [run("SELECT 1; SELECT 2"), run("BEGIN; COMMIT")]),
        batches("extended: commands", [run("SET TimeZone = 'Asia/Tokyo'"), run("SHOW TimeZone"), run("RESET TimeZone"), run("SELECT shout()"), run("SELECT txid_current() > 0")]),
        batches("extended: several executes", [[run("SELECT 1"), run("SELECT 2"), run("SELECT 3")].concat()]),
        batches("extended: nothing but sync", [vec![], vec![], run("SELECT 1")]),
        batches("extended: wrong number of parameters", [vec![p("", READ), b("", "", &[]), e("", 0)], vec![p("", READ), b("", "", &["1", "2"]), e("", 0)], run("SELECT 1")]),
        batches("extended: a bad parameter", [vec![p("", READ), b("", "", &["x"]), e("", 0)], run("SELECT 1")]),
        batches("extended: a bad type", [vec![message::parse("", "SELECT $1", &[999_999]), b("", "", &["x"]), e("", 0)], run("SELECT 1")]),
        batches("extended: a parameter of unknown type", [vec![p("", "SELECT $1"), d(b'S', ""), b("", "", &["x"]), e("", 0)], vec![p("", "SELECT $2"), b("", "", &["x"])]]),
        batches("extended: long names", [vec![p(&"n".repeat(3_000), "SELECT 7")], again(&"n".repeat(3_000), &[]), vec![p("\u{1}pgsplit_1", "SELECT 8")], again("\u{1}pgsplit_1", &[]), again("\u{1}pgsplit_2", &[])]),
        batches("extended: hundreds of statements", [
            (0..700).map(|n| p(&format!("s{n}"), &format!("SELECT {n}"))).collect(),
            (0..700).flat_map(|n| again(&format!("s{n}"), &[])).collect(),
            again("s0", &[]), again("s350", &[]), again("s699", &[]),
        ]),
    ]
}

fn portals() -> Vec<Case> {
    let go_on = |rows| vec![e("", rows)];
    vec![
        batches("portals: a row limit", [vec![p("", READ), b("", "", &["0"]), e("", 5)], vec![e("", 5)]]),
        batches("portals: a row limit goes on in the batch", [vec![p("", READ), b("", "", &["10"]), e("", 4), e("", 4), e("", 4), e("", 4)]]),
        batches("portals: exactly as many rows", [vec![p("", READ), b("", "", &["18"]), e("", 2), e("", 2)]]),
        batches("portals: go on in a transaction", [run("BEGIN"), vec![p("", READ), b("", "", &["0"]), e("", 7)], go_on(7), go_on(7), go_on(7), run("COMMIT"), go_on(7)]),
        batches("portals: go on in a transaction of a simple query", [vec![p("a", READ)], run("BEGIN"), vec![b("one", "a", &["0"]), b("two", "a", &["10"]), e("one", 3)], vec![e("two", 3)], vec![e("one", 3)], vec![c(b'P', "one"), e("two", 0)], vec![e("one", 1)], run("ROLLBACK")]),
        batches("portals: of a write", [run("BEGIN"), vec![p("", "INSERT INTO log (what) SELECT 'p' FROM generate_series(1,5) RETURNING what"), b("", "", &[]), e("", 2)], go_on(0), run("COMMIT")]),
        batches("portals: bound twice under one name", [run("BEGIN"), vec![p("", READ), b("x", "", &["1"]), b("x", "", &["2"])], run("ROLLBACK")]),
        batches("portals: missing", [vec![e("none", 0)], vec![d(b'P', "none")], vec![c(b'P', "none")], vec![e("", 0)], vec![d(b'P', "")]]),
        batches("portals: gone with the sync", [vec![p("", READ), b("x", "", &["18"])], vec![e("x", 0)], run("SELECT 1")]),
        batches("portals: executed twice", [vec![p("", "SELECT 1"), b("", "", &[]), e("", 0), e("", 0)], vec![p("", WRITE), b("", "", &["t"]), e("", 0), e("", 0)]]),
        batches("portals: a limit of one", [run("SELECT 1"), vec![p("", "SELECT set_config('application_name', 'limited', false)"), b("", "", &[]), e("", 1)], run("SHOW application_name")]),
        batches("portals: of commands", [vec![p("", "SHOW ALL"), b("", "", &[]), e("", 1)], vec![p("", "EXPLAIN (COSTS off) SELECT * FROM t"), b("", "", &[]), e("", 1), e("", 0)]]),
        case("portals: a simple query in between", [
            send([run("BEGIN"), vec![s()], vec![p("", READ), b("", "", &["0"]), b("n", "", &["0"]), e("", 2), e("n", 2), s()]].concat()),
            Step::Ready(2),
            send([q("SELECT 1")]), Step::Ready(1),
            send([e("n", 2), s()]), Step::Ready(1),
            send([e("", 2), s()]), Step::Ready(1),
            send([q("ROLLBACK")]), Step::Ready(1),
        ]),
    ]
}

fn describe_and_close() -> Vec<Case> {
    vec![
        batches("describe: before and after bind", [vec![p("", READ), d(b'S', ""), b("", "", &["19"]), d(b'S', ""), d(b'P', ""), e("", 0), d(b'P', "")]]),
        batches("describe: named, in another batch", [vec![p("a", READ)], vec![d(b'S', "a")], vec![p("w", WRITE)], vec![d(b'S', "w")], vec![d(b'S', "a")]]),
        batches("describe: without rows", [vec![p("", "INSERT INTO log (what) VALUES ('d')"), d(b'S', ""), b("", "", &[]), d(b'P', ""), e("", 0)], vec![p("", "BEGIN"), d(b'S', ""), b("", "", &[]), d(b'P', ""), e("", 0)], run("ROLLBACK")]),
        batches("describe: missing", [vec![d(b'S', "none")], vec![d(b'S', "")], run("SELECT 1"), vec![d(b'P', "none")], vec![p("", "SELECT 1"), d(b'S', "")], vec![d(b'S', "")]]),
        batches("describe: after a simple query", [vec![p("", "SELECT 1")], vec![d(b'S', "")]]),
        batches("describe: binary results", [vec![p("", READ), message::bind_formats("", "", &[], &[Some(b"19")], &[1, 0]), d(b'P', ""), e("", 0)], vec![p("", READ), message::bind_formats("", "", &[], &[Some(b"19")], &[1, 0, 1]), d(b'P', ""), e("", 0)]]),
        batches("close: known and unknown", [vec![p("a", READ)], vec![c(b'S', "a"), c(b'S', "a"), c(b'S', "none"), c(b'P', "none"), c(b'S', ""), c(b'P', "")], again("a", &["1"]), vec![p("a", "SELECT 1")], again("a", &[])]),
        batches("close: and prepare anew at once", [vec![p("a", "SELECT 1")], vec![c(b'S', "a"), p("a", "SELECT 2"), b("", "a", &[]), e("", 0)], again("a", &[])]),
        batches("close: the unnamed", [vec![p("", "SELECT 1")], vec![c(b'S', "")], vec![b("", "", &[]), e("", 0)]]),
        batches("close: a bound statement", [vec![p("a", "SELECT 1"), b("", "a", &[]), c(b'S', "a"), e("", 0)], again("a", &[])]),
        batches("close: in a failed transaction", [vec![p("a", "SELECT 1")], run("BEGIN"), run("SELECT 1/0"), vec![c(b'S', "a"), c(b'P', "")], again("a", &[]), run("ROLLBACK"), again("a", &[])]),
        batches("close: undone by nothing", [vec![p("a", "SELECT 1")], run("BEGIN"), vec![c(b'S', "a")], run("ROLLBACK"), again("a", &[])]),
        batches("close: skipped behind an error", [vec![p("a", "SELECT 1")], [run("SELECT 1/0"), vec![c(b'S', "a")]].concat(), again("a", &[])]),
        batches("close: a portal beside a statement of that name", [vec![p("x", "SELECT 1")], vec![c(b'P', "x")], again("x", &[])]),
    ]
}

fn flush() -> Vec<Case> {
    let parse = |text| send([p("", text), d(b'S', ""), h()]);
    let finish = |parameters: &[&str]| send([b("", "", parameters), d(b'P', ""), e("", 0), s()]);
    let read = || [parse(READ), Step::Until(b'T')];
    vec![
        case("flush: then a read", [read().to_vec(), vec![finish(&["18"]), Step::Ready(1)]].concat()),
        case("flush: then a write", [parse(WRITE), Step::Until(b'T'), finish(&["f"]), Step::Ready(1)]),
        case("flush: a read, then a write of another statement", [
            read().to_vec(),
            vec![send([p("w", WRITE), b("", "w", &["g"]), e("", 0), s()]), Step::Ready(1)],
            vec![send([vec![p("", READ)], again("w", &["h"]), vec![s()]].concat()), Step::Ready(1)],
        ].concat()),
        case("flush: behind bind", [
            send([p("", READ), b("", "", &["17"]), h()]), Step::Until(b'2'),
            send([e("", 1), h()]), Step::Until(b's'),
            send([e("", 0), s()]), Step::Ready(1),
        ]),
        case("flush: behind bind, then a write", [
            send([p("", READ), b("r", "", &["17"]), h()]), Step::Until(b'2'),
            send([p("", WRITE), b("w", "", &["i"]), e("w", 0), e("r", 0), s()]), Step::Ready(1),
        ]),
        case("flush: behind a read, then a write", [
            send([run("SELECT 1"), vec![h()]].concat()), Step::Until(b'C'),
            send([run("INSERT INTO log (what) VALUES ('j')"), vec![h()]].concat()), Step::Until(b'C'),
            send([run("SELECT 2"), vec![s()]].concat()), Step::Ready(1),
        ]),
        case("flush: an error, then sync", [
            send([run("SELECT 1/0"), vec![h()]].concat()), Step::Until(b'E'),
            send([run("SELECT 1"), vec![h(), q("SELECT 2"), message::function_call(177, &[Some("1"), Some("2")]), s()]].concat()), Step::Ready(1),
            send([run("SELECT 3"), vec![s()]].concat()), Step::Ready(1),
        ]),
        case("flush: a bad Parse, then a write at once", [
            send([vec![p("", "SELECT * FROM nowhere"), d(b'S', ""), h()], run("INSERT INTO log (what) VALUES ('never')"), vec![s()], run("SELECT count(*) FROM log WHERE what = 'never'"), vec![s()]].concat()),
            Step::Ready(2),
        ]),
        case("flush: alone", [send([h(), h(), s()]), Step::Ready(1)]),
        case("flush: in a transaction", [
            send([q("BEGIN")]), Step::Ready(1),
            send([run("SELECT 1"), vec![h()]].concat()), Step::Until(b'C'),
            send([run("INSERT INTO log (what) VALUES ('k')"), vec![h()]].concat()), Step::Until(b'C'),
            send([s(), q("COMMIT")]), Step::Ready(2),
        ]),
        case("flush: begin", [
            send([run("BEGIN"), vec![h()]].concat()), Step::Until(b'C'),
            send([run("INSERT INTO log (what) VALUES ('l')"), vec![s()]].concat()), Step::Ready(1),
            send([q("ROLLBACK"), q("SELECT count(*) FROM log WHERE what = 'l'")]), Step::Ready(2),
        ]),
    ]
}

/// Everything behind an error is skipped up to the Sync, whichever message it was.
fn errors() -> Vec<Case> {
    let behind = || [run("INSERT INTO log (what) VALUES ('skipped')"), vec![p("later", "SELECT 1"), c(b'S', "kept"), d(b'S', "kept"), h()]].concat();
    let failing: [(&str, Vec<Vec<u8>>); 8] = [
        ("Parse", vec![p("", "SELEC 1")]),
        ("Parse of an existing name", vec![p("kept", "SELECT 2")]),
        ("Bind of a missing statement", vec![b("", "none", &[])]),
        ("Bind", vec![p("", READ), b("", "", &["x"])]),
        ("Describe of a statement", vec![d(b'S', "none")]),
        ("Describe of a portal", vec![d(b'P', "none")]),
        ("Execute of a missing portal", vec![e("none", 0)]),
        ("Execute", run("SELECT 1/0")),
    ];
    let mut cases = Vec::new();
    for (name, messages) in &failing {
        let kept = || vec![p("kept", "SELECT 1")];
        let batch = || [run("SELECT 1"), messages.clone(), behind()].concat();
        cases.push(batches(&format!("errors: {name}"), [kept(), batch(), again("kept", &[]), again("later", &[]), run("SELECT count(*) FROM log WHERE what = 'skipped'")]));
        cases.push(batches(&format!("errors: {name}, in a transaction"), [
            kept(), run("BEGIN"), run("INSERT INTO log (what) VALUES ('rolled back')"), batch(), run("SELECT 1"), again("kept", &[]), run("COMMIT"), again("kept", &[]), again("later", &[]),
        ]));
        cases.push(case(&format!("errors: {name}, then a simple query without sync"), [
            send([kept(), vec![s()], messages.clone(), vec![q("SELECT 1"), s()]].concat()), Step::Ready(2),
            send([q("SELECT 2")]), Step::Ready(1),
        ]));
    }
    cases.push(batches("errors: a deferred constraint at sync", [run("INSERT INTO once VALUES (1)"), [run("INSERT INTO once VALUES (1)"), run("SELECT 1")].concat(), run("SELECT 2")]));
    cases.push(batches("errors: a second Parse of a name in one batch", [vec![p("a", "SELECT 1"), p("a", "SELECT 2"), b("", "a", &[]), e("", 0)], again("a", &[])]));
    cases.push(batches("errors: a failed Parse leaves the old unnamed", [vec![p("", "SELECT 1")], vec![p("", "SELEC")], vec![b("", "", &[]), e("", 0)]]));
    cases
}

/// Simple queries amid the extended protocol.
fn mixed() -> Vec<Case> {
    let open = || vec![p("", "SELECT 1"), b("", "", &[]), e("", 0)];
    let write = || run("INSERT INTO log (what) VALUES ('mixed')");
    vec![
        case("mixed: a query behind an open batch", [send([open(), vec![q("SELECT 2")]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)]),
        case("mixed: a write behind an open batch", [send([open(), vec![q("INSERT INTO log (what) VALUES ('m')")]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)]),
        case("mixed: a query behind an open write", [send([write(), vec![q("SELECT 2")]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)]),
        case("mixed: a query behind an open Parse", [send([p("a", READ), d(b'S', "a"), q("INSERT INTO log (what) VALUES ('m')")]), Step::Ready(1), send([b("", "a", &["19"]), e("", 0), s()]), Step::Ready(1)]),
        case("mixed: a query behind a flushed Parse", [send([p("a", READ), d(b'S', "a"), h()]), Step::Until(b'T'), send([q("INSERT INTO log (what) VALUES ('m')")]), Step::Ready(1), send([b("", "a", &["19"]), e("", 0), s()]), Step::Ready(1)]),
        case("mixed: a function call behind an open batch", [send([open(), vec![message::function_call(177, &[Some("1"), Some("2")])]].concat()), Step::Ready(1), send([s()]), Step::Ready(1)]),
        case("mixed: a query behind an open failed batch", [send([run("SELECT 1/0"), vec![q("SELECT 2")]].concat()), Step::Until(b'E'), send([q("SELECT 3"), s()]), Step::Ready(1), send([q("SELECT 4")]), Step::Ready(1)]),
        case("mixed: a query destroys the unnamed", [send([p("", "SELECT 1"), s(), q("SELECT 2"), b("", "", &[]), e("", 0), s()]), Step::Ready(3)]),
        case("mixed: an empty query too", [send([p("", "SELECT 1"), s(), q(""), b("", "", &[]), e("", 0), s()]), Step::Ready(3)]),
        case("mixed: begin too", [send([p("", "SELECT 1"), s(), q("BEGIN"), b("", "", &[]), e("", 0), s(), q("COMMIT")]), Step::Ready(4)]),
        case("mixed: a failed query too", [send([p("", "SELECT 1"), s(), q("SELEC"), b("", "", &[]), e("", 0), s()]), Step::Ready(3)]),
        case("mixed: sql by protocol names", [send([p("a", "SELECT 5"), s(), q("EXECUTE a"), q("DEALLOCATE a"), b("", "a", &[]), e("", 0), s(), q("EXECUTE a")]), Step::Ready(5)]),
        case("mixed: deallocate all", [send([p("a", "SELECT 5"), s(), q("DEALLOCATE ALL"), b("", "a", &[]), e("", 0), s()]), Step::Ready(3)]),
        case("mixed: protocol by sql names", [send([q("PREPARE z AS SELECT 6"), b("", "z", &[]), e("", 0), s(), d(b'S', "z"), s(), c(b'S', "z"), s(), q("EXECUTE z")]), Step::Ready(5)]),
        case("mixed: an open batch, then goodbye", [send([write(), vec![message::terminate()]].concat()), Step::End]),
    ]
}
