//! What is said on a replication connection, and how it ends.

use std::net::Ipv4Addr;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient, message};
use pgsplit_testkit::{Account, Signal, wait};

use crate::{Stage, replicator};

const ACCOUNT: Account = Account::REPLICATOR;

type Parameters = &'static [(&'static str, &'static str)];

/// Type and, where it says the same on every connection, content.
fn essence(messages: &[Message]) -> Vec<String> {
    let field = |m: &Message, codes: &[u8]| {
        codes.iter().map(|code| m.field(*code).unwrap_or_default()).collect::<Vec<_>>().join("|")
    };
    let one = |m: &Message| match m.tag {
        b'E' | b'N' => format!("{} {}", char::from(m.tag), field(m, b"SVCMDHPFLR")),
        b'D' | b'd' | b'K' => char::from(m.tag).to_string(),
        tag => format!("{} {}", char::from(tag), m.text().escape_default()),
    };
    messages.iter().map(one).collect()
}

pub(crate) fn answers_are_alike(stage: &Stage) {
    let ports = [stage.cluster.primary().port(), stage.proxy.port()];
    let texts = [
        "IDENTIFY_SYSTEM",
        "SHOW server_version",
        "SELECT 1; SELECT 2",
        "SELECT * FROM nowhere",
        "NONSENSE_COMMAND now",
        "SELECT set_config('my.own', 'kept', false)",
        "CREATE_REPLICATION_SLOT temporary_one TEMPORARY LOGICAL test_decoding",
        "READ_REPLICATION_SLOT nowhere",
        "SELECT current_setting('my.own')",
        "BEGIN",
        "SELECT 1/0",
        "ROLLBACK",
    ];
    for kind in ["database", "true"] {
        let [mut direct, mut through] = ports.map(|port| replicator(port, kind));
        for text in texts {
            let said = [&mut direct, &mut through].map(|client| {
                let answer = client.query(text).unwrap();
                // One slot of that name at a time.
                if text.contains("TEMPORARY") && kind == "database" {
                    client.query("DROP_REPLICATION_SLOT temporary_one").unwrap();
                }
                essence(&answer)
            });
            assert_eq!(said[0], said[1], "{text} with replication={kind}");
        }
    }
}

pub(crate) fn refusals_are_alike(stage: &Stage) {
    let ports = [stage.cluster.primary().port(), stage.proxy.port()];
    let app = Account::APP;
    let cases: [(Account, &str, &str, Parameters); 7] = [
        (ACCOUNT, "app", ACCOUNT.password(), &[("replication", "perhaps")]),
        (ACCOUNT, "app", ACCOUNT.password(), &[("replication", "")]),
        (ACCOUNT, "nowhere", ACCOUNT.password(), &[("replication", "database")]),
        (ACCOUNT, "app", "wrong", &[("replication", "database")]),
        (ACCOUNT, "app", ACCOUNT.password(), &[("replication", "true"), ("nonsense", "1")]),
        (ACCOUNT, "app", ACCOUNT.password(), &[("replication", "true"), ("options", "-c work_mem=much")]),
        (app, "app", app.password(), &[("replication", "true")]),
    ];
    for (account, database, password, parameters) in cases {
        let said = ports.map(|port| {
            let mut client = RawClient::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let refused = client.login(account.user(), password, database, parameters);
            refused.expect_err("it is refused").to_string()
        });
        assert_eq!(said[0], said[1], "{} in {database} with {parameters:?}", account.user());
    }
    // What is no replication connection is a session.
    let mut client = RawClient::connect(stage.proxy.address()).unwrap();
    client.login(app.user(), app.password(), "app", &[("replication", "off")]).unwrap();
    assert_eq!(client.rows("SELECT 1").unwrap(), [[Some("1".to_owned())]]);
}

pub(crate) fn a_command_is_cancelled(stage: &Stage) {
    let mut client = RawClient::connect(stage.proxy.address()).unwrap();
    let parameters = [("replication", "database"), ("application_name", "cancelled")];
    let greeting = client.login(ACCOUNT.user(), ACCOUNT.password(), "app", &parameters).unwrap();
    let key = &greeting.iter().find(|message| message.tag == b'K').unwrap().body;
    client.send(&message::query("SELECT pg_sleep(60)")).unwrap();
    let question =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cancelled' AND state = 'active'";
    wait::until("the command to run", Duration::from_secs(10), || {
        Ok((stage.cluster.primary().sql("app", question)? == "1").then_some(()))
    })
    .unwrap();
    let mut door = RawClient::connect(stage.proxy.address()).unwrap();
    door.send(&message::cancel(u32::from_be_bytes(key[..4].try_into().unwrap()), &key[4..])).unwrap();
    assert_eq!(door.read_to_end().unwrap(), []);
    let answer = client.read_until(b'Z').unwrap();
    assert_eq!(answer[0].field(b'C').or(answer[1].field(b'C')).as_deref(), Some("57014"), "{answer:?}");
}

