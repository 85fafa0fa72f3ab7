//! psql: its describing commands, errors with positions, `\copy`, `\watch`, `\gdesc`, `\bind`, and Ctrl-C.

use std::process::Command;
use std::time::{Duration, Instant};

use pgsplit_testkit::wait;
use rustix::process::{Pid, Signal, kill_process};

use crate::compare::{LIMIT, Running, assert_same, same};
use crate::scripts::clean;
use crate::stage::{DIRECT, PROXIED, Stage};

const SETUP: &str = r"
\set QUIET on
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS psql CASCADE;
CREATE SCHEMA psql;
SET search_path = psql;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', price numeric(10,2) CHECK (price > 0), feels mood);
CREATE INDEX item_name ON item (lower(name)) WHERE price > 1;
CREATE TABLE part (id bigint GENERATED ALWAYS AS IDENTITY, item int REFERENCES item ON DELETE CASCADE, share percent);
CREATE VIEW cheap AS SELECT id, name FROM item WHERE price < 10;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
CREATE FUNCTION noisy(n int) RETURNS int LANGUAGE plpgsql AS
    'BEGIN RAISE NOTICE ''called with %'', n; RETURN 10 / n; END';
CREATE SEQUENCE counter;
CREATE SEQUENCE countdown INCREMENT BY -1 START WITH 3 MINVALUE -10 MAXVALUE 3;
CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS
    'BEGIN FOR i IN 1..n LOOP INSERT INTO part (item) VALUES (i); COMMIT; END LOOP; END';
INSERT INTO item SELECT n, 'item ' || n, n * 1.25, 'happy' FROM generate_series(1, 50) n;
COMMENT ON TABLE item IS 'things';
RESET client_min_messages;
\set QUIET off
";

/// psql with the script on its standard input; both of its outputs go one way, in the order of printing.
fn psql(stage: &Stage, uri: &str) -> Command {
    let program = stage.cluster.postgres().program("psql");
    let mut command = clean("sh".as_ref());
    command.args(["-c", r#"exec "$0" "$@" 2>&1"#]).arg(program).args([
        "-X",
        "-e",
        "-P",
        "pager=off",
        "-d",
        uri,
    ]);
    command
}

fn script(stage: &Stage, name: &str, text: &str) {
    same(stage, &format!("psql {name}"), &format!("{SETUP}{text}"), |uri| psql(stage, uri));
}

pub(crate) fn describe(stage: &Stage) {
    script(
        stage,
        "describe",
        r"
\d
\d+
\d item
\d+ item
\d part
\d+ cheap
\d item_name
\d counter
\d missing
\dt
\dt+ psql.*
\di
\dv
\ds
\dn
\df
\df+ twice
\df pg_catalog.abs
\sf noisy
\sv cheap
\l
\l+ drivers_*
\du
\dT
\dD
\dp
\dx
\dconfig work_mem
\dd
\do pg_catalog.@@
\dS pg_am
SET search_path = public;
\d
\d psql.item
",
    );
}

pub(crate) fn queries(stage: &Stage) {
    script(stage, "queries", QUERIES);
    let version = stage.cluster.postgres().version();
    if version >= 16 {
        script(stage, r"\bind", "SELECT $1::int + $2::int AS sum \\bind 40 2 \\g\nSELECT $1 \\bind \\g\n");
    }
    // The status that scripts rely on: 3 after an error with ON_ERROR_STOP.
    for (database, uri) in [(DIRECT, stage.direct(DIRECT)), (PROXIED, stage.proxied(PROXIED))] {
        let mut command = psql(stage, &uri);
        command.args(["-v", "ON_ERROR_STOP=1"]);
        let output = Running::start(&mut command, "SELECT 1; SELECT 1/0; SELECT 2;").finish(LIMIT);
        assert_eq!(output.status.code(), Some(3), "{database}: {}", output.text);
    }
    same(stage, "psql -1 -c -c", "", |uri| {
        let mut command = psql(stage, uri);
        command.args([
            "-1",
            "-At",
            "-c",
            "SELECT 1; SELECT 2",
            "-c",
            "SELECT current_setting('search_path')",
        ]);
        command
    });
    same(stage, "psql with options", "SHOW work_mem; SHOW application_name; \\conninfo\n", |uri| {
        let mut command = psql(stage, uri);
        command
            .env("PGOPTIONS", "-c work_mem=7MB")
            .env("PGAPPNAME", "named")
            .env("PGCLIENTENCODING", "LATIN1");
        command
    });
}

