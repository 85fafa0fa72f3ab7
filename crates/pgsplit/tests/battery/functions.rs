//! Functions that a text names, and those that run SQL from a string.

use crate::case::Step::Sql;
use crate::case::{FUNCTION, Kind, PINNED, READ, SESSION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![builtin(), volatile(), stable(), from_strings()]
}

fn builtin() -> Kind {
    Kind {
        name: "built-in functions",
        rows: &[
            (
                "SELECT lower('A'), upper('b'), length('abc'), md5('x'), substring('abc' FROM 2), trim(' x ')",
                READ,
            ),
            ("SELECT abs(-1), round(1.5), power(2, 3), random() < 1, gen_random_uuid() IS NOT NULL", READ),
            (
                "SELECT to_char(date '2020-02-03', 'YYYY'), date_trunc('month', timestamp '2020-02-03 04:05'), clock_timestamp() IS NOT NULL",
                READ,
            ),
            (
                "SELECT jsonb_build_object('a', 1), array_length(ARRAY[1, 2], 1), string_to_array('a,b', ',')",
                READ,
            ),
            (
                "SELECT string_agg(b, ',' ORDER BY id), array_agg(id ORDER BY id), json_agg(a ORDER BY id) FROM t WHERE id < 4",
                READ,
            ),
            (
                "SELECT regexp_replace('abc', 'b', 'x'), to_tsvector('english', 'cats') @@ to_tsquery('cat')",
                READ,
            ),
            ("SELECT nextval('sq')", FUNCTION),
            ("SELECT setval('sq', 100)", FUNCTION),
            ("SELECT pg_catalog.nextval('sq')", FUNCTION),
            ("SELECT \"pg_catalog\".\"nextval\"('sq'::regclass)", FUNCTION),
            ("SELECT nextval FROM nextval('sq')", FUNCTION),
            ("SELECT id, (SELECT nextval('sq') WHERE id = 1) FROM t ORDER BY id", FUNCTION),
            ("SELECT txid_current() > 0", FUNCTION),
            ("SELECT pg_current_xact_id() IS NOT NULL", FUNCTION),
            ("SELECT pg_is_in_recovery()", FUNCTION),
            ("SELECT pg_current_wal_lsn() IS NOT NULL", FUNCTION),
            ("SELECT pg_last_wal_replay_lsn()", FUNCTION),
            ("SELECT lo_create(0) > 0", FUNCTION),
            ("SELECT pg_notify('channel', 'payload')", FUNCTION),
            ("SELECT pg_promote()", FUNCTION),
            ("SELECT pg_wal_replay_pause()", FUNCTION),
            ("SELECT pg_export_snapshot() IS NOT NULL", FUNCTION),
            ("SELECT pg_backend_pid() > 0, inet_server_port() > 0", FUNCTION),
            ("SELECT pg_stat_reset()", FUNCTION),
            ("SELECT current_setting('cluster_name') = 'primary'", FUNCTION),
            ("SELECT current_setting('transaction_read_only')", FUNCTION),
            ("SELECT set_config('app.x', 'y', true)", SESSION),
            ("SELECT pg_sleep(0)", READ),
            ("SELECT has_function_privilege('put(text)', 'execute')", READ),
        ],
        scripts: &[&[(Sql("SELECT setseed(0.5)"), SESSION), (Sql("SELECT random()"), "primary pinned")]],
    }
}

fn volatile() -> Kind {
    Kind {
        name: "volatile functions",
        rows: &[
            ("SELECT put('plain')", FUNCTION),
            ("SELECT public.put('qualified')", FUNCTION),
            ("SELECT PUT('folded')", FUNCTION),
            ("SELECT \"put\"('quoted')", FUNCTION),
            ("SELECT * FROM put('in from')", FUNCTION),
            ("SELECT * FROM puts('set')", FUNCTION),
            ("SELECT t.id, x FROM t, LATERAL put('lateral ' || t.id) x WHERE t.id < 3 ORDER BY 1", FUNCTION),
            ("SELECT 1 WHERE put('where') > 0", FUNCTION),
            ("SELECT id FROM t WHERE id = 1 ORDER BY put('order')", FUNCTION),
            ("SELECT 1 LIMIT (SELECT put('limit') * 0)", FUNCTION),
            ("SELECT CASE WHEN true THEN put('case') END", FUNCTION),
            ("SELECT coalesce(NULL, put('coalesce'))", FUNCTION),
            ("SELECT ARRAY[put('array')], (put('row'), 1)", FUNCTION),
            ("VALUES (put('values'))", FUNCTION),
            ("WITH x AS (SELECT put('with')) SELECT 1", FUNCTION),
            ("WITH x AS MATERIALIZED (SELECT put('with 2') AS n) SELECT count(*) FROM x", FUNCTION),
            ("SELECT count(*) FILTER (WHERE put('filter') > 0) FROM t WHERE id = 1", FUNCTION),
            ("SELECT t.put_row FROM t WHERE id = 1", FUNCTION),
            ("SELECT (t).put_row FROM t WHERE id = 1", FUNCTION),
            ("SELECT put_row(t) FROM t WHERE id = 1", FUNCTION),
            ("SELECT sum_and_put(id) FROM t WHERE id < 3", FUNCTION),
            ("SELECT sum_and_put(id) OVER (ORDER BY id) FROM t WHERE id < 3", FUNCTION),
            ("SELECT put_or_not('caught')", FUNCTION),
            ("SELECT volatile_read()", FUNCTION),
            ("SELECT * FROM ROWS FROM (puts('rows from'))", "primary unparsed"),
            ("SELECT what => 1", "primary unparsed"),
            ("SELECT put(what => 'named')", FUNCTION),
            ("SELECT put$dollar()", FUNCTION),
            ("SELECT schreib_ö()", FUNCTION),
            ("SELECT SCHREIB_ö()", FUNCTION),
            ("SELECT a_name_of_sixty_three_bytes_which_is_as_long_as_any_name_can_be_()", FUNCTION),
            ("SELECT a_name_of_sixty_three_bytes_which_is_as_long_as_any_name_can_be_and_longer()", FUNCTION),
            ("SELECT count(*) FROM t JOIN u ON u.id = t.id AND put('join') > 0 WHERE t.id = 1", FUNCTION),
            (
                "SELECT count(*) FROM t WHERE id = 1 GROUP BY put('group') > 0 HAVING put('having') > 0",
                FUNCTION,
            ),
        ],
        scripts: &[],
    }
}

