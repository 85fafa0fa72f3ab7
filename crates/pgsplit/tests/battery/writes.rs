//! Locking clauses, INTO, writing WITH, plain writes and DDL.

use crate::case::Step::Sql;
use crate::case::{DDL, Kind, LOCAL, LOCKING, READ, RELATION, TRANSACTION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![locking(), into(), writing_with(), plain_writes(), ddl()]
}

fn locking() -> Kind {
    Kind {
        name: "locking clauses",
        rows: &[
            ("SELECT id FROM t WHERE id = 1 FOR UPDATE", LOCKING),
            ("SELECT id FROM t WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED", LOCKING),
            ("SELECT id FROM t WHERE id = 1 FOR SHARE OF t NOWAIT", LOCKING),
            ("SELECT id FROM t WHERE id = 1 FOR KEY SHARE", LOCKING),
            ("SELECT id FROM t WHERE id = 1 FOR UPDATE LIMIT 1", LOCKING),
            ("SELECT * FROM (SELECT id FROM t WHERE id = 2 FOR SHARE) x", LOCKING),
            ("SELECT id FROM t WHERE id IN (SELECT t_id FROM u WHERE id = 1 FOR UPDATE)", LOCKING),
            ("WITH x AS (SELECT id FROM t WHERE id = 1 FOR UPDATE) SELECT * FROM x", LOCKING),
            ("(SELECT id FROM t WHERE id = 1) FOR UPDATE", LOCKING),
            (
                "SELECT t.id FROM t JOIN u ON u.t_id = t.id WHERE u.id = 3 FOR UPDATE OF t FOR SHARE OF u",
                LOCKING,
            ),
            ("SELECT (SELECT id FROM t WHERE id = 5 FOR UPDATE)", LOCKING),
            ("SELECT 1 FROM t WHERE id = 1 fOr\n\tuPdAtE", LOCKING),
            ("SELECT count(*) FROM t FOR UPDATE", LOCKING),
            ("SELECT * FROM v_lock ORDER BY id", RELATION),
            ("SELECT id FROM v_plain WHERE id = 3 FOR UPDATE", LOCKING),
            ("LOCK TABLE t", LOCKING),
            ("SELECT 'for update', b AS \"for update\" FROM t WHERE id = 1", READ),
        ],
        scripts: &[&[
            (Sql("BEGIN"), LOCAL),
            (Sql("LOCK TABLE t IN ROW EXCLUSIVE MODE"), TRANSACTION),
            (Sql("SELECT id FROM t WHERE id = 1 FOR UPDATE"), TRANSACTION),
            (Sql("COMMIT"), TRANSACTION),
        ]],
    }
}

fn into() -> Kind {
    Kind {
        name: "INTO",
        rows: &[
            ("SELECT * INTO into_1 FROM t", DDL),
            ("SELECT 1 AS a INTO TABLE into_2", DDL),
            ("SELECT 1 AS a INTO UNLOGGED into_3", DDL),
            ("WITH x AS (SELECT 1 AS a) SELECT * INTO into_4 FROM x", DDL),
            ("SELECT a INTO into_5 FROM t UNION SELECT 1", DDL),
            ("SELECT 1 AS into", READ),
            ("SELECT 'into' AS \"into\", 1", READ),
        ],
        scripts: &[
            &[
                (Sql("SELECT id, b INTO into_6 FROM t WHERE id < 3"), DDL),
                (Sql("SELECT * FROM into_6 ORDER BY id"), READ),
                (Sql("DROP TABLE into_6"), DDL),
                (Sql("SELECT * FROM into_6"), RELATION),
            ],
            &[
                (Sql("SELECT 1 AS a INTO TEMP into_7"), DDL),
                (Sql("SELECT * FROM into_7"), "primary pinned"),
                (Sql("DROP TABLE into_7"), "primary pinned"),
            ],
            &[
                (Sql("SELECT 1 AS a INTO UNLOGGED into_8"), DDL),
                (Sql("SELECT * FROM into_8"), RELATION),
                (Sql("DROP TABLE into_8"), DDL),
            ],
        ],
    }
}

