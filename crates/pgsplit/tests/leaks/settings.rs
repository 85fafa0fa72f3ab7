//! Settings: SET, RESET, `set_config`, in and out of transactions.

use crate::stage::Case;

/// Roles and tables that the scripts use.
pub(crate) const ROLES: &str = "
    CREATE ROLE r1; CREATE ROLE r2; GRANT r1, r2 TO app;
    GRANT CREATE ON SCHEMA public TO app, r1, r2;
    CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE SCHEMA \"S 3\";
    GRANT ALL ON SCHEMA s1, s2, \"S 3\" TO app, r1, r2;
    CREATE TABLE s1.t (v text); INSERT INTO s1.t VALUES ('of s1');
    CREATE TABLE s2.t (v text); INSERT INTO s2.t VALUES ('of s2');
    CREATE TABLE public.secrets (v text); INSERT INTO public.secrets VALUES ('of r1');
    GRANT ALL ON ALL TABLES IN SCHEMA s1, s2 TO app, r1, r2;
    GRANT SELECT ON public.secrets TO r1;
    CREATE TABLE public.rows (id int, owner text);
    INSERT INTO public.rows SELECT n, 'tenant' || n % 3 FROM generate_series(1, 9) n;
    ALTER TABLE public.rows ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON public.rows USING (owner = current_setting('app.tenant', true));
    GRANT SELECT ON public.rows TO app, r1, r2";

/// A setting is made by these statements; nobody else has it, and A keeps it.
pub(crate) fn kept(name: &'static str, make: &[&str], expressions: &str) -> Case {
    Case::new(name).look("b", expressions).asks("a", make).free().looks(expressions)
}

pub(crate) fn one(name: &str) -> String {
    format!("current_setting('{name}')")
}

pub(crate) fn maybe(name: &str) -> String {
    format!("current_setting('{name}', true)")
}

pub(crate) fn cases() -> Vec<Case> {
    [plain(), transactions(), custom(), ends()].into_iter().flatten().collect()
}

