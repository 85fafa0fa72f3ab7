//! Our server against postgres-protocol's client, with and without channel binding.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use pgsplit_auth::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS, Server};
use pgsplit_auth::{Error, Secret, Verifier};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

fn login(verifier: &Verifier, password: &[u8], binding: Option<&[u8]>) -> Result<(), Error> {
    let (mechanism, theirs) = match binding {
        Some(hash) => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash.to_vec())),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    let mut client = ScramSha256::new(password, theirs);
    let mut server = Server::new(verifier.clone(), binding);
    let challenge = server.client_first(mechanism, client.message())?;
    assert!(client.update(&challenge).is_ok(), "the client takes our challenge");
    let (last, keys) = server.client_final(client.message())?;
    assert!(client.finish(&last).is_ok(), "the client believes our signature");
    assert_eq!(keys.salt.len(), 16);
    Ok(())
}

#[test]
fn right_and_wrong_passwords() {
    for password in
        ["pencil", "", "with blanks", "I\u{AD}X", "\u{AD}", "p\u{e4}ssw\u{f6}rd", "\u{7}", "\u{2168}"]
    {
        let verifier = Verifier::from_password(&Secret::new(password)).unwrap();
        for binding in [None, Some(&b"hash of a certificate"[..])] {
            // A password that is only a soft hyphen is empty after SASLprep; PostgreSQL then takes it as it is,
            // this client takes the empty one.
            if password != "\u{AD}" {
                assert_eq!(login(&verifier, password.as_bytes(), binding), Ok(()), "{password:?}");
            }
            assert_eq!(login(&verifier, b"another", binding), Err(Error::WrongPassword), "{password:?}");
        }
    }
}

#[test]
fn passwords_that_are_not_utf_8() {
    let verifier = Verifier::from_password(&Secret::new(b"\xff\xfe")).unwrap();
    assert_eq!(login(&verifier, b"\xff\xfe", None), Ok(()));
}
