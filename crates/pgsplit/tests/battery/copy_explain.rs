//! COPY and EXPLAIN in their variants.

use crate::case::Step::{CopyFail, CopyIn, Sql};
use crate::case::{
    ASKED_AGAIN, DDL, FUNCTION, Kind, LOCAL, LOCKING, READ, RELATION, SESSION, TRANSACTION, WRITE,
};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![copy(), explain(), explained_functions()]
}

fn copy() -> Kind {
    Kind {
        name: "COPY",
        rows: &[
            ("COPY t TO STDOUT", READ),
            ("COPY public.t (b, id) TO STDOUT WITH (FORMAT csv, HEADER)", READ),
            ("COPY t TO STDOUT (FORMAT binary)", READ),
            ("COPY (SELECT id, b FROM t WHERE id < 4 ORDER BY id) TO STDOUT CSV", READ),
            ("COPY (VALUES (1, NULL), (2, 'x')) TO STDOUT", READ),
            ("COPY (WITH x AS (SELECT 1) SELECT * FROM x) TO STDOUT", READ),
            ("COPY (SELECT 1 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT", READ),
            ("COPY ul TO STDOUT", RELATION),
            ("COPY v_plain TO STDOUT", ASKED_AGAIN),
            ("COPY rls_put TO STDOUT", RELATION),
            ("COPY rls_plain TO STDOUT", READ),
            ("COPY (SELECT put('copy')) TO STDOUT", FUNCTION),
            ("COPY (SELECT * FROM v_put) TO STDOUT", RELATION),
            ("COPY (INSERT INTO log (what) VALUES ('copied') RETURNING what) TO STDOUT", WRITE),
            (
                "COPY (WITH x AS (DELETE FROM log WHERE what = 'copied' RETURNING what) SELECT * FROM x) TO STDOUT",
                WRITE,
            ),
            ("COPY (SELECT id FROM t WHERE id = 1 FOR UPDATE) TO STDOUT", LOCKING),
            ("COPY t TO '/tmp/never'", WRITE),
            ("COPY t TO PROGRAM 'cat'", WRITE),
            ("COPY t FROM '/tmp/never'", WRITE),
            ("COPY nowhere TO STDOUT", RELATION),
        ],
        scripts: &[
            &[
                (CopyIn("COPY log (what) FROM STDIN", "one\ntwo\n"), WRITE),
                (Sql("SELECT count(*) FROM log WHERE what = 'two'"), READ),
            ],
            &[
                (CopyIn("COPY t FROM STDIN (FORMAT csv)", "60,1,x\n61,2,\n"), WRITE),
                (Sql("DELETE FROM t WHERE id > 59"), WRITE),
            ],
            &[
                (CopyIn("COPY t FROM STDIN", "70\tnot a number\tx\n71\t1\ty\n"), WRITE),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (CopyFail("COPY log (what) FROM STDIN", "lost\n"), WRITE),
                (Sql("SELECT count(*) FROM log WHERE what = 'lost'"), READ),
            ],
            &[(CopyIn("COPY watched (id) FROM STDIN", "100\n101\n"), WRITE)],
            &[(CopyIn("COPY nowhere FROM STDIN", ""), WRITE), (Sql("SELECT 1"), READ)],
            &[(CopyIn("COPY log (what) FROM STDIN", ""), WRITE)],
            &[
                (Sql("BEGIN"), LOCAL),
                (CopyIn("COPY log (what) FROM STDIN", "in a transaction\n"), TRANSACTION),
                (Sql("COPY log TO STDOUT"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
            ],
            &[
                (CopyIn("/* c */ COPY log (what) FROM STDIN; SELECT 1", "then\n"), "primary mixed"),
                (Sql("SELECT 1"), READ),
            ],
        ],
    }
}

fn explain() -> Kind {
    Kind {
        name: "EXPLAIN",
        rows: &[
            ("EXPLAIN (COSTS OFF) SELECT * FROM t", READ),
            ("EXPLAIN (COSTS OFF) (SELECT 1)", READ),
            ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM filled", READ),
            ("EXPLAIN (COSTS OFF, FORMAT json) VALUES (1)", READ),
            ("EXPLAIN (COSTS OFF, VERBOSE) WITH x AS (SELECT 1) SELECT * FROM x", READ),
            ("EXPLAIN (COSTS OFF) INSERT INTO log (what) VALUES ('explained')", WRITE),
            (
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO log (what) VALUES ('explained')",
                WRITE,
            ),
            (
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) DELETE FROM log WHERE what = 'explained'",
                WRITE,
            ),
            (
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) WITH x AS (UPDATE log SET what = what RETURNING 1) SELECT count(*) FROM x",
                WRITE,
            ),
            (
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) CREATE TABLE explained AS SELECT 1 AS a",
                DDL,
            ),
            (
                "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT id FROM t WHERE id = 1 FOR UPDATE",
                LOCKING,
            ),
            ("EXPLAIN (COSTS OFF) SELECT * FROM ul", RELATION),
            ("EXPLAIN (COSTS OFF) DECLARE c CURSOR FOR SELECT 1", SESSION),
            ("EXPLAIN (COSTS OFF) SELECT * FROM nowhere", RELATION),
            ("EXPLAIN", ASKED_AGAIN),
        ],
        scripts: &[],
    }
}

fn explained_functions() -> Kind {
    Kind {
        name: "functions under EXPLAIN",
        rows: &[
            ("EXPLAIN (COSTS OFF) SELECT put('planned')", FUNCTION),
            ("EXPLAIN (COSTS OFF) SELECT immutable_put('planned')", FUNCTION),
            ("EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = immutable_put('planned condition')", FUNCTION),
            ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT put('analysed')", FUNCTION),
            ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT nextval('sq')", FUNCTION),
            ("EXPLAIN (COSTS OFF) SELECT nextval('sq')", FUNCTION),
            ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM v_put", RELATION),
            ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT 1 === 1", FUNCTION),
            (
                "EXPLAIN (COSTS OFF) SELECT stable_put('estimated') FROM t WHERE a < stable_put('estimate')",
                FUNCTION,
            ),
            ("EXPLAIN (COSTS OFF) SELECT twice(2), stable_sum(1)", READ),
        ],
        scripts: &[],
    }
}
