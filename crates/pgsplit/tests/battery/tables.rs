//! Tables that a standby does not have or sees differently, and the values of sequences that a session remembers.

use crate::case::Step::Sql;
use crate::case::{DDL, FUNCTION, Kind, LOCAL, PINNED, READ, RELATION, TRANSACTION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![temporary(), unlogged(), foreign()]
}

fn temporary() -> Kind {
    Kind {
        name: "temporary tables",
        rows: &[("SELECT * FROM pg_temp.t", RELATION)],
        scripts: &[
            &[
                (Sql("CREATE TEMP TABLE tt (a int)"), DDL),
                (Sql("INSERT INTO tt VALUES (1)"), PINNED),
                (Sql("SELECT * FROM tt"), PINNED),
                (Sql("DROP TABLE tt"), PINNED),
                (Sql("SELECT * FROM tt"), RELATION),
            ],
            &[
                (Sql("CREATE TEMPORARY TABLE tt AS SELECT 5 AS a"), DDL),
                (Sql("SELECT a FROM tt"), PINNED),
                (Sql("SELECT 1"), PINNED),
                (Sql("DISCARD ALL"), PINNED),
                (Sql("SELECT 1"), READ),
                (Sql("SELECT a FROM tt"), RELATION),
            ],
            &[
                (Sql("CREATE TABLE pg_temp.tt (a int)"), DDL),
                (Sql("INSERT INTO pg_temp.tt VALUES (2)"), PINNED),
                (Sql("SELECT * FROM tt"), PINNED),
            ],
            &[(Sql("CREATE TEMP VIEW tv AS SELECT 7 AS a"), DDL), (Sql("SELECT * FROM tv"), PINNED)],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("CREATE TEMP TABLE tt (a int) ON COMMIT DROP"), TRANSACTION),
                (Sql("INSERT INTO tt VALUES (1)"), TRANSACTION),
                (Sql("SELECT * FROM tt"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT * FROM tt"), RELATION),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("CREATE TEMP TABLE tt (a int)"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("SELECT * FROM tt"), RELATION),
            ],
            &[
                (Sql("SELECT pinning()"), FUNCTION),
                (Sql("SELECT * FROM hidden"), PINNED),
                (Sql("INSERT INTO hidden VALUES (4)"), PINNED),
                (Sql("SELECT count(*) FROM hidden"), PINNED),
            ],
            &[(Sql("CREATE TEMP SEQUENCE ts"), DDL), (Sql("SELECT nextval('ts')"), PINNED)],
            &[
                (Sql("CREATE FUNCTION pg_temp.tf() RETURNS int LANGUAGE sql AS 'SELECT 9'"), DDL),
                (Sql("SELECT pg_temp.tf()"), PINNED),
            ],
        ],
    }
}

fn unlogged() -> Kind {
    Kind {
        name: "unlogged tables",
        rows: &[
            ("SELECT * FROM ul", RELATION),
            ("TABLE ul", RELATION),
            ("SELECT * FROM ONLY public.ul", RELATION),
            ("SELECT id FROM t WHERE id IN (SELECT id FROM ul)", RELATION),
            ("WITH x AS (SELECT * FROM ul) SELECT * FROM x", RELATION),
            ("SELECT * FROM loose ORDER BY id", RELATION),
            ("SELECT * FROM loose_1", READ),
            ("INSERT INTO ul VALUES (2, 'more')", WRITE),
            ("SELECT last_value FROM sq", RELATION),
        ],
        scripts: &[&[
            (Sql("CREATE UNLOGGED TABLE ul2 (a int)"), DDL),
            (Sql("SELECT * FROM ul2"), RELATION),
            (Sql("DROP TABLE ul2"), DDL),
        ]],
    }
}

fn foreign() -> Kind {
    Kind {
        name: "foreign tables",
        rows: &[
            ("SELECT * FROM far", RELATION),
            ("SELECT count(*) FROM far, t", RELATION),
            ("SELECT * FROM counted_parts", RELATION),
            ("COPY (SELECT * FROM far) TO STDOUT", RELATION),
            ("EXPLAIN (COSTS OFF) SELECT * FROM counted_part_2", RELATION),
        ],
        scripts: &[],
    }
}

/// The last kind of all: once a database has been asked for `currval`, sessions keep their connections behind
/// everything that touches a sequence.
pub(crate) fn sequences() -> Kind {
    Kind {
        name: "sequence values of the session",
        rows: &[
            ("SELECT currval('sq')", FUNCTION),
            ("SELECT lastval()", FUNCTION),
            ("SELECT currval('nowhere')", FUNCTION),
        ],
        scripts: &[
            &[
                (Sql("SELECT nextval('sq')"), FUNCTION),
                (Sql("SELECT currval('sq'), lastval()"), PINNED),
                (Sql("SELECT 1"), PINNED),
            ],
            &[(Sql("SELECT currval('sq')"), FUNCTION), (Sql("SELECT 1"), READ)],
            &[
                (Sql("INSERT INTO numbered (what) VALUES ('asked')"), WRITE),
                (Sql("SELECT lastval()"), PINNED),
                (Sql("DISCARD SEQUENCES"), PINNED),
                (Sql("SELECT lastval()"), PINNED),
            ],
            &[
                (Sql("SELECT setval('sq', 500)"), FUNCTION),
                (Sql("SELECT currval('sq')"), PINNED),
                (Sql("SELECT lastval()"), PINNED),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("INSERT INTO log (what) VALUES ('asked')"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT currval('log_id_seq') = max(id) FROM log"), PINNED),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SELECT nextval('sq')"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("SELECT currval('sq')"), PINNED),
            ],
            &[
                (Sql("SELECT put('function')"), FUNCTION),
                (Sql("SELECT lastval() = max(id) FROM log"), PINNED),
            ],
        ],
    }
}
