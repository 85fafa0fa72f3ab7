//! Prepared statements: of the protocol, and of SQL.

use pgsplit_testkit::peer::message::{bind, close, describe, execute, flush, parse, query, sync};

use crate::stage::Case;

fn named(name: &str, sql: &str) -> Vec<Vec<u8>> {
    vec![parse(name, sql, &[]), sync()]
}

fn run(name: &str, parameters: &[Option<&str>]) -> Vec<Vec<u8>> {
    vec![bind("", name, parameters), describe(b'P', ""), execute("", 0), sync()]
}

/// Its literal is made into an instant when it is parsed.
const INSTANT: &str = "SELECT extract(epoch FROM timestamptz '2020-01-01 00:00')";

fn runs(case: Case, who: &'static str, names: &[&str]) -> Case {
    names.iter().fold(case, |case, name| case.raw(who, run(name, &[]), 1))
}

pub(crate) fn cases() -> Vec<Case> {
    [protocol(), shared_text(), sql(), mixed()].into_iter().flatten().collect()
}

fn protocol() -> Vec<Case> {
    vec![
        runs(
            runs(
                Case::new("prepared: one name, two texts")
                    .raw("a", named("s", "SELECT 'of a'"), 1)
                    .raw("b", run("s", &[]), 1)
                    .raw("b", named("s", "SELECT 'of b', 2"), 1),
                "a",
                &["s", "s"],
            ),
            "b",
            &["s", "s"],
        )
        .raw("a", run("s", &[]), 1)
        .leave("a")
        .raw("c", run("s", &[]), 1)
        .raw("c", vec![describe(b'S', "s"), sync()], 1)
        .raw("b", run("s", &[]), 1),
        Case::new("prepared: a write under a name")
            .setup("DROP TABLE IF EXISTS p1; CREATE TABLE p1 (v text); GRANT ALL ON p1 TO app")
            .raw("a", named("s", "INSERT INTO p1 VALUES ($1)"), 1)
            .raw("b", named("s", "SELECT count(*) FROM p1 WHERE v = $1"), 1)
            .raw("a", run("s", &[Some("x")]), 1)
            .raw("b", run("s", &[Some("y")]), 1)
            .raw("a", run("s", &[Some("z")]), 1)
            .ask("b", "SELECT v, txid_current() > 0 FROM p1 ORDER BY v"),
        Case::new("prepared: the unnamed statement is one's own")
            .raw("a", named("", "SELECT 'of a'"), 1)
            .raw("b", run("", &[]), 1)
            .raw("b", named("", "SELECT 'of b'"), 1)
            .raw("a", run("", &[]), 1)
            .raw("b", run("", &[]), 1)
            .ask("a", "SELECT 1")
            .raw("a", run("", &[]), 1)
            .raw("b", run("", &[]), 1),
        Case::new("prepared: the unnamed statement behind settings that are sent ahead")
            .raw("a", named("", "SELECT 'of a', current_setting('work_mem')"), 1)
            .raw("a", run("", &[]), 1)
            .raw("a", named("x", "SET work_mem = '7MB'"), 1)
            .raw("a", run("x", &[]), 1)
            .raw("a", run("", &[]), 1)
            .raw("b", named("s", "SELECT current_setting('work_mem')"), 1)
            .raw("b", run("s", &[]), 1)
            .raw("a", run("", &[]), 1),
        // Told of, and run, on a replica; changed on the primary, where it was never prepared.
        Case::new("prepared: a result type that changes in the transaction")
            .setup("DROP TABLE IF EXISTS p2; SET ROLE app; CREATE TABLE p2 AS SELECT 1 AS v")
            .raw("a", vec![parse("s", "SELECT v FROM p2", &[]), describe(b'S', "s"), sync()], 1)
            .raw("a", run("s", &[]), 1)
            .asks("a", &["BEGIN", "ALTER TABLE p2 ALTER v TYPE text"])
            .raw("a", run("s", &[]), 1)
            .ask("a", "ROLLBACK")
            .raw("a", run("s", &[]), 1),
        runs(
            Case::new("prepared: a literal under a zone that holds for the transaction")
                .raw("a", named("s", INSTANT), 1)
                .raw("b", named("s", INSTANT), 1)
                .asks("a", &["BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'"])
                .raw("a", vec![bind("", "s", &[]), sync()], 1)
                .raw("a", named("t", INSTANT), 1)
                .raw("a", run("t", &[]), 1)
                .ask("a", "COMMIT")
                .ask("b", "BEGIN"),
            "b",
            &["s"],
        )
        .raw("b", named("t", INSTANT), 1)
        .raw("b", run("t", &[]), 1)
        .ask("b", "COMMIT"),
        runs(
            Case::new("prepared: a literal that was parsed under another zone")
                .ask("b", "SET TimeZone = 'Asia/Tokyo'")
                .ask("a", "SET TimeZone = 'Asia/Tokyo'")
                .raw("a", named("s", INSTANT), 1)
                .raw("b", named("s", INSTANT), 1)
                .asks("a", &["SET TimeZone = 'UTC'", "BEGIN", "SELECT 1"])
                .raw("a", vec![bind("", "s", &[]), sync()], 1)
                .asks("a", &["COMMIT"])
                .ask("b", "BEGIN"),
            "b",
            &["s"],
        )
        .ask("b", "COMMIT"),
        Case::new("prepared: a change of its table that is rolled back")
            .setup("DROP TABLE IF EXISTS p2; CREATE TABLE p2 (v int); ALTER TABLE p2 OWNER TO app; INSERT INTO p2 VALUES (1)")
            .raw("a", named("s", "SELECT *, txid_current() > 0 FROM p2"), 1)
            .raw("b", named("s", "SELECT *, txid_current() > 0 FROM p2"), 1)
            .asks("a", &["BEGIN", "ALTER TABLE p2 ADD c int"])
            .raw("a", vec![bind("", "s", &[]), sync()], 1)
            .ask("a", "ROLLBACK")
            .raw("b", run("s", &[]), 1)
            .raw("a", run("s", &[]), 1),
        Case::new("prepared: hidden code has deallocated everything")
            .two()
            .raw("a", named("s", "SELECT 1, txid_current() > 0"), 1)
            .raw("b", named("s", "SELECT 1, txid_current() > 0"), 1)
            .raw("b", run("s", &[]), 1)
            .ask("a", "DO $$ BEGIN DEALLOCATE ALL; END $$")
            .pinned("opaque")
            .raw("b", run("s", &[]), 1)
            .leave("a")
            .raw("b", run("s", &[]), 1),
        Case::new("EXECUTE of a protocol-level name that was given without a Sync")
            .raw("a", vec![parse("m", "SELECT 7, txid_current() > 0", &[]), describe(b'S', "m"), flush()], 0)
            .raw(
                "a",
                vec![
                    parse("", "EXECUTE m", &[]),
                    bind("", "", &[]),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                ],
                1,
            )
            .raw("a", vec![parse("e", "EXECUTE m", &[]), describe(b'S', "e"), flush()], 0)
            .raw("a", run("e", &[]), 1)
            .raw("a", run("m", &[]), 1),
        Case::new("prepared: Close and use again")
            .raw("a", named("s", "SELECT 1"), 1)
            .raw("b", named("s", "SELECT 2"), 1)
            .raw("a", vec![close(b'S', "s"), sync()], 1)
            .raw("a", run("s", &[]), 1)
            .raw("b", run("s", &[]), 1)
            .raw("a", named("s", "SELECT 3"), 1)
            .raw("a", run("s", &[]), 1),
        Case::new("prepared: a name that is taken")
            .raw("a", named("s", "SELECT 1"), 1)
            .raw("a", named("s", "SELECT 2"), 1)
            .raw("a", run("s", &[]), 1)
            .raw("b", named("s", "SELECT 3"), 1)
            .raw("b", run("s", &[]), 1),
        Case::new("prepared: DISCARD ALL of one client")
            .raw("a", named("s", "SELECT 1"), 1)
            .raw("b", named("s", "SELECT 1"), 1)
            .raw("b", run("s", &[]), 1)
            .ask("a", "DISCARD ALL")
            .raw("a", run("s", &[]), 1)
            .raw("b", run("s", &[]), 1)
            .raw("b", named("t", "SELECT 1"), 1)
            .raw("b", run("t", &[]), 1),
        Case::new("prepared: DEALLOCATE ALL of one client")
            .raw("a", named("s", "SELECT 1"), 1)
            .raw("b", named("s", "SELECT 1"), 1)
            .raw("b", run("s", &[]), 1)
            .ask("a", "DEALLOCATE ALL")
            .raw("a", run("s", &[]), 1)
            .raw("b", run("s", &[]), 1),
        Case::new("prepared: portals end with the transaction")
            .two()
            .asks("a", &["BEGIN"])
            .raw(
                "a",
                vec![
                    parse("", "SELECT generate_series(1, 5)", &[]),
                    bind("p", "", &[]),
                    execute("p", 2),
                    sync(),
                ],
                1,
            )
            .raw("a", vec![execute("p", 2), sync()], 1)
            .raw("b", vec![execute("p", 2), sync()], 1)
            .ask("a", "COMMIT")
            .raw("a", vec![execute("p", 2), sync()], 1),
    ]
}

