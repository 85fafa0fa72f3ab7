//! Roles and databases change while a pool has connections: who comes next meets what a direct login meets.

use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::wait;

use crate::arena::{Arena, Check, DIRECT, THROUGH, show};

pub(crate) const CHECKS: &[Check] = &[
    ("standing: defaults of settings that change", defaults_that_change),
    ("standing: rights that are taken away", rights_that_are_taken_away),
    ("standing: what was changed past the proxy", changed_past_the_proxy),
    ("standing: names beyond NAMEDATALEN", long_names),
];

const ASKED: &str = "SELECT current_setting('work_mem'), current_setting('search_path'), \
    current_setting('DateStyle'), current_setting('TimeZone'), current_setting('own.value', true), current_user";

/// A statement for both databases; what names one says `DATABASE`.
fn both(client: &mut RawClient, text: &str) {
    for database in [DIRECT, THROUGH] {
        let answer = client.query(&text.replace("DATABASE_NAME", database)).unwrap();
        assert!(answer.iter().all(|message| message.tag != b'E'), "{text}: {}", show(&answer));
    }
}

/// A superuser's session through the proxy, whose changes are known at once.
fn superuser(arena: &Arena) -> RawClient {
    let mut client = arena.to_proxy();
    client.login("postgres", "postgres-secret", "postgres", &[]).unwrap();
    client
}

/// What a new client is told and finds, as a read and on the primary; or how it is refused.
fn met(mut client: RawClient, user: &str, database: &str) -> Result<Vec<String>, String> {
    let greeting = client.login(user, "x", database, &[]).map_err(|error| error.to_string())?;
    let reported = greeting.iter().filter(|message| message.tag == b'S').map(Message::text);
    let mut met: Vec<_> = reported.collect();
    met.sort();
    for text in [ASKED, &format!("BEGIN; {ASKED}; COMMIT"), ASKED] {
        met.push(format!("{:?}", client.rows(text).map_err(|error| error.to_string())?));
    }
    Ok(met)
}

/// A new client through the proxy meets what a direct one meets.
fn alike(arena: &Arena, user: &str, why: &str) {
    let direct = met(arena.to_primary(), user, DIRECT);
    assert_eq!(direct, met(arena.to_proxy(), user, THROUGH), "{why}");
    assert_eq!(direct, met(arena.to_proxy(), user, THROUGH), "{why}, the second time");
}

fn defaults_that_change(arena: &Arena) {
    let mut superuser = superuser(arena);
    superuser.query("CREATE ROLE preset LOGIN PASSWORD 'x'").unwrap();
    alike(arena, "preset", "nothing is set");
    let mut early = arena.to_proxy();
    early.login("preset", "x", THROUGH, &[]).unwrap();
    let changes = [
        "ALTER ROLE preset SET work_mem = '5MB'",
        "ALTER DATABASE DATABASE_NAME SET work_mem = '6MB'",
        "ALTER ROLE preset IN DATABASE DATABASE_NAME SET work_mem = '7MB'",
        "ALTER ROLE preset SET search_path = pg_catalog, public",
        "ALTER ROLE preset SET TimeZone = 'Asia/Tokyo'",
        "ALTER DATABASE DATABASE_NAME SET DateStyle = 'SQL, DMY'",
        "ALTER ROLE preset IN DATABASE DATABASE_NAME SET own.value = 'kept'",
        "ALTER ROLE preset IN DATABASE DATABASE_NAME RESET ALL",
        "ALTER ROLE preset RESET work_mem",
        "ALTER DATABASE DATABASE_NAME RESET ALL",
        "ALTER ROLE preset RESET ALL",
    ];
    for change in changes {
        both(&mut superuser, change);
        alike(arena, "preset", change);
        // Whoever was there before goes on.
        assert_eq!(early.rows("SELECT 1").unwrap().len(), 1);
    }
}

fn rights_that_are_taken_away(arena: &Arena) {
    let mut superuser = superuser(arena);
    superuser.query("CREATE ROLE fallen LOGIN PASSWORD 'x'").unwrap();
    let changes = [
        ("ALTER ROLE fallen NOLOGIN", "ALTER ROLE fallen LOGIN", "28000"),
        (
            "REVOKE CONNECT ON DATABASE DATABASE_NAME FROM PUBLIC",
            "GRANT CONNECT ON DATABASE DATABASE_NAME TO PUBLIC",
            "42501",
        ),
        ("ALTER ROLE fallen CONNECTION LIMIT 0", "ALTER ROLE fallen CONNECTION LIMIT -1", "53300"),
        (
            "ALTER DATABASE DATABASE_NAME CONNECTION LIMIT 0",
            "ALTER DATABASE DATABASE_NAME CONNECTION LIMIT -1",
            "53300",
        ),
        (
            "ALTER DATABASE DATABASE_NAME ALLOW_CONNECTIONS false",
            "ALTER DATABASE DATABASE_NAME ALLOW_CONNECTIONS true",
            "55000",
        ),
    ];
    for (change, back, code) in changes {
        alike(arena, "fallen", back);
        both(&mut superuser, change);
        let direct = met(arena.to_primary(), "fallen", DIRECT).expect_err(change);
        assert!(direct.contains(code), "{change}: {direct}");
        let refused = met(arena.to_proxy(), "fallen", THROUGH).expect_err(change);
        assert_eq!(direct, refused.replace(THROUGH, DIRECT), "{change}");
        both(&mut superuser, back);
    }
    alike(arena, "fallen", "all is allowed again");
    superuser.query("CREATE ROLE never NOLOGIN PASSWORD 'x'").unwrap();
    alike(arena, "never", "a role that never could log in");
}

fn changed_past_the_proxy(arena: &Arena) {
    let primary = arena.cluster.primary();
    primary.sql("postgres", "CREATE ROLE elsewhere LOGIN PASSWORD 'x'").unwrap();
    alike(arena, "elsewhere", "nothing is set");
    for change in
        ["SET work_mem = '9MB'", "NOLOGIN", "LOGIN VALID UNTIL '2001-01-01'", "VALID UNTIL 'infinity'"]
    {
        primary.sql("postgres", &format!("ALTER ROLE elsewhere {change}")).unwrap();
        let direct = met(arena.to_primary(), "elsewhere", DIRECT);
        wait::until("the change to be known", Duration::from_secs(15), || {
            Ok((met(arena.to_proxy(), "elsewhere", THROUGH) == direct).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{change}: {error}"));
    }
}

fn long_names(arena: &Arena) {
    let name = "n".repeat(63);
    arena.cluster.primary().sql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'x'")).unwrap();
    alike(arena, &name, "63 bytes");
    alike(arena, &format!("{name}more"), "67 bytes");
    let database = "d".repeat(70);
    assert!(met(arena.to_primary(), &name, &database).unwrap_err().contains(&"d".repeat(63)));
    let [direct, through] =
        [arena.to_primary(), arena.to_proxy()].map(|client| met(client, &name, &database).unwrap_err());
    assert_eq!(direct, through);
}
