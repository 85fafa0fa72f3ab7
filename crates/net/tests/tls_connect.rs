//! TLS towards servers: every level against every kind of server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use common::{Pki, STARTUP_BODY, address, data, listen, started, startup, within};
use pgsplit_net::{
    AcceptError, AcceptLevel, ClientTls, ConnectError, ConnectLevel, ConnectTarget, ListenAddr, Listener,
    Opening, ServerTls, Stream, connect, negotiate,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(10);

/// A server that opens one connection with our own negotiation.
fn serve(tls: ServerTls) -> (SocketAddr, JoinHandle<Result<Opening, AcceptError>>) {
    let mut listener = listen();
    let address = address(&listener);
    let task = tokio::spawn(async move {
        let stream = listener.accept().await.unwrap();
        negotiate(stream, &tls).await
    });
    (address, task)
}

/// A server that reads an SSLRequest, answers with these bytes and waits for the client to leave.
async fn answering(answer: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_exact(&mut [0; 8]).await.unwrap();
        socket.write_all(answer).await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    (address, task)
}

async fn reach(address: SocketAddr, host: &str, tls: &ClientTls) -> Result<Stream, ConnectError> {
    connect(ConnectTarget::Tcp { addresses: &[address], host }, tls, LIMIT).await
}

/// Connects, and if that works sends a StartupMessage and tells whether it came through TLS.
async fn attempt(server: ServerTls, host: &str, tls: &ClientTls) -> Result<bool, ConnectError> {
    let (address, task) = serve(server);
    let result = reach(address, host, tls).await;
    if let Ok(mut stream) = result {
        stream.write_all(&startup()).await.unwrap();
        let (accepted, bytes, _) = started(task.await.unwrap());
        assert_eq!(bytes, STARTUP_BODY);
        assert_eq!(stream.is_tls(), accepted.is_tls());
        assert_eq!(stream.tls_server_end_point(), accepted.tls_server_end_point());
        return Ok(stream.is_tls());
    }
    assert!(task.await.unwrap().is_err());
    result.map(|_| true)
}

/// What is expected of an attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expect {
    Plain,
    Encrypted,
    Unencrypted,
    Tls,
}

