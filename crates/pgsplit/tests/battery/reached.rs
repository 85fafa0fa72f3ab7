//! Functions that a text reaches without naming them: through views, operators, casts, domains, policies and defaults.

use crate::case::Step::Sql;
use crate::case::{ASKED_AGAIN, FUNCTION, Kind, READ, RELATION, SESSION, WRITE};

pub(crate) fn kinds() -> Vec<Kind> {
    vec![in_views(), in_operators(), in_casts(), in_policies(), in_defaults()]
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
            ("SELECT 5::written_too", FUNCTION),
            ("SELECT '(1,5)'::with_domain", FUNCTION),
            ("SELECT '(5)'::domains", FUNCTION),
            ("SELECT * FROM json_to_record('{\"a\": 5}') AS x(a written)", FUNCTION),
            ("SELECT json_populate_record(NULL::with_domain, '{\"a\": 1, \"w\": 5}')", FUNCTION),
            ("SELECT 'happy'::mood::int", FUNCTION),
            ("SELECT abs('sad'::mood)", FUNCTION),
            ("SELECT id FROM moods WHERE m = 1", RELATION),
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
            &[
                (Sql("SELECT * FROM rls_setting"), READ),
                (Sql("SET app.tenant = 'red'"), SESSION),
                (Sql("SELECT * FROM rls_setting"), READ),
                (Sql("SET app.tenant = 'blue'"), SESSION),
                (Sql("SELECT * FROM rls_setting"), READ),
                (Sql("RESET app.tenant"), SESSION),
                (Sql("SELECT * FROM rls_setting"), READ),
            ],
            &[
                (Sql("SELECT set_config('app.tenant', 'red', false)"), SESSION),
                (Sql("SELECT * FROM rls_setting"), READ),
            ],
            &[
                (Sql("SELECT * FROM rls_plain"), READ),
                (Sql("SET ROLE clerk"), SESSION),
                (Sql("SELECT * FROM rls_plain"), READ),
                (Sql("RESET ROLE"), SESSION),
                (Sql("SELECT * FROM rls_plain"), READ),
            ],
            &[(Sql("SET row_security = off"), SESSION), (Sql("SELECT * FROM rls_plain"), ASKED_AGAIN)],
            &[
                (Sql("BEGIN"), ""),
                (Sql("SET LOCAL app.tenant = 'blue'"), "primary transaction"),
                (Sql("SELECT * FROM rls_setting"), "primary transaction"),
                (Sql("COMMIT"), "primary transaction"),
                (Sql("SELECT * FROM rls_setting"), READ),
            ],
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