const QUERIES: &str = r"
SELECT id, name FROM item ORDER BY id LIMIT 3;
SELEC 1;
SELECT *
FROM   item
WHERE  nme = 'x';
SELECT 'é漢', missing FROM item;
SELECT twice('x');
INSERT INTO item VALUES (1, 'x', 1);
INSERT INTO item VALUES (77, 'x', -1);
SELECT noisy(0);
SELECT noisy(5);
\errverbose
\set VERBOSITY verbose
SELECT missing;
SELECT noisy(0);
\set VERBOSITY terse
SELECT missing;
\set VERBOSITY default
\set SHOW_CONTEXT always
SELECT noisy(2);
SELECT id, name, price FROM item \gdesc
SELECT id, missing FROM item \gdesc
INSERT INTO part (item) VALUES (1) RETURNING id, item \gdesc
SELECT 1 AS one, 'two' AS two \gset
\echo :one :two
SELECT 'SELECT ' || n FROM generate_series(1, 3) n \gexec
SELECT id % 3 AS a, id % 2 AS b, count(*) FROM item GROUP BY 1, 2 \crosstabview
\x on
SELECT * FROM item WHERE id = 7;
\x off
\pset null (null)
SELECT NULL;
BEGIN;
INSERT INTO part (item) VALUES (2);
SAVEPOINT s;
SELECT 1/0;
SELECT 1;
ROLLBACK TO s;
SELECT count(*) FROM part;
COMMIT;
SELECT count(*) FROM part;
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1/0;
SELECT 'goes on';
COMMIT;
\set ON_ERROR_ROLLBACK off
\set AUTOCOMMIT off
INSERT INTO part (item) VALUES (3);
ROLLBACK;
SELECT count(*) FROM part;
COMMIT;
\set AUTOCOMMIT on
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SHOW transaction_isolation;
INSERT INTO part (item) VALUES (4);
COMMIT;
SELECT 1\; SELECT 2\; SELECT 3;
BEGIN\; INSERT INTO part (item) VALUES (5)\; COMMIT;
SELECT count(*) FROM part WHERE item = 5;
CALL commits(3);
SELECT count(*) FROM part WHERE item <= 3;
DO $$ BEGIN RAISE WARNING 'careful'; END $$;
\set FETCH_COUNT 10
SELECT id FROM item ORDER BY id;
SELECT 10 / (25 - id) FROM item ORDER BY id;
\unset FETCH_COUNT
PREPARE p (int) AS SELECT name FROM item WHERE id = $1;
EXECUTE p(9);
EXECUTE p('x');
DEALLOCATE p;
CREATE TEMP TABLE mine AS SELECT 1 AS a;
SELECT * FROM mine;
\dt mine
DROP TABLE mine;
LISTEN news;
NOTIFY news, 'heard';
UNLISTEN news;
\encoding LATIN1
SHOW client_encoding;
\encoding UTF8
SET TimeZone = 'Asia/Tokyo';
SELECT '2024-01-01 00:00+00'::timestamptz;
EXPLAIN (COSTS OFF) SELECT * FROM item WHERE id = 1;
SET default_transaction_read_only = on;
INSERT INTO part (item) VALUES (6);
DISCARD ALL;
SHOW search_path;
\c -
SELECT current_database(), current_user;
\c - nobody_of_that_name
SELECT pg_is_in_recovery();
";

pub(crate) fn copy(stage: &Stage) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows.csv");
    let text = COPY.replace("FILE", &file.display().to_string());
    // The file's name is in nothing that is printed but the commands, which are the same.
    script(stage, "copy", &text);
    let left = std::fs::read_to_string(&file).unwrap();
    assert_eq!(left.lines().count(), 51, "\\copy has written the header and fifty rows");
}

