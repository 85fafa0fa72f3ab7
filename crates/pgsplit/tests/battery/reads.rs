//! Plain reads, comments, and texts that cannot be parsed.

use crate::case::Step::Sql;
use crate::case::{
    ASKED_AGAIN, FUNCTION, Kind, LOCAL, LOCKING, MIXED, READ, RELATION, TRANSACTION, UNPARSED, WRITE,
};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![plain(), catalogs(), comments(), literals(), unparsable()]
}

fn plain() -> Kind {
    Kind {
        name: "plain reads",
        rows: &[
            ("SELECT 1", READ),
            // The grammar that reads it wants a list.
            ("SELECT", UNPARSED),
            ("", " / replica read"),
            (";", " / replica read"),
            ("VALUES (1, 'a'), (2, NULL)", READ),
            ("TABLE t", READ),
            ("SELECT * FROM t ORDER BY id", READ),
            (
                "SELECT id, b FROM public.t WHERE a BETWEEN 20 AND 50 AND b LIKE 'row%' ORDER BY id DESC LIMIT 2 OFFSET 1",
                READ,
            ),
            ("SELECT t.*, u.v FROM t JOIN u ON u.t_id = t.id WHERE t.id IN (1, 2) ORDER BY u.id", READ),
            (
                "SELECT t.id, count(u.id) FILTER (WHERE v > 2) FROM t LEFT JOIN u ON u.t_id = t.id GROUP BY t.id HAVING count(*) > 0 ORDER BY 1",
                READ,
            ),
            (
                "SELECT id, sum(v) OVER (PARTITION BY t_id ORDER BY id ROWS UNBOUNDED PRECEDING) FROM u ORDER BY id",
                READ,
            ),
            ("SELECT DISTINCT ON (t_id) t_id, id FROM u ORDER BY t_id, id DESC", READ),
            (
                "WITH x AS (SELECT a FROM t), y AS MATERIALIZED (SELECT max(a) AS m FROM x) SELECT * FROM y",
                READ,
            ),
            (
                "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r",
                READ,
            ),
            ("(SELECT 1) UNION ALL (SELECT 2) EXCEPT SELECT 3 ORDER BY 1", READ),
            (
                "SELECT * FROM t, LATERAL (SELECT v FROM u WHERE u.t_id = t.id ORDER BY u.id LIMIT 1) x ORDER BY t.id",
                READ,
            ),
            (
                "SELECT EXISTS (SELECT FROM t WHERE a = 10), (SELECT max(id) FROM u), ARRAY(SELECT id FROM t ORDER BY id)",
                READ,
            ),
            (
                "SELECT j -> 'a' ->> 'b', j @> '{\"a\": null}', tags && ARRAY['x'], h -> 'k', c = 'WORD' FROM docs ORDER BY id",
                READ,
            ),
            ("SELECT * FROM jsonb_to_record('{\"a\": 1}') AS x(a int)", READ),
            (
                "SELECT '2020-01-01'::date + interval '1 day', extract(year FROM timestamp '2021-05-01'), now() = transaction_timestamp()",
                READ,
            ),
            (
                "SELECT coalesce(NULL, 1), nullif(1, 1), greatest(1, 2), CASE WHEN a > 50 THEN 'x' ELSE 'y' END FROM t ORDER BY id",
                READ,
            ),
            ("SELECT i, n FROM generate_series(3, 1, -1) WITH ORDINALITY AS g(i, n)", READ),
            ("SELECT 1 / 0", READ),
            ("SELECT 'x'::int", ASKED_AGAIN),
            ("SELECT a, count(*) FROM t GROUP BY ROLLUP (a) ORDER BY a NULLS LAST", READ),
            ("SELECT what FROM parts WHERE k > 8 ORDER BY id", READ),
            ("SELECT * FROM filled ORDER BY a", READ),
            ("SELECT * FROM t FETCH FIRST ROW ONLY", READ),
            ("SELECT repeat('x', 100000), NULL, ''", READ),
            // There is a cast of the type that writes.
            ("SELECT 'sad'::mood < 'happy'", FUNCTION),
            ("SELECT * FROM ONLY parts", READ),
            ("SELECT current_setting('TimeZone'), current_user, session_user", READ),
            // The grammar that reads it does not know the clause.
            ("SELECT * FROM ROWS FROM (generate_series(1, 2), generate_series(1, 3))", UNPARSED),
        ],
        scripts: &[
            &[
                (Sql("SELECT a FROM t WHERE id = 3"), READ),
                (Sql("SELECT a FROM t WHERE id = 4"), READ),
                (Sql("SELECT nothing FROM t"), ASKED_AGAIN),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Sql("SELECT nope()"), FUNCTION),
                (Sql("SELECT * FROM nowhere"), RELATION),
                (Sql("SELECT count(*) FROM t"), READ),
            ],
        ],
    }
}

