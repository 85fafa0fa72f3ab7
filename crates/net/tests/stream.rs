//! Streams of every kind: reading, writing, ending, and the hint that something came.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::time::Duration;

use common::{Door, Pki, SSL_REQUEST, pair, started, startup, within};
use pgsplit_net::{AcceptLevel, ConnectLevel, ConnectTarget, Stream, connect, negotiate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Two connected streams of every kind.
async fn kinds() -> Vec<(&'static str, Stream, Stream)> {
    let (client, accepted) = pair().await;
    let (one, other) = UnixStream::pair().unwrap();
    let (client_tls, accepted_tls) = tls_pair().await;
    vec![
        ("tcp", Stream::tcp(client).unwrap(), accepted),
        ("unix", Stream::unix(one), Stream::unix(other)),
        ("tls", client_tls, accepted_tls),
    ]
}

async fn tls_pair() -> (Stream, Stream) {
    let pki = Pki::new();
    let mut listener = common::listen();
    let addresses = [common::address(&listener)];
    let tls = pki.client(ConnectLevel::VerifyFull, None);
    let target = ConnectTarget::Tcp { addresses: &addresses, host: "localhost" };
    let server = async {
        let accepted = listener.accept().await.unwrap();
        started(negotiate(accepted, &pki.server(AcceptLevel::Require, false)).await).0
    };
    let client = async {
        let mut stream = connect(target, &tls, Duration::from_secs(10)).await.unwrap();
        stream.write_all(&startup()).await.unwrap();
        stream
    };
    tokio::join!(client, server)
}

/// Waits until the runtime has heard of what came.
async fn until_readable(stream: &mut Stream) {
    while !stream.is_readable_hint() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn much_goes_both_ways() {
    within(async {
        for (kind, mut one, mut other) in kinds().await {
            let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
            let expected = sent.clone();
            let writing = tokio::spawn(async move {
                one.write_all(&sent).await.unwrap();
                one.shutdown().await.unwrap();
                let mut answer = Vec::new();
                one.read_to_end(&mut answer).await.unwrap();
                answer
            });
            let mut received = Vec::new();
            let mut buf = vec![0; 50_000];
            loop {
                match other.read_some(&mut buf).await.unwrap() {
                    0 => break,
                    read => received.extend_from_slice(&buf[..read]),
                }
            }
            assert!(received == expected, "{kind}");
            other.write_all(b"answer").await.unwrap();
            drop(other);
            assert_eq!(writing.await.unwrap(), b"answer", "{kind}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_hint_tells_of_data_and_of_the_end() {
    within(async {
        for (kind, mut one, mut other) in kinds().await {
            let mut buf = [0; 64];
            // One exchange first: a new socket counts as readable until a read has found nothing.
            one.write_all(b"first").await.unwrap();
            assert_eq!(other.read_some(&mut buf).await.unwrap(), 5);
            tokio::task::yield_now().await;
            assert!(!other.is_readable_hint(), "{kind}");
            one.write_all(b"more").await.unwrap();
            until_readable(&mut other).await;
            assert!(other.is_readable_hint(), "{kind}: a hint consumes nothing");
            assert_eq!(other.read_some(&mut buf).await.unwrap(), 4);
            assert!(!other.is_readable_hint(), "{kind}");
            drop(one);
            until_readable(&mut other).await;
            assert_eq!(other.read_some(&mut buf).await.unwrap(), 0, "{kind}");
            assert!(other.is_readable_hint(), "{kind}: the end stays");
        }
    })
    .await;
}

/// What TLS has decrypted already is not in the socket any more.
#[tokio::test]
async fn the_hint_sees_what_tls_holds() {
    within(async {
        let (mut one, mut other) = tls_pair().await;
        one.write_all(b"abcdef").await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(other.read_some(&mut buf).await.unwrap(), 3);
        assert!(other.is_readable_hint());
        assert_eq!(other.read_some(&mut buf).await.unwrap(), 3);
        assert!(!other.is_readable_hint());
    })
    .await;
}

/// A TLS peer that is killed sends no close_notify.
#[tokio::test]
async fn a_cut_tls_connection_has_ended() {
    within(async {
        let pki = Pki::new();
        let mut door = Door::open(&pki.server(AcceptLevel::Require, false)).await;
        door.client.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(door.answer().await, b'S');
        let config = pki.client(ConnectLevel::VerifyFull, None).config().unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut client = tokio_rustls::TlsConnector::from(config).connect(name, door.client).await.unwrap();
        client.write_all(&startup()).await.unwrap();
        let (mut stream, ..) = started(door.opening.await.unwrap());
        let (mut socket, _) = client.into_inner();
        socket.shutdown().await.unwrap();
        assert_eq!(stream.read_some(&mut [0; 8]).await.unwrap(), 0);
    })
    .await;
}

/// Without the care that `close` takes, the unread bytes would turn into a reset that overtakes the message.
#[tokio::test]
async fn the_last_words_arrive() {
    within(async {
        let (mut client, mut stream) = pair().await;
        client.write_all(&[0; 1000]).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        let closing = tokio::spawn(stream.close(Duration::from_secs(10)));
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        assert!(!closing.is_finished(), "closed before the client was done");
        client.write_all(&[0; 1000]).await.unwrap();
        drop(client);
        closing.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    within(async {
        let (client, stream) = pair().await;
        stream.close(Duration::from_millis(20)).await;
        drop(client);

        let (mut client, stream) = pair().await;
        let closing = tokio::spawn(stream.close(Duration::from_secs(3600)));
        // A peer that never stops is cut off.
        while client.write_all(&[0; 4096]).await.is_ok() {}
        closing.await.unwrap();
    })
    .await;
}
