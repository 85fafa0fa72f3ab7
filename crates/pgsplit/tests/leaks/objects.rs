//! What lives in a session: temporary objects, cursors, advisory locks, LISTEN, LOAD, sequences, seeds, large objects,
//! prepared transactions.

use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, wait};

use crate::Scene;
use crate::stage::{Case, Stage, told};

pub(crate) fn cases() -> Vec<Case> {
    [temporary(), cursors(), locks(), others()].into_iter().flatten().collect()
}

fn temporary() -> Vec<Case> {
    let seen = "to_regclass('tt') IS NULL";
    let made = |name, make: &[&str]| Case::new(name).two().look("b", seen).asks("a", make);
    vec![
        made("temporary table", &["CREATE TEMP TABLE tt AS SELECT 1 AS v"])
            .pinned("temporary-object")
            .ask("b", "SELECT * FROM tt")
            .ask("a", "SELECT * FROM tt")
            .looks(seen)
            .free(),
        made("temporary table of both", &["CREATE TEMP TABLE tt AS SELECT 'of a' AS v"])
            .ask("b", "CREATE TEMP TABLE tt AS SELECT 'of b' AS v")
            .asks("a", &["SELECT * FROM tt", "INSERT INTO tt VALUES ('more')"])
            .ask("b", "SELECT * FROM tt")
            .leave("a")
            .ask("b", "SELECT * FROM tt")
            .ask("c", "SELECT * FROM tt"),
        made("temporary table dropped", &["CREATE TEMP TABLE tt (v int)", "DROP TABLE tt"])
            .free()
            .looks(seen),
        made("temporary table rolled back", &["BEGIN", "CREATE TEMP TABLE tt (v int)", "ROLLBACK"])
            .free()
            .looks(seen),
        made(
            "temporary table ON COMMIT DROP",
            &["BEGIN", "CREATE TEMP TABLE tt (v int) ON COMMIT DROP", "INSERT INTO tt VALUES (1)", "COMMIT"],
        )
        .free()
        .looks(seen),
        made(
            "temporary table ON COMMIT DELETE ROWS",
            &["CREATE TEMP TABLE tt (v int) ON COMMIT DELETE ROWS"],
        )
        .pinned("temporary-object")
        .looks(seen),
        made("temporary table by SELECT INTO", &["SELECT 1 AS v INTO TEMP tt"])
            .pinned("temporary-object")
            .looks(seen),
        made("temporary table by its schema", &["CREATE TABLE pg_temp.tt (v int)"])
            .pinned("temporary-object")
            .looks(seen),
        made(
            "temporary table by the search path",
            &["SET search_path = pg_temp, public", "CREATE TABLE tt (v int)"],
        )
        .ask("a", "SELECT to_regclass('tt') IS NULL")
        .pinned("temporary-object")
        .looks(seen),
        made("temporary view", &["CREATE TEMP VIEW tt AS SELECT 1 AS v"])
            .pinned("temporary-object")
            .looks(seen),
        made("temporary sequence", &["CREATE TEMP SEQUENCE tt"]).pinned("temporary-object").looks(seen),
        made(
            "temporary view of a temporary table",
            &["CREATE TEMP TABLE t0 (v int)", "CREATE VIEW tt AS SELECT * FROM t0"],
        )
        .pinned("temporary-object")
        .looks(seen),
        Case::new("temporary function")
            .two()
            .ask("a", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 7'")
            .pinned("temporary-object")
            .ask("b", "SELECT pg_temp.f()")
            .ask("a", "SELECT pg_temp.f()")
            .leave("a")
            .ask("c", "SELECT pg_temp.f()"),
        Case::new("temporary type")
            .two()
            .ask("a", "CREATE TYPE pg_temp.mood AS ENUM ('good')")
            .pinned("temporary-object")
            .ask("a", "SELECT 'good'::pg_temp.mood")
            .ask("b", "SELECT 'good'::pg_temp.mood"),
        made("temporary table and DISCARD TEMP", &["CREATE TEMP TABLE tt (v int)", "DISCARD TEMP"])
            .free()
            .looks(seen),
        made("temporary table and DISCARD ALL", &["CREATE TEMP TABLE tt (v int)", "DISCARD ALL"])
            .free()
            .looks(seen),
        made("temporary table in front of a table", &["CREATE TEMP TABLE secrets AS SELECT 'mine' AS v"])
            .ask("a", "SELECT * FROM secrets")
            .ask("b", "SELECT * FROM secrets")
            .ask("a", "SELECT * FROM secrets"),
        made("temporary table in the extended protocol", &[])
            .bound("a", "CREATE TEMP TABLE tt (v int)", &[])
            .pinned("temporary-object")
            .looks(seen),
    ]
}

fn cursors() -> Vec<Case> {
    let held = "SELECT name FROM pg_cursors ORDER BY 1";
    vec![
        Case::new("cursor WITH HOLD")
            .two()
            .asks(
                "a",
                &[
                    "BEGIN",
                    "DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 5)",
                    "FETCH 2 FROM c",
                    "COMMIT",
                ],
            )
            .pinned("hold-cursor")
            .ask("b", "FETCH 1 FROM c")
            .ask("a", "FETCH 2 FROM c")
            .ask("b", held)
            .ask("a", held)
            .ask("a", "CLOSE c")
            .free()
            .ask("a", "FETCH 1 FROM c"),
        Case::new("cursor WITH HOLD and leave")
            .two()
            .ask("a", "DECLARE c CURSOR WITH HOLD FOR SELECT 1")
            .pinned("hold-cursor")
            .leave("a")
            .free()
            .ask("b", "FETCH 1 FROM c")
            .ask("b", held),
        Case::new("cursor WITH HOLD rolled back")
            .asks("a", &["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "ROLLBACK"])
            .free()
            .ask("a", "FETCH 1 FROM c")
            .ask("b", held),
        Case::new("cursor WITH HOLD ends by CLOSE ALL")
            .two()
            .asks("a", &["DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE ALL"])
            .free(),
        Case::new("cursor of a transaction")
            .asks(
                "a",
                &[
                    "BEGIN",
                    "DECLARE c CURSOR FOR SELECT generate_series(1, 5)",
                    "FETCH 2 FROM c",
                    "MOVE 1 FROM c",
                    "FETCH 1 FROM c",
                    "COMMIT",
                    "FETCH 1 FROM c",
                ],
            )
            .ask("b", "FETCH 1 FROM c"),
    ]
}

fn locks() -> Vec<Case> {
    let held = "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())";
    let seen = format!("SELECT {held}, txid_current() > 0");
    let took = |name, take: &'static [&'static str]| {
        Case::new(name)
            .two()
            .asks("a", take)
            .pinned("advisory-lock")
            .ask("a", seen.as_str())
            .ask("b", seen.as_str())
            .ask("b", "SELECT pg_try_advisory_lock(1), txid_current() > 0")
    };
    let function = "CREATE OR REPLACE FUNCTION take(n int) RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(n); END'";
    vec![
        took("advisory lock", &["SELECT pg_advisory_lock(1)"])
            .leave("a")
            .free()
            .ask("b", "SELECT pg_try_advisory_lock(1)")
            .pinned("advisory-lock"),
        took("advisory lock released", &["SELECT pg_advisory_lock(1)"])
            .ask("a", "SELECT pg_advisory_unlock(1)")
            .free(),
        took("advisory lock taken twice", &["SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock(1)"])
            .ask("a", "SELECT pg_advisory_unlock(1)")
            .pinned("advisory-lock")
            .ask("a", "SELECT pg_advisory_unlock(1)")
            .free(),
        took("advisory lock released with all", &["SELECT pg_advisory_lock(1), pg_advisory_lock(2)"])
            .ask("a", "SELECT pg_advisory_unlock_all()")
            .free(),
        took("advisory lock by DISCARD ALL", &["SELECT pg_try_advisory_lock(1)"])
            .ask("a", "DISCARD ALL")
            .free(),
        took("advisory lock that is shared", &["SELECT pg_advisory_lock_shared(1)"]),
        took("advisory lock in a function", &["SELECT take(1)"])
            .setup(function)
            .ask("a", "SELECT pg_advisory_unlock(1)")
            .free(),
        took(
            "advisory lock in a rolled back transaction",
            &["BEGIN", "SELECT pg_advisory_lock(1)", "ROLLBACK"],
        ),
        Case::new("advisory lock of a transaction")
            .asks("a", &["BEGIN", "SELECT pg_advisory_xact_lock(1)", "COMMIT"])
            .free()
            .asks("b", &["BEGIN", "SELECT pg_try_advisory_xact_lock(1)", "COMMIT"])
            .ask("b", seen.as_str()),
        Case::new("advisory lock that is not there")
            .ask("a", "SELECT pg_advisory_unlock(1), pg_advisory_unlock_all()")
            .free(),
    ]
}

/// Played last: once somebody has asked for `currval`, all that may use a sequence keep their connections.
pub(crate) fn sequences() -> Vec<Case> {
    let table = "DROP TABLE IF EXISTS q1; CREATE TABLE q1 (id serial, v text); GRANT ALL ON q1 TO app; GRANT ALL ON SEQUENCE q1_id_seq TO app; SELECT setval('q1_id_seq', 100)";
    vec![
        Case::new("currval is never another's")
            .two()
            .setup(table)
            .asks("a", &["INSERT INTO q1 (v) VALUES ('a')", "SELECT nextval('q1_id_seq')"])
            .ask("b", "SELECT currval('q1_id_seq')")
            .ask("b", "SELECT lastval()"),
        Case::new("currval after one's own INSERT")
            .two()
            .setup(table)
            .ask("a", "SELECT lastval()")
            .asks("a", &["INSERT INTO q1 (v) VALUES ('a')", "SELECT currval('q1_id_seq')"])
            .pinned("sequence")
            .asks(
                "b",
                &["INSERT INTO q1 (v) VALUES ('b')", "SELECT currval('q1_id_seq')", "SELECT lastval()"],
            )
            .asks("a", &["SELECT currval('q1_id_seq')", "SELECT lastval()"])
            .leave("a")
            .ask("c", "SELECT lastval()")
            .ask("c", "SELECT currval('q1_id_seq')")
            .ask("b", "DISCARD SEQUENCES")
            .ask("b", "SELECT lastval()")
            .ask("b", "DISCARD ALL")
            .free(),
        Case::new("currval outlasts a temporary table")
            .two()
            .setup(table)
            .ask("a", "SELECT lastval()")
            .asks("a", &["CREATE TEMP TABLE tt (v int)", "SELECT nextval('q1_id_seq')"])
            .pinned("sequence")
            .ask("a", "DROP TABLE tt")
            .asks("b", &["INSERT INTO q1 (v) VALUES ('b')", "SELECT lastval()"])
            .ask("a", "SELECT lastval()"),
        Case::new("currval in the transaction of the INSERT").setup(table).asks(
            "a",
            &[
                "SELECT lastval()",
                "BEGIN",
                "INSERT INTO q1 (v) VALUES ('a')",
                "SELECT currval('q1_id_seq')",
                "COMMIT",
            ],
        ),
        Case::new("currval and DISCARD SEQUENCES").two().setup(table).asks(
            "a",
            &[
                "SELECT lastval()",
                "INSERT INTO q1 (v) VALUES ('a')",
                "DISCARD SEQUENCES",
                "SELECT currval('q1_id_seq')",
            ],
        ),
        Case::new("setval and currval")
            .two()
            .setup(table)
            .ask("b", "SELECT lastval()")
            .asks("a", &["SELECT setval('q1_id_seq', 500)", "SELECT currval('q1_id_seq')"])
            .ask("b", "SELECT currval('q1_id_seq')"),
    ]
}

fn others() -> Vec<Case> {
    let root =
        |name| Case::new(name).two().enter("a", Account::POSTGRES, &[]).enter("b", Account::POSTGRES, &[]);
    vec![
        root("LOAD")
            .ask("a", "LOAD 'auto_explain'")
            .pinned("load")
            .ask("a", "SHOW auto_explain.log_min_duration")
            .ask("b", "SHOW auto_explain.log_min_duration")
            .leave("a")
            .free()
            .enter("c", Account::POSTGRES, &[])
            .ask("c", "SHOW auto_explain.log_min_duration"),
        root("LOAD outlasts a temporary table")
            .asks("a", &["CREATE TEMP TABLE tt (v int)", "LOAD 'auto_explain'", "DROP TABLE tt"])
            .pinned("load")
            .ask("b", "SHOW auto_explain.log_min_duration")
            .ask("a", "SHOW auto_explain.log_min_duration"),
        Case::new("setseed")
            .two()
            .ask("a", "SELECT setseed(0.5)")
            .pinned("seed")
            .asks("a", &["SELECT random()", "SELECT random()"]),
        Case::new("SET SEED").two().ask("a", "SET SEED = 0.25").pinned("seed").ask("a", "SELECT random()"),
        Case::new("LISTEN")
            .two()
            .ask("a", "LISTEN news")
            .pinned("listen")
            .ask("b", "SELECT pg_listening_channels()")
            .ask("a", "SELECT pg_listening_channels()")
            .ask("a", "UNLISTEN news")
            .free(),
        Case::new("LISTEN ends by UNLISTEN all")
            .two()
            .asks("a", &["LISTEN news", "LISTEN more", "UNLISTEN news"])
            .pinned("listen")
            .ask("a", "UNLISTEN *")
            .free(),
        Case::new("LISTEN rolled back").two().asks("a", &["BEGIN", "LISTEN news", "ROLLBACK"]).free(),
        Case::new("LISTEN and NOTIFY by oneself")
            .two()
            .asks("a", &["LISTEN news", "NOTIFY news, 'to me'", "SELECT pg_notify('news', 'again')"]),
        Case::new("NOTIFY alone").asks("a", &["NOTIFY news, 'x'", "SELECT pg_notify('news', 'x')"]).free(),
        Case::new("large object")
            .asks(
                "a",
                &[
                    "SELECT lo_create(4711)",
                    "BEGIN",
                    "SELECT lo_open(4711, 131072)",
                    "SELECT lowrite(0, 'abc')",
                    "COMMIT",
                    "SELECT loread(0, 3)",
                    "SELECT lo_get(4711)",
                ],
            )
            .ask("b", "SELECT loread(0, 3)")
            .asks("a", &["SELECT lo_unlink(4711)"])
            .free(),
        Case::new("two-phase commit")
            .setup("DROP TABLE IF EXISTS x1; CREATE TABLE x1 (v text); GRANT ALL ON x1 TO app")
            .asks("a", &["BEGIN", "INSERT INTO x1 VALUES ('a')", "PREPARE TRANSACTION 'one'"])
            .free()
            .ask("b", "SELECT count(*), txid_current() > 0 FROM x1")
            .ask("b", "COMMIT PREPARED 'one'")
            .ask("a", "SELECT count(*), txid_current() > 0 FROM x1")
            .asks(
                "a",
                &[
                    "BEGIN",
                    "INSERT INTO x1 VALUES ('b')",
                    "PREPARE TRANSACTION 'two'",
                    "ROLLBACK PREPARED 'two'",
                ],
            )
            .ask("b", "SELECT count(*), txid_current() > 0 FROM x1"),
        Case::new("SET CONSTRAINTS").asks("a", &["BEGIN", "SET CONSTRAINTS ALL DEFERRED", "COMMIT"]).free(),
        Case::new("an empty transaction")
            .asks("a", &["BEGIN", "COMMIT", "BEGIN", "ROLLBACK", "COMMIT", "ROLLBACK", ""])
            .free(),
    ]
}

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("NOTIFY reaches a silent client", silent),
        ("a pin that finds no connection is told so", no_room),
        ("a pinned client that waits for another", waits_its_turn),
    ]
}

