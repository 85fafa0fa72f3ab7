//! COPY in and out, in both protocols, with errors before, in the middle and behind.

use pgsplit_testkit::peer::message::{copy_data, copy_done, copy_fail, terminate};

use crate::script::{Case, Step, b, batches, case, d, e, h, p, q, queries, run, s, send};

const IN: &str = "COPY log (what) FROM STDIN";
const OUT: &str = "COPY (SELECT id, name FROM t WHERE id < 4 ORDER BY id) TO STDOUT";

fn data(rows: &[&str]) -> Vec<Vec<u8>> {
    rows.iter().map(|row| copy_data(format!("{row}\n").as_bytes())).collect()
}

fn sent(parts: &[Vec<Vec<u8>>]) -> Step {
    send(parts.concat())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = out();
    cases.extend(simple());
    cases.extend(extended());
    cases.extend(failing());
    cases
}

fn out() -> Vec<Case> {
    vec![
        queries(
            "copy out: simple",
            &[
                OUT,
                "COPY t TO STDOUT (FORMAT csv, HEADER)",
                "COPY t TO STDOUT (FORMAT binary)",
                "COPY (SELECT 1 WHERE false) TO STDOUT",
            ],
        ),
        queries(
            "copy out: of a write",
            &["COPY (INSERT INTO log (what) VALUES ('c') RETURNING what) TO STDOUT", "SELECT 1"],
        ),
        queries(
            "copy out: errors",
            &[
                "COPY nowhere TO STDOUT",
                "COPY (SELECT 1/(id - 3) FROM t ORDER BY id) TO STDOUT",
                "COPY (SELECT 1/(3 - id) FROM many) TO STDOUT",
                "SELECT 1",
            ],
        ),
        queries(
            "copy out: among statements",
            &["SELECT 1; COPY (SELECT 2) TO STDOUT; SELECT 3; COPY (SELECT 4) TO STDOUT"],
        ),
        queries(
            "copy out: in a transaction",
            &["BEGIN", OUT, "COPY (SELECT 1/0) TO STDOUT", OUT, "ROLLBACK"],
        ),
        queries("copy out: long", &["COPY many TO STDOUT"]),
        batches(
            "copy out: extended",
            [
                run(OUT),
                vec![p("c", OUT), d(b'S', "c"), b("", "c", &[]), d(b'P', ""), e("", 0)],
                vec![b("", "c", &[]), e("", 1)],
                run("COPY (SELECT 1/0) TO STDOUT"),
                [run("SELECT 1"), run(OUT), run("SELECT 2")].concat(),
                run("COPY many TO STDOUT"),
            ],
        ),
    ]
}

