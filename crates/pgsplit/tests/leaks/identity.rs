//! Who a session is and how it began: roles, session authorization, start-up parameters.

use pgsplit_testkit::Account;
use pgsplit_testkit::peer::message;

use crate::settings::{kept, maybe, one};
use crate::stage::Case;

pub(crate) fn cases() -> Vec<Case> {
    [identity(), start_up()].into_iter().flatten().collect()
}

fn identity() -> Vec<Case> {
    let who = "current_user, session_user, current_setting('role')";
    let as_root = |name| {
        Case::new(name).enter("a", Account::POSTGRES, &[]).enter("b", Account::POSTGRES, &[]).enter(
            "c",
            Account::POSTGRES,
            &[],
        )
    };
    vec![
        kept("SET ROLE", &["SET ROLE r1"], who).ask("b", "SELECT * FROM secrets"),
        kept("SET ROLE reads what only the role may", &["SET ROLE r1", "SELECT * FROM secrets"], who),
        kept("SET ROLE of both", &["SET ROLE r1"], who).ask("b", "SET ROLE r2").look("b", who).look("c", who),
        kept("SET ROLE NONE", &["SET ROLE r1", "SET ROLE NONE"], who),
        kept("RESET ROLE", &["SET ROLE r1", "RESET ROLE"], who),
        kept("SET role by its setting", &["SET role = 'r2'"], who),
        kept("SET LOCAL ROLE", &["BEGIN", "SET LOCAL ROLE r1", "SELECT current_user", "COMMIT"], who),
        kept("SET ROLE rolled back", &["BEGIN", "SET ROLE r1", "ROLLBACK"], who),
        kept("SET ROLE and RESET ALL", &["SET ROLE r1", "RESET ALL"], who),
        kept("SET ROLE and DISCARD ALL", &["SET ROLE r1", "DISCARD ALL"], who),
        kept("SET ROLE that is refused", &["SET ROLE postgres"], who),
        kept(
            "SET ROLE and settings",
            &["SET ROLE r1", "SET work_mem = '5MB'"],
            "current_user, current_setting('work_mem')",
        ),
        kept("SET SESSION AUTHORIZATION refused", &["SET SESSION AUTHORIZATION r1"], who),
        as_root("SET SESSION AUTHORIZATION").ask("a", "SET SESSION AUTHORIZATION r1").looks_as_root(who),
        as_root("SET SESSION AUTHORIZATION and ROLE")
            .asks("a", &["SET SESSION AUTHORIZATION app", "SET ROLE r2"])
            .looks_as_root(who),
        as_root("RESET SESSION AUTHORIZATION")
            .asks("a", &["SET SESSION AUTHORIZATION r1", "RESET SESSION AUTHORIZATION"])
            .looks_as_root(who),
        as_root("RESET SESSION AUTHORIZATION ends the role")
            .asks("a", &["SET ROLE r1", "RESET SESSION AUTHORIZATION"])
            .looks_as_root(who),
        as_root("SET SESSION AUTHORIZATION to the same again ends the role")
            .asks("a", &["SET SESSION AUTHORIZATION app", "SET ROLE r2", "SET SESSION AUTHORIZATION app"])
            .looks_as_root(who),
        as_root("SET SESSION AUTHORIZATION DEFAULT")
            .asks("a", &["SET SESSION AUTHORIZATION r1", "SET SESSION AUTHORIZATION DEFAULT"])
            .looks_as_root(who),
        as_root("SET of a superuser under a role")
            .asks("a", &["SET log_statement = 'all'", "SET ROLE app", "SHOW log_statement"])
            .looks_as_root("current_user, current_setting('log_statement')"),
    ]
}

impl Case {
    /// As [`Case::looks`], by superusers that have entered already.
    fn looks_as_root(self, expressions: &str) -> Self {
        self.look("a", expressions)
            .look("b", expressions)
            .look("a", expressions)
            .leave("a")
            .look("c", expressions)
    }
}