fn silent(stage: &Stage) {
    let mut a = stage.two.client(&Account::APP, "app").unwrap();
    let mut b = RawClient::connect(stage.two.address()).unwrap();
    let greeting = b.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
    let key = greeting.iter().find(|message| message.tag == b'K').unwrap();
    a.query("LISTEN news").unwrap();
    b.query("NOTIFY news, 'hello'").unwrap();
    let heard = a.read_message().unwrap();
    assert_eq!(told(&heard), "A news\0hello\0");
    assert_eq!(heard.body[..4], key.body[..4], "the sender is known by the number that it was told");
    assert_eq!(told(&b.query("SELECT 1").unwrap()[1]), "D 1");
    // Also while A is in a transaction it hears it behind the COMMIT, as from PostgreSQL.
    a.query("BEGIN").unwrap();
    a.query("SELECT 1").unwrap();
    b.query("NOTIFY news, 'later'").unwrap();
    let committed: Vec<_> = a.query("COMMIT").unwrap().iter().map(told).collect();
    let after = if committed.iter().any(|m| m.contains("later")) {
        None
    } else {
        Some(told(&a.read_message().unwrap()))
    };
    assert!(after.is_none_or(|m| m == "A news\0later\0"), "{committed:?}");
}

/// The only connection is pinned by A: B is refused in time, with a hint, and goes on once A has left.
fn no_room(stage: &Stage) {
    let client = || stage.one.client(&Account::APP, "app").unwrap();
    let (mut a, mut b) = (client(), client());
    a.query("CREATE TEMP TABLE only_a (v int)").unwrap();
    let answer = b.query("SELECT 1, txid_current() > 0").unwrap();
    assert_eq!(answer[0].field(b'C').as_deref(), Some("53300"), "{answer:?}");
    assert!(answer[0].field(b'H').is_some(), "there is a hint");
    assert_eq!(answer.len(), 2, "{answer:?}");
    // Reads go on on the replica meanwhile, and a transaction fails as after any error.
    assert_eq!(b.rows("SELECT 1").unwrap().len(), 1);
    drop(a);
    wait::until("the connection is free again", Duration::from_secs(10), || {
        Ok(b.rows("SELECT 1, txid_current() > 0").ok())
    })
    .unwrap();
    assert!(b.rows("SELECT * FROM only_a").is_err());
}

fn waits_its_turn(stage: &Stage) {
    let client = || stage.one.client(&Account::APP, "app").unwrap();
    let (mut a, mut b) = (client(), client());
    a.query("SELECT pg_advisory_lock(77)").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| b.rows("SELECT pg_try_advisory_lock(77)").unwrap());
        let waits = |metrics: pgsplit_testkit::Samples| metrics.sum("pgsplit_clients_waiting", &[]) >= 1.0;
        wait::until("B waits", Duration::from_secs(3), || {
            Ok(stage.one.metrics().is_ok_and(waits).then_some(()))
        })
        .unwrap();
        a.query("SELECT pg_advisory_unlock(77)").unwrap();
        assert_eq!(waiting.join().unwrap(), [[Some("t".to_owned())]]);
    });
}
