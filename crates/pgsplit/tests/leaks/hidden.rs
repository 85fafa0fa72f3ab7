//! State that no text shows: made inside DO blocks, functions and triggers.

use crate::stage::Case;

/// Functions that make state of every kind; some rows that fire a trigger which does.
const MAKERS: &str = "
    CREATE OR REPLACE FUNCTION makes_setting() RETURNS int LANGUAGE plpgsql AS
        'BEGIN SET work_mem = ''5MB''; RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_setting_by_config() RETURNS int LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''work_mem'', ''5MB'', false); RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_custom() RETURNS int LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', ''tenant1'', false); RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_custom_sql() RETURNS text LANGUAGE sql AS
        'SELECT set_config(''app.tenant'', ''tenant1'', false)';
    CREATE OR REPLACE FUNCTION makes_custom_locally() RETURNS int LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', ''tenant1'', true); RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_table() RETURNS int LANGUAGE plpgsql AS
        'BEGIN CREATE TEMP TABLE tt (v int); RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_passing_table() RETURNS int LANGUAGE plpgsql AS
        'BEGIN CREATE TEMP TABLE tt (v int) ON COMMIT DROP; RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_role() RETURNS int LANGUAGE plpgsql AS
        'BEGIN SET ROLE r1; RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_lock() RETURNS int LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_lock(9); RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_listen() RETURNS int LANGUAGE plpgsql AS
        'BEGIN LISTEN news; RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_path() RETURNS int LANGUAGE plpgsql AS
        'BEGIN SET search_path = s1; RETURN 1; END';
    CREATE OR REPLACE FUNCTION makes_nothing() RETURNS int LANGUAGE plpgsql SET search_path = s1 AS
        'BEGIN RETURN (SELECT count(*) FROM t); END';
    CREATE OR REPLACE FUNCTION makes_sequence() RETURNS int LANGUAGE plpgsql AS
        'BEGIN RETURN nextval(''public.hidden''); END';
    DROP SEQUENCE IF EXISTS hidden; CREATE SEQUENCE hidden; GRANT ALL ON SEQUENCE hidden TO app;
    CREATE OR REPLACE PROCEDURE makes_in_procedure() LANGUAGE plpgsql AS
        'BEGIN SET work_mem = ''5MB''; COMMIT; SET random_page_cost = 3; END';
    DROP TABLE IF EXISTS fires; CREATE TABLE fires (kind text);
    GRANT ALL ON fires TO app;
    CREATE OR REPLACE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN CASE NEW.kind
             WHEN ''setting'' THEN PERFORM makes_setting();
             WHEN ''custom'' THEN PERFORM makes_custom();
             WHEN ''table'' THEN PERFORM makes_table();
             WHEN ''lock'' THEN PERFORM makes_lock();
             WHEN ''sequence'' THEN PERFORM makes_sequence();
         END CASE; RETURN NEW; END';
    CREATE TRIGGER fire BEFORE INSERT ON fires FOR EACH ROW EXECUTE FUNCTION fire();
    CREATE OR REPLACE VIEW through_a_view AS SELECT makes_setting() AS v;
    GRANT SELECT ON through_a_view TO app";

const WORK_MEM: &str = "current_setting('work_mem')";
const TENANT: &str = "current_setting('app.tenant', true)";
const TABLE: &str = "to_regclass('tt') IS NULL";

/// More names with a dot than are remembered, the setting's last.
fn many_names() -> String {
    let names: Vec<_> = (0..150).map(|n| format!("'s{n}.n{n}' = ''")).collect();
    let names = names.join(" OR ");
    format!("DO $$ BEGIN PERFORM 1 WHERE {names}; PERFORM set_config('app.tenant', 'tenant1', false); END $$")
}

fn case(name: &'static str) -> Case {
    Case::new(name).two().setup(MAKERS)
}

/// A hidden maker that leaves a setting: tracked, so that nobody is pinned for it.
fn tracked(name: &'static str, make: &str, expressions: &str) -> Case {
    Case::new(name).setup(MAKERS).look("b", expressions).ask("a", make).free().looks(expressions)
}