fn stable() -> Kind {
    Kind {
        name: "STABLE functions that write, and that do not",
        rows: &[
            ("SELECT stable_put('stable')", FUNCTION),
            ("SELECT stable_put_plpgsql('plpgsql')", FUNCTION),
            ("SELECT immutable_put('immutable')", FUNCTION),
            ("SELECT stable_deep('deep')", FUNCTION),
            ("SELECT stable_next()", FUNCTION),
            ("SELECT stable_lock()", FUNCTION),
            ("SELECT * FROM stable_for_update()", FUNCTION),
            ("SELECT stable_unlogged()", FUNCTION),
            ("SELECT id FROM t WHERE a = stable_put('condition')", FUNCTION),
            ("SELECT path_put()", FUNCTION),
            ("SELECT atomic_put()", FUNCTION),
            ("SELECT stable_over_view()", FUNCTION),
            ("SELECT stable_operator(1)", FUNCTION),
            ("SELECT stable_cast(1)", FUNCTION),
            ("SELECT stable_field(t) FROM t WHERE id = 1", FUNCTION),
            ("SELECT t.stable_field FROM t WHERE id = 1", FUNCTION),
            ("SELECT stable_sum(2)", READ),
            ("SELECT * FROM stable_rows(8)", READ),
            ("SELECT atomic_twice(4)", READ),
        ],
        scripts: &[],
    }
}

fn from_strings() -> Kind {
    Kind {
        name: "functions that run SQL from a string",
        rows: &[
            ("SELECT run_text('SELECT put(''run text'')')", FUNCTION),
            ("SELECT stable_run_text('SELECT put(''stable run text'')')", FUNCTION),
            ("SELECT query_to_xml('SELECT put(''xml'')', true, true, '')", FUNCTION),
            ("SELECT query_to_xml_and_xmlschema('SELECT put(''xml 2'') AS n', true, true, '')", FUNCTION),
            ("SELECT table_to_xml('v_put', true, true, '')", FUNCTION),
            ("SELECT query_to_xml('SELECT 1 AS a', true, true, '')", FUNCTION),
            ("SELECT * FROM ts_stat('SELECT to_tsvector(put(''stat'')::text)')", FUNCTION),
            (
                "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, to_tsquery(put(''rewrite'') || ''x'')')",
                FUNCTION,
            ),
            ("SELECT * FROM crosstab('SELECT 1, 1, put(''crosstab'')') AS x(a int, b int)", FUNCTION),
            (
                "SELECT * FROM crosstab('SELECT 1, 1, pg_try_advisory_xact_lock(7003)::int') AS x(a int, b int)",
                FUNCTION,
            ),
            (
                "SELECT * FROM crosstab('SELECT 1, 1, 5', 'SELECT put(''categories'') * 0 + 1') AS x(a int, b int)",
                FUNCTION,
            ),
            ("SELECT * FROM connectby('v_put', 'id', 'n', '1', 0) AS x(a int, b int, c int)", FUNCTION),
            ("SELECT * FROM dblink('host=/nowhere', 'SELECT 1') AS x(a int)", FUNCTION),
            ("SELECT dblink_exec('host=/nowhere', 'DELETE FROM log')", FUNCTION),
            ("DO $$ BEGIN EXECUTE 'INSERT INTO log (what) VALUES (''do execute'')'; END $$", WRITE),
        ],
        scripts: &[
            &[
                (Sql("SELECT run_text('SELECT set_config(''app.hidden'', ''h'', false)')"), FUNCTION),
                (Sql("SELECT current_setting('app.hidden', true)"), PINNED),
            ],
            &[
                (Sql("SELECT run_text('SELECT set_config(''work_mem'', ''7MB'', false)')"), FUNCTION),
                (Sql("SELECT 1"), PINNED),
                (Sql("SHOW work_mem"), PINNED),
            ],
            &[
                (
                    Sql(
                        "DO $$ BEGIN SET work_mem = '6MB'; PERFORM set_config('app.by_do', 'x', false); END $$",
                    ),
                    WRITE,
                ),
                (Sql("SHOW work_mem"), SESSION),
                (Sql("SELECT current_setting('app.by_do', true)"), READ),
            ],
            &[
                (Sql("DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE by_do (a int)'; END $$"), WRITE),
                (Sql("SELECT * FROM by_do"), PINNED),
            ],
            &[
                (
                    Sql("DO $$ BEGIN EXECUTE 'PREPARE by_do AS SELECT 8'; EXECUTE 'LISTEN by_do'; END $$"),
                    WRITE,
                ),
                (Sql("EXECUTE by_do"), PINNED),
                (Sql("NOTIFY by_do, 'x'"), PINNED),
            ],
        ],
    }
}
