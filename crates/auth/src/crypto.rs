//! The primitives of SCRAM-SHA-256 (RFC 5802, section 3; RFC 7677), and PostgreSQL's view of a password.

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::Error;

/// A SHA-256 digest, key or signature.
pub(crate) type Digest32 = [u8; 32];

/// PostgreSQL's default, and ours for new verifiers.
pub(crate) const DEFAULT_ITERATIONS: u32 = 4096;

/// Most PBKDF2 rounds that are computed for a server: a quarter of a second, and a hostile one may ask for 2^31.
pub(crate) const MAX_ITERATIONS: u32 = 1_000_000;

/// HMAC-SHA-256 over the concatenated parts.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest32 {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// SHA-256 over the concatenated parts.
pub(crate) fn sha256(parts: &[&[u8]]) -> Digest32 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// PBKDF2 with one block, RFC 5802's `Hi`. About 0.25 µs a round.
pub(crate) fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Digest32 {
    let key = keyed(password);
    let round = |input: &[&[u8]]| -> Digest32 {
        let mut mac = key.clone();
        input.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last = round(&[salt, &1_u32.to_be_bytes()]);
    let mut result = last;
    for _ in 1..iterations {
        last = round(&[&last]);
        result = xor(&result, &last);
    }
    result
}

/// Byte by byte.
pub(crate) fn xor(left: &Digest32, right: &Digest32) -> Digest32 {
    let mut result = *left;
    for (byte, other) in result.iter_mut().zip(right) {
        *byte ^= other;
    }
    result
}

/// Fresh bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// What PostgreSQL hashes (`pg_saslprep` in src/common/saslprep.c): the SASLprep form, or the raw bytes when
/// there is none: not UTF-8, prohibited characters, or nothing left.
pub(crate) fn normalised(password: &[u8]) -> Cow<'_, [u8]> {
    let prepared = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        Some(Cow::Owned(text)) if !text.is_empty() => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(password),
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104, section 2), so the fallback is never used.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_as_postgresql_sees_them() {
        for (password, expected) in [
            ("pencil", &b"pencil"[..]),
            ("a b", b"a b"),
            ("I\u{AD}X", b"IX"),
            ("a\u{A0}b", b"a b"),
            ("\u{2168}", b"IX"),
            ("\u{AA}", b"a"),
            // Prohibited, or nothing left of it: raw.
            ("\u{7}", b"\x07"),
            ("\u{AD}", "\u{AD}".as_bytes()),
            ("\u{627}1", "\u{627}1".as_bytes()),
            ("x\u{E000}", "x\u{E000}".as_bytes()),
        ] {
            assert_eq!(normalised(password.as_bytes()), expected, "{password:?}");
        }
        assert_eq!(normalised(b"\xff\xfe"), &b"\xff\xfe"[..]);
        assert_eq!(normalised(b""), &b""[..]);
    }
}
