//! Much data: rows of 50 MB, results read slowly, data that nobody takes. The proxy's memory stays small.

use std::fs;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use pgsplit_testkit::peer::message;
use pgsplit_testkit::wait;

use crate::arena::{Arena, Check};
use crate::script::{b, e, p, pause, q, s};

pub(crate) const CHECKS: &[Check] = &[
    ("large: a value of 50 MB", a_large_row),
    ("large: a result that is not read", a_result_that_is_not_read),
    ("large: copy data that the server does not take", copy_data_that_is_not_taken),
    ("large: a copy message of 50 MB", a_large_copy_message),
    ("large: a text of 50 MB", a_large_text),
    ("large: batches written while answers are read", batches_written_while_answers_are_read),
    ("large: answers that are not read", answers_that_are_not_read),
];

const MIB: usize = 1 << 20;
/// What relaying may cost, whatever the size: buffers of both sides, and noise.
const BOUND: usize = 24 * MIB;

/// `VmRSS` or `VmHWM` of the proxy, in bytes.
fn memory(arena: &Arena, what: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", arena.proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// How much the proxy's memory grows at its peak while something runs.
fn growth(arena: &Arena, work: impl FnOnce()) -> usize {
    // 5 sets the peak back to the present (proc(5), clear_refs).
    fs::write(format!("/proc/{}/clear_refs", arena.proxy.pid()), "5").unwrap();
    let before = memory(arena, "VmRSS");
    work();
    memory(arena, "VmHWM").saturating_sub(before)
}

fn a_large_row(arena: &Arena) {
    let mut client = arena.through();
    for text in [
        "SELECT repeat('x', 52428800)",
        "BEGIN; SELECT repeat('x', 52428800); COMMIT",
        "COPY (SELECT repeat('x', 52428800)) TO STDOUT",
    ] {
        let grown = growth(arena, || {
            let answer = client.query(text).unwrap();
            let largest = answer.iter().map(|message| message.body.len()).max().unwrap();
            assert!(largest >= 50 * MIB, "{largest}");
        });
        assert!(grown < BOUND, "{text}: {grown} bytes");
    }
}

fn a_result_that_is_not_read(arena: &Arena) {
    for text in [
        "SELECT repeat('y', 10000) FROM generate_series(1, 20000)",
        "SELECT repeat('y', 1000000) FROM generate_series(1, 200)",
        "COPY (SELECT repeat('y', 10000) FROM generate_series(1, 20000)) TO STDOUT",
    ] {
        let mut client = arena.through();
        let grown = growth(arena, || {
            client.send(&q(text)).unwrap();
            // The proxy gets the time to swallow what it would.
            pause(Duration::from_secs(1));
            let answer = client.read_until(b'Z').unwrap();
            let bytes: usize = answer.iter().map(|message| message.body.len()).sum();
            assert!(bytes > 190_000_000, "{bytes}");
        });
        assert!(grown < BOUND, "{text}: {grown} bytes");
    }
}

/// A trigger waits for a lock that another session holds, so the server stops reading.
fn copy_data_that_is_not_taken(arena: &Arena) {
    let mut holder = arena.through();
    holder.rows("BEGIN; SELECT pg_advisory_xact_lock(4711)").unwrap();
    let mut client = arena.through();
    client.send(&q("COPY slow FROM STDIN")).unwrap();
    assert_eq!(client.read_message().unwrap().tag, b'G');
    let row = message::copy_data(format!("1\t{}\n", "z".repeat(10_000)).as_bytes());
    let chunk = row.repeat(10);
    let mut rest: &[u8] = &[];
    let grown = growth(arena, || {
        client.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut stream = client.stream();
        // Write until nobody takes any more.
        for _ in 0..5_000 {
            rest = &chunk;
            while !rest.is_empty() {
                match stream.write(rest) {
                    Ok(n) => rest = &rest[n..],
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        return;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        panic!("500 MB were taken while the server took none");
    });
    assert!(grown < BOUND, "{grown} bytes");
    holder.query("ROLLBACK").unwrap();
    client.stream().set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send(rest).unwrap();
    client.send(&message::copy_done()).unwrap();
    assert_eq!(client.read_until(b'Z').unwrap()[0].text(), "COPY 0");
}

fn a_large_copy_message(arena: &Arena) {
    let mut client = arena.through();
    client.send(&q("BEGIN")).unwrap();
    client.read_until(b'Z').unwrap();
    client.send(&q("COPY log (what) FROM STDIN")).unwrap();
    client.read_until(b'G').unwrap();
    let data = message::copy_data(&[vec![b'w'; 50 * MIB], vec![b'\n']].concat());
    let grown = growth(arena, || client.send(&data).unwrap());
    client.send(&message::copy_done()).unwrap();
    assert_eq!(client.read_until(b'Z').unwrap()[0].text(), "COPY 1");
    assert!(grown < BOUND, "{grown} bytes");
    client.query("ROLLBACK").unwrap();
}

/// A message of the client is read whole before it is acted on, so it costs its size, once on each side; afterwards
/// nothing of that is kept.
fn a_large_text(arena: &Arena) {
    let mut client = arena.through();
    // A build for tests takes a while over so much text.
    client.stream().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let value = "v".repeat(50 * MIB);
    let mut ask = || {
        let answer = client.query(&format!("SELECT length('{value}')")).unwrap();
        assert_eq!(answer[1].columns().unwrap(), [Some((50 * MIB).to_string())]);
        client.send(&[p("", "SELECT length($1)"), b("", "", &[&value]), e("", 0), s()].concat()).unwrap();
        let answer = client.read_until(b'Z').unwrap();
        assert_eq!(answer[2].columns().unwrap(), [Some((50 * MIB).to_string())]);
    };
    let grown = growth(arena, &mut ask);
    assert!(grown < 5 * 50 * MIB, "{grown} bytes");
    // The allocator may keep some of the first time, but the second time adds nothing.
    let before = memory(arena, "VmRSS");
    ask();
    wait::until("the memory to be given back", Duration::from_secs(5), || {
        Ok((memory(arena, "VmRSS") < before + BOUND).then_some(()))
    })
    .unwrap();
}

fn batches_written_while_answers_are_read(arena: &Arena) {
    let mut reader = arena.through();
    let mut writer = reader.stream().try_clone().unwrap();
    let batch = [p("", "SELECT repeat('q', 5000)"), b("", "", &[]), e("", 0), s()].concat().repeat(100);
    let grown = growth(arena, || {
        let writing = thread::spawn(move || (0..40).for_each(|_| writer.write_all(&batch).unwrap()));
        for _ in 0..4_000 {
            assert_eq!(reader.read_until(b'Z').unwrap().len(), 5);
        }
        writing.join().unwrap();
    });
    assert!(grown < BOUND, "{grown} bytes");
}

/// A client that sends and never reads: whatever answers itself or a server gives, they must not pile up.
fn answers_that_are_not_read(arena: &Arena) {
    let read = [p("", "SELECT repeat('q', 5000)"), b("", "", &[]), e("", 0)].concat();
    let floods: [(&str, Vec<u8>); 6] = [
        ("Sync", s()),
        ("empty queries", q("")),
        ("empty transactions", [q("BEGIN"), q("COMMIT")].concat()),
        ("Close", [message::close(b'S', "x"), s()].concat()),
        ("batches", [read.clone(), s()].concat()),
        ("no Sync at all", read),
    ];
    for (name, messages) in floods {
        let client = arena.through();
        client.stream().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let chunk = messages.repeat(100_000 / messages.len() + 1);
        let grown = growth(arena, || {
            let mut stream = client.stream();
            // 60 MB, or until it is not taken any more.
            let _ = (0..600).try_for_each(|_| stream.write_all(&chunk));
        });
        assert!(grown < BOUND, "{name}: {grown} bytes");
    }
}
