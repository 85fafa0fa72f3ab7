//! Flush, and errors at each message: everything behind one is skipped up to the Sync.

use pgsplit_testkit::peer::message;

use crate::script::{Case, Step, again, b, batches, c, case, d, e, h, p, q, run, s, send};

const READ: &str = "SELECT id, name FROM t WHERE id > $1::int ORDER BY id";
const WRITE: &str = "INSERT INTO log (what) VALUES ($1) RETURNING what";

pub(crate) fn cases() -> Vec<Case> {
    [flush(), errors(), bodies()].into_iter().flatten().collect()
}

fn flush() -> Vec<Case> {
    let parse = |text| send([p("", text), d(b'S', ""), h()]);
    let finish = |parameters: &[&str]| send([b("", "", parameters), d(b'P', ""), e("", 0), s()]);
    let read = || [parse(READ), Step::Until(b'T')];
    vec![
        case("flush: then a read", [read().to_vec(), vec![finish(&["18"]), Step::Ready(1)]].concat()),
        case("flush: then a write", [parse(WRITE), Step::Until(b'T'), finish(&["f"]), Step::Ready(1)]),
        case(
            "flush: a read, then a write of another statement",
            [
                read().to_vec(),
                vec![send([p("w", WRITE), b("", "w", &["g"]), e("", 0), s()]), Step::Ready(1)],
                vec![send([vec![p("", READ)], again("w", &["h"]), vec![s()]].concat()), Step::Ready(1)],
            ]
            .concat(),
        ),
        case(
            "flush: behind bind",
            [
                send([p("", READ), b("", "", &["17"]), h()]),
                Step::Until(b'2'),
                send([e("", 1), h()]),
                Step::Until(b's'),
                send([e("", 0), s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "flush: behind bind, then a write",
            [
                send([p("", READ), b("r", "", &["17"]), h()]),
                Step::Until(b'2'),
                send([p("", WRITE), b("w", "", &["i"]), e("w", 0), e("r", 0), s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "flush: behind a read, then a write",
            [
                send([run("SELECT 1"), vec![h()]].concat()),
                Step::Until(b'C'),
                send([run("INSERT INTO log (what) VALUES ('j')"), vec![h()]].concat()),
                Step::Until(b'C'),
                send([run("SELECT 2"), vec![s()]].concat()),
                Step::Ready(1),
            ],
        ),
        case(
            "flush: an error, then sync",
            [
                send([run("SELECT 1/0"), vec![h()]].concat()),
                Step::Until(b'E'),
                send(
                    [
                        run("SELECT 1"),
                        vec![h(), q("SELECT 2"), message::function_call(177, &[Some("1"), Some("2")]), s()],
                    ]
                    .concat(),
                ),
                Step::Ready(1),
                send([run("SELECT 3"), vec![s()]].concat()),
                Step::Ready(1),
            ],
        ),
        case(
            "flush: a bad Parse, then a write at once",
            [
                send(
                    [
                        vec![p("", "SELECT * FROM nowhere"), d(b'S', ""), h()],
                        run("INSERT INTO log (what) VALUES ('never')"),
                        vec![s()],
                        run("SELECT count(*) FROM log WHERE what = 'never'"),
                        vec![s()],
                    ]
                    .concat(),
                ),
                Step::Ready(2),
            ],
        ),
        case("flush: alone", [send([h(), h(), s()]), Step::Ready(1)]),
        case(
            "flush: in a transaction",
            [
                send([q("BEGIN")]),
                Step::Ready(1),
                send([run("SELECT 1"), vec![h()]].concat()),
                Step::Until(b'C'),
                send([run("INSERT INTO log (what) VALUES ('k')"), vec![h()]].concat()),
                Step::Until(b'C'),
                send([s(), q("COMMIT")]),
                Step::Ready(2),
            ],
        ),
        case(
            "flush: begin",
            [
                send([run("BEGIN"), vec![h()]].concat()),
                Step::Until(b'C'),
                send([run("INSERT INTO log (what) VALUES ('l')"), vec![s()]].concat()),
                Step::Ready(1),
                send([q("ROLLBACK"), q("SELECT count(*) FROM log WHERE what = 'l'")]),
                Step::Ready(2),
            ],
        ),
    ]
}

/// Everything behind an error is skipped up to the Sync, whichever message it was.
fn errors() -> Vec<Case> {
    let behind = || {
        [
            run("INSERT INTO log (what) VALUES ('skipped')"),
            vec![p("later", "SELECT 1"), c(b'S', "kept"), d(b'S', "kept"), h()],
        ]
        .concat()
    };
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
        cases.push(batches(
            &format!("errors: {name}"),
            [
                kept(),
                batch(),
                again("kept", &[]),
                again("later", &[]),
                run("SELECT count(*) FROM log WHERE what = 'skipped'"),
            ],
        ));
        cases.push(batches(
            &format!("errors: {name}, in a transaction"),
            [
                kept(),
                run("BEGIN"),
                run("INSERT INTO log (what) VALUES ('rolled back')"),
                batch(),
                run("SELECT 1"),
                again("kept", &[]),
                run("COMMIT"),
                again("kept", &[]),
                again("later", &[]),
            ],
        ));
        cases.push(case(
            &format!("errors: {name}, then a simple query without sync"),
            [
                send([kept(), vec![s()], messages.clone(), vec![q("SELECT 1"), s()]].concat()),
                Step::Ready(2),
                send([q("SELECT 2")]),
                Step::Ready(1),
            ],
        ));
    }
    cases.push(batches(
        "errors: a deferred constraint at sync",
        [
            run("INSERT INTO once VALUES (1)"),
            [run("INSERT INTO once VALUES (1)"), run("SELECT 1")].concat(),
            run("SELECT 2"),
        ],
    ));
    cases.push(batches(
        "errors: a second Parse of a name in one batch",
        [vec![p("a", "SELECT 1"), p("a", "SELECT 2"), b("", "a", &[]), e("", 0)], again("a", &[])],
    ));
    cases.push(batches(
        "errors: a failed Parse leaves the old unnamed",
        [vec![p("", "SELECT 1")], vec![p("", "SELEC")], vec![b("", "", &[]), e("", 0)]],
    ));
    cases
}

/// Bodies that cannot be read are refused in the server's words, and the session goes on.
fn bodies() -> Vec<Case> {
    let bad: [(&str, Vec<u8>); 9] = [
        ("Parse", message::frame(b'P', b"\0SELECT 1")),
        ("Parse without types", message::frame(b'P', b"\0SELECT 1\0")),
        ("Parse with more", message::frame(b'P', b"\0SELECT 1\0\0\0more")),
        ("Bind", message::frame(b'B', b"portal")),
        ("Describe of nothing", message::frame(b'D', b"")),
        ("Describe of what is not", message::frame(b'D', b"Q\0")),
        ("Close", message::frame(b'C', b"Sname")),
        ("Execute", message::frame(b'E', b"\0\0")),
        ("Flush", message::frame(b'H', b"more")),
    ];
    let write = |what: &str| run(&format!("INSERT INTO log (what) VALUES ('{what}')"));
    let count = |what: &str| q(&format!("SELECT count(*) FROM log WHERE what = '{what}'"));
    let in_batches = bad.into_iter().flat_map(|(name, bad)| {
        let around = [write("before"), vec![bad.clone()], write("behind"), vec![s()]].concat();
        let apart = [vec![bad.clone()], write("behind"), vec![h()]].concat();
        let (before, behind) = (count("before"), count("behind"));
        [
            case(
                &format!("body: {name}"),
                [
                    send(around.clone()),
                    Step::Ready(1),
                    send([before.clone(), behind.clone()]),
                    Step::Ready(2),
                ],
            ),
            case(
                &format!("body: {name}, with a Flush"),
                [
                    send(apart),
                    Step::Until(b'E'),
                    send([write("on"), vec![s()], run("SELECT 1"), vec![s()]].concat()),
                    Step::Ready(2),
                ],
            ),
            case(&format!("body: {name}, alone"), [send([bad.clone(), s(), q("SELECT 1")]), Step::Ready(2)]),
            case(
                &format!("body: {name}, in a transaction"),
                [
                    send([vec![q("BEGIN")], around, vec![q("SELECT 1"), q("ROLLBACK"), behind]].concat()),
                    Step::Ready(5),
                ],
            ),
        ]
    });
    let simple = [
        ("Query", message::frame(b'Q', b"SELECT 1")),
        ("Query with more", message::frame(b'Q', b"SELECT 1\0more\0")),
        ("Sync", message::frame(b'S', b"more")),
    ];
    let simple = simple.into_iter().flat_map(|(name, bad)| {
        [
            case(
                &format!("body: {name}"),
                [send([bad.clone(), q("SELECT 1")]), Step::Ready(2), send([bad.clone()]), Step::Ready(1)],
            ),
            case(
                &format!("body: {name}, in a transaction"),
                [
                    send([q("BEGIN"), bad.clone(), q("SELECT 1"), q("ROLLBACK"), q("SELECT 2")]),
                    Step::Ready(5),
                ],
            ),
            case(
                &format!("body: {name}, behind a batch"),
                [send([write("unsynced"), vec![bad, s(), q("SELECT 1")]].concat()), Step::Ready(3)],
            ),
        ]
    });
    in_batches.chain(simple).collect()
}
