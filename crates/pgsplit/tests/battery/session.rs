//! What belongs to a session: cursors, SQL-level PREPARE, advisory locks, settings.

use crate::case::Step::{Parse, Run, Sql};
use crate::case::{FUNCTION, Kind, LOCAL, PINNED, READ, SESSION, TRANSACTION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![cursors(), prepare(), advisory(), settings()]
}

fn cursors() -> Kind {
    Kind {
        name: "cursors",
        rows: &[
            ("DECLARE c CURSOR FOR SELECT 1", SESSION),
            ("FETCH 1 FROM c", SESSION),
            ("CLOSE ALL", SESSION),
        ],
        scripts: &[
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id"), TRANSACTION),
                (Sql("FETCH 2 FROM c"), TRANSACTION),
                (Sql("MOVE 1 IN c"), TRANSACTION),
                (Sql("FETCH c"), TRANSACTION),
                (Sql("CLOSE c"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id"), SESSION),
                (Sql("FETCH 2 FROM h"), PINNED),
                (Sql("SELECT 1"), PINNED),
                (Sql("FETCH 1 FROM h"), PINNED),
                (Sql("CLOSE h"), PINNED),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (
                    Sql(
                        "DECLARE s SCROLL CURSOR WITH HOLD FOR SELECT put('cursor ' || i) > 0 FROM generate_series(1, 2) i",
                    ),
                    TRANSACTION,
                ),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("FETCH LAST FROM s"), PINNED),
                (Sql("FETCH PRIOR FROM s"), PINNED),
                (Sql("CLOSE ALL"), PINNED),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (
                    Sql("DECLARE c CURSOR FOR SELECT id FROM t WHERE id < 4 ORDER BY id FOR UPDATE"),
                    TRANSACTION,
                ),
                (Sql("FETCH c"), TRANSACTION),
                (Sql("UPDATE t SET b = 'current' WHERE CURRENT OF c"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("DECLARE c CURSOR FOR SELECT 1"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("FETCH c"), SESSION),
            ],
            &[(Sql("BEGIN; DECLARE c CURSOR FOR SELECT 1 AS a; FETCH c; COMMIT"), SESSION)],
        ],
    }
}

fn prepare() -> Kind {
    Kind {
        name: "SQL PREPARE",
        rows: &[("EXECUTE nothing", SESSION), ("DEALLOCATE nothing", SESSION), ("DEALLOCATE ALL", SESSION)],
        scripts: &[
            &[
                (Sql("PREPARE p AS SELECT a FROM t WHERE id = $1"), SESSION),
                (Sql("EXECUTE p (2)"), PINNED),
                (Sql("SELECT 1"), PINNED),
                (Sql("EXECUTE p (3)"), PINNED),
                (Sql("DEALLOCATE p"), PINNED),
                (Sql("EXECUTE p (3)"), SESSION),
            ],
            &[
                (Sql("PREPARE w (text) AS INSERT INTO log (what) VALUES ($1)"), SESSION),
                (Sql("EXECUTE w ('sql prepare')"), PINNED),
                (Sql("EXECUTE w ('again')"), PINNED),
            ],
            &[
                (Sql("PREPARE e AS SELECT 1"), SESSION),
                (Sql("EXPLAIN (COSTS OFF) EXECUTE e"), PINNED),
                (Sql("CREATE TABLE ctas AS EXECUTE e"), PINNED),
                (Sql("DROP TABLE ctas"), PINNED),
            ],
            &[
                (Sql("PREPARE d AS SELECT 1"), SESSION),
                (Sql("PREPARE d AS SELECT 2"), PINNED),
                (Sql("DEALLOCATE ALL"), PINNED),
                (Sql("PREPARE d AS SELECT 3"), SESSION),
                (Sql("EXECUTE d"), PINNED),
            ],
            &[
                (Parse("proto", "SELECT 4 AS four"), READ),
                (Sql("EXECUTE proto"), SESSION),
                (Run("proto", &[]), PINNED),
                (Sql("DEALLOCATE proto"), PINNED),
                (Run("proto", &[]), PINNED),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("PREPARE tp AS INSERT INTO log (what) VALUES ('tp')"), TRANSACTION),
                (Sql("EXECUTE tp"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("EXECUTE tp"), PINNED),
            ],
        ],
    }
}

fn advisory() -> Kind {
    Kind {
        name: "advisory locks",
        rows: &[
            ("SELECT pg_advisory_xact_lock(7010)", FUNCTION),
            ("SELECT pg_try_advisory_xact_lock_shared(7011)", FUNCTION),
            ("SELECT pg_advisory_unlock(7012)", FUNCTION),
            ("SELECT pg_advisory_unlock_all()", FUNCTION),
            ("SELECT 1 WHERE pg_try_advisory_xact_lock(7013)", FUNCTION),
        ],
        scripts: &[
            &[
                (Sql("SELECT pg_advisory_lock(7020)"), FUNCTION),
                (Sql("SELECT pg_advisory_unlock(7020)"), PINNED),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Sql("SELECT pg_try_advisory_lock(7021), pg_try_advisory_lock(7021)"), FUNCTION),
                (
                    Sql(
                        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7021 AND pid = pg_backend_pid()",
                    ),
                    PINNED,
                ),
                (Sql("SELECT pg_advisory_unlock_all()"), PINNED),
            ],
            &[(Sql("SELECT pg_advisory_lock_shared(7022, 1)"), FUNCTION)],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SELECT pg_advisory_xact_lock(7023)"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Sql("SELECT run_text('SELECT pg_advisory_lock(7024)')"), FUNCTION),
                (Sql("SELECT pg_advisory_unlock(7024)"), PINNED),
            ],
        ],
    }
}