fn shared_text() -> Vec<Case> {
    let both = |name, a: &str, b: &str, text: &str| {
        let case = Case::new(name).ask("a", a).ask("b", b).raw("a", named("s", text), 1).raw(
            "b",
            named("s", text),
            1,
        );
        runs(runs(runs(runs(case, "a", &["s"]), "b", &["s"]), "a", &["s", "s"]), "b", &["s"])
    };
    vec![
        both(
            "prepared: one text, two search paths",
            "SET search_path = s1",
            "SET search_path = s2",
            "SELECT v FROM t",
        ),
        both(
            "prepared: one text, two time zones",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET TimeZone = 'America/New_York'",
            "SELECT timestamptz '2020-01-01 00:00'",
        ),
        both("prepared: one text, two roles", "SET ROLE r1", "SET ROLE r2", "SELECT * FROM secrets"),
        both(
            "prepared: one text, two tenants",
            "SET app.tenant = 'tenant1'",
            "SET app.tenant = 'tenant2'",
            "SELECT id FROM rows ORDER BY id",
        ),
        both(
            "prepared: one text, two date styles",
            "SET DateStyle = 'ISO, DMY'",
            "SET DateStyle = 'ISO, MDY'",
            "SELECT date '01/02/2020'",
        ),
        both(
            "prepared: one text, two kinds of strings",
            "SET standard_conforming_strings = on",
            "SET standard_conforming_strings = off",
            "SELECT '\\\\'",
        ),
        Case::new("prepared: the path changes after the Parse")
            .ask("a", "SET search_path = s1")
            .raw("a", named("s", "SELECT v FROM t"), 1)
            .raw("a", run("s", &[]), 1)
            .ask("a", "SET search_path = s2")
            .raw("a", run("s", &[]), 1)
            .raw("b", named("s", "SELECT v FROM s1.t"), 1)
            .raw("b", run("s", &[]), 1)
            .raw("a", run("s", &[]), 1),
        Case::new("prepared: the zone changes after the Parse")
            .ask("a", "SET TimeZone = 'Asia/Tokyo'")
            .raw("a", named("s", "SELECT extract(epoch FROM timestamptz '2020-01-01 00:00')"), 1)
            .raw("a", run("s", &[]), 1)
            .ask("a", "SET TimeZone = 'UTC'")
            .raw("b", named("s", "SELECT extract(epoch FROM timestamptz '2020-01-01 00:00')"), 1)
            .raw("b", run("s", &[]), 1)
            .raw("a", run("s", &[]), 1),
        Case::new("prepared: the path is local to a transaction")
            .ask("a", "BEGIN")
            .ask("a", "SET LOCAL search_path = s1")
            .raw("a", named("s", "SELECT v FROM t"), 1)
            .raw("a", run("s", &[]), 1)
            .ask("a", "COMMIT")
            .ask("b", "SET search_path = s2")
            .raw("b", named("s", "SELECT v FROM t"), 1)
            .raw("b", run("s", &[]), 1)
            .ask("c", "BEGIN")
            .ask("c", "SET LOCAL search_path = s2")
            .raw("c", named("s", "SELECT v FROM t"), 1)
            .raw("c", run("s", &[]), 1)
            .ask("c", "COMMIT"),
    ]
}