const COPY: &str = r"
\copy item TO 'FILE' (FORMAT csv, HEADER)
CREATE TABLE copied (LIKE item);
\copy copied FROM 'FILE' (FORMAT csv, HEADER)
SELECT count(*), sum(price) FROM copied;
\copy (SELECT id FROM item WHERE id < 4 ORDER BY id) TO pstdout
\copy copied FROM pstdin
60	sixty	6	sad
61	sixty-one	7	happy
\.
SELECT * FROM copied WHERE id >= 60 ORDER BY id;
COPY copied TO STDOUT (FORMAT binary) \g /dev/null
COPY (SELECT id, name FROM copied WHERE id < 3 ORDER BY id) TO STDOUT;
\copy copied FROM stdin
70	seventy	8	sad
bad	line	9	sad
71	never	8	sad
\.
SELECT count(*) FROM copied WHERE id >= 70;
\copy missing FROM 'FILE'
\copy copied FROM '/nonexistent/file'
\copy (SELECT 10 / (25 - id) FROM item ORDER BY id) TO '/dev/null'
SELECT 'still here';
BEGIN;
\copy copied FROM stdin
80	eighty	8	sad
\.
ROLLBACK;
SELECT count(*) FROM copied WHERE id = 80;
";

/// `\watch` ends by itself after an error, in every version of psql; its heading shows the time, and is left out.
pub(crate) fn watch(stage: &Stage) {
    let text =
        format!("{SETUP}SELECT 10 / nextval('countdown') AS tenth \\watch 0.05\nSELECT 'and goes on';\n");
    let run = |uri: &str| {
        let output = Running::start(&mut psql(stage, uri), &text).finish(LIMIT).text;
        output.lines().filter(|line| !line.contains("(every 0.05s)")).collect::<Vec<_>>().join("\n")
    };
    let direct = run(&stage.direct(DIRECT));
    assert_eq!(direct.matches("(1 row)").count(), 4, "three numbers, an error, and it goes on:\n{direct}");
    assert_same(stage, "psql \\watch", &direct, &run(&stage.proxied(PROXIED)));

    // Reads that are watched are spread like any others.
    let before = stage.metrics();
    let mut command = psql(stage, &stage.proxied(PROXIED));
    let mut watching = Running::start(&mut command, "SELECT count(*) FROM psql.item \\watch 0.05\n");
    wait::until("five looks", wait::LIMIT, || {
        Ok((watching.so_far().matches("50\n").count() >= 5).then_some(()))
    })
    .unwrap();
    interrupt_process(&watching);
    let output = watching.finish(Duration::from_secs(5));
    assert!(!output.text.contains("ERROR") || output.text.contains("canceling"), "{}", output.text);
    let decisions = stage.metrics().decisions_since(&before);
    let reads: u64 =
        decisions.iter().filter(|(target, ..)| target == "replica").map(|(.., count)| count).sum();
    assert!(reads >= 5, "{decisions:?}");
}

fn interrupt_process(running: &Running) {
    let id = i32::try_from(running.child.id()).unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
}

/// Ctrl-C ends the statement, wherever it runs, and psql stays.
pub(crate) fn interrupt(stage: &Stage) {
    let endless = "SELECT count(*) FROM generate_series(1, 3000000000) n";
    for statement in ["SELECT pg_sleep(30)", endless, "BEGIN; SELECT pg_sleep(30)"] {
        let text = format!("{statement};\nSELECT 'still here';\n");
        let running = Running::start(&mut psql(stage, &stage.proxied(PROXIED)), &text);
        let asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND state = 'active' \
                     AND datname = 'drivers_b' AND (query LIKE '%pg_sleep(30)%' OR query LIKE '%3000000000%')";
        wait::until("a server runs the statement", wait::LIMIT, || {
            let counts: Result<Vec<_>, _> =
                stage.cluster.nodes().iter().map(|node| node.sql("postgres", asked)).collect();
            Ok(counts?.iter().any(|count| count == "1").then_some(()))
        })
        .unwrap();
        let begun = Instant::now();
        interrupt_process(&running);
        let output = running.finish(Duration::from_secs(5));
        let took = begun.elapsed();
        assert!(
            output.text.contains("canceling statement due to user request"),
            "{statement}: {}",
            output.text
        );
        assert!(took < Duration::from_secs(2), "{statement}: {took:?}");
        let goes_on =
            output.text.contains("(1 row)") || output.text.contains("current transaction is aborted");
        assert!(goes_on, "{statement}: {}", output.text);
    }
}
