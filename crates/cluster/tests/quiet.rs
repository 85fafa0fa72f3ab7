//! What code leaves behind on a real server, and what is said of it by that server's catalog: whatever leaves something is
//! examined, and what applications have every day is not.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::sync::Arc;

use common::Watched;
use pgsplit_sql::{Analyzer, Catalog, Effects};
use pgsplit_testkit::Account;
use pgsplit_testkit::peer::RawClient;

/// Whether the session has anything that a fresh one has not.
const LEFT: &str = "SELECT nullif(current_setting('app.x', true), '') IS NOT NULL \
    OR current_setting('work_mem') <> '4MB' \
    OR EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) \
    OR EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())";

/// In one database, because each fits beside the others.
const MOST: &str = r#"
CREATE TABLE t (id int PRIMARY KEY, a text, n int DEFAULT 0); INSERT INTO t VALUES (1, 'x');
CREATE TABLE log (v text); CREATE TABLE counters (k text PRIMARY KEY, n int);
CREATE FUNCTION leaves() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN SET app.x = 'left'; RETURN 1; END $f$;
CREATE FUNCTION tr_leaves() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN SET app.x = 'left'; RETURN NEW; END $f$;
CREATE FUNCTION case_loop() RETURNS void LANGUAGE plpgsql AS $f$ DECLARE n int := 0;
    BEGIN WHILE CASE WHEN n < 1 THEN true ELSE false END LOOP SET app.x = 'left'; n := 1; END LOOP; END $f$;
CREATE TABLE d (declare int); INSERT INTO d VALUES (1);
CREATE FUNCTION declares() RETURNS void LANGUAGE plpgsql AS $f$ DECLARE n int;
    BEGIN SELECT CASE WHEN true THEN declare ELSE 1 END INTO n FROM d; SET app.x = 'left'; END $f$;