fn sql() -> Vec<Case> {
    vec![
        Case::new("PREPARE is one's own")
            .two()
            .ask("a", "PREPARE q AS SELECT 'of a'")
            .pinned("prepared")
            .ask("b", "EXECUTE q")
            .ask("a", "EXECUTE q")
            .ask("b", "SELECT name, statement FROM pg_prepared_statements WHERE from_sql")
            .ask("a", "SELECT name, statement FROM pg_prepared_statements WHERE from_sql")
            .ask("a", "DEALLOCATE q")
            .free()
            .ask("a", "EXECUTE q")
            .leave("a")
            .ask("c", "EXECUTE q"),
        Case::new("PREPARE of two clients")
            .two()
            .ask("a", "PREPARE q AS SELECT 'of a'")
            .ask("b", "PREPARE q AS SELECT 'of b', $1::int")
            .ask("a", "EXECUTE q")
            .ask("b", "EXECUTE q(2)")
            .ask("a", "DEALLOCATE q")
            .ask("b", "EXECUTE q(3)")
            .ask("b", "DEALLOCATE ALL")
            .free()
            .ask("b", "EXECUTE q(4)"),
        Case::new("PREPARE and leave")
            .two()
            .ask("a", "PREPARE q AS SELECT 'of a'")
            .leave("a")
            .asks("b", &["EXECUTE q", "PREPARE q AS SELECT 'of b'", "EXECUTE q", "DEALLOCATE q"])
            .free(),
        Case::new("PREPARE rolled back")
            .two()
            .asks("a", &["BEGIN", "PREPARE q AS SELECT 'of a'", "ROLLBACK", "EXECUTE q"])
            .ask("b", "EXECUTE q")
            .asks("a", &["DEALLOCATE q"])
            .free(),
        Case::new("PREPARE ends by DISCARD ALL")
            .two()
            .asks("a", &["PREPARE q AS SELECT 'of a'", "DISCARD ALL"])
            .free()
            .ask("a", "EXECUTE q"),
        Case::new("PREPARE in a DO block")
            .two()
            .ask("a", "DO $$ BEGIN EXECUTE 'PREPARE q AS SELECT 1'; END $$")
            .pinned("prepared")
            .asks("b", &["EXECUTE q"])
            .asks("a", &["EXECUTE q", "DEALLOCATE q"])
            .free(),
    ]
}

