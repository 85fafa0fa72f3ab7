//! Cancel requests: they reach the statement that they are meant for, wherever it runs or waits, and no other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::{Message, RawClient, message};
use pgsplit_testkit::{Account, Proxy, wait};

use crate::arena::{Arena, Check, DIRECT, THROUGH, show};
use crate::script::{b, e, p, pause, q, s};

pub(crate) const CHECKS: &[Check] = &[
    ("cancel: a running statement", a_running_statement),
    ("cancel: an idle session", an_idle_session),
    ("cancel: a wrong key", a_wrong_key),
    ("cancel: in the queue", in_the_queue),
    ("cancel: with a key of protocol 3.2", a_long_key),
    ("cancel: copy in", copy_in),
    ("cancel: by way of another process", at_another_process),
    ("cancel: never another's statement", never_anothers),
];

/// A client and what it takes to cancel its statement.
struct Cancellable {
    client: RawClient,
    pid: u32,
    key: Vec<u8>,
}

fn enter(mut client: RawClient, database: &str) -> Cancellable {
    let greeting = client.login(Account::APP.user(), Account::APP.password(), database, &[]).unwrap();
    with_key(client, &greeting)
}

fn with_key(client: RawClient, greeting: &[Message]) -> Cancellable {
    let body = &greeting.iter().find(|message| message.tag == b'K').unwrap().body;
    let pid = u32::from_be_bytes(body[..4].try_into().unwrap());
    Cancellable { client, pid, key: body[4..].to_vec() }
}

fn to(proxy: &Proxy) -> RawClient {
    RawClient::connect(proxy.address()).unwrap()
}

/// Sends a cancel request and waits for the connection's end, as libpq does.
fn cancel(mut door: RawClient, pid: u32, key: &[u8]) {
    door.send(&message::cancel(pid, key)).unwrap();
    assert_eq!(door.read_to_end().unwrap(), [], "nothing is answered");
}

/// Waits until a statement with this text runs on some node.
fn wait_running(arena: &Arena, text: &str) {
    let question = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{}%' AND pid <> pg_backend_pid()",
        text.replace('\'', "''")
    );
    wait::until("the statement to run", Duration::from_secs(10), || {
        let running =
            arena.cluster.nodes().iter().any(|node| node.sql("postgres", &question).is_ok_and(|n| n != "0"));
        Ok(running.then_some(()))
    })
    .unwrap();
}

fn a_running_statement(arena: &Arena) {
    let texts = [
        "SELECT pg_sleep(30)",
        "SELECT count(*) FROM many a, many b, many c",
        "WITH x AS (INSERT INTO log (what) VALUES ('cancelled') RETURNING 1) SELECT pg_sleep(30) FROM x",
    ];
    for text in texts {
        let [direct, through] = [(arena.to_primary(), DIRECT, true), (arena.to_proxy(), THROUGH, false)].map(
            |(client, database, direct)| {
                let door = || if direct { arena.to_primary() } else { arena.to_proxy() };
                let mut one = enter(client, database);
                one.client.send(&q(text)).unwrap();
                wait_running(arena, text);
                cancel(door(), one.pid, &one.key);
                let simple = one.client.read_until(b'Z').unwrap();
                one.client.send(&[p("", text), b("", "", &[]), e("", 0), s()].concat()).unwrap();
                wait_running(arena, text);
                cancel(door(), one.pid, &one.key);
                let extended = one.client.read_until(b'Z').unwrap();
                let after = one.client.query("SELECT 1").unwrap();
                [simple, extended, after].map(|messages| show(&messages))
            },
        );
        assert!(direct[0].contains("57014"), "{direct:?}");
        assert_eq!(direct, through, "{text}");
    }
}

fn an_idle_session(arena: &Arena) {
    let mut one = enter(arena.to_proxy(), THROUGH);
    cancel(arena.to_proxy(), one.pid, &one.key);
    assert_eq!(one.client.rows("SELECT 1").unwrap().len(), 1);
    one.client.query("BEGIN").unwrap();
    one.client.query("INSERT INTO log (what) VALUES ('idle')").unwrap();
    for _ in 0..20 {
        cancel(arena.to_proxy(), one.pid, &one.key);
        // PostgreSQL itself may be late with a signal; but an idle session has nothing that could be cancelled.
        let answer = one.client.query("SELECT 2").unwrap();
        assert!(answer.last().unwrap().body == b"T", "{}", show(&answer));
    }
    one.client.query("ROLLBACK").unwrap();
}

