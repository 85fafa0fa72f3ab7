//! The raw client against a real server.

use std::io::ErrorKind;

use pgsplit_testkit::{
    Account, Cluster,
    peer::{RawClient, message},
    wait,
};

fn tags(messages: &[pgsplit_testkit::peer::Message]) -> String {
    messages.iter().map(|message| char::from(message.tag)).collect()
}

#[test]
fn speaks_with_a_server() {
    let cluster = Cluster::builder().name("peer").start().unwrap();
    let address = cluster.primary().address();
    let app = Account::APP;

    let mut refused = RawClient::connect(&address).unwrap();
    let error = refused.login(app.user(), "wrong", "app", &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with("28P01 "), "{error}");
    assert_eq!(refused.read_to_end().unwrap(), []);

    let mut client = RawClient::connect(&address).unwrap();
    client.send(&message::ssl_request()).unwrap();
    assert_eq!(client.read_byte().unwrap(), b'N');
    let hello = client.login(app.user(), app.password(), "app", &[("application_name", "raw")]).unwrap();
    assert!(hello.iter().any(|m| m.tag == b'S' && m.text() == "application_name\0raw"));
    assert!(tags(&hello).ends_with("KZ"));

    let rows = client.rows("SELECT 1, NULL, 'x' UNION ALL SELECT 2, 'a', ''").unwrap();
    let row = |values: [Option<&str>; 3]| values.map(|value| value.map(str::to_owned)).to_vec();
    assert_eq!(rows, [row([Some("1"), None, Some("x")]), row([Some("2"), Some("a"), Some("")])]);
    let error = client.rows("SELECT 1/0").unwrap_err();
    assert!(error.to_string().starts_with("22012 "), "{error}");

    client
        .send_all(&[
            message::parse("s", "SELECT $1::int + $2::int", &[]),
            message::describe(b'S', "s"),
            message::bind("", "s", &[Some("1"), Some("2")]),
            message::execute("", 0),
            message::close(b'S', "s"),
            message::flush(),
            message::sync(),
        ])
        .unwrap();
    let answer = client.read_until(b'Z').unwrap();
    assert_eq!(tags(&answer), "1tT2DC3Z");
    assert_eq!(answer[4].columns().unwrap(), [Some("3".to_owned())]);

    client.query("CREATE TEMP TABLE t (v text)").unwrap();
    client.send(&message::query("COPY t FROM STDIN")).unwrap();
    client.read_until(b'G').unwrap();
    client.send_all(&[message::copy_data(b"one\n"), message::copy_fail("enough")]).unwrap();
    assert_eq!(tags(&client.read_until(b'Z').unwrap()), "EZ");
    client.send(&message::query("COPY t FROM STDIN")).unwrap();
    client.read_until(b'G').unwrap();
    client.send_all(&[message::copy_data(b"one\n"), message::copy_done()]).unwrap();
    assert_eq!(client.read_until(b'Z').unwrap()[0].text(), "COPY 1");

    // Not `upper`: a FunctionCall brings no collation.
    let length = client.rows("SELECT 'length(text)'::regprocedure::oid").unwrap()[0][0].clone().unwrap();
    client.send(&message::function_call(length.parse().unwrap(), &[Some("four")])).unwrap();
    assert_eq!(client.read_until(b'Z').unwrap()[0].body, b"\0\0\0\x014");

    client.send(&message::query("SELECT pg_sleep(60)")).unwrap();
    // A cancel that comes before its statement is for nobody.
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait::until("the statement to run", wait::LIMIT, || {
        Ok((cluster.primary().sql("postgres", sleeps)? == "1").then_some(()))
    })
    .unwrap();
    let key = &hello.iter().find(|m| m.tag == b'K').unwrap().body;
    let pid = u32::from_be_bytes(key[..4].try_into().unwrap());
    RawClient::connect(&address).unwrap().send(&message::cancel(pid, &key[4..])).unwrap();
    assert_eq!(client.read_until(b'E').unwrap().last().unwrap().field(b'C').unwrap(), "57014");
    client.read_until(b'Z').unwrap();

    client.send(&message::terminate()).unwrap();
    assert_eq!(client.read_to_end().unwrap(), []);
}
