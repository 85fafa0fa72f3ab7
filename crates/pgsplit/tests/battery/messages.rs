//! Messages of several statements, and prepared statements of the protocol.

use crate::case::Step::{Close, Parse, Pipeline, Run, Runs, Sql};
use crate::case::{
    ASKED_AGAIN, FUNCTION, Kind, LOCAL, MIXED, READ, RELATION, SESSION, TRANSACTION, UNPARSED, WRITE,
};

/// Several statements cannot be prepared: in the extended protocol it is an error, which could be for missing DDL.
const READ_SIMPLE: &str = "replica read / primary refused, replica read";

pub(crate) fn kinds() -> Vec<Kind> {
    vec![several(), prepared(), pipelines()]
}

fn several() -> Kind {
    Kind {
        name: "several statements in a message",
        rows: &[
            ("SELECT 1; SELECT 2", READ_SIMPLE),
            ("SELECT 1;; ; SELECT a FROM t WHERE id = 1;", READ_SIMPLE),
            ("SELECT 1; INSERT INTO log (what) VALUES ('second')", MIXED),
            ("INSERT INTO log (what) VALUES ('first'); SELECT count(*) FROM log", MIXED),
            ("INSERT INTO log (what) VALUES ('x'); DELETE FROM log WHERE what = 'x'", WRITE),
            ("BEGIN; INSERT INTO log (what) VALUES ('in'); COMMIT", SESSION),
            ("SELECT 1; BEGIN; INSERT INTO log (what) VALUES ('in 2'); COMMIT", MIXED),
            ("BEGIN; SELECT 1; COMMIT; SELECT 2", MIXED),
            (
                "BEGIN; INSERT INTO log (what) VALUES ('undone'); ROLLBACK; SELECT count(*) FROM log WHERE what = 'undone'",
                MIXED,
            ),
            ("INSERT INTO log (what) VALUES ('implicit'); SELECT 1 / 0", MIXED),
            ("INSERT INTO log (what) VALUES ('kept'); COMMIT; SELECT 1 / 0", MIXED),
            ("SELECT 1; SELECT put('several')", MIXED),
            ("SELECT 1; SELECT id FROM t WHERE id = 1 FOR UPDATE", MIXED),
            ("SELECT 1; SELECT * FROM ul", MIXED),
            ("SET LOCAL work_mem = '1MB'; SELECT current_setting('work_mem')", SESSION),
            ("SELECT 1; SELEC 2", "primary mixed"),
            ("SELECT ';' AS a; SELECT $$;$$ AS b", READ_SIMPLE),
            (
                "CREATE TABLE several (a int); INSERT INTO several VALUES (1); SELECT * FROM several; DROP TABLE several",
                "primary ddl",
            ),
            ("SELECT 1; SELECT 1 / 0; SELECT 2", READ_SIMPLE),
            ("COMMIT; SELECT 1", MIXED),
        ],
        scripts: &[
            &[
                (Sql("BEGIN; SELECT 1"), MIXED),
                (Sql("INSERT INTO log (what) VALUES ('open')"), "primary transaction / primary write"),
                (Sql("COMMIT"), "primary transaction / primary session"),
                (Sql("SELECT count(*) FROM log WHERE what = 'open'"), READ),
            ],
            &[
                (Sql("BEGIN; INSERT INTO log (what) VALUES ('rolled back')"), SESSION),
                (
                    Sql("SELECT count(*) FROM log WHERE what = 'rolled back'"),
                    "primary transaction / replica read",
                ),
                (Sql("ROLLBACK"), "primary transaction / primary session"),
                (Sql("SELECT count(*) FROM log WHERE what = 'rolled back'"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('one'); COMMIT; SELECT 2"), TRANSACTION),
                (Sql("SELECT 3"), "replica read / primary transaction"),
                (Sql("ROLLBACK"), "primary session / primary transaction"),
            ],
            &[
                (Sql("BEGIN; SELECT 1 / 0; COMMIT"), MIXED),
                (Sql("SELECT 2"), "primary transaction / replica read"),
                (Sql("COMMIT"), "primary transaction / primary session"),
                (Sql("SELECT 3"), READ),
            ],
            &[
                (Sql("SET work_mem = '1MB'; SET work_mem = '2MB'"), SESSION),
                (Sql("SELECT current_setting('work_mem')"), FUNCTION),
                (Sql("SELECT 1; RESET work_mem"), MIXED),
                (Sql("SELECT current_setting('work_mem')"), FUNCTION),
            ],
            &[
                (Sql("BEGIN; SET LOCAL app.x = '1'; SELECT current_setting('app.x')"), MIXED),
                (Sql("COMMIT; SELECT current_setting('app.x', true)"), "primary transaction / primary mixed"),
            ],
        ],
    }
}

fn prepared() -> Kind {
    Kind {
        name: "prepared statements in turns",
        rows: &[],
        scripts: &[
            &[
                (Parse("r", "SELECT count(*) FROM log WHERE what = $1"), READ),
                (Parse("w", "INSERT INTO log (what) VALUES ($1)"), WRITE),
                (Run("r", &[Some("turn")]), READ),
                (Run("w", &[Some("turn")]), WRITE),
                (Run("r", &[Some("turn")]), READ),
                (Run("w", &[Some("turn")]), WRITE),
                (Run("w", &[None]), WRITE),
                (Run("r", &[Some("turn")]), READ),
            ],
            &[
                (Parse("", "SELECT a FROM t WHERE id = $1"), READ),
                (Run("", &[Some("1")]), READ),
                (Parse("", "UPDATE t SET a = a + 1 WHERE id = $1 RETURNING a"), WRITE),
                (Run("", &[Some("1")]), WRITE),
                (Run("", &[Some("2")]), WRITE),
                (Parse("", "SELECT a FROM t WHERE id = $1"), READ),
                (Run("", &[Some("1")]), READ),
            ],
            &[
                (Parse("w", "INSERT INTO log (what) VALUES ('x') RETURNING what"), WRITE),
                (Sql("SELECT 1"), READ),
                (Run("w", &[]), WRITE),
                (Sql("SELECT 2"), READ),
                (Run("w", &[]), WRITE),
            ],
            &[
                (Parse("b", "BEGIN"), SESSION),
                (Parse("w", "INSERT INTO log (what) VALUES ('prepared begin')"), WRITE),
                (Parse("c", "COMMIT"), SESSION),
                (Run("b", &[]), LOCAL),
                (Run("w", &[]), TRANSACTION),
                (Run("c", &[]), TRANSACTION),
                (Run("w", &[]), WRITE),
            ],
            &[
                (Parse("f", "SELECT put($1)"), FUNCTION),
                (Parse("r", "SELECT $1::int + 1"), READ),
                (Run("r", &[Some("1")]), READ),
                (Run("f", &[Some("prepared function")]), FUNCTION),
                (Run("r", &[Some("x")]), ASKED_AGAIN),
                (Run("f", &[Some("prepared function")]), FUNCTION),
            ],
            &[
                (Parse("a", "SELECT 1"), READ),
                (Parse("a", "SELECT 2"), ASKED_AGAIN),
                (Run("a", &[]), READ),
                (Close("a"), LOCAL),
                (Run("a", &[]), SESSION),
                (Parse("a", "SELECT 3"), READ),
                (Run("a", &[]), READ),
            ],
            &[(Parse("bad", "SELEC 1"), UNPARSED), (Run("bad", &[]), SESSION), (Sql("SELECT 1"), READ)],
            &[
                (Parse("v", "SELECT * FROM v_put"), RELATION),
                (Parse("l", "SELECT id FROM t WHERE id = $1 FOR UPDATE"), "primary locking"),
                (Run("v", &[]), RELATION),
                (Run("l", &[Some("2")]), "primary locking"),
            ],
            &[
                (Parse("r", "SELECT * FROM changed"), RELATION),
                (Sql("CREATE TABLE changed (a int)"), "primary ddl"),
                (Parse("r", "SELECT * FROM changed"), READ),
                (Run("r", &[]), READ),
                (Sql("ALTER TABLE changed SET UNLOGGED"), "primary ddl"),
                (Run("r", &[]), RELATION),
                (Sql("DROP TABLE changed"), "primary ddl"),
                (Run("r", &[]), RELATION),
            ],
        ],
    }
}

fn pipelines() -> Kind {
    Kind {
        name: "pipelines",
        rows: &[],
        scripts: &[
            &[(Pipeline(&["SELECT 1", "SELECT a FROM t WHERE id = 1"]), READ)],
            &[(
                Pipeline(&[
                    "SELECT 1",
                    "INSERT INTO log (what) VALUES ('pipe')",
                    "SELECT count(*) FROM log WHERE what = 'pipe'",
                ]),
                MIXED,
            )],
            &[
                (Pipeline(&["INSERT INTO log (what) VALUES ('lost')", "SELECT 1 / 0", "SELECT 2"]), MIXED),
                (Sql("SELECT count(*) FROM log WHERE what = 'lost'"), READ),
            ],
            &[
                (Pipeline(&["BEGIN", "INSERT INTO log (what) VALUES ('pipe 2')", "COMMIT"]), SESSION),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Pipeline(&["BEGIN", "SELECT 1"]), MIXED),
                (Sql("INSERT INTO log (what) VALUES ('pipe 3')"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Pipeline(&["SELECT 1", "SELEC 2", "INSERT INTO log (what) VALUES ('never')"]), MIXED),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Parse("r", "SELECT count(*) FROM log WHERE what = 'runs'"), READ),
                (Parse("w", "INSERT INTO log (what) VALUES ('runs')"), WRITE),
                (Runs(&["r", "w", "r", "w", "r"]), MIXED),
                (Runs(&["r", "r"]), READ),
                (Runs(&["w", "w"]), WRITE),
                (Runs(&["w", "nothing", "w"]), WRITE),
                (Runs(&["r"]), READ),
            ],
        ],
    }
}