pub(crate) fn cases() -> Vec<Case> {
    [settings(), custom(), pins(), nothing()].into_iter().flatten().collect()
}

fn settings() -> Vec<Case> {
    vec![
        tracked("hidden setting in DO", "DO $$ BEGIN SET work_mem = '5MB'; END $$", WORK_MEM),
        tracked(
            "hidden setting in DO with a computed value",
            "DO $$ BEGIN EXECUTE format('SET work_mem = %L', '5MB'); END $$",
            WORK_MEM,
        ),
        Case::new("hidden setting in DO with a computed name")
            .two()
            .setup(MAKERS)
            .look("b", WORK_MEM)
            .ask("a", "DO $$ BEGIN EXECUTE format('SET %I = %L', 'work_mem', '5MB'); END $$")
            .pinned("opaque")
            .looks(WORK_MEM),
        tracked("hidden setting in a function", "SELECT makes_setting()", WORK_MEM),
        tracked("hidden setting by set_config", "SELECT makes_setting_by_config()", WORK_MEM),
        tracked("hidden setting in a trigger", "INSERT INTO fires VALUES ('setting')", WORK_MEM),
        tracked("hidden setting through a view", "SELECT * FROM through_a_view", WORK_MEM),
        tracked(
            "hidden setting in a procedure",
            "CALL makes_in_procedure()",
            "current_setting('work_mem'), current_setting('random_page_cost')",
        ),
        tracked(
            "hidden setting by EXPLAIN ANALYZE",
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT makes_setting()",
            WORK_MEM,
        ),
        tracked("hidden role in a function", "SELECT makes_role()", "current_user"),
        tracked("hidden search path in a function", "SELECT makes_path()", "current_setting('search_path')"),
        tracked("hidden local setting in DO", "DO $$ BEGIN SET LOCAL work_mem = '5MB'; END $$", WORK_MEM),
        tracked("hidden reset in DO", "DO $$ BEGIN RESET ALL; END $$", WORK_MEM),
        Case::new("hidden setting rolled back")
            .setup(MAKERS)
            .asks("a", &["BEGIN", "SELECT makes_setting()", "ROLLBACK"])
            .free()
            .looks(WORK_MEM),
        Case::new("hidden setting behind a savepoint")
            .setup(MAKERS)
            .asks(
                "a",
                &[
                    "BEGIN",
                    "SET work_mem = '6MB'",
                    "SAVEPOINT x",
                    "SELECT makes_setting()",
                    "ROLLBACK TO x",
                    "COMMIT",
                ],
            )
            .looks(WORK_MEM),
        Case::new("hidden setting with one's own")
            .setup(MAKERS)
            .asks(
                "a",
                &[
                    "SET IntervalStyle = iso_8601",
                    "SET search_path = \"S 3\", public",
                    "SELECT makes_setting()",
                ],
            )
            .looks("current_setting('work_mem'), interval '1 day', current_setting('search_path')"),
        Case::new("hidden setting in the extended protocol")
            .setup(MAKERS)
            .bound("a", "SELECT makes_setting()", &[])
            .looks(WORK_MEM),
        Case::new("hidden reset of one's own")
            .setup(MAKERS)
            .asks("a", &["SET work_mem = '6MB'", "DO $$ BEGIN RESET work_mem; END $$"])
            .looks(WORK_MEM),
    ]
}

