//! Clients that disappear in the middle of something: nothing of it stays on the servers, and the next client finds a
//! clean connection.

use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::peer::message::{bind, copy_data, execute, parse, query};
use pgsplit_testkit::{Account, wait};

use crate::Scene;
use crate::stage::Stage;

/// What a client does before it is gone.
type Act = fn(&mut RawClient);

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("gone in the middle of a query", |stage| {
            vanish(stage, |a| a.send(&query("INSERT INTO gone VALUES (1); SELECT pg_sleep(60)")).unwrap());
        }),
        ("gone in the middle of a read on a replica", |stage| {
            vanish(stage, |a| a.send(&query("SELECT count(*) FROM generate_series(1, 2000000000)")).unwrap());
        }),
        ("gone in the middle of a transaction", |stage| {
            vanish(stage, |a| ask(a, &["BEGIN", "INSERT INTO gone VALUES (1)", "LOCK TABLE gone"]));
        }),
        ("gone in a transaction that has only begun", |stage| vanish(stage, |a| ask(a, &["BEGIN"]))),
        ("gone in a failed transaction", |stage| {
            vanish(stage, |a| ask(a, &["BEGIN", "LOCK TABLE gone", "SELECT 1/0"]));
        }),
        ("gone in COPY in", |stage| {
            vanish(stage, |a| {
                a.send(&query("COPY gone FROM STDIN")).unwrap();
                a.read_until(b'G').unwrap();
                a.send(&copy_data(b"1\n")).unwrap();
            });
        }),
        ("gone in the middle of a message of COPY in", |stage| {
            vanish(stage, |a| {
                a.send(&query("COPY gone FROM STDIN")).unwrap();
                a.read_until(b'G').unwrap();
                a.send(&copy_data(&b"1\n".repeat(1000))[..100]).unwrap();
            });
        }),
        ("gone in COPY in of the extended protocol", |stage| {
            vanish(stage, |a| {
                a.send_all(&[
                    parse("", "COPY gone FROM STDIN", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                    pgsplit_testkit::peer::message::sync(),
                ])
                .unwrap();
                a.read_until(b'G').unwrap();
                a.send(&copy_data(b"1\n")).unwrap();
            });
        }),
        ("gone in COPY out", |stage| {
            vanish(stage, |a| {
                a.send(&query(
                    "COPY (SELECT txid_current(), n FROM generate_series(1, 50000000) n) TO STDOUT",
                ))
                .unwrap();
                a.read_until(b'd').unwrap();
            });
        }),
        ("gone in the middle of rows that it does not read", |stage| {
            vanish(stage, |a| {
                a.send(&query(
                    "SELECT n, repeat('x', 1000), txid_current() FROM generate_series(1, 50000000) n",
                ))
                .unwrap();
                a.read_until(b'D').unwrap();
            });
        }),
        ("gone in a half-sent message", |stage| {
            vanish(stage, |a| {
                ask(a, &["BEGIN", "INSERT INTO gone VALUES (1)"]);
                a.send(&query("INSERT INTO gone VALUES (2)")[..10]).unwrap();
            });
        }),
        ("gone with a batch without Sync", |stage| {
            vanish(stage, |a| {
                a.send_all(&[
                    parse("", "INSERT INTO gone VALUES (1)", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                ])
                .unwrap();
            });
        }),
        ("gone with a batch and Flush", |stage| {
            vanish(stage, |a| {
                a.send_all(&[
                    parse("", "INSERT INTO gone VALUES (1)", &[]),
                    bind("", "", &[]),
                    execute("", 0),
                    pgsplit_testkit::peer::message::flush(),
                ])
                .unwrap();
                a.read_until(b'C').unwrap();
            });
        }),
        ("gone with a portal half read", |stage| {
            vanish(stage, |a| {
                ask(a, &["BEGIN"]);
                a.send_all(&[
                    parse("", "SELECT generate_series(1, 100)", &[]),
                    bind("p", "", &[]),
                    execute("p", 2),
                    pgsplit_testkit::peer::message::flush(),
                ])
                .unwrap();
                a.read_until(b's').unwrap();
            });
        }),
        ("gone with a temporary table", |stage| {
            vanish(stage, |a| ask(a, &["CREATE TEMP TABLE gone_too (v int)"]))
        }),
        ("gone with an advisory lock", |stage| vanish(stage, |a| ask(a, &["SELECT pg_advisory_lock(5)"]))),
        ("gone with a cursor", |stage| {
            vanish(stage, |a| ask(a, &["DECLARE c CURSOR WITH HOLD FOR SELECT 1"]))
        }),
        ("gone with LISTEN", |stage| vanish(stage, |a| ask(a, &["LISTEN news"]))),
        ("gone with settings", |stage| {
            vanish(stage, |a| ask(a, &["SET work_mem = '5MB'", "SET ROLE r1", "SELECT 1"]))
        }),
        ("gone while it waits for a connection", gone_in_line),
    ]
}

fn ask(client: &mut RawClient, texts: &[&str]) {
    for text in texts {
        client.query(text).unwrap();
    }
}

/// A client does something and is gone, its socket closed without a word. The servers must be clean in the end, what was
/// not committed must not be there, and the next client must find nothing.
fn vanish(stage: &Stage, act: Act) {
    let primary = stage.cluster.primary();
    primary
        .sql("app", "DROP TABLE IF EXISTS gone; CREATE TABLE gone (v int); GRANT ALL ON gone TO app")
        .unwrap();
    stage.cluster.wait_caught_up().unwrap();
    for proxy in [&stage.one, &stage.two] {
        let mut a = proxy.client(&Account::APP, "app").unwrap();
        act(&mut a);
        drop(a);
        stage.clean(proxy).unwrap();
        assert_eq!(primary.sql("app", "SELECT count(*) FROM gone").unwrap(), "0");
        let mut c = proxy.client(&Account::APP, "app").unwrap();
        let state = "current_setting('work_mem'), current_user, to_regclass('gone_too'), \
             (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_listening_channels()), \
             (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')";
        for look in [format!("SELECT {state}"), format!("SELECT {state}, txid_current() > 0")] {
            let row = c.rows(&look).unwrap().remove(0);
            let row: Vec<_> = row.iter().map(|value| value.as_deref().unwrap_or("NULL")).take(6).collect();
            assert_eq!(row, ["4MB", "app", "NULL", "0", "0", "0"]);
        }
        assert_eq!(proxy.metrics().unwrap().sum("pgsplit_pinned_sessions", &[]), 0.0);
    }
}

/// A client that has gone while it waited is not served, and does not hold up those behind it.
fn gone_in_line(stage: &Stage) {
    let client = || stage.one.client(&Account::APP, "app").unwrap();
    let (mut a, mut b, mut c) = (client(), client(), client());
    ask(&mut a, &["BEGIN", "SELECT txid_current()"]);
    b.send(&query("SELECT txid_current()")).unwrap();
    wait::until("B waits", Duration::from_secs(3), || {
        let waits = stage.one.metrics().is_ok_and(|m| m.sum("pgsplit_clients_waiting", &[]) >= 1.0);
        Ok(waits.then_some(()))
    })
    .unwrap();
    drop(b);
    ask(&mut a, &["COMMIT"]);
    assert_eq!(c.rows("SELECT 1, txid_current() > 0").unwrap().len(), 1);
    drop((a, c));
    stage.clean(&stage.one).unwrap();
}
