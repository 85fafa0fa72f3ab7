//! Hostile bytes at every step: an error or an answer, never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use pgsplit_auth::scram::{Client, Credential, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, Server};
use pgsplit_auth::{InitialResponse, KeyCache, Keys, MockSecret, Secret, StoredPassword, mechanism_names};
use proptest::prelude::*;

/// Bytes that look like SCRAM more often than random ones do.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "n,,",
            "y,,",
            "p=tls-server-end-point,,",
            "n=",
            "r=",
            "a=",
            "m=",
            "c=",
            "c=biws",
            "s=",
            "i=",
            "v=",
            "e=",
            "p=",
            ",",
            "=",
            "4096",
            "abc",
            "c2FsdA==",
            "SCRAM-SHA-256",
            "SCRAM-SHA-256$",
            "$",
            ":",
            "md5",
            "\0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parsers(bytes in bytes()) {
        let _ = InitialResponse::parse(&bytes);
        prop_assert!(mechanism_names(&bytes).len() <= 16);
        let _ = StoredPassword::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn server(tls in any::<bool>(), plus in any::<bool>(), first in bytes(), last in bytes()) {
        let verifier = MockSecret::new().unwrap().verifier("nobody");
        let mut server = Server::new(verifier, tls.then_some(b"hash"));
        let mechanism = if plus { SCRAM_SHA_256_PLUS } else { SCRAM_SHA_256 };
        let _ = server.client_first(mechanism, &first);
        prop_assert!(server.client_final(&last).is_err());
    }

    #[test]
    fn server_with_a_right_beginning(last in bytes()) {
        let verifier = MockSecret::new().unwrap().verifier("nobody");
        let mut server = Server::new(verifier, None);
        let challenge = server.client_first(SCRAM_SHA_256, b"n,,n=,r=abc").unwrap();
        let nonce = challenge.split(|byte| *byte == b',').next().unwrap();
        prop_assert!(server.client_final(&[b"c=biws,", nonce, b",", &last].concat()).is_err());
    }

    #[test]
    fn client(first in bytes(), last in bytes(), right in any::<bool>()) {
        let keys = Keys::derive(&Secret::new("p"), b"salt", 1);
        let mut client = Client::new(Credential::Keys(keys), None);
        let (_, start) = client.start(&[SCRAM_SHA_256]).unwrap();
        let nonce = start.get(b"n,,n=,".len()..).unwrap();
        let challenge = if right { [nonce, b"xyz,s=c2FsdA==,i=1"].concat() } else { [nonce, &first].concat() };
        prop_assert_eq!(client.server_first(&challenge).is_ok(), right);
        prop_assert!(client.server_final(&last).is_err());
    }

    #[test]
    fn passwords(password in prop::collection::vec(any::<u8>(), 0..64)) {
        let cache = KeyCache::new(1);
        let keys = cache.keys("u", &Secret::new(&password), b"salt", 1);
        prop_assert_eq!(keys, Keys::derive(&Secret::new(&password), b"salt", 1));
    }
}
