//! TLS towards clients: levels, early plaintext, direct TLS, client certificates, channel binding.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail")]

mod common;

use std::sync::Arc;

use common::{Door, GSSENC_REQUEST, Pki, SSL_REQUEST, STARTUP_BODY, data, packet, started, startup, within};
use pgsplit_net::{AcceptError, AcceptLevel, ConnectLevel, Opening, ServerTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn handshake(socket: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), socket).await
}

/// SSLRequest, 'S', handshake, StartupMessage; and what came of it on the other side.
async fn session(tls: &ServerTls, config: Arc<ClientConfig>) -> Result<Opening, AcceptError> {
    let mut door = Door::open(tls).await;
    door.client.write_all(&SSL_REQUEST).await.unwrap();
    assert_eq!(door.answer().await, b'S');
    if let Ok(mut client) = handshake(door.client, config).await {
        // Where the client's certificate is refused, the client learns so only after its own part of the
        // handshake.
        let _ = client.write_all(&startup()).await;
        let outcome = door.opening.await.unwrap();
        drop(client);
        return outcome;
    }
    door.opening.await.unwrap()
}

fn plain_client(pki: &Pki) -> Arc<ClientConfig> {
    pki.client(ConnectLevel::VerifyFull, None).config().unwrap()
}

fn with_alpn(pki: &Pki, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = (*plain_client(pki)).clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

#[tokio::test]
async fn a_session_over_tls() {
    within(async {
        let pki = Pki::new();
        let tls = pki.server(AcceptLevel::Prefer, false);
        let (stream, bytes, direct_tls) = started(session(&tls, plain_client(&pki)).await);
        assert_eq!((bytes.as_slice(), direct_tls, stream.is_tls()), (STARTUP_BODY, false, true));
        let info = stream.tls_info().unwrap();
        assert_eq!((info.version, info.sni.as_deref()), ("TLSv1.3", Some("localhost")));
        assert_eq!(info.alpn.as_deref(), Some(&b"postgresql"[..]));
        assert_eq!(info.peer_common_name, None);
    })
    .await;
}

#[tokio::test]
async fn a_client_without_alpn_is_served_after_a_request() {
    within(async {
        let pki = Pki::new();
        let tls = pki.server(AcceptLevel::Prefer, false);
        let (stream, ..) = started(session(&tls, with_alpn(&pki, &[])).await);
        assert_eq!(stream.tls_info().unwrap().alpn, None);
    })
    .await;
}

#[tokio::test]
async fn both_ends_agree_on_the_channel_binding() {
    within(async {
        let pki = Pki::new();
        let tls = pki.server(AcceptLevel::Prefer, false);
        let (stream, ..) = started(session(&tls, plain_client(&pki)).await);
        let pem = std::fs::read(pki.dir.path().join("localhost.crt")).unwrap();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        let der: rustls::pki_types::CertificateDer<'_> = der;
        assert_eq!(stream.tls_server_end_point().unwrap()[..], Sha256::digest(&der)[..]);
    })
    .await;
}

#[tokio::test]
async fn early_plaintext_is_refused() {
    for early in [&startup()[..], b"x", &[0x16, 3, 1, 0]] {
        within(async {
            let pki = Pki::new();
            let mut door = Door::open(&pki.server(AcceptLevel::Prefer, false)).await;
            door.client.write_all(&[&SSL_REQUEST[..], early].concat()).await.unwrap();
            let (sqlstate, message) = door.refusal().await;
            assert_eq!(
                (sqlstate, message.as_str()),
                ("08P01", "received unencrypted data after SSL request")
            );
        })
        .await;
    }
}

/// Injected before the client's handshake, but after our answer: TLS itself chokes on it.
#[tokio::test]
async fn late_plaintext_ends_in_a_failed_handshake() {
    within(async {
        let pki = Pki::new();
        let mut door = Door::open(&pki.server(AcceptLevel::Prefer, false)).await;
        door.client.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(door.answer().await, b'S');
        door.client.write_all(&startup()).await.unwrap();
        assert!(matches!(door.outcome().await, Err(AcceptError::Tls(_))));
    })
    .await;
}

#[tokio::test]
async fn gss_may_be_asked_for_before_tls_but_not_within() {
    within(async {
        let pki = Pki::new();
        let mut door = Door::open(&pki.server(AcceptLevel::Prefer, false)).await;
        door.client.write_all(&GSSENC_REQUEST).await.unwrap();
        assert_eq!(door.answer().await, b'N');
        door.client.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(door.answer().await, b'S');
        let mut client = handshake(door.client, plain_client(&pki)).await.unwrap();
        client.write_all(&startup()).await.unwrap();
        assert!(started(door.opening.await.unwrap()).0.is_tls());
    })
    .await;
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        within(async {
            let pki = Pki::new();
            let mut door = Door::open(&pki.server(AcceptLevel::Prefer, false)).await;
            door.client.write_all(&SSL_REQUEST).await.unwrap();
            assert_eq!(door.answer().await, b'S');
            let mut client = handshake(door.client, plain_client(&pki)).await.unwrap();
            client.write_all(&request).await.unwrap();
            match door.opening.await.unwrap() {
                Err(error) => assert_eq!(error.sqlstate(), Some("0A000")),
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn direct_tls_needs_the_protocols_name() {
    let pki = Pki::new();
    for (protocols, served) in [
        (&[&b"postgresql"[..]][..], true),
        (&[b"http/1.1", b"postgresql"], true),
        (&[], false),
        (&[b"http/1.1"], false),
    ] {
        within(async {
            let Door { client, opening } = Door::open(&pki.server(AcceptLevel::Require, false)).await;
            if let Ok(mut client) = handshake(client, with_alpn(&pki, protocols)).await {
                let _ = client.write_all(&startup()).await;
                match opening.await.unwrap() {
                    Err(AcceptError::Refused(mut refusal)) => {
                        assert!(!served && protocols.is_empty());
                        assert_eq!(refusal.sqlstate, "08P01");
                        // The connection is there to say so.
                        refusal.stream.write_all(b"E").await.unwrap();
                        assert_eq!(client.read_u8().await.unwrap(), b'E');
                    }
                    other => {
                        let (stream, bytes, direct_tls) = started(other);
                        assert!(served && direct_tls && stream.is_tls());
                        assert_eq!(bytes, STARTUP_BODY);
                    }
                }
            } else {
                assert!(!served && !protocols.is_empty());
                assert!(matches!(opening.await.unwrap(), Err(AcceptError::Tls(_))));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn direct_tls_is_closed_where_there_is_none() {
    within(async {
        let pki = Pki::new();
        let Door { client, opening } = Door::open(&ServerTls::disabled()).await;
        let failed = handshake(client, plain_client(&pki)).await.is_err();
        assert!(failed && matches!(opening.await.unwrap(), Err(AcceptError::Tls(_))));
    })
    .await;
}

#[tokio::test]
async fn plaintext_is_refused_where_tls_is_required() {
    let pki = Pki::new();
    for (level, refused) in
        [(AcceptLevel::Prefer, false), (AcceptLevel::Require, true), (AcceptLevel::VerifyFull, true)]
    {
        within(async {
            let tls = pki.server(level, true);
            let mut door = Door::open(&tls).await;
            door.client.write_all(&startup()).await.unwrap();
            match door.outcome().await {
                Err(AcceptError::Refused(refusal)) => {
                    assert!(refused, "{level:?}");
                    assert_eq!(refusal.sqlstate, "28000");
                    assert_eq!(refusal.message, "connection from host \"127.0.0.1\" refused: no encryption");
                }
                other => assert!(!refused && !started(other).0.is_tls()),
            }
            // libpq cancels without TLS, so that this is served at every level.
            let mut door = Door::open(&tls).await;
            let body = [0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 42, 1, 2, 3, 4];
            door.client.write_all(&packet(&body)).await.unwrap();
            assert!(matches!(door.outcome().await, Ok(Opening::Cancel { .. })));
        })
        .await;
    }
}

#[tokio::test]
async fn client_certificates() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let good = pki.issue("alice", |_| {});
    let foreign = stranger.issue("alice", |_| {});
    let old = pki.issue("expired", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    for (level, shown, name) in [
        (AcceptLevel::VerifyFull, Some(&good), Some(Some("alice"))),
        (AcceptLevel::VerifyFull, Some(&foreign), None),
        (AcceptLevel::VerifyFull, Some(&old), None),
        (AcceptLevel::VerifyFull, None, None),
        (AcceptLevel::Require, Some(&good), Some(Some("alice"))),
        (AcceptLevel::Require, Some(&old), None),
        (AcceptLevel::Require, None, Some(None)),
        (AcceptLevel::Prefer, None, Some(None)),
    ] {
        within(async {
            let config = pki.client(ConnectLevel::VerifyFull, shown).config().unwrap();
            let outcome = session(&pki.server(level, true), config).await;
            match name {
                None => assert!(matches!(outcome, Err(AcceptError::Tls(_))), "{level:?}: {outcome:?}"),
                Some(name) => {
                    let (stream, ..) = started(outcome);
                    assert_eq!(stream.tls_info().unwrap().peer_common_name.as_deref(), name);
                    assert_eq!(stream.peer_certificate().is_some(), name.is_some());
                }
            }
        })
        .await;
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let pki = Pki::new();
    let (one, other) = (pki.issue("one", |_| {}), pki.issue("other", |_| {}));
    let load = |certificate, key, ca| ServerTls::load(AcceptLevel::Require, certificate, key, ca);
    let (certificate, key) = (Some(one.certificate.as_path()), Some(one.key.as_path()));
    assert!(load(certificate, key, None).is_ok());
    let absent = pki.dir.path().join("absent.pem");
    for (result, named) in [
        (load(Some(&absent), key, None), "absent.pem"),
        (load(certificate, Some(&absent), None), "absent.pem"),
        (load(certificate, key, Some(&absent)), "absent.pem"),
        (load(key, key, None), "one.key: no certificate"),
        (load(certificate, certificate, None), "one.crt"),
        (load(certificate, Some(&other.key), None), "other.key"),
        (load(certificate, None, None), "`key`"),
        (load(None, key, None), "`cert`"),
        (ServerTls::load(AcceptLevel::VerifyFull, certificate, key, None), "`ca`"),
    ] {
        let error = result.expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn prefer_without_a_certificate_is_disable() {
    let tls = ServerTls::load(AcceptLevel::Prefer, None, None, None).unwrap();
    assert_eq!((tls.level(), tls.config().is_none()), (AcceptLevel::Disable, true));
}

/// A certificate of version 1 is served too, as PostgreSQL does.
#[tokio::test]
async fn a_certificate_of_version_1_is_served() {
    within(async {
        let (certificate, key) = (data("version1.pem"), data("version1.key"));
        let tls = ServerTls::load(AcceptLevel::Require, Some(&certificate), Some(&key), None).unwrap();
        let config = Pki::new().client(ConnectLevel::Require, None).config().unwrap();
        let (stream, ..) = started(session(&tls, config).await);
        assert_eq!(stream.tls_server_end_point().unwrap()[..4], [0x3c, 0xa7, 0xe3, 0x82]);
    })
    .await;
}
