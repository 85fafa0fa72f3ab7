//! Malformed input of every kind, before and after login, by thousands of connections: never a panic, a hang, unbounded
//! memory or harm to another client.
//!
//! `PGSPLIT_SEED` repeats a run; each failure names its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]
#![allow(clippy::print_stderr, reason = "the seed must be known")]

#[path = "malformed/bytes.rs"]
mod bytes;
#[path = "malformed/canary.rs"]
mod canary;

use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgsplit_testkit::peer::{Message, RawClient, message};
use pgsplit_testkit::{Account, Cluster, Proxy, wait};

use bytes::{Dice, Inputs};
use canary::Canary;

/// Attackers at work at the same time.
const ATTACKERS: u64 = 4;
/// What the proxy may have grown by, whatever came.
const BOUND: usize = 64 << 20;

/// Sends what its seed makes it.
type Attack = fn(&Proxy, u64);

#[test]
fn malformed_input_harms_nobody() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let chosen = std::env::var("PGSPLIT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = chosen.unwrap_or(u64::from(clock.subsec_nanos()) + clock.as_secs());
    let tested = catch_unwind(AssertUnwindSafe(|| run(seed)));
    if let Err(panic) = tested {
        eprintln!("the seed was PGSPLIT_SEED={seed}");
        resume_unwind(panic);
    }
}

fn run(seed: u64) {
    let cluster = Cluster::builder().name("malformed").replicas(1).start().unwrap();
    cluster.primary().sql("app", "SET ROLE app; CREATE TABLE t (id int, what text)").unwrap();
    cluster.wait_caught_up().unwrap();
    let settings = "[timeouts]\nlogin = \"3s\"\n";
    let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), &cluster, settings).unwrap();
    let before = memory(&proxy);
    let canary = Canary::start(&proxy);
    let attacks: [(&str, Attack); 6] = [
        ("before login", before_login),
        ("in the login", in_the_login),
        ("lengths", lengths),
        ("bodies", bodies),
        ("torn", torn),
        ("orders", orders),
    ];
    for (name, attack) in attacks {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..ATTACKERS)
                .map(|worker| {
                    let proxy = &proxy;
                    scope.spawn(move || attack(proxy, seed.wrapping_mul(31).wrapping_add(worker)))
                })
                .collect();
            for worker in workers {
                if let Err(panic) = worker.join() {
                    eprintln!("the attack {name:?}");
                    resume_unwind(panic);
                }
            }
        });
    }
    canary.end();
    is_unharmed(&proxy, &cluster, before);
}

fn is_unharmed(proxy: &Proxy, cluster: &Cluster, before: usize) {
    wait::until("no client to be left", Duration::from_secs(10), || {
        let clients = proxy.metrics().map(|metrics| metrics.sum("pgsplit_client_connections", &[]));
        Ok((clients.unwrap_or(f64::NAN) == 0.0).then_some(()))
    })
    .unwrap();
    for node in cluster.nodes() {
        let question = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'";
        wait::until("server connections to be idle", Duration::from_secs(10), || {
            Ok((node.sql("postgres", question)? == "0").then_some(()))
        })
        .unwrap();
    }
    let grown = memory(proxy).saturating_sub(before);
    assert!(grown < BOUND, "{grown} bytes");
    let log = proxy.log();
    assert!(!log.contains("panicked"), "{log}");
    // Every connection of the pools, one after the other, is clean.
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = proxy.client(&Account::APP, "app").unwrap();
            client.query("BEGIN").unwrap();
            assert_eq!(
                client.rows("SELECT current_setting('application_name')").unwrap(),
                [[Some(String::new())]]
            );
            client
        })
        .collect();
    drop(clients);
}

fn memory(proxy: &Proxy) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn connect(proxy: &Proxy) -> RawClient {
    RawClient::connect(proxy.address()).unwrap()
}