fn classify(result: &Result<bool, ConnectError>) -> Expect {
    match result {
        Ok(false) => Expect::Plain,
        Ok(true) => Expect::Encrypted,
        Err(ConnectError::Unencrypted(_)) => Expect::Unencrypted,
        Err(ConnectError::Tls(_)) => Expect::Tls,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_level_against_every_server() {
    use ConnectLevel::*;
    let (pki, stranger) = (Pki::new(), Pki::new());
    let old = pki.issue("expired", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let expired = ServerTls::load(AcceptLevel::Prefer, Some(&old.certificate), Some(&old.key), None).unwrap();
    let good = pki.server(AcceptLevel::Prefer, false);
    let foreign = stranger.server(AcceptLevel::Prefer, false);
    let (certificate, key) = (data("version1.pem"), data("version1.key"));
    let version1 = ServerTls::load(AcceptLevel::Prefer, Some(&certificate), Some(&key), None).unwrap();
    for (server, host, expected) in [
        (
            ServerTls::disabled(),
            "localhost",
            [Expect::Plain, Expect::Plain, Expect::Unencrypted, Expect::Unencrypted, Expect::Unencrypted],
        ),
        (
            good.clone(),
            "localhost",
            [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Encrypted, Expect::Encrypted],
        ),
        (
            good.clone(),
            "elsewhere.example",
            [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Encrypted, Expect::Tls],
        ),
        (
            good,
            "127.0.0.1",
            [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Encrypted, Expect::Tls],
        ),
        (
            foreign,
            "localhost",
            [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Tls, Expect::Tls],
        ),
        (expired, "expired", [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Tls, Expect::Tls]),
        (
            version1,
            "version1",
            [Expect::Plain, Expect::Encrypted, Expect::Encrypted, Expect::Tls, Expect::Tls],
        ),
    ] {
        for (level, expected) in [Disable, Prefer, Require, VerifyCa, VerifyFull].into_iter().zip(expected) {
            let result = within(attempt(server.clone(), host, &pki.client(level, None))).await;
            assert_eq!(classify(&result), expected, "{level:?} to {host}: {result:?}");
        }
    }
}

/// TLS 1.2 has a signature check of its own.
#[tokio::test]
async fn levels_over_tls_1_2() {
    let pki = Pki::new();
    let server = pki.issue("localhost", |_| {});
    for level in [ConnectLevel::Require, ConnectLevel::VerifyCa, ConnectLevel::VerifyFull] {
        within(async {
            let tls =
                ServerTls::load(AcceptLevel::Prefer, Some(&server.certificate), Some(&server.key), None);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let client = pki.client(level, None);
            let connecting = tokio::spawn(async move { reach(address, "localhost", &client).await });
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_exact(&mut [0; 8]).await.unwrap();
            socket.write_all(b"S").await.unwrap();
            let _accepted = tls_1_2(&tls.unwrap()).accept(socket).await.unwrap();
            let stream = connecting.await.unwrap().unwrap();
            assert_eq!(stream.tls_info().unwrap().version, "TLSv1.2");
            assert_eq!(stream.tls_server_end_point().unwrap().len(), 32);
        })
        .await;
    }
}

/// The settings of `tls`, but for TLS 1.2 only.
fn tls_1_2(tls: &ServerTls) -> tokio_rustls::TlsAcceptor {
    let resolver = tls.config().unwrap().cert_resolver.clone();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    std::sync::Arc::new(config).into()
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    within(async {
        let pki = Pki::new();
        let own = pki.issue("pgsplit", |_| {});
        let (address, task) = serve(pki.server(AcceptLevel::VerifyFull, true));
        let tls = pki.client(ConnectLevel::VerifyFull, Some(&own));
        let mut stream = reach(address, "localhost", &tls).await.unwrap();
        stream.write_all(&startup()).await.unwrap();
        let (accepted, ..) = started(task.await.unwrap());
        assert_eq!(accepted.tls_info().unwrap().peer_common_name.as_deref(), Some("pgsplit"));
        assert_eq!(stream.tls_info().unwrap().peer_common_name.as_deref(), Some("localhost"));
    })
    .await;
}

#[tokio::test]
async fn other_answers_than_yes_or_no_fail() {
    let pki = Pki::new();
    let tls = pki.client(ConnectLevel::Prefer, None);
    for answer in [&b"E\0\0\0\x08FATAL"[..], b"H", b"\0"] {
        within(async {
            let (address, task) = answering(answer).await;
            let error = reach(address, "localhost", &tls).await.unwrap_err();
            match answer[0] {
                b'E' => assert!(matches!(error, ConnectError::ServerError)),
                _ => assert!(matches!(error, ConnectError::Protocol(_))),
            }
            task.await.unwrap();
        })
        .await;
    }
}

/// In one segment with the answer: whoever injects it hopes that it is read as if it had come through TLS.
#[tokio::test]
async fn plaintext_after_the_answer_is_refused() {
    within(async {
        let tls = Pki::new().client(ConnectLevel::Require, None);
        let (address, task) = answering(b"SR\0\0\0\x08\0\0\0\0").await;
        let error = reach(address, "localhost", &tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Protocol("received unencrypted data after SSL response")));
        task.await.unwrap();
    })
    .await;
}

/// Whatever a server says, connecting ends in some outcome: no panic, no wait after the server is done.
#[tokio::test]
async fn random_answers_always_end() {
    let pki = Pki::new();
    let mut random = StdRng::seed_from_u64(11);
    for round in 0..300 {
        let mut answer = if round % 4 == 0 { Vec::new() } else { vec![b'S'] };
        // A TLS record header now and then, to come a little further.
        answer.extend_from_slice(if round % 3 == 0 { &[0x16, 3, 3, 0, 40] } else { &[] });
        let length = random.random_range(1..400);
        let (first, rest) = (answer.first().copied(), (0..length).map(|_| random.random::<u8>()));
        answer.extend(rest);
        let tls = pki.client(ConnectLevel::Require, None);
        within(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let task = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.read_exact(&mut [0; 8]).await.unwrap();
                // A byte alone first, so that what follows belongs to the handshake. The client may be gone
                // by then.
                let _ = socket.write_all(&answer[..1]).await;
                if first == Some(b'S') {
                    let _ = socket.read(&mut [0; 1024]).await;
                }
                let _ = socket.write_all(&answer[1..]).await;
            });
            assert!(reach(address, "localhost", &tls).await.is_err());
            task.await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_an_error() {
    within(async {
        let tls = Pki::new().client(ConnectLevel::Prefer, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_exact(&mut [0; 8]).await.unwrap();
        });
        match reach(address, "localhost", &tls).await.unwrap_err() {
            ConnectError::Io(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
            other => panic!("{other:?}"),
        }
        task.await.unwrap();
    })
    .await;
}

/// One that accepts and is silent uses up its share of the time, and the next address is tried.
#[tokio::test]
async fn a_silent_address_does_not_use_up_all_the_time() {
    within(async {
        let tls = Pki::new().client(ConnectLevel::Prefer, None);
        let silent = listen();
        let refusing = {
            let listener = listen();
            address(&listener)
        };
        let (good, task) = serve(ServerTls::disabled());
        let addresses = [refusing, address(&silent), good];
        let target = ConnectTarget::Tcp { addresses: &addresses, host: "localhost" };
        let mut stream = connect(target, &tls, Duration::from_secs(2)).await.unwrap();
        assert_eq!(stream.peer().to_string(), good.to_string());
        stream.write_all(&startup()).await.unwrap();
        started(task.await.unwrap());

        let addresses = [address(&silent)];
        let target = ConnectTarget::Tcp { addresses: &addresses, host: "localhost" };
        let error = connect(target, &tls, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Timeout));
    })
    .await;
}

#[tokio::test]
async fn no_address_is_an_error() {
    let target = ConnectTarget::Tcp { addresses: &[], host: "localhost" };
    let result = within(connect(target, &ClientTls::disabled(), LIMIT)).await;
    assert!(matches!(result, Err(ConnectError::NoAddress)));
}

#[tokio::test]
async fn a_name_that_no_certificate_bears_matters_only_to_verify_full() {
    let pki = Pki::new();
    for (level, served) in [(ConnectLevel::VerifyCa, true), (ConnectLevel::VerifyFull, false)] {
        let server = pki.server(AcceptLevel::Prefer, false);
        let result = within(attempt(server, "no name at all", &pki.client(level, None))).await;
        assert_eq!(result.is_ok(), served, "{result:?}");
    }
}

#[tokio::test]
async fn unix_sockets_are_reached_without_tls() {
    within(async {
        let pki = Pki::new();
        let address = ListenAddr::Unix { directory: pki.dir.path().to_owned(), port: 5432 };
        let mut listener = Listener::bind(&address, false).unwrap();
        let path = address.path().unwrap();
        let tls = pki.client(ConnectLevel::VerifyFull, None);
        let (accepted, stream) =
            tokio::join!(listener.accept(), connect(ConnectTarget::Unix(&path), &tls, LIMIT));
        assert!(accepted.unwrap().is_unix() && stream.unwrap().is_unix());
        drop(listener);
        let error = connect(ConnectTarget::Unix(&path), &tls, LIMIT).await.unwrap_err();
        assert!(matches!(error, ConnectError::Io(error) if error.kind() == ErrorKind::NotFound));
    })
    .await;
}

#[test]
fn files_that_do_not_fit_are_named() {
    let pki = Pki::new();
    let (one, other) = (pki.issue("one", |_| {}), pki.issue("other", |_| {}));
    let (certificate, key) = (one.certificate.as_path(), one.key.as_path());
    let absent = pki.dir.path().join("absent.pem");
    let load = |ca, certificate, key| ClientTls::load(ConnectLevel::VerifyCa, ca, certificate, key);
    for (result, named) in [
        (load(Some(&absent), None, None), "absent.pem"),
        (load(Some(key), None, None), "one.key: no certificate"),
        (load(Some(&pki.ca), Some(certificate), Some(&other.key)), "other.key"),
        (load(Some(&pki.ca), Some(certificate), None), "private key"),
        (load(Some(&pki.ca), None, Some(key)), "certificate"),
    ] {
        let error = result.expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
}
