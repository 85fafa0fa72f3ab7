//! Bytes that no client sends, before and after the login.

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Cluster, Proxy};

use crate::stage::{console, error, proxy};

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A generator of the same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.next() % 40;
        (0..length).map(|_| if self.next().is_multiple_of(3) { 0 } else { self.next() as u8 }).collect()
    }
}

pub(crate) fn bytes_harm_nobody(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut witness = console(&proxy);
    malformed(&proxy);
    bounded(&proxy);
    let mut numbers = Numbers(7);
    for round in 0..300 {
        // Every other one has logged in.
        let mut client = if round % 2 == 0 {
            console(&proxy)
        } else {
            RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap()
        };
        for _ in 0..8 {
            let tag = b"QPBDECSHFdcfpX\0z"[(numbers.next() % 16) as usize];
            let body = numbers.bytes();
            if client.send(&frame(tag, &body)).is_err() {
                break;
            }
        }
        drop(client);
        assert_eq!(witness.rows("SHOW VERSION").unwrap().len(), 1, "round {round}");
    }
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

/// Messages whose counts do not fit, each answered with an error or the end of the connection.
fn malformed(proxy: &Proxy) {
    let parse = frame(b'P', b"\0SHOW NODES\0\0\0");
    let cases: [(&str, Vec<u8>); 7] = [
        ("a Bind that ends early", frame(b'B', b"\0\0\0")),
        ("too many result formats", frame(b'B', b"\0\0\0\0\0\0\0\x03\0\0\0\0\0\0")),
        ("formats that are not there", frame(b'B', b"\0\0\0\0\0\0\xff\xff")),
        ("parameters", frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x01a\0\0")),
        ("a format that does not exist", frame(b'B', b"\0\0\0\0\0\0\0\x01\0\x07")),
        ("a portal that does not exist", frame(b'E', b"none\0\x7f\xff\xff\xff")),
        ("a text that is none", frame(b'P', b"\0SHOW \xe9\0\0\0")),
    ];
    for (what, bytes) in cases {
        let mut client = console(proxy);
        client.send_all(&[parse.clone(), bytes, frame(b'S', b"")]).unwrap();
        let answer = client.read_until(b'Z').unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(error(&answer, b'C').is_some(), "{what}: {answer:?}");
        assert!(!client.rows("SHOW NODES").unwrap().is_empty(), "{what}");
    }
    // As many rows as a client can ask for are no reason to reserve memory for them.
    let mut client = console(proxy);
    let (bind, all) = (frame(b'B', b"\0\0\0\0\0\0\0\0"), frame(b'E', b"\0\x7f\xff\xff\xff"));
    client.send_all(&[parse, bind, all, frame(b'S', b"")]).unwrap();
    let answer = client.read_until(b'Z').unwrap();
    assert_eq!(answer.iter().filter(|message| message.tag == b'D').count(), 2);
}

/// What would grow without end.
fn bounded(proxy: &Proxy) {
    let mut client = console(proxy);
    client.send(&[b'Q', 0x7f, 0xff, 0xff, 0xff]).unwrap();
    let answer = client.read_to_end().unwrap();
    assert_eq!(error(&answer, b'C').as_deref(), Some("08P01"), "{answer:?}");
    let mut client = console(proxy);
    let names: Vec<_> = (0..101).map(|n| frame(b'P', format!("s{n}\0SHOW NODES\0\0\0").as_bytes())).collect();
    client.send_all(&names).unwrap();
    client.send(&frame(b'S', b"")).unwrap();
    let answer = client.read_until(b'Z').unwrap();
    assert_eq!(error(&answer, b'C').as_deref(), Some("53400"));
    let crowd: Vec<_> =
        (0..120).filter_map(|_| RawClient::connect(("127.0.0.1", proxy.admin_port())).ok()).collect();
    let mut late = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    let answer = late.read_to_end().unwrap();
    assert_eq!(error(&answer, b'C').as_deref(), Some("53300"), "{answer:?}");
    drop(crowd);
    // The places are free again once the console has seen that those have left.
    pgsplit_testkit::wait::until("a place at the console", pgsplit_testkit::wait::LIMIT, || {
        let mut client = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
        let own = pgsplit_testkit::Account::PGSPLIT;
        Ok(client.login(own.user(), own.password(), "pgsplit", &[]).ok().map(drop))
    })
    .unwrap();
}