fn start_up() -> Vec<Case> {
    let path = one("search_path");
    let app = Account::APP;
    let two = |name: &'static str, a: &[(&'static str, &'static str)], b: &[(&'static str, &'static str)]| {
        Case::new(name).enter("a", app, a).enter("b", app, b)
    };
    let seen = "current_setting('application_name'), current_setting('TimeZone'), current_setting('search_path'), current_setting('DateStyle')";
    let a = [
        ("application_name", "of a"),
        ("TimeZone", "Asia/Tokyo"),
        ("options", "-c search_path=s1 -c work_mem=5MB"),
    ];
    let b = [
        ("application_name", "of b"),
        ("TimeZone", "Europe/Paris"),
        ("options", "-c search_path=s2"),
        ("DateStyle", "SQL, DMY"),
    ];
    let same = [
        ("application_name", "of b"),
        ("TimeZone", "Europe/Paris"),
        ("options", "-c search_path=s2 -c work_mem=6MB"),
    ];
    let around = |case: Case| {
        case.look("a", seen).look("b", seen).look("a", seen).leave("a").look("c", seen).look("b", seen)
    };
    let set_to_null = vec![
        message::parse("", "SELECT set_config('work_mem', $1, false)", &[]),
        message::bind("", "", &[None]),
        message::execute("", 0),
        message::sync(),
    ];
    vec![
        around(two("start-up parameters", &a, &b)),
        around(two("start-up parameters and RESET", &a, &b).look("b", seen).asks(
            "a",
            &["SET application_name = 'x'", "RESET application_name", "RESET search_path", "RESET TimeZone"],
        )),
        around(
            two("start-up parameters and RESET ALL", &a, &b)
                .look("b", seen)
                .asks("a", &["SET application_name = 'x'", "RESET ALL"]),
        ),
        around(
            two("start-up parameters and DISCARD ALL", &a, &b)
                .look("b", seen)
                .asks("a", &["SET application_name = 'x'", "DISCARD ALL"]),
        ),
        around(
            two("start-up parameters and TO DEFAULT", &a, &b)
                .look("b", seen)
                .asks("a", &["SET search_path TO DEFAULT", "SET TimeZone TO DEFAULT"]),
        ),
        around(
            two("start-up parameters and RESET in a transaction", &a, &b)
                .look("b", seen)
                .asks("a", &["BEGIN", "RESET search_path", "SHOW search_path", "ROLLBACK"]),
        ),
        around(
            two("start-up parameters and RESET with a read", &a, &b)
                .look("b", seen)
                .asks("a", &["RESET search_path; SELECT * FROM t"]),
        ),
        hidden_reset("start-up parameters and RESET in a function", &[("options", "-c search_path=s2")]),
        around(two("start-up parameters of the same names", &a, &same)).ask("c", "RESET ALL"),
        around(
            two("start-up parameters of the same names and RESET ALL", &a, &same)
                .look("a", seen)
                .look("b", seen)
                .asks("a", &["RESET ALL"]),
        ),
        around(
            two("start-up parameters of the same names and DISCARD ALL", &a, &same)
                .look("a", seen)
                .look("b", seen)
                .asks("a", &["DISCARD ALL"]),
        ),
        hidden_reset(
            "start-up parameters of the same names and RESET in a function",
            &[("options", "-c search_path=s2 -c work_mem=6MB")],
        ),
        around(
            two("start-up parameters of one only", &a, &[])
                .look("b", seen)
                .asks("a", &["RESET ALL"])
                .asks("b", &["RESET ALL"]),
        ),
        two(
            "start-up parameter with a custom name",
            &[("app.tenant", "tenant1")],
            &[("app.tenant", "tenant2")],
        )
        .look("a", &maybe("app.tenant"))
        .look("b", &maybe("app.tenant"))
        .ask("b", "RESET app.tenant")
        .look("b", &maybe("app.tenant"))
        .look("a", &maybe("app.tenant"))
        .leave("a")
        .look("c", &maybe("app.tenant")),
        two(
            "start-up options with quotes",
            &[("options", "-c search_path=s1,\\ public --work_mem=7MB")],
            &[],
        )
        .look("a", &path)
        .look("b", &path)
        .look("a", "current_setting('work_mem')"),
        two("start-up client_encoding", &[("client_encoding", "LATIN1")], &[("client_encoding", "UTF8")])
            .look("a", &one("client_encoding"))
            .look("b", &one("client_encoding"))
            .look("a", &one("client_encoding")),
        Case::new("start-up role").enter("a", app, &[("role", "r1")]).looks("current_user"),
        Case::new("RESET beside what is local to the transaction")
            .enter("a", app, &[("options", "-c work_mem=5MB -c extra_float_digits=0")])
            .asks(
                "a",
                &[
                    "BEGIN",
                    "SET LOCAL work_mem = '7MB'",
                    "SET LOCAL ROLE r1",
                    "SET extra_float_digits = 3",
                    "RESET extra_float_digits",
                    "SELECT current_setting('work_mem'), current_user, current_setting('extra_float_digits')",
                    "COMMIT",
                ],
            )
            .looks("current_setting('work_mem'), current_user, current_setting('extra_float_digits')"),
        Case::new("set_config to NULL with start-up parameters")
            .enter("a", app, &[("options", "-c work_mem=5MB")])
            .ask("a", "SET work_mem = '7MB'")
            .raw("a", set_to_null, 1)
            .looks("current_setting('work_mem')"),
        Case::new("start-up read only")
            .enter("a", app, &[("options", "-c default_transaction_read_only=on")])
            .ask("a", "CREATE TABLE never (v int)")
            .look("b", &one("transaction_read_only"))
            .look("a", &one("transaction_read_only")),
    ]
}

/// Of parameters that are not reported: the report comes a statement later when the text does not show the RESET.
fn hidden_reset(name: &'static str, b: &[(&'static str, &'static str)]) -> Case {
    let seen = "current_setting('search_path'), current_setting('work_mem')";
    let reset = "DO $$ BEGIN EXECUTE 'RESET ALL'; END $$";
    Case::new(name)
        .enter("a", Account::APP, &[("options", "-c search_path=s1 -c work_mem=5MB")])
        .enter("b", Account::APP, b)
        .look("b", seen)
        .ask("a", reset)
        .look("a", seen)
        .look("b", seen)
        .asks("b", &["SET work_mem = '7MB'", reset])
        .look("b", seen)
        .look("a", seen)
        .leave("a")
        .look("c", seen)
        .look("b", seen)
}
