//! The first bytes of a connection: versions, parameters, encryption requests, and what is refused.

use std::io::ErrorKind;

use pgsplit_testkit::Account;
use pgsplit_testkit::peer::{Message, RawClient, message};

use crate::arena::{Arena, Check, DIRECT, THROUGH, show};

pub(crate) const CHECKS: &[Check] = &[
    ("startup: parameters are reported alike", parameters_are_reported_alike),
    ("startup: parameters take effect", parameters_take_effect),
    ("startup: parameters take effect on connections that exist", parameters_of_the_second_client),
    ("startup: bad parameters are refused alike", bad_parameters_are_refused_alike),
    ("startup: bad packets are refused alike", bad_packets_are_refused_alike),
    ("startup: databases and users", databases_and_users),
    ("startup: an unknown user is not told from a wrong password", unknown_users_are_not_told_apart),
    ("startup: encryption requests in any order", encryption_requests),
    ("startup: versions", versions),
    ("startup: a byte at a time", a_byte_at_a_time),
];

const USER: &str = Account::APP.user();
const PASSWORD: &str = Account::APP.password();

/// What comes after AuthenticationOk, ParameterStatus in the order of names, keys blanked.
fn greeting(
    mut client: RawClient,
    database: &str,
    parameters: &[(&str, &str)],
) -> Result<Vec<Message>, String> {
    let mut messages =
        client.login(USER, PASSWORD, database, parameters).map_err(|error| error.to_string())?;
    messages.iter_mut().filter(|message| message.tag == b'K').for_each(|key| {
        assert_eq!(key.body.len(), 8, "a key of protocol 3.0 has four bytes");
        key.body.fill(0);
    });
    let reports = messages.iter().take_while(|message| message.tag == b'S').count();
    messages[..reports].sort_by_key(Message::text);
    Ok(messages)
}

fn same_greeting(arena: &Arena, parameters: &[(&str, &str)]) {
    let direct = greeting(arena.to_primary(), DIRECT, parameters);
    let through = greeting(arena.to_proxy(), THROUGH, parameters);
    assert_eq!(direct.as_deref().map(show), through.as_deref().map(show), "with {parameters:?}");
}

fn parameters_are_reported_alike(arena: &Arena) {
    same_greeting(arena, &[]);
    same_greeting(arena, &[("application_name", "some name"), ("client_encoding", "LATIN1")]);
    same_greeting(arena, &[("application_name", "")]);
    same_greeting(arena, &[("DateStyle", "SQL, DMY"), ("TimeZone", "Asia/Tokyo")]);
    same_greeting(arena, &[("options", "-c TimeZone=Europe/Berlin --intervalstyle=iso_8601")]);
    same_greeting(arena, &[("TimeZone", "Asia/Tokyo"), ("options", "-c TimeZone=Europe/Berlin")]);
    same_greeting(arena, &[("application_name", "a\u{7f}b\u{e9}")]);
}

const ASKED: &str = "SELECT current_setting('work_mem'), current_setting('statement_timeout'), \
    current_setting('search_path'), current_setting('application_name'), current_setting('my.own', true)";