fn settings() -> Kind {
    Kind {
        name: "settings",
        rows: &[
            ("SHOW work_mem", SESSION),
            ("SHOW transaction_read_only", SESSION),
            ("SET nonsense = 1", SESSION),
            ("SET work_mem = 'x'", SESSION),
            ("SET LOCAL work_mem = '1MB'", SESSION),
            ("LISTEN", "primary unparsed"),
        ],
        scripts: &[
            &[
                (Sql("SET work_mem = '3MB'"), SESSION),
                (Sql("SHOW work_mem"), SESSION),
                (Sql("SELECT current_setting('work_mem')"), FUNCTION),
                (Sql("RESET work_mem"), SESSION),
                (Sql("SELECT current_setting('work_mem')"), FUNCTION),
            ],
            &[
                (Sql("SET TIME ZONE 'America/New_York'"), SESSION),
                (Sql("SELECT at FROM u WHERE id = 1"), READ),
                (Sql("SET DateStyle = 'German'"), SESSION),
                (Sql("SELECT at FROM u WHERE id = 1"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SET TIME ZONE 'Asia/Tokyo'"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("SELECT at FROM u WHERE id = 1"), READ),
            ],
            &[
                (Sql("SET default_transaction_isolation = 'serializable'"), SESSION),
                (Sql("SELECT count(*) FROM t"), "primary serializable"),
            ],
            &[
                (Sql("SET default_transaction_read_only = on"), SESSION),
                (Sql("SELECT count(*) FROM t"), READ),
                (Sql("INSERT INTO log (what) VALUES ('never')"), WRITE),
            ],
            &[
                (Sql("SET bytea_output = 'escape'"), SESSION),
                (Sql("SELECT '\\x00ff'::bytea"), READ),
                (Sql("DISCARD ALL"), SESSION),
                (Sql("SELECT '\\x00ff'::bytea"), READ),
            ],
            &[
                (Sql("SET standard_conforming_strings = off"), SESSION),
                (Sql("SELECT 'a\\'; DELETE FROM log; --'"), "primary mixed"),
                (Sql("SET standard_conforming_strings = on"), PINNED),
                (Sql("SELECT 1"), PINNED),
            ],
            &[
                (Sql("LISTEN ch"), SESSION),
                (Sql("NOTIFY ch, 'hello'"), PINNED),
                (Sql("SELECT 1"), PINNED),
                (Sql("UNLISTEN *"), PINNED),
            ],
            &[
                (Sql("SET ROLE clerk"), SESSION),
                (Sql("SELECT current_user, session_user"), READ),
                (Sql("INSERT INTO t VALUES (80)"), WRITE),
                (Sql("SET ROLE NONE"), SESSION),
                (Sql("SELECT current_user"), READ),
            ],
        ],
    }
}