fn writing_with() -> Kind {
    Kind {
        name: "writing WITH",
        rows: &[
            ("WITH x AS (INSERT INTO log (what) VALUES ('cte') RETURNING what) SELECT * FROM x", WRITE),
            ("WITH x AS (UPDATE t SET a = a + 1 WHERE id = 1 RETURNING a) SELECT * FROM x", WRITE),
            ("WITH x AS (DELETE FROM u WHERE id = 20 RETURNING id) SELECT count(*) FROM x", WRITE),
            (
                "WITH x AS (SELECT 1), y AS (INSERT INTO log (what) VALUES ('second') RETURNING 1) SELECT * FROM x",
                WRITE,
            ),
            ("WITH x AS (SELECT 'from' AS w) INSERT INTO log (what) SELECT w FROM x RETURNING what", WRITE),
            ("WITH x AS (SELECT 3 AS id) UPDATE t SET b = 'new' FROM x WHERE t.id = x.id", WRITE),
            ("WITH x AS (SELECT 19 AS id) DELETE FROM u USING x WHERE u.id = x.id", WRITE),
            (
                "WITH x AS MATERIALIZED (INSERT INTO log (what) VALUES ('m') RETURNING 1) TABLE x",
                "primary unparsed",
            ),
            (
                "WITH RECURSIVE x AS (INSERT INTO log (what) VALUES ('r') RETURNING what) SELECT what FROM x UNION SELECT 'y'",
                WRITE,
            ),
            ("WITH x AS (WITH y AS (DELETE FROM u RETURNING 1) SELECT * FROM y) SELECT * FROM x", WRITE),
            ("WITH \"insert\" AS (SELECT 1 AS \"update\") SELECT \"update\" FROM \"insert\"", READ),
        ],
        scripts: &[],
    }
}