fn mixed() -> Vec<Case> {
    let both = |case: Case| {
        case.raw("a", named("s", "SELECT 'of a', $1::int"), 1).raw(
            "b",
            named("s", "SELECT 'of b', $1::int"),
            1,
        )
    };
    vec![
        both(Case::new("EXECUTE of a protocol-level name").two())
            .ask("a", "EXECUTE s(1)")
            .ask("b", "EXECUTE s(2)")
            .ask("a", "EXECUTE s(3)")
            .raw("a", run("s", &[Some("4")]), 1)
            .raw("b", run("s", &[Some("5")]), 1)
            .leave("a")
            .ask("c", "EXECUTE s(6)"),
        both(Case::new("DEALLOCATE of a protocol-level name").two())
            .ask("a", "DEALLOCATE s")
            .raw("a", run("s", &[Some("4")]), 1)
            .raw("b", run("s", &[Some("5")]), 1)
            .ask("a", "EXECUTE s(1)")
            .ask("a", "DEALLOCATE s")
            .ask("b", "DEALLOCATE PREPARE s")
            .ask("b", "DEALLOCATE s"),
        Case::new("Bind of a name that SQL has prepared")
            .two()
            .ask("a", "PREPARE q AS SELECT 'of a'")
            .raw("a", run("q", &[]), 1)
            .raw("b", run("q", &[]), 1)
            .raw("a", vec![describe(b'S', "q"), sync()], 1)
            .raw("a", vec![close(b'S', "q"), sync()], 1)
            .ask("a", "EXECUTE q")
            .raw("a", run("q", &[]), 1),
        both(Case::new("EXECUTE of a protocol-level name in a transaction").two())
            .asks("a", &["BEGIN", "EXECUTE s(1)", "EXECUTE s(2)", "COMMIT"])
            .ask("b", "EXECUTE s(3)"),
        Case::new("EXECUTE of a protocol-level name that is given anew in a transaction")
            .two()
            .ask("a", "BEGIN")
            .raw("a", named("mine", "SELECT 'first'"), 1)
            .ask("a", "EXECUTE mine")
            .raw("a", vec![close(b'S', "mine"), sync()], 1)
            .raw("a", named("mine", "SELECT 'second'"), 1)
            .asks("a", &["EXECUTE mine", "DEALLOCATE mine"])
            .raw("a", named("mine", "SELECT 'third'"), 1)
            .asks("a", &["EXECUTE mine", "COMMIT", "EXECUTE mine"]),
        Case::new("a name that EXECUTE has used and that is given anew, beside one of SQL's")
            .two()
            .asks("a", &["PREPARE q AS SELECT 'of sql'", "BEGIN"])
            .raw("a", named("mine", "SELECT 'first'"), 1)
            .ask("a", "EXECUTE mine")
            .raw("a", vec![close(b'S', "mine"), sync()], 1)
            .raw("a", named("mine", "SELECT 'second'"), 1)
            .asks("a", &["EXECUTE mine", "SAVEPOINT x", "PREPARE mine AS SELECT 3", "ROLLBACK TO x"])
            .raw("a", vec![close(b'S', "mine"), sync()], 1)
            .ask("a", "EXECUTE mine")
            .ask("a", "ROLLBACK TO x")
            .raw("a", named("mine", "SELECT 'fourth'"), 1)
            .asks("a", &["EXECUTE mine", "COMMIT", "EXECUTE q", "EXECUTE mine"]),
        Case::new("a name that is taken, after DEALLOCATE in a transaction")
            .two()
            .raw("a", named("mine", "SELECT 'first'"), 1)
            .asks("a", &["BEGIN", "SAVEPOINT x"])
            .raw("a", named("mine", "SELECT 'second'"), 1)
            .asks("a", &["ROLLBACK TO x", "DEALLOCATE ALL"])
            .raw("a", named("mine", "SELECT 'third'"), 1)
            .raw("a", named("mine", "SELECT 'fourth'"), 1)
            .asks("a", &["ROLLBACK TO x", "EXECUTE mine", "COMMIT"])
            .raw("a", run("mine", &[]), 1),
        Case::new("the catalog of prepared statements")
            .two()
            .raw("a", named("mine", "SELECT 'of a'"), 1)
            .raw("a", run("mine", &[]), 1)
            .ask("a", "SELECT name, statement FROM pg_prepared_statements WHERE from_sql")
            .ask("b", "SELECT count(*) FROM pg_prepared_statements WHERE from_sql"),
        Case::new("several queries and statements in one write")
            .raw(
                "a",
                [
                    named("s", "SELECT 1"),
                    vec![query("SELECT 'q'")],
                    run("s", &[]),
                    vec![query("DEALLOCATE s")],
                    run("s", &[]),
                ]
                .concat(),
                5,
            )
            .raw("b", run("s", &[]), 1),
    ]
}