CREATE FUNCTION executes(procedure text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN EXECUTE procedure; END $f$;
CREATE FUNCTION explains() RETURNS SETOF text LANGUAGE plpgsql AS $f$
    BEGIN RETURN QUERY EXPLAIN ANALYZE CREATE TEMP TABLE left_over AS SELECT 1 AS a; END $f$;
CREATE FUNCTION materialized() RETURNS void LANGUAGE plpgsql AS $f$ DECLARE n text := 'app.x'; v text := 'left';
    BEGIN PERFORM * FROM set_config(n, v, false) AS materialized; END $f$;
CREATE TABLE "User" (id int);
CREATE TRIGGER leaves BEFORE INSERT ON "User" FOR EACH ROW EXECUTE FUNCTION tr_leaves();
CREATE FUNCTION quoted() RETURNS void LANGUAGE plpgsql AS $f$
    BEGIN EXECUTE 'INSERT INTO "User" VALUES ($1)' USING 1; END $f$;
CREATE TABLE parted_name (id int);
CREATE TRIGGER leaves BEFORE INSERT ON parted_name FOR EACH ROW EXECUTE FUNCTION tr_leaves();
CREATE FUNCTION concatenates() RETURNS void LANGUAGE plpgsql AS $f$
    BEGIN EXECUTE 'INSERT INTO parted' || '_name VALUES (1)'; END $f$;
CREATE FUNCTION updates(tab text, col text, val text, k text, kv text) RETURNS void LANGUAGE plpgsql AS $f$
    BEGIN EXECUTE format('UPDATE %I SET %I = %L WHERE %I = %L', tab, col, val, k, kv); END $f$;
CREATE FUNCTION unconforming() RETURNS text LANGUAGE plpgsql SET standard_conforming_strings = off AS
    $f$ DECLARE x text; BEGIN x := '\''; SET app.x = 'left'; --'; 
    RETURN x; END $f$;
CREATE PROCEDURE atomic() LANGUAGE sql BEGIN ATOMIC SELECT pg_advisory_lock(7); END;
CREATE FUNCTION calls_atomic() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN CALL atomic(); END $f$;
CREATE PROCEDURE copy(at timestamptz) LANGUAGE plpgsql AS $f$ BEGIN SET app.x = 'left'; END $f$;
CREATE TABLE conditional (a text);
CREATE FUNCTION tr_upper() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.a := upper(NEW.a); RETURN NEW; END $f$;
CREATE TRIGGER upper BEFORE INSERT ON conditional FOR EACH ROW
    WHEN (set_config('app.x', NEW.a, false) IS NOT NULL) EXECUTE FUNCTION tr_upper();
CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN SET app.x = 'left'; RETURN 'me'; END $f$;
CREATE DOMAIN actor AS text DEFAULT who(); CREATE TABLE acted (id int, a actor);
CREATE TABLE child (id int REFERENCES t (id));
CREATE TRIGGER leaves BEFORE TRUNCATE ON child EXECUTE FUNCTION tr_leaves();
CREATE FUNCTION part_key(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $f$ BEGIN PERFORM set_config('app.x', 'left', false); RETURN i; END $f$;
CREATE TABLE parted (id int) PARTITION BY RANGE (part_key(id)); CREATE TABLE parted_1 PARTITION OF parted DEFAULT;
CREATE TABLE listed (id text) PARTITION BY LIST (id);
CREATE TABLE indexed (id int); INSERT INTO indexed SELECT generate_series(1, 100);
CREATE FUNCTION locks(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
    $f$ BEGIN PERFORM pg_advisory_lock(9); RETURN i; END $f$;
CREATE STATISTICS of_locks ON (locks(id)), id FROM indexed;
CREATE VIEW of_settings AS SELECT name, setting FROM pg_settings;

CREATE FUNCTION tr_audit() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
    IF (TG_OP = 'DELETE') THEN INSERT INTO log (v) VALUES (to_jsonb(OLD)::text); RETURN OLD;
    ELSIF (TG_OP = 'UPDATE') THEN INSERT INTO log (v) VALUES (to_jsonb(NEW)::text); RETURN NEW;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO log (v) VALUES (row_to_json(NEW)::text || coalesce(current_setting('app.user', true), current_user)); RETURN NEW;
    END IF; RETURN NULL; END $f$;
CREATE TABLE audited (id int, updated_at timestamptz);
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON audited FOR EACH ROW EXECUTE FUNCTION tr_audit();
CREATE FUNCTION tr_touch() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END; $f$;
CREATE TRIGGER touch BEFORE UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION tr_touch();
CREATE FUNCTION upsert() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN LOOP
    UPDATE counters SET n = n + 1 WHERE k = 'a'; IF found THEN RETURN; END IF;
    BEGIN INSERT INTO counters VALUES ('a', 1); RETURN; EXCEPTION WHEN unique_violation THEN NULL; END;
    END LOOP; END; $f$;
CREATE FUNCTION cursors() RETURNS int LANGUAGE plpgsql AS $f$
    #variable_conflict use_column
    DECLARE c CURSOR (k int) FOR SELECT id FROM t WHERE id > k; r record; m text; BEGIN
    FOR r IN c(0) LOOP UPDATE t SET n = 1 WHERE CURRENT OF c; END LOOP; OPEN c(3); CLOSE c;
    WHILE (false) LOOP NULL; END LOOP; PERFORM (SELECT 1); ASSERT (true);
    PERFORM k FROM jsonb_each_text('{}'::jsonb) e(k, v), (VALUES (1)) w(x);
    EXECUTE 'SELECT count(*) FROM counters WHERE k = $1' INTO m USING 'a';
    RAISE NOTICE 'now %', m USING HINT = 'x'; RETURN (SELECT 1);
    EXCEPTION WHEN division_by_zero OR SQLSTATE '22012' THEN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT; RAISE; END $f$;
CREATE FUNCTION merges() RETURNS SETOF int LANGUAGE plpgsql AS $f$ BEGIN
    MERGE INTO counters c USING t s ON c.k = s.a WHEN MATCHED THEN UPDATE SET n = 2
        WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.a, 1);
    PERFORM pg_notify('ch', json_build_object('id', 1)::text), pg_advisory_xact_lock(hashtext('a'));
    RETURN NEXT (1 + 1); RETURN QUERY (SELECT 1); END $f$;
CREATE PROCEDURE batch() LANGUAGE plpgsql AS $f$ BEGIN UPDATE t SET n = 3; COMMIT; UPDATE t SET n = 4; END $f$;
"#;

const LEAVING: [&str; 26] = [
    "SELECT leaves()",
    "SELECT case_loop()",
    "SELECT declares()",
    "SELECT executes('SET app.x = ''left''')",
    "SELECT * FROM explains()",
    "SELECT materialized()",
    "SELECT 5 FROM t, pg_advisory_lock(id) AS materialized",
    "INSERT INTO t (id) SELECT 5 FROM t, pg_advisory_lock(t.id) AS materialized",
    "SELECT quoted()",
    "SELECT concatenates()",
    "SELECT updates('pg_settings', 'setting', '5000', 'name', 'work_mem')",
    "SELECT unconforming()",
    "CALL atomic()",
    "SELECT calls_atomic()",
    "CALL copy(now())",
    "INSERT INTO conditional VALUES ('left')",
    "INSERT INTO acted (id) VALUES (1)",
    "TRUNCATE t CASCADE",
    "INSERT INTO parted VALUES (1)",
    "CREATE TABLE listed_1 PARTITION OF listed FOR VALUES IN (set_config('app.x', 'left', false))",
    "ANALYZE indexed",
    "EXPLAIN ANALYZE SELECT 1 AS a INTO TEMP t",
    "UPDATE of_settings SET setting = '5000' WHERE name = 'work_mem'",
    "INSERT INTO \"User\" VALUES (1)",
    "WITH x AS (INSERT INTO parted_name VALUES (1) RETURNING 1) SELECT 1",
    "DO $$ BEGIN PERFORM leaves(); END $$",
];

const QUIET: [&str; 9] = [
    "INSERT INTO audited VALUES (1, now())",
    "UPDATE audited SET id = 2",
    "DELETE FROM audited",
    "SELECT upsert()",
    "SELECT cursors()",
    "SELECT * FROM merges()",
    "CALL batch()",
    "WITH x (a, b) AS (VALUES (1, 2)), y (c) AS MATERIALIZED (SELECT 1) INSERT INTO t SELECT 40 + a FROM x",
    "INSERT INTO t (id, n) VALUES (50, 1) ON CONFLICT (id) DO UPDATE SET n = 2",
];

/// What makes anything lead there, each in a database of its own.
const EVERYWHERE: [(&str, &str, &str); 4] = [
    (
        "aggregates",
        "CREATE AGGREGATE leak (text, boolean) (sfunc = set_config, stype = text, initcond = 'app.x')",
        "SELECT leak('v', false)",
    ),
    (
        "operators",
        "CREATE OPERATOR @#@ (leftarg = int, rightarg = int, procedure = pg_try_advisory_lock)",
        "SELECT 1 @#@ 2",
    ),
    (
        "casts",
        "CREATE CAST (bigint AS boolean) WITH FUNCTION pg_try_advisory_lock(bigint)",
        "SELECT oid::bigint::boolean FROM pg_class LIMIT 1",
    ),
    (
        "events",
        "CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN SET app.x = 'left'; END $$; \
         CREATE EVENT TRIGGER ev ON ddl_command_end EXECUTE FUNCTION ev()",
        "CREATE TABLE made (v int)",
    ),
];

#[test]
fn what_leaves_something_is_examined() {
    let watched = Watched::start("quiet", 0);
    let primary = watched.servers.primary();
    primary.sql("app", MOST).unwrap();
    let mut wrong = Vec::new();
    let catalog = catalog(&watched, "app");
    for text in LEAVING {
        wrong.extend(judge(&watched, "app", &catalog, text, true));
    }
    for text in QUIET {
        wrong.extend(judge(&watched, "app", &catalog, text, false));
    }
    for (database, setup, text) in EVERYWHERE {
        primary.sql("postgres", &format!("CREATE DATABASE {database}")).unwrap();
        primary.sql(database, setup).unwrap();
        let catalog = self::catalog(&watched, database);
        wrong.extend(judge(&watched, database, &catalog, text, true));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn catalog(watched: &Watched, database: &str) -> Arc<Catalog> {
    let handle = watched.cluster.catalog(database).unwrap();
    let catalog = watched.runtime.block_on(handle.fresh(watched.deadline()));
    assert!(catalog.is_known(), "{database}");
    catalog
}

/// What is wrong about a statement: it does on the server what it is meant to, and its effects say so.
fn judge(
    watched: &Watched,
    database: &str,
    catalog: &Arc<Catalog>,
    text: &str,
    leaves: bool,
) -> Option<String> {
    let account = Account::POSTGRES;
    let mut client = RawClient::connect(("127.0.0.1", watched.servers.primary().port())).unwrap();
    client.login(account.user(), account.password(), database, &[]).unwrap();
    let answer = client.query(text).unwrap();
    if let Some(error) = answer.iter().find(|message| message.tag == b'E') {
        return Some(format!("{text}: {:?}", error.field(b'M')));
    }
    let left = client.rows(LEFT).unwrap()[0][0].as_deref() == Some("t");
    let facts = Analyzer::new(1 << 20).facts(text.as_bytes(), catalog);
    let said = facts.effects.intersects(Effects::OPAQUE | Effects::SETTING_OPAQUE | Effects::ADVISORY_LOCK);
    let right = left == leaves && said == leaves;
    (!right).then(|| format!("{text}: leaves something: {left}, effects {}", facts.effects))
}