fn plain() -> Vec<Case> {
    let path = "current_setting('search_path'), (SELECT string_agg(x::text, ',') FROM unnest(current_schemas(false)) x)";
    vec![
        kept("SET plain", &["SET work_mem = '7MB'"], &one("work_mem")),
        kept("SET with TO and a number", &["SET work_mem TO 7168"], &one("work_mem")),
        kept("SET SESSION", &["SET SESSION random_page_cost = 1.5"], &one("random_page_cost")),
        kept("SET negative", &["SET log_min_duration_statement = -1", "SET statement_timeout = 98765"], &one("statement_timeout")),
        kept("SET a list", &["SET search_path = s1, public"], path),
        kept("SET a list with quotes", &["SET search_path = \"S 3\", 's2', public"], path),
        kept("SET a list as one string", &["SET search_path = 's1, public'"], path),
        kept("SET SCHEMA", &["SET SCHEMA 's2'"], path),
        kept("SET quoted with quotes in it", &["SET application_name = 'it''s \"x\" \\ y'"], &one("application_name")),
        kept("SET a string with escapes", &["SET application_name = E'tab\\there'"], &one("application_name")),
        kept("SET in capitals and comments", &["/* x */ SET /* y */ \"WORK_MEM\" /* z */ = '6MB' -- end"], &one("work_mem")),
        kept("SET TIME ZONE", &["SET TIME ZONE 'Asia/Tokyo'"], "current_setting('TimeZone'), '2020-01-01 00:00Z'::timestamptz"),
        kept("SET TIME ZONE number", &["SET TIME ZONE -7"], "current_setting('TimeZone'), '2020-01-01 00:00Z'::timestamptz"),
        // Its value is not worked out from the text.
        Case::new("SET TIME ZONE interval").two()
            .ask("a", "SET TIME ZONE INTERVAL '-08:30' HOUR TO MINUTE")
            .pinned("setting")
            .looks("'2020-01-01 00:00Z'::timestamptz"),
        kept("SET timezone", &["SET timezone TO 'Europe/Paris'"], "current_setting('TimeZone'), '2020-01-01 00:00Z'::timestamptz"),
        kept("SET DateStyle in parts", &["SET DateStyle = 'SQL'", "SET DateStyle = 'DMY'"], "current_setting('DateStyle'), date '2020-02-01'"),
        kept("SET DateStyle as a list", &["SET DateStyle = German, DMY"], "current_setting('DateStyle'), date '2020-02-01'"),
        kept("SET IntervalStyle", &["SET IntervalStyle = 'iso_8601'"], "interval '1 day 2 hours'"),
        kept("SET NAMES", &["SET NAMES 'LATIN1'"], &one("client_encoding")),
        kept("SET client_encoding that hides quotes", &["SET client_encoding = 'SJIS'"], &one("client_encoding")),
        kept("SET standard_conforming_strings", &["SET standard_conforming_strings = off"], &one("standard_conforming_strings")),
        kept("SET bytea_output", &["SET bytea_output = 'escape'"], "'\\x0102'::bytea"),
        kept("SET extra_float_digits", &["SET extra_float_digits = -10"], "pi()"),
        kept("SET xml option", &["SET XML OPTION DOCUMENT"], &one("xmloption")),
        kept("SET default_transaction_isolation", &["SET default_transaction_isolation = 'serializable'"], &one("transaction_isolation")),
        kept("SET default_transaction_read_only", &["SET default_transaction_read_only = on"], "current_setting('default_transaction_read_only')"),
        kept(
            "SET SESSION CHARACTERISTICS",
            &["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE"],
            "current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'), current_setting('default_transaction_deferrable')",
        ),
        kept("SET several in one message", &["SET work_mem = '5MB'; SET random_page_cost = 2; SET IntervalStyle = sql_standard"], "current_setting('work_mem'), current_setting('random_page_cost'), interval '1 day'"),
        kept("SET and a read in one message", &["SET work_mem = '5MB'; SELECT 1"], &one("work_mem")),
        kept("SET one after the other", &["SET work_mem = '5MB'", "SET work_mem = '6MB'", "SET work_mem = '4MB'"], &one("work_mem")),
        kept("SET TO DEFAULT", &["SET work_mem = '5MB'", "SET work_mem TO DEFAULT"], &one("work_mem")),
        kept("SET an error", &["SET work_mem = 'nonsense'", "SET no_such_setting = 1", "SET work_mem = '5MB'; SELECT 1/0"], &one("work_mem")),
        kept("SET both clients", &["SET work_mem = '5MB'"], &one("work_mem")).ask("b", "SET work_mem = '6MB'").look("b", &one("work_mem")).look("c", &one("work_mem")),
        Case::new("SET in the extended protocol")
            .bound("a", "SET work_mem = '5MB'", &[])
            .bound("b", "SET work_mem = '6MB'", &[])
            .look("b", &one("work_mem"))
            .looks(&one("work_mem")),
        Case::new("set_config with constants")
            .ask("a", "SELECT set_config('work_mem', '5MB', false)")
            .ask("a", "SELECT pg_catalog.set_config('random_page_cost', '3', 'f'), set_config('IntervalStyle', 'iso_8601', false)")
            .looks("current_setting('work_mem'), current_setting('random_page_cost'), interval '1 day'"),
        Case::new("set_config with parameters")
            .bound("a", "SELECT set_config($1, $2, false)", &["work_mem", "5MB"])
            .bound("b", "SELECT set_config($1, $2, false)", &["work_mem", "6MB"])
            .look("b", &one("work_mem"))
            .looks(&one("work_mem")),
        Case::new("set_config with a bound third argument")
            .bound("a", "SELECT set_config('work_mem', '5MB', $1)", &["f"])
            .bound("a", "SELECT set_config('random_page_cost', '3', $1)", &["true"])
            .looks("current_setting('work_mem'), current_setting('random_page_cost')"),
        Case::new("set_config that is computed").two()
            .ask("a", "SELECT set_config('work_' || 'mem', (5 + 1) || 'MB', false)")
            .ask("a", "SELECT set_config(name, '3', false) FROM pg_settings WHERE name = 'random_page_cost'")
            .looks("current_setting('work_mem'), current_setting('random_page_cost')"),
        Case::new("set_config of an update").two()
            .ask("a", "UPDATE pg_settings SET setting = '4321' WHERE name = 'work_mem'")
            .looks(&one("work_mem")),
    ]
}

