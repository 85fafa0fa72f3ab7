//! Functions and triggers that are proved to touch rows only: they are not examined, and must not be believed in where
//! others may have run in their place.

use std::time::Duration;

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, wait};

use crate::Scene;
use crate::stage::{Case, Stage, told};

const TENANT: &str = "current_setting('app.tenant', true)";

/// The sessions' own objects, so that they can replace them.
const OWN: &str = "
    DROP SCHEMA IF EXISTS own CASCADE; CREATE SCHEMA own AUTHORIZATION app; SET ROLE app;
    CREATE FUNCTION own.quiet() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION own.calls_quiet() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN own.quiet(); END';
    CREATE FUNCTION own.sets() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM set_config(''app.tenant'', ''tenant1'', false); RETURN NEW; END';
    CREATE FUNCTION own.notes() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO own.notes VALUES (NEW.v); RETURN NEW; END';
    CREATE TABLE own.notes (v int); CREATE TABLE own.noted (v int);
    CREATE TRIGGER notes AFTER INSERT ON own.noted FOR EACH ROW EXECUTE FUNCTION own.notes();
    RESET ROLE";

const REPLACE: &str = "CREATE OR REPLACE FUNCTION own.quiet() RETURNS int LANGUAGE plpgsql AS \
    'BEGIN PERFORM set_config(''app.tenant'', ''tenant1'', false); RETURN 1; END'";

/// A user who has not asked for sequences, which would pin it.
const OTHER: Account = Account::POSTGRES;

/// Fires where the quiet trigger writes.
const MAKE: &str = "CREATE TRIGGER sets BEFORE INSERT ON own.notes FOR EACH ROW EXECUTE FUNCTION own.sets()";

fn case(name: &'static str) -> Case {
    Case::new(name).setup(OWN).look("b", TENANT)
}

pub(crate) fn cases() -> Vec<Case> {
    let prepare = vec![message::parse("p", "SELECT own.calls_quiet()", &[]), message::sync()];
    let execute = || vec![message::bind("", "p", &[]), message::execute("", 0), message::sync()];
    vec![
        case("quiet function that another replaces")
            .raw("a", prepare, 1)
            .raw("a", execute(), 1)
            .ask("b", REPLACE)
            .raw("a", execute(), 1)
            .looks(TENANT),
        case("quiet function that is replaced in the transaction")
            .asks("a", &["BEGIN", REPLACE, "SELECT own.calls_quiet()", "COMMIT"])
            .looks(TENANT),
        case("quiet function that is replaced in one message")
            .ask("a", format!("{REPLACE}; SELECT own.calls_quiet()"))
            .looks(TENANT),
        case("quiet table behind a temporary one of its name")
            .asks(
                "a",
                &[
                    "CREATE TEMP TABLE noted (v int)",
                    "CREATE TRIGGER sets BEFORE INSERT ON noted FOR EACH ROW EXECUTE FUNCTION own.sets()",
                ],
            )
            .pinned("temporary-object")
            .asks("a", &["INSERT INTO noted VALUES (1)", "DISCARD TEMP"])
            .free()
            .looks(TENANT),
        case("quiet trigger, and another that is new")
            .ask("b", MAKE)
            .ask("a", "INSERT INTO own.noted VALUES (1)")
            .looks(TENANT),
    ]
}

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("quiet code is not examined", unexamined),
        ("quiet trigger, and another that is made while its statement waits", |stage| overtaken(stage, MAKE)),
        ("quiet trigger, and another that hidden code makes meanwhile", |stage| {
            overtaken(stage, &format!("DO $do$ BEGIN {MAKE}; END $do$"));
        }),
    ]
}

fn examined(stage: &Stage) -> f64 {
    stage.two.metrics().unwrap().sum("pgsplit_examinations_total", &[])
}

/// Whether a statement is examined, which happens before the next one runs.
fn is_examined(stage: &Stage, client: &mut RawClient, text: &str) -> bool {
    let before = examined(stage);
    client.query(text).unwrap();
    client.query("SELECT 1").unwrap();
    examined(stage) > before
}

fn unexamined(stage: &Stage) {
    stage.cluster.primary().sql("app", OWN).unwrap();
    let mut a = stage.two.client(&OTHER, "app").unwrap();
    let quiet = ["SELECT own.calls_quiet()", "INSERT INTO own.noted VALUES (1)"];
    // Made past the proxy, which finds it within seconds.
    wait::until("the code is known", Duration::from_secs(10), || {
        Ok(quiet.iter().all(|text| !is_examined(stage, &mut a, text)).then_some(()))
    })
    .unwrap();
    let before = examined(stage);
    for text in quiet.iter().cycle().take(20) {
        a.query(text).unwrap();
    }
    a.query("BEGIN").unwrap();
    quiet.iter().for_each(|text| drop(a.query(text).unwrap()));
    a.query("COMMIT").unwrap();
    assert_eq!(examined(stage), before);
    a.query("DO $$ BEGIN NULL; END $$").unwrap();
    a.query("SELECT 1").unwrap();
    assert_eq!(examined(stage), before + 1.0, "and it can be told");
}

fn overtaken(stage: &Stage, make: &str) {
    stage.cluster.primary().sql("app", OWN).unwrap();
    let client = || stage.two.client(&OTHER, "app").unwrap();
    let (mut a, mut b) = (client(), client());
    wait::until("the trigger is known", Duration::from_secs(10), || {
        Ok((!is_examined(stage, &mut a, "INSERT INTO own.noted VALUES (1)")).then_some(()))
    })
    .unwrap();
    b.query("BEGIN").unwrap();
    let made = b.query(make).unwrap();
    assert_eq!(told(&made[1]), "Z T");
    a.send(&message::query("INSERT INTO own.noted VALUES (1)")).unwrap();
    let mut superuser = stage.superuser(0).unwrap();
    wait::until("the INSERT waits for a lock", Duration::from_secs(10), || {
        let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'own.notes'::regclass";
        Ok(superuser.rows(waiting).is_ok_and(|rows| !rows.is_empty()).then_some(()))
    })
    .unwrap();
    b.query("COMMIT").unwrap();
    while a.read_message().unwrap().tag != b'Z' {}
    let look = format!("SELECT {TENANT}, txid_current() > 0");
    let of_a = a.rows(&look).unwrap();
    assert_eq!(of_a[0][0].as_deref(), Some("tenant1"), "A has what the trigger set");
    // Both connections are looked at.
    b.query("BEGIN").unwrap();
    for client in [&mut b, &mut stage.two.client(&OTHER, "app").unwrap()] {
        let found = client.rows(&look).unwrap();
        assert!(found[0][0].as_deref().is_none_or(str::is_empty), "and nobody else has: {found:?}");
    }
}
