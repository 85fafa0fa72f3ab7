//! The opening of a connection as far as it goes without TLS, and random bytes against all of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::{Door, GSSENC_REQUEST, Pki, SSL_REQUEST, STARTUP_BODY, packet, started, startup, within};
use pgsplit_net::{AcceptError, AcceptLevel, Opening, Peer, ServerTls, Stream, negotiate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const TOO_LONG: (&str, &str) = ("08P01", "invalid length of startup packet");
const UNSUPPORTED_SSL: &str = "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2";

#[tokio::test]
async fn every_order_of_requests() {
    let orders: [&[&[u8]]; 5] = [
        &[],
        &[&SSL_REQUEST],
        &[&GSSENC_REQUEST],
        &[&SSL_REQUEST, &GSSENC_REQUEST],
        &[&GSSENC_REQUEST, &SSL_REQUEST],
    ];
    for order in orders {
        for one_by_one in [false, true] {
            within(async {
                let mut door = Door::open(&ServerTls::disabled()).await;
                for request in order {
                    send(&mut door, request, one_by_one).await;
                    assert_eq!(door.answer().await, b'N');
                }
                send(&mut door, &startup(), one_by_one).await;
                let client = door.client.local_addr().unwrap();
                let (stream, bytes, direct_tls) = started(door.outcome().await);
                assert_eq!((bytes.as_slice(), direct_tls), (STARTUP_BODY, false));
                assert_eq!((stream.peer(), stream.is_tls()), (Peer::Tcp(client), false));
            })
            .await;
        }
    }
}

/// No delay on the client's side either, so that single bytes arrive alone.
async fn send(door: &mut Door, bytes: &[u8], one_by_one: bool) {
    door.client.set_nodelay(true).unwrap();
    for chunk in bytes.chunks(if one_by_one { 1 } else { bytes.len() }) {
        door.client.write_all(chunk).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_in_one_segment_is_fine_where_tls_is_refused() {
    within(async {
        let mut door = Door::open(&ServerTls::disabled()).await;
        let all = [&SSL_REQUEST[..], &GSSENC_REQUEST, &startup(), b"first message"].concat();
        door.client.write_all(&all).await.unwrap();
        assert_eq!((door.answer().await, door.answer().await), (b'N', b'N'));
        let (mut stream, bytes, _) = started(door.outcome().await);
        assert_eq!(bytes, STARTUP_BODY);
        let mut rest = [0; 32];
        let read = stream.read_some(&mut rest).await.unwrap();
        assert_eq!(&rest[..read], b"first message");
    })
    .await;
}

#[tokio::test]
async fn a_request_may_come_only_once() {
    for (request, message) in [
        (SSL_REQUEST, UNSUPPORTED_SSL),
        (GSSENC_REQUEST, "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2"),
    ] {
        within(async {
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&[request, request].concat()).await.unwrap();
            assert_eq!(door.answer().await, b'N');
            assert_eq!(door.refusal().await, ("0A000", message.to_owned()));
        })
        .await;
    }
}

#[tokio::test]
async fn an_unknown_request_is_refused() {
    within(async {
        let mut door = Door::open(&ServerTls::disabled()).await;
        door.client.write_all(&packet(&[0x04, 0xd2, 0x00, 0x01])).await.unwrap();
        assert_eq!(door.refusal().await.0, "0A000");
    })
    .await;
}

#[tokio::test]
async fn lengths_out_of_bounds_are_refused() {
    for length in [0_i32, 3, 4, 7, 10_001, i32::MAX, -1, i32::MIN] {
        within(async {
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&length.to_be_bytes()).await.unwrap();
            door.client.write_all(b"\0\x03\0\0").await.unwrap();
            let (sqlstate, message) = door.refusal().await;
            assert_eq!((sqlstate, message.as_str()), TOO_LONG, "{length}");
        })
        .await;
    }
}

#[tokio::test]
async fn the_shortest_and_the_longest_packet_pass() {
    for length in [8_usize, 10_000] {
        within(async {
            let mut body = vec![b'x'; length - 4];
            body[..4].copy_from_slice(b"\0\x03\0\0");
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&packet(&body)).await.unwrap();
            assert_eq!(started(door.outcome().await).1, body);
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_for_encryption_with_a_tail_is_refused() {
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        within(async {
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&packet(&[&request[4..], b"tail"].concat())).await.unwrap();
            let (sqlstate, message) = door.refusal().await;
            assert_eq!((sqlstate, message.as_str()), TOO_LONG);
        })
        .await;
    }
}

#[tokio::test]
async fn cancel_keys_of_4_to_256_bytes() {
    for (key, accepted) in [(0, false), (3, false), (4, true), (32, true), (256, true), (257, false)] {
        within(async {
            let body = [&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 42][..], &vec![7; key]].concat();
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&packet(&body)).await.unwrap();
            match door.outcome().await {
                Ok(Opening::Cancel { body: read, .. }) => {
                    assert!(accepted, "{key}");
                    assert_eq!(read, body[4..]);
                }
                Err(error) => {
                    assert!(!accepted, "{key}");
                    assert_eq!(error.sqlstate(), None, "nothing is answered");
                }
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn leaving_between_packets_is_no_error() {
    for sent in [&[][..], &SSL_REQUEST, &[SSL_REQUEST, GSSENC_REQUEST].concat()] {
        within(async {
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(sent).await.unwrap();
            door.client.shutdown().await.unwrap();
            assert!(matches!(door.outcome().await, Err(AcceptError::Gone)), "{sent:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_reset_before_the_first_byte_is_no_error() {
    within(async {
        let door = Door::open(&ServerTls::disabled()).await;
        let socket = socket2::SockRef::from(&door.client);
        socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(door.client);
        assert!(matches!(door.opening.await.unwrap(), Err(AcceptError::Gone)));
    })
    .await;
}

#[tokio::test]
async fn leaving_within_a_packet_is_an_incomplete_one() {
    let whole = startup();
    for end in [1, 3, 4, 7, whole.len() - 1] {
        within(async {
            let mut door = Door::open(&ServerTls::disabled()).await;
            door.client.write_all(&whole[..end]).await.unwrap();
            door.client.shutdown().await.unwrap();
            assert_eq!(door.refusal().await, ("08P01", "incomplete startup packet".to_owned()), "{end}");
        })
        .await;
    }
}

/// A Unix socket is as good as encrypted, so that no level refuses it, and TLS is never offered on it.
#[tokio::test]
async fn unix_sockets_know_no_tls() {
    let pki = Pki::new();
    for level in [AcceptLevel::Disable, AcceptLevel::Prefer, AcceptLevel::Require, AcceptLevel::VerifyFull] {
        within(async {
            let (mut client, server) = UnixStream::pair().unwrap();
            client.write_all(&[&SSL_REQUEST[..], &startup()].concat()).await.unwrap();
            let (stream, bytes, _) = started(negotiate(Stream::unix(server), &pki.server(level, true)).await);
            assert_eq!(client.read_u8().await.unwrap(), b'N');
            assert_eq!((bytes.as_slice(), stream.peer(), stream.is_tls()), (STARTUP_BODY, Peer::Unix, false));
        })
        .await;
    }
}

/// Random bytes, alone or after a good beginning, end in some outcome: no panic, no wait after the client is
/// done.
#[tokio::test]
async fn random_bytes_always_end() {
    let pki = Pki::new();
    let levels = [ServerTls::disabled(), pki.server(AcceptLevel::Prefer, true)];
    let mut random = StdRng::seed_from_u64(7);
    let beginnings: [&[u8]; 6] =
        [&[], &SSL_REQUEST, &GSSENC_REQUEST, &[0x16, 3, 1], &[0, 0, 0], &[0, 0, 0, 16, 0x04, 0xd2]];
    for round in 0..600 {
        let mut bytes = beginnings[round % beginnings.len()].to_vec();
        let length = random.random_range(0..600);
        bytes.extend((0..length).map(|_| random.random::<u8>()));
        within(async {
            let mut door = Door::open(&levels[round % levels.len()]).await;
            // The other side may have closed already.
            let _ = door.client.write_all(&bytes).await;
            let _ = door.client.shutdown().await;
            if let Ok(opening) = door.outcome().await {
                assert!(!matches!(opening, Opening::Startup { direct_tls: true, .. }));
            }
        })
        .await;
    }
}