fn a_wrong_key(arena: &Arena) {
    let mut one = enter(arena.to_proxy(), THROUGH);
    let mut other = enter(arena.to_proxy(), THROUGH);
    one.client.send(&q("SELECT pg_sleep(1.5)")).unwrap();
    wait_running(arena, "pg_sleep(1.5)");
    let mut wrong = one.key.clone();
    wrong[0] ^= 1;
    cancel(arena.to_proxy(), one.pid, &wrong);
    cancel(arena.to_proxy(), one.pid, &other.key);
    cancel(arena.to_proxy(), other.pid, &one.key);
    cancel(arena.to_proxy(), one.pid.wrapping_add(1_000_000), &one.key);
    // A client of protocol 3.0 knows four bytes, and no longer key is its own.
    for length in [3, 5, 32, 256] {
        let other: Vec<u8> = one.key.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
        cancel(arena.to_proxy(), one.pid, &other);
    }
    assert_eq!(one.client.read_until(b'Z').unwrap().len(), 4, "it was not cancelled");
    assert_eq!(other.client.rows("SELECT 1").unwrap().len(), 1);
}

fn in_the_queue(arena: &Arena) {
    let proxy = Arena::proxy(
        &arena.cluster,
        "[pool]\nprimary_connections = 1\nreplica_connections = 1\nwait = \"30s\"\n",
    );
    let mut holder = enter(to(&proxy), THROUGH);
    holder.client.query("BEGIN").unwrap();
    holder.client.query("INSERT INTO log (what) VALUES ('held')").unwrap();
    let write = "INSERT INTO log (what) VALUES ('queued')";
    for extended in [false, true] {
        let mut one = enter(to(&proxy), THROUGH);
        let messages =
            if extended { [p("", write), b("", "", &[]), e("", 0), s()].concat() } else { q(write) };
        one.client.send(&messages).unwrap();
        wait::until("the client to wait", Duration::from_secs(10), || {
            let waiting =
                proxy.metrics().map(|m| m.sum("pgsplit_client_connections", &[("state", "waiting")]));
            Ok((waiting.unwrap_or_default() > 0.0).then_some(()))
        })
        .unwrap();
        let began = Instant::now();
        cancel(to(&proxy), one.pid, &one.key);
        let answer = one.client.read_until(b'Z').unwrap();
        assert_eq!(answer[0].field(b'C').as_deref(), Some("57014"), "{}", show(&answer));
        assert_eq!(answer.last().unwrap().body, b"I");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    holder.client.query("ROLLBACK").unwrap();
    let mut next = enter(to(&proxy), THROUGH);
    let count = next.client.rows("SELECT count(*) FROM log WHERE what = 'queued'").unwrap();
    assert_eq!(count, [[Some("0".to_owned())]]);
}

/// Of two processes that serve the same clients the request comes to the one that does not know its client.
fn at_another_process(arena: &Arena) {
    let one = Arena::proxy(&arena.cluster, "");
    let peers = format!("peers = ['127.0.0.1:1', '127.0.0.1:{}']\n", one.admin_port());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_pgsplit"));
    let other = Proxy::start(program, &arena.cluster, &peers).unwrap();
    let mut client = enter(to(&one), THROUGH);
    let mut decoy = enter(to(&other), THROUGH);
    let sleep = "SELECT 'elsewhere', pg_sleep(30)";
    for text in [sleep, "INSERT INTO log (what) SELECT 'elsewhere' FROM pg_sleep(30)"] {
        client.client.send(&q(text)).unwrap();
        decoy.client.send(&q("SELECT pg_sleep(0.2)")).unwrap();
        wait_running(arena, "elsewhere");
        let mut wrong = client.key.clone();
        wrong[0] ^= 1;
        cancel(to(&other), client.pid, &wrong);
        cancel(to(&other), client.pid, &client.key);
        let answer = client.client.read_until(b'Z').unwrap();
        assert_eq!(answer.iter().find_map(|m| m.field(b'C')).as_deref(), Some("57014"), "{}", show(&answer));
        let answer = decoy.client.read_until(b'Z').unwrap();
        assert!(answer.iter().all(|message| message.tag != b'E'), "{}", show(&answer));
    }
}

/// A client of protocol 3.2 is given a key of 32 bytes, and nothing shorter cancels.
fn a_long_key(arena: &Arena) {
    let mut client = arena.to_proxy();
    let parameters = [("user", "postgres"), ("database", "postgres")];
    client.send(&message::startup(message::VERSION_3_2, &parameters)).unwrap();
    let mut scram = Scram::new(Account::POSTGRES.password());
    let greeting = scram.finish_login(&mut client);
    let mut one = with_key(client, &greeting);
    assert_eq!(one.key.len(), 32);
    one.client.send(&q("SELECT pg_sleep(31)")).unwrap();
    wait_running(arena, "pg_sleep(31)");
    for length in [0, 1, 3, 4, 8, 31] {
        cancel(arena.to_proxy(), one.pid, &one.key[..length]);
    }
    for length in [33, 64, 256, 257, 9000] {
        let longer: Vec<u8> = one.key.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
        cancel(arena.to_proxy(), one.pid, &longer);
    }
    one.client.set_time_limit(Duration::from_millis(500)).unwrap();
    assert!(one.client.read_message().is_err(), "another key has cancelled");
    cancel(arena.to_proxy(), one.pid, &one.key);
    one.client.set_time_limit(Duration::from_secs(10)).unwrap();
    assert_eq!(one.client.read_until(b'Z').unwrap().first().map(|m| m.tag), Some(b'T'));
}

/// The client's half of SCRAM, for a login whose start-up packet was sent by hand.
struct Scram(postgres_protocol::authentication::sasl::ScramSha256);

impl Scram {
    fn new(password: &str) -> Self {
        use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
        Self(ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported()))
    }

    fn finish_login(&mut self, client: &mut RawClient) -> Vec<Message> {
        loop {
            let request = client.read_message().unwrap();
            assert_eq!(request.tag, b'R', "{}", show(std::slice::from_ref(&request)));
            match request.body.split_at(4) {
                ([0, 0, 0, 10], _) => {
                    client.send(&message::sasl_initial_response("SCRAM-SHA-256", self.0.message())).unwrap()
                }
                ([0, 0, 0, 11], data) => {
                    self.0.update(data).unwrap();
                    client.send(&message::sasl_response(self.0.message())).unwrap();
                }
                ([0, 0, 0, 12], data) => self.0.finish(data).unwrap(),
                ([0, 0, 0, 0], _) => return client.read_until(b'Z').unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn copy_in(arena: &Arena) {
    let [direct, through] = [(arena.to_primary(), DIRECT, true), (arena.to_proxy(), THROUGH, false)].map(
        |(client, database, direct)| {
            let door = || if direct { arena.to_primary() } else { arena.to_proxy() };
            let mut one = enter(client, database);
            one.client.send(&q("COPY log (what) FROM STDIN")).unwrap();
            let begun = one.client.read_until(b'G').unwrap();
            cancel(door(), one.pid, &one.key);
            // A server that waits for copy data takes notice only when some comes.
            one.client.send(&message::copy_data(b"x\n")).unwrap();
            let answer = one.client.read_until(b'Z').unwrap();
            one.client.send(&message::copy_done()).unwrap();
            let after = one.client.query("SELECT 1").unwrap();
            [begun, answer, after].map(|messages| show(&messages))
        },
    );
    assert_eq!(direct, through);
}

/// Victims run short statements on few connections while others cancel their own all the time.
fn never_anothers(arena: &Arena) {
    let proxy = Arena::proxy(
        &arena.cluster,
        "[pool]\nprimary_connections = 2\nreplica_connections = 2\nwait = \"30s\"\n",
    );
    let (stop, cancelled, done) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for number in 0..4 {
            let (proxy, stop, done) = (&proxy, &stop, &done);
            threads.push(scope.spawn(move || {
                let mut victim = enter(to(proxy), THROUGH);
                let text =
                    if number % 2 == 0 { "SELECT pg_sleep(0.001), 1" } else { "SELECT count(*) FROM t" };
                while !stop.load(Ordering::Relaxed) {
                    let answer = victim.client.query(text).unwrap();
                    if answer.iter().any(|message| message.tag == b'E') {
                        stop.store(true, Ordering::Relaxed);
                        panic!("a victim was hit: {}", show(&answer));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        for number in 0..4u64 {
            let (proxy, stop, cancelled) = (&proxy, &stop, &cancelled);
            threads.push(scope.spawn(move || {
                let mut one = enter(to(proxy), THROUGH);
                let text =
                    if number % 2 == 0 { "SELECT pg_sleep(0.002), 2" } else { "SELECT count(*) FROM many" };
                let mut round = number;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    one.client.send(&q(text)).unwrap();
                    // From before the statement begins until after it has ended.
                    pause(Duration::from_micros(round * 397 % 8_000));
                    cancel(to(proxy), one.pid, &one.key);
                    let answer = one.client.read_until(b'Z').unwrap();
                    let hit = answer.iter().any(|message| message.field(b'C').as_deref() == Some("57014"));
                    cancelled.fetch_add(usize::from(hit), Ordering::Relaxed);
                }
            }));
        }
        pause(Duration::from_secs(6));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let (cancelled, done) = (cancelled.into_inner(), done.into_inner());
    assert!(cancelled > 20 && done > 100, "{cancelled} were cancelled, {done} done");
}
