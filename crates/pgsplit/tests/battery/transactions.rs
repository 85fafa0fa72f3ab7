//! Transactions, and texts of unusual size.

use crate::case::Step::Sql;
use crate::case::{Expected, Kind, LOCAL, LOCKING, READ, SESSION, TRANSACTION, UNPARSED, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![transactions(), large()]
}

fn transactions() -> Kind {
    Kind {
        name: "transactions",
        rows: &[
            ("COMMIT", SESSION),
            ("ROLLBACK", SESSION),
            ("SAVEPOINT s", SESSION),
            ("ROLLBACK TO s", SESSION),
            ("RELEASE s", SESSION),
            ("SET TRANSACTION READ ONLY", SESSION),
            ("COMMIT AND CHAIN", SESSION),
            ("COMMIT PREPARED 'nothing'", "primary write"),
            ("PREPARE TRANSACTION 'nothing'", SESSION),
        ],
        scripts: &[
            &[
                (Sql("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE"), LOCAL),
                (Sql("SELECT count(*) FROM t"), TRANSACTION),
                (Sql("SHOW transaction_isolation"), TRANSACTION),
                (Sql("END WORK"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN TRANSACTION READ ONLY"), LOCAL),
                (Sql("SELECT id FROM t WHERE id = 1 FOR UPDATE"), TRANSACTION),
                (Sql("SELECT 1"), TRANSACTION),
                (Sql("ABORT"), TRANSACTION),
                (Sql("SELECT 2"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"), LOCAL),
                (Sql("SHOW transaction_isolation"), TRANSACTION),
                (Sql("SET TRANSACTION READ ONLY"), TRANSACTION),
                (Sql("DELETE FROM log"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("BEGIN"), TRANSACTION),
                (Sql("INSERT INTO log (what) VALUES ('twice begun')"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("COMMIT"), SESSION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('chained')"), TRANSACTION),
                (Sql("COMMIT AND CHAIN"), TRANSACTION),
                (Sql("INSERT INTO log (what) VALUES ('chained away')"), TRANSACTION),
                (Sql("ROLLBACK AND CHAIN"), TRANSACTION),
                (Sql("SELECT count(*) FROM log"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
            ],
            &[
                (Sql("START TRANSACTION"), LOCAL),
                (Sql("SELECT nothing"), TRANSACTION),
                (Sql("SELECT 1"), TRANSACTION),
                (Sql("END"), TRANSACTION),
                (Sql("SELECT 1"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('two phases')"), TRANSACTION),
                (Sql("PREPARE TRANSACTION 'two phases'"), TRANSACTION),
                (Sql("SELECT count(*) FROM log WHERE what = 'two phases'"), READ),
                (Sql("COMMIT PREPARED 'two phases'"), WRITE),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("DELETE FROM log"), TRANSACTION),
                (Sql("PREPARE TRANSACTION 'given up'"), TRANSACTION),
                (Sql("ROLLBACK PREPARED 'given up'"), SESSION),
                (Sql("SELECT count(*) > 0 FROM log"), READ),
            ],
            &[
                (Sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), SESSION),
                (Sql("DELETE FROM log"), WRITE),
                (Sql("SELECT id FROM t WHERE id = 1 FOR UPDATE"), LOCKING),
                (Sql("BEGIN READ WRITE"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('read write')"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SAVEPOINT a"), TRANSACTION),
                (Sql("INSERT INTO log (what) VALUES ('released')"), TRANSACTION),
                (Sql("RELEASE a"), TRANSACTION),
                (Sql("ROLLBACK TO a"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql(""), " / primary transaction"),
                (Sql("SELECT 1"), TRANSACTION),
                (Sql("SET LOCAL TIME ZONE 'Asia/Tokyo'"), TRANSACTION),
                (Sql("SELECT at FROM u WHERE id = 1"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT at FROM u WHERE id = 1"), READ),
            ],
        ],
    }
}

fn large() -> Kind {
    let terms = format!("SELECT 1{}", " + 1".repeat(3000));
    let list = format!("SELECT count(*) FROM t WHERE id IN (1{})", ", 2".repeat(10_000));
    let nested = format!("SELECT {}1{}", "(".repeat(400), ")".repeat(400));
    let statements = "SELECT 1;".repeat(1000);
    let writes = format!("{}INSERT INTO log (what) VALUES ('behind many')", "SELECT 1;".repeat(300));
    let comment = format!("SELECT 1 /* {} */ FROM t WHERE id = 1", "long ".repeat(20_000));
    let literal = format!("SELECT length('{}')", "x".repeat(300_000));
    let rows: Vec<(String, Expected)> = vec![
        (terms, UNPARSED),
        (list, UNPARSED),
        (nested, UNPARSED),
        (statements, "replica read / primary refused, replica read"),
        (writes, "primary mixed"),
        (comment, UNPARSED),
        (literal, UNPARSED),
    ];
    let rows: Vec<(&'static str, Expected)> =
        rows.into_iter().map(|(sql, expected)| (&*sql.leak(), expected)).collect();
    Kind { name: "large texts", rows: rows.leak(), scripts: &[] }
}
