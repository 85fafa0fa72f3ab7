//! Functions: built-in ones, users', and those that a text reaches without naming them.

use crate::case::Step::Sql;
use crate::case::{ASKED_AGAIN, FUNCTION, Kind, READ, RELATION, SESSION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![builtin(), volatile(), stable(), in_views(), in_operators(), in_casts(), in_policies(), in_defaults(), from_strings()]
}

fn builtin() -> Kind {
    Kind {
        name: "built-in functions",
        rows: &[
            ("SELECT lower('A'), upper('b'), length('abc'), md5('x'), substring('abc' FROM 2), trim(' x ')", READ),
            ("SELECT abs(-1), round(1.5), power(2, 3), random() < 1, gen_random_uuid() IS NOT NULL", READ),
            ("SELECT to_char(date '2020-02-03', 'YYYY'), date_trunc('month', timestamp '2020-02-03 04:05'), clock_timestamp() IS NOT NULL", READ),
            ("SELECT jsonb_build_object('a', 1), array_length(ARRAY[1, 2], 1), string_to_array('a,b', ',')", READ),
            ("SELECT string_agg(b, ',' ORDER BY id), array_agg(id ORDER BY id), json_agg(a ORDER BY id) FROM t WHERE id < 4", READ),
            ("SELECT regexp_replace('abc', 'b', 'x'), to_tsvector('english', 'cats') @@ to_tsquery('cat')", READ),
            ("SELECT nextval('sq')", FUNCTION),
            ("SELECT setval('sq', 100)", FUNCTION),
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
        scripts: &[
            &[(Sql("SELECT setseed(0.5)"), SESSION), (Sql("SELECT random()"), "primary pinned")],
        ],
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
            ("SELECT stable_sum(2)", READ),
            ("SELECT * FROM stable_rows(8)", READ),
            ("SELECT atomic_twice(4)", READ),
        ],
        scripts: &[],
    }
}

fn in_views() -> Kind {
    Kind {
        name: "functions in views",
        rows: &[
            ("SELECT * FROM v_plain ORDER BY id", READ),
            ("SELECT * FROM v_secure ORDER BY id", READ),
            ("SELECT * FROM v_put", RELATION),
            ("SELECT id FROM v_put", RELATION),
            ("SELECT count(*) FROM v_over_put", RELATION),
            ("SELECT * FROM v_stable_put", RELATION),
            ("SELECT * FROM v_next", RELATION),
            ("SELECT * FROM v_operator", RELATION),
            ("SELECT * FROM v_cast", RELATION),
            ("SELECT * FROM v_unlogged", RELATION),
            ("SELECT * FROM v_settings", RELATION),
            ("TABLE v_put", RELATION),
            ("SELECT * FROM t WHERE id IN (SELECT n::int FROM v_next)", RELATION),
            ("SELECT * FROM unfilled", RELATION),
        ],
        scripts: &[],
    }
}

fn in_operators() -> Kind {
    Kind {
        name: "functions in operators",
        rows: &[
            ("SELECT 1 === 1", FUNCTION),
            ("SELECT 1 OPERATOR(public.===) 2", FUNCTION),
            ("SELECT id FROM t WHERE a===10", FUNCTION),
            ("SELECT 1 === ANY (ARRAY[2, 3])", "primary unparsed"),
            ("SELECT id FROM t ORDER BY id === 1, id LIMIT 2", FUNCTION),
            ("SELECT 7002 &&& 1", FUNCTION),
            ("SELECT 10 ~=~ 20, 10 ~=~ 40", READ),
            ("SELECT 1 OPERATOR(pg_catalog.+) 2", READ),
        ],
        scripts: &[],
    }
}

fn in_casts() -> Kind {
    Kind {
        name: "functions in casts and domains",
        rows: &[
            ("SELECT 1::pair", FUNCTION),
            ("SELECT CAST(2 AS public.pair)", FUNCTION),
            ("SELECT pair(3)", FUNCTION),
            ("SELECT (ROW(1, 2)::pair)::text", FUNCTION),
            ("SELECT p::text FROM pairs", RELATION),
            ("SELECT 'x' || p::text FROM pairs", RELATION),
            ("SELECT ARRAY[4, 5]::pair[]", FUNCTION),
            ("SELECT 5::written", FUNCTION),
            ("SELECT '{5,6}'::written[]", FUNCTION),
            ("SELECT (-5)::written", FUNCTION),
            ("SELECT 5::positive, 1::point2", READ),
            ("SELECT (-5)::positive", READ),
        ],
        scripts: &[],
    }
}