pub(crate) fn clients_are_counted_and_connections_are_not(stage: &Stage) {
    let proxy = Stage::proxy(&stage.cluster, "[pool]\nmax_clients = 3\nmax_connections = 1\n");
    let mut held: Vec<_> = (0..2).map(|_| replicator(proxy.port(), "true")).collect();
    // The one connection that the pools may have on each node is free for a session.
    let mut session = proxy.client(&Account::APP, "app").unwrap();
    assert_eq!(session.rows("SELECT 1").unwrap(), [[Some("1".to_owned())]]);
    session.query("BEGIN; CREATE TEMP TABLE mine (id int); ROLLBACK").unwrap();
    let mut fourth = RawClient::connect(proxy.address()).unwrap();
    let refused = fourth.login(ACCOUNT.user(), ACCOUNT.password(), "app", &[("replication", "true")]);
    assert!(refused.unwrap_err().to_string().starts_with("53300"));
    // A place is free again when one leaves.
    held.pop();
    wait::until("the place to be free", Duration::from_secs(10), || {
        let mut client = RawClient::connect(proxy.address()).unwrap();
        let entered = client.login(ACCOUNT.user(), ACCOUNT.password(), "app", &[("replication", "true")]);
        Ok(entered.is_ok().then_some(()))
    })
    .unwrap();
}

pub(crate) fn it_is_seen(stage: &Stage) {
    let replicating = |number: f64| {
        wait::until("the gauges", Duration::from_secs(10), || {
            let metrics = stage.proxy.metrics().unwrap();
            let clients = metrics.sum("pgsplit_client_connections", &[("state", "replication")]);
            let pinned = metrics.sum("pgsplit_pinned_sessions", &[("reason", "replication")]);
            Ok((clients == number && pinned == number).then_some(()))
        })
        .unwrap();
    };
    replicating(0.0);
    let client = replicator(stage.proxy.port(), "true");
    replicating(1.0);
    drop(client);
    replicating(0.0);
}

/// Begins to stream from where the log stands.
fn stream(stage: &Stage, port: u16) -> RawClient {
    let mut client = replicator(port, "true");
    let position = stage.cluster.primary().sql("app", "SELECT pg_current_wal_flush_lsn()").unwrap();
    client.send(&message::query(&format!("START_REPLICATION {position}"))).unwrap();
    assert_eq!(client.read_message().unwrap().tag, b'W');
    client
}

/// The SQLSTATE of the last message.
fn last_words(client: &mut RawClient) -> Option<String> {
    client.read_to_end().unwrap().last().and_then(|last| last.field(b'C'))
}

pub(crate) fn a_drain_ends_it(stage: &Stage) {
    let mut proxy = Stage::proxy(&stage.cluster, "");
    let (mut idle, mut streaming) = (replicator(proxy.port(), "database"), stream(stage, proxy.port()));
    let mut working = replicator(proxy.port(), "database");
    let locked = "SELECT pg_advisory_lock(42)";
    let mut other = RawClient::connect((Ipv4Addr::LOCALHOST, stage.cluster.primary().port())).unwrap();
    other.login(ACCOUNT.user(), ACCOUNT.password(), "app", &[]).unwrap();
    other.query(locked).unwrap();
    working.send(&message::query(locked)).unwrap();
    let question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    wait::until("the command to wait", Duration::from_secs(10), || {
        Ok((stage.cluster.primary().sql("app", question)? == "1").then_some(()))
    })
    .unwrap();
    proxy.signal(Signal::TERM);
    assert_eq!(last_words(&mut idle).as_deref(), Some("57P01"));
    assert_eq!(last_words(&mut streaming).as_deref(), Some("57P01"));
    // A command that ends by itself is let finish.
    drop(other);
    let answer = working.read_to_end().unwrap();
    let tags: String = answer.iter().map(|message| char::from(message.tag)).collect();
    assert_eq!(tags, "TDCZE");
    assert_eq!(proxy.wait_for_end().unwrap(), Some(0));
}

/// Last of all: the cluster has another primary afterwards.
pub(crate) fn a_new_primary_ends_it(stage: &Stage) {
    let mut streaming = stream(stage, stage.proxy.port());
    stage.cluster.primary().freeze().unwrap();
    stage.cluster.replica(0).promote().unwrap();
    assert_eq!(last_words(&mut streaming).as_deref(), Some("57P01"));
    let mut next = replicator(stage.proxy.port(), "true");
    let answer = next.rows("IDENTIFY_SYSTEM").unwrap();
    assert_eq!(answer[0][1].as_deref(), Some("2"), "the new primary's timeline");
    stage.cluster.primary().thaw().unwrap();
}