fn custom() -> Vec<Case> {
    let made = |name, make: &str| case(name).look("b", TENANT).ask("a", make).looks(TENANT);
    vec![
        made(
            "hidden custom setting in DO",
            "DO $$ BEGIN PERFORM set_config('app.tenant', 'tenant1', false); END $$",
        ),
        made("hidden custom setting behind many other names", &many_names()),
        made("hidden custom setting by SET in DO", "DO $$ BEGIN SET app.tenant = 'tenant1'; END $$"),
        made("hidden custom setting in a function", "SELECT makes_custom()"),
        made("hidden custom setting in a function of sql", "SELECT makes_custom_sql()"),
        made("hidden custom setting in a trigger", "INSERT INTO fires VALUES ('custom')"),
        made("hidden custom setting that is local", "SELECT makes_custom_locally()"),
        made(
            "hidden custom setting with a computed name",
            "DO $$ BEGIN PERFORM set_config('app' || '.' || 'tenant', 'tenant1', false); END $$",
        ),
        case("hidden custom setting over one's own")
            .asks("a", &["SET app.tenant = 'tenant2'", "SELECT makes_custom()"])
            .looks(TENANT),
        case("hidden custom setting of both")
            .ask("a", "SELECT makes_custom()")
            .ask("b", "SET app.tenant = 'tenant2'")
            .looks(TENANT),
    ]
}

fn pins() -> Vec<Case> {
    let made = |name, make: &str, pin, expressions: &str| {
        case(name).ask("a", make).pinned(pin).looks(expressions).free()
    };
    vec![
        made(
            "hidden temporary table in DO",
            "DO $$ BEGIN CREATE TEMP TABLE tt (v int); END $$",
            "temporary-object",
            TABLE,
        ),
        made("hidden temporary table in a function", "SELECT makes_table()", "temporary-object", TABLE),
        made(
            "hidden temporary table in a trigger",
            "INSERT INTO fires VALUES ('table')",
            "temporary-object",
            TABLE,
        ),
        made(
            "hidden advisory lock in DO",
            "DO $$ BEGIN PERFORM pg_advisory_lock(9); END $$",
            "advisory-lock",
            WORK_MEM,
        ),
        made(
            "hidden advisory lock in a trigger",
            "INSERT INTO fires VALUES ('lock')",
            "advisory-lock",
            WORK_MEM,
        ),
        made(
            "hidden LISTEN in a function",
            "SELECT makes_listen()",
            "listen",
            "(SELECT count(*) FROM pg_listening_channels())",
        ),
        case("hidden temporary table ends in DO")
            .ask("a", "SELECT makes_table()")
            .pinned("temporary-object")
            .ask("a", "DO $$ BEGIN DROP TABLE tt; END $$")
            .free(),
        case("hidden lock released in DO")
            .ask("a", "INSERT INTO fires VALUES ('lock')")
            .pinned("advisory-lock")
            .ask("a", "DO $$ BEGIN PERFORM pg_advisory_unlock(9); END $$")
            .free(),
        case("hidden lock in a transaction that is rolled back")
            .asks("a", &["BEGIN", "INSERT INTO fires VALUES ('lock')", "ROLLBACK"])
            .pinned("advisory-lock")
            .ask("a", "SELECT pg_advisory_unlock_all()")
            .free(),
    ]
}

fn nothing() -> Vec<Case> {
    vec![
        tracked(
            "hidden nothing: a function with a SET clause",
            "SELECT makes_nothing()",
            "current_setting('search_path')",
        ),
        tracked("hidden nothing: a temporary table ON COMMIT DROP", "SELECT makes_passing_table()", TABLE),
        tracked("hidden nothing: DO", "DO $$ BEGIN NULL; END $$", WORK_MEM),
        Case::new("hidden table rolled back")
            .setup(MAKERS)
            .asks("a", &["BEGIN", "SELECT makes_table()", "ROLLBACK"])
            .free()
            .looks(TABLE),
        Case::new("hidden table whose statement fails")
            .setup(MAKERS)
            .ask("a", "SELECT makes_table(), 1/0")
            .free()
            .looks(TABLE),
    ]
}

/// Played last, as [`crate::objects::sequences`].
pub(crate) fn sequences() -> Vec<Case> {
    vec![
        case("hidden sequence")
            .ask("b", "SELECT lastval()")
            .ask("a", "SELECT makes_sequence()")
            .ask("b", "SELECT lastval()")
            .ask("a", "SELECT lastval()")
            .ask("a", "INSERT INTO fires VALUES ('sequence')")
            .ask("b", "SELECT lastval()")
            .ask("a", "SELECT lastval()"),
    ]
}