fn plain_writes() -> Kind {
    Kind {
        name: "plain writes",
        rows: &[
            ("INSERT INTO t VALUES (11, 110, 'eleven')", WRITE),
            ("INSERT INTO t (id, a) SELECT 12, 120 RETURNING id, b", WRITE),
            (
                "INSERT INTO t VALUES (11, 0, 'again') ON CONFLICT (id) DO UPDATE SET b = excluded.b RETURNING *",
                WRITE,
            ),
            ("INSERT INTO t VALUES (1, 0, 'duplicate')", WRITE),
            ("UPDATE t SET a = a + 1 WHERE id > 8 RETURNING id, a", WRITE),
            ("UPDATE ONLY t SET b = upper(b) WHERE id = 2", WRITE),
            ("DELETE FROM t WHERE id = 10", WRITE),
            ("DELETE FROM t USING u WHERE u.t_id = t.id AND u.id = 8", WRITE),
            (
                "MERGE INTO t USING (VALUES (4, 'merged'), (40, 'made')) x(id, b) ON t.id = x.id WHEN MATCHED THEN UPDATE SET b = x.b WHEN NOT MATCHED THEN INSERT VALUES (x.id, 0, x.b)",
                WRITE,
            ),
            ("INSERT INTO watched VALUES (1), (2) ON CONFLICT DO NOTHING", WRITE),
            ("UPDATE watched SET what = 'set'", WRITE),
            ("INSERT INTO ruled VALUES (1)", WRITE),
            ("INSERT INTO numbered (what) VALUES ('n') RETURNING id", WRITE),
            ("INSERT INTO parts VALUES (30, 3, 'p'), (31, 19, 'q')", WRITE),
            ("TRUNCATE ruled", WRITE),
            ("CALL put_twice('call')", WRITE),
            ("DO $$ BEGIN PERFORM put('do'); END $$", WRITE),
            ("UPDATE v_plain SET b = 'through a view' WHERE id = 6", WRITE),
        ],
        scripts: &[
            &[
                (Sql("INSERT INTO log (what) VALUES ('seen')"), WRITE),
                (Sql("SELECT count(*) FROM log WHERE what = 'seen'"), READ),
                (Sql("DELETE FROM log WHERE what = 'seen'"), WRITE),
                (Sql("SELECT count(*) FROM log WHERE what = 'seen'"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("DELETE FROM log"), TRANSACTION),
                (Sql("SELECT count(*) FROM log"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("SELECT count(*) FROM log"), READ),
            ],
            &[
                (Sql("START TRANSACTION READ ONLY"), LOCAL),
                (Sql("SELECT id FROM t WHERE id = 1"), TRANSACTION),
                (Sql("DELETE FROM log"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('a')"), TRANSACTION),
                (Sql("SAVEPOINT s"), TRANSACTION),
                (Sql("SELECT 1 / 0"), TRANSACTION),
                (Sql("ROLLBACK TO s"), TRANSACTION),
                (Sql("INSERT INTO log (what) VALUES ('b')"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("COMMIT"), LOCAL),
                (Sql("BEGIN"), LOCAL),
                (Sql("ROLLBACK"), LOCAL),
                (Sql("SELECT 1"), READ),
            ],
        ],
    }
}

fn ddl() -> Kind {
    Kind {
        name: "DDL",
        rows: &[
            ("ANALYZE t", DDL),
            ("COMMENT ON TABLE t IS 'commented'", DDL),
            ("GRANT SELECT ON log TO clerk", DDL),
            ("REFRESH MATERIALIZED VIEW filled", DDL),
            ("VACUUM t", DDL),
            ("REINDEX TABLE t", DDL),
            ("ALTER SYSTEM SET work_mem = '5MB'", DDL),
        ],
        scripts: &[
            &[
                (Sql("CREATE TABLE fresh (id int)"), DDL),
                (Sql("SELECT * FROM fresh"), READ),
                (Sql("ALTER TABLE fresh ADD COLUMN b text DEFAULT 'x'"), DDL),
                (Sql("SELECT * FROM fresh"), READ),
                (Sql("DROP TABLE fresh"), DDL),
                (Sql("SELECT * FROM fresh"), RELATION),
            ],
            &[
                (Sql("CREATE FUNCTION made() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1'"), DDL),
                (Sql("SELECT made()"), READ),
                (
                    Sql(
                        "CREATE OR REPLACE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT put(''made'')'",
                    ),
                    DDL,
                ),
                (Sql("SELECT made()"), "primary function"),
                (Sql("DROP FUNCTION made()"), DDL),
            ],
            &[
                (Sql("CREATE VIEW changing AS SELECT 1 AS a"), DDL),
                (Sql("SELECT * FROM changing"), READ),
                (Sql("CREATE OR REPLACE VIEW changing AS SELECT put('changing') AS a"), DDL),
                (Sql("SELECT * FROM changing"), RELATION),
                (Sql("DROP VIEW changing"), DDL),
            ],
            &[
                (Sql("ALTER TABLE docs RENAME TO papers"), DDL),
                (Sql("SELECT count(*) FROM papers"), READ),
                (Sql("SELECT count(*) FROM docs"), RELATION),
                (Sql("ALTER TABLE papers RENAME TO docs"), DDL),
                (Sql("SELECT count(*) FROM docs"), READ),
            ],
            &[
                (Sql("ALTER TABLE t SET UNLOGGED"), DDL),
                (Sql("ALTER TABLE docs SET UNLOGGED"), DDL),
                (Sql("SELECT count(*) FROM docs"), RELATION),
                (Sql("ALTER TABLE docs SET LOGGED"), DDL),
                (Sql("SELECT count(*) FROM docs"), READ),
            ],
            &[
                (Sql("CREATE TYPE colour AS ENUM ('red')"), DDL),
                (Sql("SELECT 'red'::colour"), READ),
                (Sql("ALTER TYPE colour ADD VALUE 'blue'"), DDL),
                (Sql("SELECT 'blue'::colour"), READ),
                (Sql("DROP TYPE colour"), DDL),
            ],
        ],
    }
}