fn transactions() -> Vec<Case> {
    let seen = one("work_mem");
    vec![
        kept("SET LOCAL", &["BEGIN", "SET LOCAL work_mem = '5MB'", "SHOW work_mem", "COMMIT"], &seen),
        kept("SET LOCAL outside a transaction", &["SET LOCAL work_mem = '5MB'"], &seen),
        kept("SET LOCAL in one message", &["SET LOCAL work_mem = '5MB'; SHOW work_mem"], &seen),
        kept(
            "SET LOCAL over SET",
            &["SET work_mem = '6MB'", "BEGIN", "SET LOCAL work_mem = '5MB'", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        Case::new("SET TRANSACTION in a transaction that is examined")
            .ask("b", "SET default_transaction_isolation = 'repeatable read'")
            .asks("a", &["BEGIN", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"])
            .asks("a", &["DO $$ BEGIN NULL; END $$", "COMMIT"])
            .ask("a", "SET default_transaction_isolation = 'repeatable read'")
            .looks("current_setting('transaction_isolation')"),
        kept(
            "SET LOCAL search_path",
            &["BEGIN", "SET LOCAL search_path = s1", "SELECT * FROM t", "COMMIT"],
            &one("search_path"),
        ),
        kept(
            "set_config local",
            &["BEGIN", "SELECT set_config('work_mem', '5MB', true)", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        kept("SET rolled back", &["BEGIN", "SET work_mem = '5MB'", "SHOW work_mem", "ROLLBACK"], &seen),
        kept(
            "SET rolled back by an error",
            &["BEGIN", "SET work_mem = '5MB'", "SELECT 1/0", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        kept("SET committed", &["BEGIN", "SET work_mem = '5MB'", "COMMIT"], &seen),
        kept(
            "SET rolled back to the one before",
            &["SET work_mem = '6MB'", "BEGIN", "SET work_mem = '5MB'", "ROLLBACK"],
            &seen,
        ),
        kept(
            "RESET rolled back",
            &["SET work_mem = '6MB'", "BEGIN", "RESET work_mem", "SHOW work_mem", "ROLLBACK"],
            &seen,
        ),
        kept(
            "RESET ALL rolled back",
            &["SET work_mem = '6MB'", "BEGIN", "RESET ALL", "SHOW work_mem", "ROLLBACK"],
            &seen,
        ),
        kept(
            "set_config rolled back",
            &["BEGIN", "SELECT set_config('work_mem', '5MB', false)", "ROLLBACK"],
            &seen,
        ),
        kept(
            "SET in savepoints",
            &[
                "BEGIN",
                "SET work_mem = '5MB'",
                "SAVEPOINT x",
                "SET work_mem = '6MB'",
                "SAVEPOINT y",
                "SET work_mem = '7MB'",
                "ROLLBACK TO x",
                "SHOW work_mem",
                "SET work_mem = '8MB'",
                "ROLLBACK TO x",
                "SHOW work_mem",
                "COMMIT",
            ],
            &seen,
        ),
        kept(
            "SET in a released savepoint",
            &["BEGIN", "SAVEPOINT x", "SET work_mem = '6MB'", "RELEASE x", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        kept(
            "SET after an error that a savepoint caught",
            &["BEGIN", "SAVEPOINT x", "SELECT 1/0", "ROLLBACK TO x", "SET work_mem = '6MB'", "COMMIT"],
            &seen,
        ),
        kept(
            "SET in a transaction of one message",
            &["BEGIN; SET work_mem = '5MB'; COMMIT; SET random_page_cost = 2"],
            &seen,
        ),
        kept(
            "SET between transactions of one message",
            &["BEGIN; SET work_mem = '5MB'; COMMIT; SET work_mem = '6MB'; SELECT 1/0"],
            &seen,
        ),
        kept(
            "SET LOCAL then SET",
            &["BEGIN", "SET LOCAL work_mem = '5MB'", "SET work_mem = '6MB'", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        kept(
            "SET then SET LOCAL",
            &["BEGIN", "SET work_mem = '6MB'", "SET LOCAL work_mem = '5MB'", "SHOW work_mem", "COMMIT"],
            &seen,
        ),
        kept(
            "SET TRANSACTION",
            &[
                "BEGIN",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
                "SHOW transaction_isolation",
                "SHOW transaction_read_only",
                "COMMIT",
            ],
            "current_setting('transaction_isolation'), current_setting('transaction_read_only')",
        ),
        kept(
            "SET transaction_isolation",
            &[
                "BEGIN",
                "SET transaction_isolation = 'repeatable read'",
                "SHOW transaction_isolation",
                "COMMIT",
            ],
            &one("transaction_isolation"),
        ),
        kept(
            "COMMIT AND CHAIN",
            &[
                "BEGIN ISOLATION LEVEL REPEATABLE READ",
                "SET work_mem = '5MB'",
                "COMMIT AND CHAIN",
                "SHOW transaction_isolation",
                "SET work_mem = '6MB'",
                "ROLLBACK AND CHAIN",
                "SHOW transaction_isolation",
                "ROLLBACK",
            ],
            &seen,
        ),
        kept(
            "SET rolled back by PREPARE TRANSACTION",
            &["BEGIN", "SET work_mem = '5MB'", "PREPARE TRANSACTION 'x1'", "ROLLBACK PREPARED 'x1'"],
            &seen,
        ),
        Case::new("SET in a pipeline that fails")
            .raw(
                "a",
                vec![
                    pgsplit_testkit::peer::message::parse("", "SET work_mem = '5MB'", &[]),
                    pgsplit_testkit::peer::message::bind("", "", &[]),
                    pgsplit_testkit::peer::message::execute("", 0),
                    pgsplit_testkit::peer::message::parse("", "SELECT 1/0", &[]),
                    pgsplit_testkit::peer::message::bind("", "", &[]),
                    pgsplit_testkit::peer::message::execute("", 0),
                    pgsplit_testkit::peer::message::sync(),
                ],
                1,
            )
            .looks(&seen),
    ]
}

fn custom() -> Vec<Case> {
    let seen = maybe("app.tenant");
    let rows =
        "(SELECT string_agg(id::text, ',' ORDER BY id) FROM rows), current_setting('app.tenant', true)";
    vec![
        kept("custom SET", &["SET app.tenant = 'tenant1'"], rows),
        kept("custom SET of both", &["SET app.tenant = 'tenant1'"], rows)
            .ask("b", "SET app.tenant = 'tenant2'")
            .look("b", rows)
            .look("c", rows),
        kept("custom SET twice", &["SET app.tenant = 'tenant1'", "SET app.tenant = 'tenant2'"], rows),
        kept("custom SET with a quoted name", &["SET \"App\".\"Tenant\" = 'tenant1'"], rows),
        kept("custom RESET", &["SET app.tenant = 'tenant1'", "RESET app.tenant"], &seen),
        kept(
            "custom SET LOCAL",
            &["BEGIN", "SET LOCAL app.tenant = 'tenant1'", "SELECT count(*) FROM rows", "COMMIT"],
            &seen,
        ),
        kept("custom SET rolled back", &["BEGIN", "SET app.tenant = 'tenant1'", "ROLLBACK"], &seen),
        kept(
            "custom set_config local",
            &[
                "BEGIN",
                "SELECT set_config('app.tenant', 'tenant1', true)",
                "SELECT count(*) FROM rows",
                "COMMIT",
            ],
            &seen,
        ),
        kept(
            "custom set_config local of one message",
            &["SELECT set_config('app.tenant', 'tenant1', true); SELECT count(*) FROM rows"],
            &seen,
        ),
        Case::new("custom set_config local with parameters")
            .asks("a", &["BEGIN"])
            .bound("a", "SELECT set_config('app.tenant', $1, true)", &["tenant1"])
            .asks("a", &["SELECT count(*) FROM rows", "COMMIT"])
            .looks(&seen),
        Case::new("custom set_config with parameters")
            .bound("a", "SELECT set_config('app.tenant', $1, false)", &["tenant1"])
            .bound("b", "SELECT set_config('app.tenant', $1, false)", &["tenant2"])
            .look("b", rows)
            .looks(rows),
        kept("custom RESET ALL", &["SET app.tenant = 'tenant1'", "RESET ALL"], &seen),
        kept("custom DISCARD ALL", &["SET app.tenant = 'tenant1'", "DISCARD ALL"], &seen),
        Case::new("custom in a statement that fails")
            .two()
            .ask("a", "SELECT set_config('app.tenant', 'tenant1', false), 1 / (now() IS NULL)::int")
            .pinned("setting")
            .looks(&seen),
        Case::new("custom in a statement that fails, with parameters")
            .two()
            .bound("a", "SELECT set_config($1, $2, false), 1 / (now() IS NULL)::int", &["app.tenant", "x"])
            .pinned("setting")
            .looks(&seen),
        Case::new("custom of a name that is not known, and DISCARD ALL")
            .two()
            .ask("a", "SELECT set_config('app.' || 'tenant', 'x', false)")
            .pinned("setting")
            .ask("a", "DISCARD ALL")
            .free()
            .look("b", &seen)
            .look("c", &seen),
        kept(
            "custom in a set_config that fails behind it",
            &["SELECT set_config('app.tenant', 'tenant1', false), set_config('work_mem', 'a lot', false)"],
            &seen,
        ),
        kept(
            "custom in a set_config that fails before it",
            &["SELECT set_config('work_mem', 'a lot', false), set_config('app.tenant', 'tenant1', false)"],
            &seen,
        ),
        kept("custom with an error", &["SET app.tenant = 'tenant1'; SELECT 1/0"], &seen),
    ]
}

fn ends() -> Vec<Case> {
    let seen = "current_setting('work_mem'), current_setting('application_name'), current_user";
    let made = ["SET work_mem = '5MB'", "SET application_name = 'x'", "SET ROLE r1"];
    let ended = |name, end: &[&str]| kept(name, &[&made[..], end].concat(), seen);
    vec![
        ended("end by RESET", &["RESET work_mem"]),
        ended("end by RESET ALL", &["RESET ALL"]),
        ended("end by DISCARD ALL", &["DISCARD ALL"]),
        ended("end by DISCARD PLANS", &["DISCARD PLANS"]),
        ended("end by DISCARD SEQUENCES", &["DISCARD SEQUENCES"]),
        ended("end by DISCARD TEMP", &["DISCARD TEMP"]),
        ended(
            "end by a driver's reset",
            &["SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"],
        ),
        ended(
            "end by a driver's reset in parts",
            &["CLOSE ALL", "UNLISTEN *", "RESET ALL", "SELECT pg_advisory_unlock_all()"],
        ),
        ended("end by RESET in capitals", &["reset SESSION AUTHORIZATION", "RESET ROLE"]),
        ended("end that fails", &["BEGIN", "DISCARD ALL", "ROLLBACK"]),
    ]
}