fn in_policies() -> Kind {
    Kind {
        name: "row-security policies",
        rows: &[
            ("SELECT * FROM rls_plain", READ),
            ("SELECT * FROM rls_subquery", READ),
            ("SELECT * FROM rls_put", RELATION),
            ("SELECT count(*) FROM rls_next", RELATION),
            ("SELECT * FROM rls_stable_put", RELATION),
            ("SELECT * FROM rls_unlogged", RELATION),
            ("SELECT * FROM t WHERE id IN (SELECT id FROM rls_put)", RELATION),
            ("INSERT INTO rls_check VALUES (1)", WRITE),
            ("INSERT INTO rls_check VALUES (-1)", WRITE),
            ("INSERT INTO rls_plain VALUES (3, 'clerk')", WRITE),
        ],
        scripts: &[
            &[(Sql("SELECT * FROM rls_setting"), READ), (Sql("SET app.tenant = 'red'"), SESSION), (Sql("SELECT * FROM rls_setting"), READ), (Sql("SET app.tenant = 'blue'"), SESSION), (Sql("SELECT * FROM rls_setting"), READ), (Sql("RESET app.tenant"), SESSION), (Sql("SELECT * FROM rls_setting"), READ)],
            &[(Sql("SELECT set_config('app.tenant', 'red', false)"), SESSION), (Sql("SELECT * FROM rls_setting"), READ)],
            &[(Sql("SELECT * FROM rls_plain"), READ), (Sql("SET ROLE clerk"), SESSION), (Sql("SELECT * FROM rls_plain"), READ), (Sql("RESET ROLE"), SESSION), (Sql("SELECT * FROM rls_plain"), READ)],
            &[(Sql("SET row_security = off"), SESSION), (Sql("SELECT * FROM rls_plain"), ASKED_AGAIN)],
            &[(Sql("BEGIN"), ""), (Sql("SET LOCAL app.tenant = 'blue'"), "primary transaction"), (Sql("SELECT * FROM rls_setting"), "primary transaction"), (Sql("COMMIT"), "primary transaction"), (Sql("SELECT * FROM rls_setting"), READ)],
        ],
    }
}

fn in_defaults() -> Kind {
    Kind {
        name: "default arguments",
        rows: &[
            ("SELECT default_put(1)", FUNCTION),
            ("SELECT default_put(1, 2)", FUNCTION),
            ("SELECT default_next(1)", FUNCTION),
            ("SELECT default_unlogged(1)", FUNCTION),
            ("SELECT default_deep(1)", FUNCTION),
            ("SELECT * FROM default_put(n => 3)", FUNCTION),
            ("SELECT default_twice(1), default_twice(n => 2)", READ),
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
            ("SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, to_tsquery(put(''rewrite'') || ''x'')')", FUNCTION),
            ("SELECT * FROM crosstab('SELECT 1, 1, put(''crosstab'')') AS x(a int, b int)", FUNCTION),
            ("SELECT * FROM crosstab('SELECT 1, 1, pg_try_advisory_xact_lock(7003)::int') AS x(a int, b int)", FUNCTION),
            ("SELECT * FROM crosstab('SELECT 1, 1, 5', 'SELECT put(''categories'') * 0 + 1') AS x(a int, b int)", FUNCTION),
            ("SELECT * FROM connectby('v_put', 'id', 'n', '1', 0) AS x(a int, b int, c int)", FUNCTION),
            ("SELECT * FROM dblink('host=/nowhere', 'SELECT 1') AS x(a int)", FUNCTION),
            ("SELECT dblink_exec('host=/nowhere', 'DELETE FROM log')", FUNCTION),
            ("DO $$ BEGIN EXECUTE 'INSERT INTO log (what) VALUES (''do execute'')'; END $$", WRITE),
        ],
        scripts: &[],
    }
}