fn catalogs() -> Kind {
    Kind {
        name: "system catalogs",
        rows: &[
            ("SELECT relname, relkind FROM pg_class WHERE relname = 't' ORDER BY relnamespace", READ),
            ("SELECT 't'::regclass, to_regclass('none'), has_table_privilege('t', 'select')", READ),
            (
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'other' ORDER BY 1",
                READ,
            ),
            (
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'u'::regclass AND attnum > 0",
                READ,
            ),
            ("SELECT pg_get_viewdef('v_plain'::regclass)", READ),
            ("SELECT name FROM pg_settings WHERE name = 'work_mem'", RELATION),
            ("SELECT count(*) >= 0 FROM pg_locks", RELATION),
            ("SELECT count(*) > 0 FROM pg_stat_activity", RELATION),
            ("SELECT schemaname, sequencename FROM pg_sequences WHERE sequencename = 'sq'", RELATION),
            ("SELECT count(*) FROM pg_prepared_statements", RELATION),
        ],
        scripts: &[],
    }
}

fn comments() -> Kind {
    Kind {
        name: "comments everywhere",
        rows: &[
            ("/* leading */ SELECT 1", READ),
            ("-- leading\nSELECT 1", READ),
            ("SELECT/**/1", READ),
            ("SELECT /* nested /* FOR UPDATE */ still */ 1 -- trailing", READ),
            ("SELECT a FROM t WHERE id = 1 /*route='%2Fapi%2Fprojects',traceparent='00-1-2-01'*/", READ),
            ("SELECT 'not /* a comment', $$ -- nor this $$, \"a\" FROM t ORDER BY id", READ),
            ("/* SELECT */ INSERT INTO log (what) VALUES ('comment')", WRITE),
            ("-- SELECT 1\nINSERT INTO log (what) VALUES ('line comment')", WRITE),
            ("SELECT id FROM t WHERE id = 1 FOR /* no */ UPDATE", LOCKING),
            ("SELECT id FROM t WHERE id = 1 FOR -- no\n SHARE", LOCKING),
            (
                "WITH x AS (/* read */ INSERT INTO log (what) VALUES ('in') RETURNING 1) SELECT * FROM x -- read",
                WRITE,
            ),
            ("SELECT put /* name */ ('comment in call')", FUNCTION),
            ("SELECT 1 /* ; DELETE FROM log */", READ),
            ("SELECT 1 /* ' */ ; DELETE FROM log WHERE what = 'comment' /* ' */", MIXED),
            ("/* a */ -- b\n /* c */", " / replica read"),
            ("SELECT 1 /* open", UNPARSED),
            ("SELECT 1 -- a\r; DELETE FROM log WHERE what = 'line comment'", MIXED),
        ],
        scripts: &[
            &[
                (Sql("/* x */ BEGIN"), "primary session"),
                (Sql("SELECT 1 -- x"), TRANSACTION),
                (Sql("-- y\nCOMMIT /* z */"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN -- x"), LOCAL),
                (Sql("/* w */ INSERT INTO log (what) VALUES ('tx')"), TRANSACTION),
                (Sql("END /* z */"), TRANSACTION),
                (Sql("SELECT 1"), READ),
            ],
        ],
    }
}

fn literals() -> Kind {
    Kind {
        name: "literals",
        rows: &[
            ("SELECT E'\\'; DELETE FROM log; --'", READ),
            ("SELECT 'a\\', 'b; DELETE FROM log; --'", READ),
            ("SELECT $a$ ; DELETE FROM log; $b$ $a$", READ),
            ("SELECT 'it''s; DELETE FROM log'", READ),
            ("SELECT 'a'\n'b', B'01', X'1f', N'n'", READ),
            ("SELECT 1.5e3, .5, 1.", READ),
            ("SELECT 0x1, 1_000", ASKED_AGAIN),
            ("SELECT -1, - -1, +1, 5 - -1, 2 ^ 3, @ -5", READ),
            ("SELECT $1", "primary refused, replica read / replica read"),
            ("SELECT $tag$DELETE FROM log$tag$ FROM t WHERE b = $$x$$", READ),
            ("SELECT date 'epoch', timestamp 'infinity', interval '1' year", READ),
        ],
        scripts: &[],
    }
}

fn unparsable() -> Kind {
    Kind {
        name: "unparsable text",
        rows: &[
            ("SELEC 1", UNPARSED),
            ("SELECT 1 FROM", UNPARSED),
            ("SELECT 'open", UNPARSED),
            ("SELECT \"open", UNPARSED),
            ("SELECT $$open", UNPARSED),
            ("SELECT (1", UNPARSED),
            ("SELECT 1)", UNPARSED),
            ("INSERT INTO", WRITE),
            ("nonsense", UNPARSED),
            ("SELECT * FROM t QUALIFY 1", UNPARSED),
            ("SELECT TOP 5 * FROM t", UNPARSED),
            ("SELECT 1 AS; SELECT 2", MIXED),
            ("SELECT U&'\\0041' FROM t WHERE id = 1", UNPARSED),
            ("SELECT U&\"\\0070ut\"('unicode')", UNPARSED),
            ("SELECT \u{1}", UNPARSED),
            ("SELECT * FROM t WHERE id = $1 AND $0", ASKED_AGAIN),
            ("BEGIN NONSENSE", UNPARSED),
        ],
        scripts: &[
            &[
                (Sql("SELEC 1"), UNPARSED),
                (Sql("SELECT 1"), READ),
                (Sql("SELECT FROM FROM"), RELATION),
                (Sql("INSERT INTO log (what) VALUES ('after')"), WRITE),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('lost')"), TRANSACTION),
                (Sql("SELEC 1"), TRANSACTION),
                (Sql("SELECT 1"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT what FROM log WHERE what = 'lost'"), READ),
            ],
        ],
    }
}
