//! Names that mean something else than they seem to: through search_path, quoting, or a temporary table.

use crate::case::Step::{Parse, Run, Sql};
use crate::case::{ASKED_AGAIN, DDL, FUNCTION, Kind, LOCAL, PINNED, READ, RELATION, SESSION, TRANSACTION};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![quoting(), search_path(), shadows()]
}

fn quoting() -> Kind {
    Kind {
        name: "quoted names",
        rows: &[
            ("SELECT \"Id\", \"Select\" FROM \"Mixed Case\" ORDER BY 1", READ),
            ("SELECT * FROM T WHERE ID = 1", READ),
            ("SELECT * FROM \"T\"", RELATION),
            ("SELECT * FROM \"public\".\"t\" WHERE \"id\" = 1", READ),
            ("SELECT \"Lower\"('x')", FUNCTION),
            ("SELECT Lower('X'), \"lower\"('X')", READ),
            ("SELECT other.\"Quoted Put\"()", FUNCTION),
            ("SELECT \"other\".\"doubled\"(2)", FUNCTION),
            ("SELECT \"PUT\"('none')", FUNCTION),
            ("SELECT * FROM \"public.t\"", RELATION),
            ("SELECT a AS \"for update\", b \"insert into\" FROM t WHERE id = 1", READ),
            ("SELECT * FROM \"select\"", RELATION),
            ("SELECT pg_catalog.lower('X')", READ),
            ("SELECT pg_catalog.initcap('x')", READ),
            // Some user function of that name writes, and which one is meant depends on the search_path.
            ("SELECT initcap('x')", FUNCTION),
            ("SELECT other.initcap('x')", FUNCTION),
        ],
        scripts: &[],
    }
}

fn search_path() -> Kind {
    Kind {
        name: "search_path",
        rows: &[
            ("SELECT b FROM other.t", READ),
            ("SELECT * FROM other.twin", RELATION),
            ("SELECT * FROM public.twin", READ),
            // The other one of that name is unlogged, and which one is meant depends on the search_path.
            ("SELECT * FROM twin", RELATION),
            ("SELECT public.doubled(2)", READ),
            ("SELECT other.doubled(2)", FUNCTION),
            ("SELECT b FROM clerk.t", READ),
            ("SELECT id FROM public.v_twin ORDER BY id", READ),
            ("SELECT id FROM other.v_twin", RELATION),
        ],
        scripts: &[
            &[
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
                (Sql("SET search_path = other, public"), SESSION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
                (Sql("SELECT * FROM twin"), RELATION),
                (Sql("SELECT doubled(2)"), FUNCTION),
                (Sql("SELECT id FROM v_twin"), RELATION),
                (Sql("RESET search_path"), SESSION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
            &[(Sql("SET search_path = other, pg_catalog"), SESSION), (Sql("SELECT initcap('x')"), FUNCTION)],
            &[
                (Sql("SET search_path = ''"), SESSION),
                (Sql("SELECT * FROM t"), ASKED_AGAIN),
                (Sql("SELECT count(*) FROM public.t"), READ),
                (Sql("SELECT put('x')"), FUNCTION),
            ],
            &[
                (Sql("SELECT set_config('search_path', 'other', false)"), SESSION),
                (Sql("SELECT b FROM t"), READ),
                (Sql("SELECT * FROM docs"), ASKED_AGAIN),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SET LOCAL search_path = other"), TRANSACTION),
                (Sql("SELECT b FROM t"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("SET search_path = other"), TRANSACTION),
                (Sql("ROLLBACK"), TRANSACTION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
            &[
                (Sql("SET ROLE clerk"), SESSION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
                (Sql("RESET ROLE"), SESSION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
            &[
                (Parse("r", "SELECT b FROM t WHERE id = 1"), READ),
                (Run("r", &[]), READ),
                (Sql("SET search_path = other"), SESSION),
                (Run("r", &[]), READ),
                (Parse("r2", "SELECT b FROM t WHERE id = 1"), READ),
                (Run("r2", &[]), READ),
                (Run("r", &[]), READ),
            ],
            &[
                (Sql("SET search_path = other"), SESSION),
                (Sql("INSERT INTO t VALUES (50, 1, 'into the other')"), "primary write"),
                (Sql("SELECT count(*) FROM t"), READ),
                (Sql("SET search_path = DEFAULT"), SESSION),
                (Sql("SELECT count(*) FROM t"), READ),
            ],
            &[
                (Sql("CREATE SCHEMA app"), DDL),
                (Sql("CREATE TABLE app.t (id int, b text)"), DDL),
                (Sql("SELECT * FROM t"), READ),
                (Sql("DROP SCHEMA app CASCADE"), DDL),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
        ],
    }
}

fn shadows() -> Kind {
    Kind {
        name: "names that a temporary table changes",
        rows: &[],
        scripts: &[
            &[
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
                (Sql("CREATE TEMP TABLE t (id int, b text)"), DDL),
                (Sql("SELECT b FROM t WHERE id = 1"), PINNED),
                (Sql("INSERT INTO t VALUES (1, 'temporary')"), PINNED),
                (Sql("SELECT b FROM t WHERE id = 1"), PINNED),
                (Sql("SELECT b FROM public.t WHERE id = 1"), PINNED),
                (Sql("DROP TABLE t"), PINNED),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
            ],
            &[
                (Parse("r", "SELECT count(*) FROM t"), READ),
                (Run("r", &[]), READ),
                (Sql("CREATE TEMP TABLE t (id int)"), DDL),
                (Run("r", &[]), PINNED),
                (Parse("r2", "SELECT count(*) FROM t"), PINNED),
                (Run("r2", &[]), PINNED),
            ],
            &[
                (Sql("CREATE TEMP VIEW docs AS SELECT 'hidden' AS what"), DDL),
                (Sql("SELECT * FROM docs"), PINNED),
                (Sql("DISCARD TEMP"), PINNED),
                (Sql("SELECT count(*) FROM docs"), READ),
            ],
            &[
                (Sql("BEGIN"), LOCAL),
                (Sql("CREATE TEMP TABLE u (x text) ON COMMIT DROP"), TRANSACTION),
                (Sql("SELECT * FROM u"), TRANSACTION),
                (Sql("COMMIT"), TRANSACTION),
                (Sql("SELECT count(*) > 0 FROM u"), READ),
            ],
            &[
                (Sql("CREATE TEMP TABLE pg_class (a int)"), DDL),
                (Sql("SELECT count(*) FROM pg_class WHERE relname = 'docs'"), PINNED),
                (Sql("SELECT * FROM pg_temp.pg_class"), PINNED),
            ],
            &[
                (Sql("SET search_path = pg_temp, public"), SESSION),
                (Sql("SELECT b FROM t WHERE id = 1"), READ),
                (Sql("CREATE TABLE t (b text)"), DDL),
                (Sql("SELECT * FROM t"), PINNED),
            ],
        ],
    }
}
