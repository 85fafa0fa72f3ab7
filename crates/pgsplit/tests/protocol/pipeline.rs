//! Many batches in flight, reads and writes mixed, with errors in the middle; batches without a Sync for long.

use crate::script::{Case, Step, again, b, batches, c, case, d, e, p, q, run, s, send};

fn with_sync(mut batch: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    batch.push(s());
    batch
}

fn write(what: &str) -> Vec<Vec<u8>> {
    run(&format!("INSERT INTO log (what) VALUES ('{what}') RETURNING what"))
}

pub(crate) fn cases() -> Vec<Case> {
    let read = |n: usize| run(&format!("SELECT {n}"));
    let ten: Vec<_> = (0..10)
        .flat_map(|n| {
            with_sync(match n {
                5 => [write("undone"), run("SELECT 1/0"), write("skipped")].concat(),
                n if n % 3 == 0 => write("pipeline"),
                n => read(n),
            })
        })
        .collect();
    let ask =
        || q("SELECT what, count(*) FROM log WHERE what IN ('undone', 'skipped', 'implicit') GROUP BY 1");
    let long: Vec<_> =
        (0..300).flat_map(|n| [b("", "w", &[&format!("{n} {}", "y".repeat(4_000))]), e("", 0)]).collect();
    let long_read: Vec<_> = (0..200).flat_map(|_| [b("", "r", &[&"z".repeat(6_000)]), e("", 0)]).collect();
    let insert = "INSERT INTO log (what) VALUES ($1) RETURNING length(what)";
    vec![
        case(
            "pipeline: ten batches in one write",
            [send(ten), Step::Ready(10), send([ask()]), Step::Ready(1)],
        ),
        case(
            "pipeline: a hundred reads",
            [send((0..100).flat_map(|n| with_sync(read(n)))), Step::Ready(100)],
        ),
        case(
            "pipeline: a named statement prepared and used at once",
            [
                send(
                    [
                        with_sync(vec![p("a", "SELECT $1::int")]),
                        (0..20).flat_map(|n| with_sync(again("a", &[&n.to_string()]))).collect(),
                        with_sync(vec![c(b'S', "a")]),
                        with_sync(again("a", &["1"])),
                    ]
                    .concat(),
                ),
                Step::Ready(23),
            ],
        ),
        batches(
            "pipeline: an implicit transaction of writes",
            [[write("a"), run("SELECT 1"), write("b")].concat()],
        ),
        case(
            "pipeline: an implicit transaction that fails",
            [
                send(with_sync([write("implicit"), run("SELECT 1"), run("SELECT 1/0")].concat())),
                Step::Ready(1),
                send([ask()]),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: reads before a write see it",
            [
                send(with_sync(
                    [
                        run("SELECT count(*) FROM log WHERE what = 'seen'"),
                        write("seen"),
                        run("SELECT count(*) FROM log WHERE what = 'seen'"),
                    ]
                    .concat(),
                )),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: transactions",
            [
                send(
                    [
                        with_sync(run("BEGIN")),
                        with_sync(write("t")),
                        with_sync(run("COMMIT")),
                        with_sync(run("BEGIN")),
                        with_sync(run("SELECT 1/0")),
                        with_sync(write("t")),
                        with_sync(run("COMMIT")),
                        with_sync(read(1)),
                    ]
                    .concat(),
                ),
                Step::Ready(8),
            ],
        ),
        case(
            "pipeline: transactions in one batch",
            [
                send(with_sync(
                    [run("BEGIN"), write("t"), run("COMMIT"), run("BEGIN"), read(2), run("ROLLBACK")]
                        .concat(),
                )),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: a transaction opened by a batch",
            [
                send(with_sync([run("BEGIN"), read(1)].concat())),
                Step::Ready(1),
                send(with_sync(write("t"))),
                Step::Ready(1),
                send(with_sync(run("ROLLBACK"))),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: all in one write",
            [
                send(
                    [
                        vec![q("SELECT 1")],
                        with_sync(vec![p("a", "SELECT 2"), d(b'S', "a")]),
                        vec![q("BEGIN")],
                        with_sync(again("a", &[])),
                        vec![q("ROLLBACK")],
                        with_sync(again("a", &[])),
                        vec![s(), s(), q("")],
                    ]
                    .concat(),
                ),
                Step::Ready(9),
            ],
        ),
        case(
            "pipeline: over a megabyte without sync",
            [
                send(with_sync(vec![p("w", insert)])),
                Step::Ready(1),
                send(long.clone()),
                send([s()]),
                Step::Ready(1),
                send([q("SELECT 1")]),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: over a megabyte without sync, cut anywhere",
            [
                send(with_sync(vec![p("w", insert)])),
                Step::Ready(1),
                Step::Apart(long.concat().chunks(99_991).map(<[u8]>::to_vec).collect()),
                send([s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: over a megabyte of reads",
            [
                send(with_sync(vec![p("r", "SELECT length($1)")])),
                Step::Ready(1),
                send(long_read.clone()),
                send([s()]),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: over a megabyte that fails",
            [
                send(with_sync(vec![p("w", insert)])),
                Step::Ready(1),
                send([long.clone(), run("SELECT 1/0"), long].concat()),
                send([s()]),
                Step::Ready(1),
                send([q("SELECT count(*) FROM log WHERE what LIKE '7 yyy%'")]),
                Step::Ready(1),
            ],
        ),
        case(
            "pipeline: reads that turn into writes without sync",
            [
                send(with_sync(vec![p("r", "SELECT length($1)"), p("w", insert)])),
                Step::Ready(1),
                send(long_read),
                send([b("", "w", &["turned"]), e("", 0), s()]),
                Step::Ready(1),
            ],
        ),
    ]
}