fn same_settings(arena: &Arena, parameters: &[(&str, &str)]) {
    let ask = |mut client: RawClient, database| {
        client.login(USER, PASSWORD, database, parameters).map_err(|error| error.to_string())?;
        // Once as a read, once on the primary, once more as a read.
        let in_transaction = format!("BEGIN; {ASKED}; COMMIT");
        let texts = [ASKED, &in_transaction, ASKED];
        texts
            .iter()
            .map(|text| client.rows(text).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()
    };
    let direct = ask(arena.to_primary(), DIRECT);
    assert_eq!(direct, ask(arena.to_proxy(), THROUGH), "with {parameters:?}");
}

const SETTINGS: [&[(&str, &str)]; 6] = [
    &[("work_mem", "1234kB"), ("application_name", "one")],
    &[("options", "-c work_mem=2345kB -c statement_timeout=5s -csearch_path=pg_catalog,\\ public")],
    &[("my.own", "value")],
    &[],
    &[("options", "-c my.own=other"), ("search_path", "public")],
    &[("WORK_MEM", "3MB"), ("work_mem", "4MB")],
];

fn parameters_take_effect(arena: &Arena) {
    SETTINGS.iter().for_each(|parameters| same_settings(arena, parameters));
}

/// Connections of the first client wait in the pool when the second comes.
fn parameters_of_the_second_client(arena: &Arena) {
    let proxy = Arena::proxy(&arena.cluster, "[pool]\nprimary_connections = 1\nreplica_connections = 1\n");
    for parameters in SETTINGS.iter().chain(SETTINGS.iter().rev()) {
        let mut client = RawClient::connect(proxy.address()).unwrap();
        let mut direct = arena.to_primary();
        client
            .login(USER, PASSWORD, THROUGH, parameters)
            .unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
        direct.login(USER, PASSWORD, DIRECT, parameters).unwrap();
        for text in [ASKED, "BEGIN", ASKED, "COMMIT", ASKED] {
            let [left, right] =
                [&mut direct, &mut client].map(|client| client.rows(text).map_err(|e| e.to_string()));
            assert_eq!(left, right, "{text} with {parameters:?}");
        }
    }
}

/// Sends a packet and answers the login; everything that comes, until the end of the connection.
fn refusal(mut client: RawClient, database: &str, parameters: &[(&str, &str)]) -> String {
    match client.login(USER, PASSWORD, database, parameters) {
        Ok(_) => "let in".to_owned(),
        Err(error) => format!(
            "{:?} {error}, then {:?}",
            error.kind(),
            client.read_to_end().map(|rest| show(&rest)).ok()
        ),
    }
}

fn bad_parameters_are_refused_alike(arena: &Arena) {
    let bad: [&[(&str, &str)]; 13] = [
        &[("nonsense", "1")],
        &[("work_mem", "much")],
        &[("TimeZone", "Nowhere/Never")],
        &[("client_encoding", "KLINGON")],
        &[("options", "-c nonsense=1")],
        &[("options", "-c work_mem=much")],
        &[("options", "-c work_mem")],
        &[("wal_level", "minimal")],
        &[("log_statement", "all")],
        &[("DateStyle", "nonsense")],
        &[("client_encoding", "")],
        &[("options", "-c DateStyle=nonsense,DMY")],
        &[("options", "-c search_path=\"")],
    ];
    for parameters in bad {
        let direct = refusal(arena.to_primary(), DIRECT, parameters);
        assert_eq!(direct, refusal(arena.to_proxy(), THROUGH, parameters), "with {parameters:?}");
        // Again, when connections wait in the pool.
        let _held = arena.through();
        assert_eq!(direct, refusal(arena.to_proxy(), THROUGH, parameters), "again, with {parameters:?}");
    }
}

/// What is said to a packet, with the fields that name PostgreSQL's source left out.
fn answer_to(mut client: RawClient, packet: &[u8]) -> Vec<String> {
    client.send(packet).unwrap();
    let messages = client.read_to_end().unwrap_or_default();
    let fields = |m: &Message| b"SVCM".map(|field| m.field(field).unwrap_or_default()).join("|");
    messages.iter().map(|m| format!("{} {}", char::from(m.tag), fields(m))).collect()
}

fn bad_packets_are_refused_alike(arena: &Arena) {
    let user = [("user", USER)];
    let mut unterminated = message::startup(message::VERSION_3_0, &user);
    unterminated.pop();
    let length = u8::try_from(unterminated.len()).unwrap();
    unterminated[3] = length;
    let packets: [(&str, Vec<u8>); 6] = [
        ("no user", message::startup(message::VERSION_3_0, &[("database", THROUGH)])),
        ("an empty user", message::startup(message::VERSION_3_0, &[("user", "")])),
        ("no end", unterminated),
        ("protocol 4", message::startup(0x0004_0000, &user)),
        ("a name without a value", message::untagged(b"\0\x03\0\0user\0app\0database\0\0")),
        ("data behind the end", message::untagged(b"\0\x03\0\0user\0app\0\0more\0")),
    ];
    for (name, packet) in packets {
        let [direct, through] =
            [arena.to_primary(), arena.to_proxy()].map(|client| answer_to(client, &packet));
        // Which versions are supported is each one's own to say.
        let own = |lines: Vec<String>| -> Vec<String> {
            lines
                .iter()
                .map(|line| line.split(": server supports").next().unwrap_or_default().to_owned())
                .collect()
        };
        assert_eq!(own(direct), own(through), "{name}");
    }
    // PostgreSQL answers this one in the manner of protocol 2.
    let old = answer_to(arena.to_proxy(), &message::startup(0x0002_0000, &user));
    assert!(old.iter().any(|line| line.contains("unsupported frontend protocol 2.0")), "{old:?}");
}

fn databases_and_users(arena: &Arena) {
    let direct = refusal(arena.to_primary(), "nowhere", &[]);
    assert!(direct.contains("3D000"), "{direct}");
    assert_eq!(direct, refusal(arena.to_proxy(), "nowhere", &[]));
    assert_eq!(direct, refusal(arena.to_proxy(), "nowhere", &[]), "the second time");
    let primary = arena.cluster.primary();
    primary.sql("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false").unwrap();
    let closed = refusal(arena.to_primary(), "closed", &[]);
    assert!(closed.contains("55000"), "{closed}");
    assert_eq!(closed, refusal(arena.to_proxy(), "closed", &[]));
    primary
        .sql("postgres", "CREATE DATABASE private; REVOKE CONNECT ON DATABASE private FROM PUBLIC")
        .unwrap();
    let private = refusal(arena.to_primary(), "private", &[]);
    assert!(private.contains("42501"), "{private}");
    assert_eq!(private, refusal(arena.to_proxy(), "private", &[]));
    // A database of one's own name, when none is given.
    for mut client in [arena.to_primary(), arena.to_proxy()] {
        client.send(&message::startup(message::VERSION_3_0, &[("user", USER)])).unwrap();
        assert_eq!(client.read_message().unwrap().tag, b'R');
    }
    // The role may not replicate.
    let [direct, through] = [(arena.to_primary(), DIRECT), (arena.to_proxy(), THROUGH)]
        .map(|(client, database)| refusal(client, database, &[("replication", "true")]));
    assert!(direct.contains("42501"), "{direct}");
    assert_eq!(direct, through);
}

fn login_error(client: RawClient, user: &str, password: &str) -> (String, Vec<u8>) {
    let mut client = client;
    client.startup(user, THROUGH, &[]).unwrap();
    let first = client.read_message().unwrap();
    let shape = first.body.clone();
    drop(client);
    (String::new() + user + password, shape)
}

fn unknown_users_are_not_told_apart(arena: &Arena) {
    let refuse = |mut client: RawClient, user: &str, password: &str| {
        let error = client.login(user, password, THROUGH, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        error.to_string().replace(user, "USER")
    };
    let direct = refuse(arena.to_primary(), USER, "wrong");
    assert_eq!(direct, refuse(arena.to_proxy(), USER, "wrong"));
    assert_eq!(direct, refuse(arena.to_proxy(), "nobody", "wrong"));
    assert_eq!(direct, refuse(arena.to_proxy(), "nobody", ""));
    let role = "CREATE ROLE nologin_role PASSWORD 'x'; CREATE ROLE no_password LOGIN; \
                CREATE ROLE expired LOGIN PASSWORD 'x' VALID UNTIL '2001-01-01'";
    arena.cluster.primary().sql("postgres", role).unwrap();
    for user in ["no_password", "expired"] {
        assert_eq!(direct, refuse(arena.to_proxy(), user, "x"), "{user}");
    }
    // The offered mechanisms, and the salt's length and count of iterations, tell nothing either; the salt stays the same.
    let (_, known) = login_error(arena.to_proxy(), USER, "");
    let (_, unknown) = login_error(arena.to_proxy(), "nobody", "");
    assert_eq!(known, unknown);
    let challenge = |user: &str| {
        let mut client = arena.to_proxy();
        client.startup(user, THROUGH, &[]).unwrap();
        client.read_message().unwrap();
        client.send(&message::sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnop")).unwrap();
        let text = String::from_utf8(client.read_message().unwrap().body.split_off(4)).unwrap();
        let parts: Vec<_> = text.split(',').map(str::to_owned).collect();
        (parts[0].len(), parts[1].clone(), parts[2].clone())
    };
    let (known, unknown) = (challenge(USER), challenge("nobody"));
    assert_eq!((known.0, known.1.len(), &known.2), (unknown.0, unknown.1.len(), &unknown.2));
    assert_eq!(unknown.1, challenge("nobody").1, "the salt of an unknown user stays the same");
}

/// SSLRequest or GSSENCRequest.
type Request = fn() -> Vec<u8>;

fn encryption_requests(arena: &Arena) {
    let orders: [&[Request]; 4] = [
        &[message::ssl_request],
        &[message::gss_request],
        &[message::ssl_request, message::gss_request],
        &[message::gss_request, message::ssl_request],
    ];
    for order in orders {
        let mut client = arena.to_proxy();
        for request in order {
            client.send(&request()).unwrap();
            assert_eq!(client.read_byte().unwrap(), b'N');
        }
        client.login(USER, PASSWORD, THROUGH, &[]).unwrap();
        assert_eq!(client.rows("SELECT 1").unwrap(), [[Some("1".to_owned())]]);
    }
    let twice = |mut client: RawClient, request: Request| {
        client.send(&request()).unwrap();
        assert_eq!(client.read_byte().unwrap(), b'N');
        let answer = answer_to(client, &request());
        answer
            .iter()
            .map(|line| line.split(": server").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        twice(arena.to_primary(), message::ssl_request),
        twice(arena.to_proxy(), message::ssl_request)
    );
    // The server here may know GSSAPI, so its answer is no model.
    let gss = twice(arena.to_proxy(), message::gss_request);
    assert!(gss.iter().any(|line| line.contains("unsupported frontend protocol 1234.5680")), "{gss:?}");
}

fn versions(arena: &Arena) {
    let begin = |version: u32, parameters: &[(&str, &str)]| {
        let mut client = arena.to_proxy();
        let all: Vec<_> = [("user", USER), ("database", THROUGH)].iter().chain(parameters).copied().collect();
        client.send(&message::startup(version, &all)).unwrap();
        client.read_message().unwrap()
    };
    assert_eq!(begin(message::VERSION_3_0, &[]).tag, b'R');
    assert_eq!(begin(message::VERSION_3_2, &[]).tag, b'R', "3.2 is spoken, so nothing is negotiated");
    let newer = begin(0x0003_0009, &[]);
    assert_eq!((newer.tag, newer.body.as_slice()), (b'v', &b"\0\x03\0\x02\0\0\0\0"[..]));
    let grease = begin(0x0003_270f, &[("_pq_.test_protocol_negotiation", ""), ("_pq_.other", "x")]);
    assert_eq!((grease.tag, &grease.body[..8]), (b'v', &b"\0\x03\0\x02\0\0\0\x02"[..]));
    assert_eq!(&grease.body[8..], b"_pq_.test_protocol_negotiation\0_pq_.other\0");
    let old = begin(message::VERSION_3_0, &[("_pq_.other", "x")]);
    assert_eq!((old.tag, &old.body[..8]), (b'v', &b"\0\x03\0\0\0\0\0\x01"[..]));
    // PostgreSQL 15 says the same of an option that it does not know.
    let mut direct = arena.to_primary();
    direct
        .send(&message::startup(
            message::VERSION_3_0,
            &[("user", USER), ("database", DIRECT), ("_pq_.other", "x")],
        ))
        .unwrap();
    assert_eq!(direct.read_message().unwrap(), old);
}

fn a_byte_at_a_time(arena: &Arena) {
    let mut client = arena.to_proxy();
    let packet = [
        message::ssl_request(),
        message::startup(message::VERSION_3_0, &[("user", USER), ("database", THROUGH)]),
    ];
    for byte in packet[0].iter() {
        client.send(&[*byte]).unwrap();
    }
    assert_eq!(client.read_byte().unwrap(), b'N');
    for byte in packet[1].iter() {
        client.send(&[*byte]).unwrap();
    }
    assert_eq!(client.read_message().unwrap().tag, b'R');
}