fn simple() -> Vec<Case> {
    let finish = || [send([copy_done()]), Step::Ready(1)];
    vec![
        case(
            "copy in: simple",
            [vec![send([q(IN)]), Step::Until(b'G'), sent(&[data(&["a", "b"])])], finish().to_vec()].concat(),
        ),
        case(
            "copy in: all at once",
            [sent(&[vec![q(IN)], data(&["a", "b"]), vec![copy_done(), q("SELECT 1")]]), Step::Ready(2)],
        ),
        case("copy in: nothing", [send([q(IN), copy_done()]), Step::Ready(1)]),
        case(
            "copy in: rows cut anywhere",
            [
                send([q(IN)]),
                Step::Until(b'G'),
                send([copy_data(b"a"), copy_data(b""), copy_data(b"b\nc"), copy_data(b"\n"), copy_done()]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in: a byte at a time",
            [
                send([q(IN)]),
                Step::Until(b'G'),
                Step::Apart(
                    [data(&["one", "two"]).concat(), copy_done()]
                        .concat()
                        .iter()
                        .map(|byte| vec![*byte])
                        .collect(),
                ),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in: sync and flush are ignored",
            [
                sent(&[vec![q(IN)], data(&["a"]), vec![s(), h(), s()], data(&["b"]), vec![copy_done()]]),
                Step::Ready(1),
                send([q("SELECT 1")]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in: among statements",
            [
                sent(&[
                    vec![q(
                        "SELECT 1; COPY log (what) FROM STDIN; SELECT 2; COPY log (what) FROM STDIN; SELECT 3",
                    )],
                    data(&["a"]),
                    vec![copy_done()],
                    data(&["b"]),
                    vec![copy_done()],
                ]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in: in a transaction",
            [
                sent(&[
                    vec![q("BEGIN"), q(IN)],
                    data(&["tx"]),
                    vec![
                        copy_done(),
                        q("SELECT count(*) FROM log WHERE what = 'tx'"),
                        q("ROLLBACK"),
                        q("SELECT count(*) FROM log WHERE what = 'tx'"),
                    ],
                ]),
                Step::Ready(5),
            ],
        ),
        case(
            "copy in: binary and csv",
            [
                send([
                    q("COPY t (id, name) FROM STDIN (FORMAT csv)"),
                    copy_data(b"101,\"x, y\"\n"),
                    copy_done(),
                    q("DELETE FROM t WHERE id = 101"),
                ]),
                Step::Ready(2),
                send([
                    q("COPY t FROM STDIN (FORMAT binary)"),
                    copy_data(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff"),
                    copy_done(),
                ]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in: and out in turns",
            [
                sent(&[
                    vec![q("BEGIN"), q(OUT), q(IN)],
                    data(&["a"]),
                    vec![copy_done(), q(OUT), q("ROLLBACK")],
                ]),
                Step::Ready(5),
            ],
        ),
        case(
            "copy in: a large message",
            [
                send([q(IN)]),
                Step::Until(b'G'),
                send([copy_data(&[vec![b'v'; 3_000_000], vec![b'\n']].concat()), copy_done()]),
                Step::Ready(1),
                send([q("DELETE FROM log WHERE length(what) > 1000000")]),
                Step::Ready(1),
            ],
        ),
    ]
}

fn extended() -> Vec<Case> {
    vec![
        case(
            "copy in, extended: with flush",
            [
                send([run(IN), vec![h()]].concat()),
                Step::Until(b'G'),
                sent(&[data(&["a"]), vec![copy_done(), s()]]),
                Step::Ready(1),
                send([q("SELECT 1")]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in, extended: sync behind execute",
            [
                send([run(IN), vec![s()]].concat()),
                Step::Until(b'G'),
                sent(&[data(&["a", "b"]), vec![copy_done(), s()]]),
                Step::Ready(1),
                send([q("SELECT 1")]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in, extended: sync later than copy done",
            [
                send([run(IN), vec![s()]].concat()),
                Step::Until(b'G'),
                sent(&[data(&["a"])]),
                send([copy_done()]),
                send([s()]),
                Step::Ready(1),
                send([q("SELECT 1")]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in, extended: all at once",
            [
                sent(&[run(IN), vec![s()], data(&["a"]), vec![copy_done(), s(), q("SELECT 1")]]),
                Step::Ready(2),
            ],
        ),
        case(
            "copy in, extended: all at once without the first sync",
            [sent(&[run(IN), data(&["a"]), vec![copy_done(), s(), q("SELECT 1")]]), Step::Ready(2)],
        ),
        case(
            "copy in, extended: described and named",
            [
                send([p("c", IN), d(b'S', "c"), s()]),
                Step::Ready(1),
                send([b("", "c", &[]), d(b'P', ""), e("", 0), s()]),
                Step::Until(b'G'),
                sent(&[data(&["a"]), vec![copy_done(), s()]]),
                Step::Ready(1),
                send([b("", "c", &[]), e("", 0), s()]),
                Step::Until(b'G'),
                sent(&[data(&["b"]), vec![copy_done(), s()]]),
                Step::Ready(1),
            ],
        ),
        case(
            "copy in, extended: in a transaction",
            [
                sent(&[run("BEGIN"), vec![s()], run(IN), vec![s()]]),
                Step::Until(b'G'),
                sent(&[
                    data(&["tx"]),
                    vec![copy_done(), s()],
                    run("SELECT count(*) FROM log WHERE what = 'tx'"),
                    vec![s(), q("ROLLBACK")],
                ]),
                Step::Ready(3),
            ],
        ),
        case(
            "copy in, extended: more in the batch behind",
            [
                sent(&[run(IN), vec![h()]]),
                Step::Until(b'G'),
                sent(&[data(&["a"]), vec![copy_done()], run("SELECT 1"), vec![s()]]),
                Step::Ready(1),
            ],
        ),
    ]
}

fn failing() -> Vec<Case> {
    let checked = "COPY t (id, name) FROM STDIN";
    let after = || [send([q("SELECT count(*) FROM log WHERE what = 'never'")]), Step::Ready(1)];
    let bad = |name: &str, steps: Vec<Step>| case(name, [steps, after().to_vec()].concat());
    vec![
        bad(
            "copy in, failing: before it begins",
            vec![
                sent(&[vec![q("COPY nowhere FROM STDIN")], data(&["never"]), vec![copy_done()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: in the middle",
            vec![
                sent(&[vec![q(checked)]]),
                Step::Until(b'G'),
                sent(&[data(&["102\tx", "bad\ty", "103\tz"]), vec![copy_done()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: in the middle, data goes on",
            vec![
                send([q(checked)]),
                Step::Until(b'G'),
                sent(&[data(&["bad\ty"])]),
                Step::Ready(1),
                sent(&[data(&["103\tz"; 100]), vec![copy_done()]]),
            ],
        ),
        bad(
            "copy in, failing: at its end",
            vec![sent(&[vec![q(checked)], data(&["1\ttwice"]), vec![copy_done()]]), Step::Ready(1)],
        ),
        bad(
            "copy in, failing: by the client",
            vec![sent(&[vec![q(IN)], data(&["never"]), vec![copy_fail("I will not")]]), Step::Ready(1)],
        ),
        bad(
            "copy in, failing: by the client, in a transaction",
            vec![
                sent(&[
                    vec![q("BEGIN"), q(IN)],
                    data(&["never"]),
                    vec![copy_fail("no"), q("SELECT 1"), q("ROLLBACK")],
                ]),
                Step::Ready(4),
            ],
        ),
        bad(
            "copy in, failing: among statements",
            vec![
                sent(&[
                    vec![q("SELECT 1; COPY log (what) FROM STDIN; SELECT 2")],
                    data(&["never"]),
                    vec![copy_fail("no")],
                ]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: before it begins, extended",
            vec![
                sent(&[run("COPY nowhere FROM STDIN"), vec![s()], data(&["never"]), vec![copy_done(), s()]]),
                Step::Ready(2),
            ],
        ),
        bad(
            "copy in, failing: in the middle, extended, sync behind execute",
            vec![
                sent(&[run(checked), vec![s()]]),
                Step::Until(b'G'),
                sent(&[data(&["bad\ty", "103\tz"]), vec![copy_done(), s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: in the middle, extended, flush",
            vec![
                sent(&[run(checked), vec![h()]]),
                Step::Until(b'G'),
                sent(&[data(&["bad\ty", "103\tz"])]),
                Step::Until(b'E'),
                sent(&[vec![copy_done(), s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: in the middle, extended, sync without an end",
            vec![
                sent(&[run(checked), vec![h()]]),
                Step::Until(b'G'),
                sent(&[data(&["bad\ty"]), vec![s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: in the middle, simple, syncs without an end",
            vec![
                send([q(checked)]),
                Step::Until(b'G'),
                sent(&[data(&["bad\ty"]), vec![s(), s()]]),
                Step::Ready(3),
            ],
        ),
        bad(
            "copy in, failing: in the middle, extended, sync behind good data, then an end",
            vec![
                sent(&[run(checked), vec![s()]]),
                Step::Until(b'G'),
                sent(&[data(&["104\tx"]), vec![s()], data(&["bad\ty"]), vec![s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: at its end, extended",
            vec![
                sent(&[run(checked), vec![s()]]),
                Step::Until(b'G'),
                sent(&[data(&["1\ttwice"]), vec![copy_done(), s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: all at once, extended",
            vec![
                sent(&[run(checked), vec![s()], data(&["bad\ty", "103\tz"]), vec![copy_done(), s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: by the client, extended",
            vec![
                sent(&[run(IN), vec![s()]]),
                Step::Until(b'G'),
                sent(&[data(&["never"]), vec![copy_fail("no"), s()]]),
                Step::Ready(1),
            ],
        ),
        bad(
            "copy in, failing: before any data is read, sync behind execute",
            vec![sent(&[run("COPY guarded FROM STDIN"), vec![s()]]), Step::Until(b'G'), Step::Ready(1)],
        ),
        bad(
            "copy in, failing: before any data is read, all at once",
            vec![
                sent(&[run("COPY guarded FROM STDIN"), vec![s()], data(&["1"]), vec![copy_done(), s()]]),
                Step::Ready(2),
            ],
        ),
        bad(
            "copy in, failing: before any data is read, in a transaction",
            vec![
                sent(&[vec![q("BEGIN")], run("COPY guarded FROM STDIN"), vec![s()]]),
                Step::Ready(2),
                sent(&[vec![q("SELECT 1"), q("ROLLBACK")]]),
                Step::Ready(2),
            ],
        ),
        bad(
            "copy in, failing: before any data is read, simple",
            vec![
                send([q("COPY guarded FROM STDIN")]),
                Step::Ready(1),
                sent(&[data(&["1"]), vec![copy_done()]]),
            ],
        ),
        case("copy in, failing: a query in its place", [send([q(IN), q("SELECT 1")]), Step::End]),
        case(
            "copy in, failing: a Parse in its place",
            [send([run(IN), run("SELECT 1"), vec![s()]].concat()), Step::End],
        ),
        case(
            "copy in, failing: goodbye",
            [send([q(IN)]), Step::Until(b'G'), sent(&[data(&["never"]), vec![terminate()]])],
        ),
    ]
}