fn enter(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

/// Sends, says goodbye, and sees the connection end within its time: nothing hangs. What was said before.
fn until_goodbye(client: RawClient, bytes: &[u8], what: &str) -> Vec<Message> {
    read_to_end(client, &[bytes, &message::terminate()].concat(), what)
}

/// Sends, half-closes, and sees the connection end within its time. What was said before.
fn until_closed(mut client: RawClient, bytes: &[u8], what: &str) -> Vec<Message> {
    // The proxy may have closed before all is sent.
    let _ = client.send(bytes);
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    read_to_end(client, &[], what)
}

fn read_to_end(mut client: RawClient, bytes: &[u8], what: &str) -> Vec<Message> {
    let _ = client.send(bytes);
    let mut messages = Vec::new();
    loop {
        match client.read_message() {
            Ok(message) => messages.push(message),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("{what}: it hangs after {bytes:02x?}, behind {messages:?}")
            }
            Err(_) => return messages,
        }
    }
}

/// Start-up packets of every kind of brokenness.
fn before_login(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for packet in Inputs::packets(&mut dice) {
        until_closed(connect(proxy), &packet, "a packet");
    }
    // A few that never finish: the login's deadline ends them.
    let slow: Vec<_> = (0..5)
        .map(|n| {
            let mut client = connect(proxy);
            let packet = message::startup(message::VERSION_3_0, &[("user", "app"), ("database", "app")]);
            client.send(&packet[..packet.len() * n / 6]).unwrap();
            client
        })
        .collect();
    for mut client in slow {
        client.set_time_limit(Duration::from_secs(6)).unwrap();
        client.read_to_end().expect("a login that does not go on is ended by its deadline");
    }
}

/// Messages in place of the password messages.
fn in_the_login(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for (challenge, bytes) in Inputs::password_messages(&mut dice) {
        let mut client = connect(proxy);
        client.startup("app", "app", &[]).unwrap();
        assert_eq!(client.read_message().unwrap().tag, b'R');
        if challenge {
            let first = message::sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=0123456789abcdefghij");
            client.send(&first).unwrap();
            assert_eq!(client.read_message().unwrap().tag, b'R');
        }
        let said = until_closed(client, &bytes, "a password message");
        let let_in = said.iter().any(|message| message.tag == b'R' && message.body == [0; 4]);
        assert!(!let_in, "it was let in by {bytes:02x?}");
    }
}

/// Impossible lengths, for every type that there is and for those that are not.
fn lengths(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for bytes in Inputs::lengths(&mut dice) {
        let said = read_to_end(enter(proxy), &bytes, "a length");
        let code = said.last().and_then(|message| message.field(b'C'));
        assert_eq!(code.as_deref(), Some("08P01"), "after {bytes:02x?}");
    }
}

/// Whole messages with wrong bodies: the session ends, or goes on in step.
fn bodies(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for bytes in Inputs::bodies(&mut dice) {
        goes_on_or_ends(proxy, &bytes, "a body");
    }
}

/// Sends bytes and behind them a Sync and a query: it is answered, or the connection ends.
fn goes_on_or_ends(proxy: &Proxy, bytes: &[u8], what: &str) {
    let queries = ["ROLLBACK", "SELECT 'in step'"].map(message::query).concat();
    let probe = [message::copy_done(), message::sync(), queries].concat();
    let said = until_goodbye(enter(proxy), &[bytes, &probe].concat(), what);
    let answered = said.iter().any(|message| message.tag == b'D' && message.text().ends_with("in step"));
    let ended = said.iter().any(|message| message.field(b'S').as_deref() == Some("FATAL"));
    assert!(answered || ended, "{what}: neither answered nor ended after {bytes:02x?}: {said:?}");
}

/// Good conversations that end anywhere, with a client that waits or one that is gone.
fn torn(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for bytes in Inputs::torn(&mut dice) {
        if dice.below(2) == 0 {
            until_closed(enter(proxy), &bytes, "a torn conversation");
        } else {
            let mut client = enter(proxy);
            client.send(&bytes).unwrap();
        }
    }
}

/// Good messages in any order.
fn orders(proxy: &Proxy, seed: u64) {
    let mut dice = Dice::new(seed);
    for bytes in Inputs::orders(&mut dice) {
        let said = until_goodbye(enter(proxy), &bytes, "an order");
        let lost = said.iter().find(|message| message.field(b'C').is_some_and(|code| code.starts_with("08")));
        let own =
            lost.is_none_or(|message| message.field(b'M').is_some_and(|text| !text.contains("the server")));
        assert!(own, "it lost step after {bytes:02x?}: {said:?}");
    }
}
