//! The RFC's example, both sides against each other, and what each must refuse.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::{Error, KeyCache, MockSecret, Verifier};

const HASH: &[u8] = b"hash of a certificate";
const PLUS: &[&str] = &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
const PLAIN: &[&str] = &[SCRAM_SHA_256];

fn verifier(password: &str) -> Verifier {
    Verifier::derive(&Secret::new(password), b"sixteen byte salt", 10)
}

fn password(password: &str) -> Credential {
    let cache = Arc::new(KeyCache::new(8));
    Credential::Password { user: "u".to_owned(), password: Secret::new(password), cache }
}

/// A whole login; the result is the server's keys, with the client convinced too.
fn login(client: &mut Client, server: &mut Server) -> Result<Keys, Error> {
    let (mechanism, first) = client.start(server.mechanisms())?;
    let challenge = server.client_first(mechanism, &first)?;
    let (last, keys) = server.client_final(&client.server_first(&challenge)?)?;
    client.server_final(&last)?;
    assert!(client.is_verified());
    Ok(keys)
}

#[test]
fn the_example_of_rfc_7677() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let mut server = Server::new(Verifier::derive(&Secret::new("pencil"), &salt, 4096), None);
    let mut client = Client::new(password("pencil"), None);

    let (mechanism, first) = client.start_with(PLAIN, b"user", b"rOprNGfwEbeRWgbNEkqO".to_vec()).unwrap();
    assert_eq!((mechanism, &first[..]), (SCRAM_SHA_256, &b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"[..]));
    let challenge = server.client_first_with(mechanism, &first, b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&challenge),
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    let proof = client.server_first(&challenge).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&proof),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let (last, keys) = server.client_final(&proof).unwrap();
    assert_eq!(last, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_eq!(client.server_final(&last), Ok(()));
    assert_eq!(keys, Keys::derive(&Secret::new("pencil"), &salt, 4096));
}

#[test]
fn keys_from_a_login_log_in_without_the_password() {
    for binding in [None, Some(HASH)] {
        let mut front = Server::new(verifier("secret"), binding);
        let keys = login(&mut Client::new(password("secret"), binding), &mut front).unwrap();
        let mut back = Server::new(verifier("secret"), None);
        let again = login(&mut Client::new(Credential::Keys(keys.clone()), None), &mut back).unwrap();
        assert_eq!(again, keys);
    }
}

#[test]
fn keys_are_for_one_verifier_only() {
    let keys = Keys::derive(&Secret::new("secret"), b"sixteen byte salt", 10);
    for (salt, iterations) in [(&b"another salt"[..], 10), (b"sixteen byte salt", 11)] {
        let mut server = Server::new(Verifier::derive(&Secret::new("secret"), salt, iterations), None);
        let result = login(&mut Client::new(Credential::Keys(keys.clone()), None), &mut server);
        assert_eq!(result, Err(Error::DifferentVerifier));
    }
}

#[test]
fn wrong_passwords_and_unknown_users_are_the_same() {
    let mock = MockSecret::new().unwrap().verifier("nobody");
    for verifier in [verifier("right"), mock] {
        let mut server = Server::new(verifier, None);
        let error = login(&mut Client::new(password("wrong"), None), &mut server).unwrap_err();
        assert_eq!((error.sqlstate(), error), ("28P01", Error::WrongPassword));
    }
}

#[test]
fn a_mock_refuses_even_the_right_proof() {
    let mut server = Server::new(Verifier { mock: true, ..verifier("right") }, None);
    assert_eq!(login(&mut Client::new(password("right"), None), &mut server), Err(Error::WrongPassword));
}

#[test]
fn both_sides_must_see_the_same_certificate() {
    let mut server = Server::new(verifier("p"), Some(b"another certificate"));
    let error = login(&mut Client::new(password("p"), Some(HASH)), &mut server).unwrap_err();
    assert_eq!(error, Error::ChannelBinding("SCRAM channel binding check failed"));
    assert_eq!(error.sqlstate(), "28000");
}

#[test]
fn a_removed_offer_is_noticed() {
    let mut client = Client::new(password("p"), Some(HASH));
    let (mechanism, first) = client.start(PLAIN).unwrap();
    assert_eq!((mechanism, first.get(..3)), (SCRAM_SHA_256, Some(&b"y,,"[..])));
    let error = Server::new(verifier("p"), Some(HASH)).client_first(mechanism, &first).unwrap_err();
    assert_eq!(error.sqlstate(), "28000");
    // Where the server really has no channel binding, the same message is in order.
    let mut server = Server::new(verifier("p"), None);
    assert!(login(&mut Client::new(password("p"), Some(HASH)), &mut server).is_ok());
}

#[test]
fn mechanisms() {
    assert_eq!(Server::new(verifier("p"), None).mechanisms(), PLAIN);
    assert_eq!(Server::new(verifier("p"), Some(HASH)).mechanisms(), PLUS);
    let start =
        |binding, offered: &[&str]| Client::new(password("p"), binding).start(offered).map(|(name, _)| name);
    assert_eq!(start(Some(HASH), PLUS), Ok(SCRAM_SHA_256_PLUS));
    assert_eq!(start(None, PLUS), Ok(SCRAM_SHA_256));
    for offered in [&[][..], &["md5"], &[SCRAM_SHA_256_PLUS]] {
        assert_eq!(start(None, offered), Err(Error::NoMechanism));
    }
}

#[test]
fn first_messages_that_the_server_refuses() {
    let (malformed, unsupported, binding) = ("08P01", "0A000", "28000");
    for (mechanism, tls, message, sqlstate) in [
        ("MD5", false, "n,,n=,r=abc", malformed),
        (SCRAM_SHA_256_PLUS, false, "p=tls-server-end-point,,n=,r=abc", malformed),
        (SCRAM_SHA_256_PLUS, true, "n,,n=,r=abc", malformed),
        (SCRAM_SHA_256_PLUS, true, "y,,n=,r=abc", malformed),
        (SCRAM_SHA_256_PLUS, true, "p=tls-unique,,n=,r=abc", malformed),
        (SCRAM_SHA_256, true, "y,,n=,r=abc", binding),
        (SCRAM_SHA_256, true, "p=tls-server-end-point,,n=,r=abc", malformed),
        (SCRAM_SHA_256, false, "", malformed),
        (SCRAM_SHA_256, false, "n", malformed),
        (SCRAM_SHA_256, false, "x,,n=,r=abc", malformed),
        (SCRAM_SHA_256, false, "nn,,n=,r=abc", malformed),
        (SCRAM_SHA_256, false, "n,a=me,n=,r=abc", unsupported),
        (SCRAM_SHA_256, false, "n,b,n=,r=abc", malformed),
        (SCRAM_SHA_256, false, "n,,m=x,n=,r=abc", unsupported),
        (SCRAM_SHA_256, false, "n,,r=abc", malformed),
        (SCRAM_SHA_256, false, "n,,n=", malformed),
        (SCRAM_SHA_256, false, "n,,n=,r=", malformed),
        (SCRAM_SHA_256, false, "n,,n=,r=a c", malformed),
        (SCRAM_SHA_256, false, "n,,n=,r=a\u{e9}", malformed),
        (SCRAM_SHA_256, false, "n,,n=,r=abc\0", malformed),
        (SCRAM_SHA_256, false, "n,,n=,r=abc,5=x", malformed),
    ] {
        let mut server = Server::new(verifier("p"), tls.then_some(HASH));
        let error = server.client_first(mechanism, message.as_bytes()).unwrap_err();
        assert_eq!(error.sqlstate(), sqlstate, "{message}: {error}");
    }
    let mut server = Server::new(verifier("p"), None);
    assert!(server.client_first(SCRAM_SHA_256, b"n,,n=whoever,r=abc,x=extension").is_ok());
}

#[test]
fn final_messages_that_the_server_refuses() {
    let proof = STANDARD.encode([7; 32]);
    for (message, error) in [
        (format!("c=biws,r=NONCE,p={proof}"), Error::WrongPassword),
        (format!("c=biws,r=NONCE,x=y,p={proof}"), Error::WrongPassword),
        (format!("c=biws,r=abc,p={proof}"), Error::Malformed("the nonce does not match")),
        (
            format!("c=eSws,r=NONCE,p={proof}"),
            Error::Malformed("unexpected SCRAM channel-binding attribute in client-final-message"),
        ),
        (format!("r=NONCE,c=biws,p={proof}"), Error::Malformed("not the attribute that is due")),
        ("c=biws,r=NONCE".to_owned(), Error::Malformed("an attribute is missing")),
        ("c=biws,r=NONCE,p=".to_owned(), Error::Malformed("malformed proof in client-final-message")),
        ("c=biws,r=NONCE,p=AAAA".to_owned(), Error::Malformed("malformed proof in client-final-message")),
        (
            format!("c=biws,r=NONCE,p={proof},x=y"),
            Error::Malformed("garbage at the end of client-final-message"),
        ),
        (String::new(), Error::Malformed("empty message")),
    ] {
        let mut server = Server::new(verifier("p"), None);
        server.client_first_with(SCRAM_SHA_256, b"n,,n=,r=abc", b"xyz").unwrap();
        let message = message.replace("NONCE", "abcxyz");
        assert_eq!(server.client_final(message.as_bytes()).map(|_| ()), Err(error), "{message}");
    }
}

#[test]
fn challenges_that_the_client_refuses() {
    for (message, why) in [
        ("r=abc,s=c2FsdA==,i=10", "the server's nonce does not begin with the client's"),
        ("r=abx,s=c2FsdA==,i=10", "the server's nonce does not begin with the client's"),
        ("r=abcx y,s=c2FsdA==,i=10", "the server's nonce does not begin with the client's"),
        ("m=x,r=abcxyz,s=c2FsdA==,i=10", "the server requires an unsupported SCRAM extension"),
        ("r=abcxyz,s=*,i=10", "malformed salt"),
        ("r=abcxyz,s=,i=10", "malformed server-first-message"),
        ("r=abcxyz,s=c2FsdA==,i=0", "malformed iteration count"),
        ("r=abcxyz,s=c2FsdA==,i=ten", "malformed iteration count"),
        ("r=abcxyz,s=c2FsdA==,i=99999999999", "malformed iteration count"),
        ("r=abcxyz,s=c2FsdA==,i=10,x=y", "malformed server-first-message"),
        ("r=abcxyz,s=c2FsdA==", "an attribute is missing"),
    ] {
        let mut client = Client::new(password("p"), None);
        client.start_with(PLAIN, b"", b"abc".to_vec()).unwrap();
        assert_eq!(client.server_first(message.as_bytes()), Err(Error::Malformed(why)), "{message}");
    }
    let mut client = Client::new(password("p"), None);
    client.start_with(PLAIN, b"", b"abc".to_vec()).unwrap();
    let costly = client.server_first(b"r=abcxyz,s=c2FsdA==,i=2000000000");
    assert_eq!(costly, Err(Error::TooManyIterations(2_000_000_000)));
}

#[test]
fn the_client_believes_only_the_right_signature() {
    let wrong = format!("v={}", STANDARD.encode([7; 32]));
    for (message, error) in [
        (wrong.as_str(), Error::ServerSignature),
        ("v=AAAA", Error::ServerSignature),
        ("v=*", Error::Malformed("malformed signature")),
        ("e=invalid-proof", Error::RefusedByServer("invalid-proof".to_owned())),
        ("x=y", Error::Malformed("server-final-message without a signature")),
    ] {
        let mut client = Client::new(password("p"), None);
        client.start_with(PLAIN, b"", b"abc".to_vec()).unwrap();
        client.server_first(b"r=abcxyz,s=c2FsdA==,i=10").unwrap();
        assert_eq!(client.server_final(message.as_bytes()), Err(error));
        assert!(!client.is_verified());
    }
}

#[test]
fn steps_come_once_and_in_order() {
    let mut server = Server::new(verifier("p"), None);
    assert_eq!(server.client_final(b"c=biws").map(|_| ()), Err(Error::OutOfOrder));
    let mut server = Server::new(verifier("p"), None);
    server.client_first(SCRAM_SHA_256, b"n,,n=,r=abc").unwrap();
    assert_eq!(server.client_first(SCRAM_SHA_256, b"n,,n=,r=abc"), Err(Error::OutOfOrder));

    let mut client = Client::new(password("p"), None);
    assert_eq!(client.server_first(b"r=x"), Err(Error::OutOfOrder));
    assert_eq!(client.server_final(b"v=x"), Err(Error::OutOfOrder));
    assert!(!client.is_verified());
}

#[test]
fn secrets_do_not_show() {
    let keys = Keys::derive(&Secret::new("secret"), b"salt", 1);
    let shown = format!("{:?} {:?} {:?}", Secret::new("secret"), keys, password("secret"));
    assert!(!shown.contains("secret\"") && !shown.contains("115, 101"), "{shown}");
    assert_eq!(format!("{keys:?}"), "Keys { iterations: 1, .. }");
}
