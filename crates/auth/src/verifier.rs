//! What PostgreSQL stores instead of a password (`rolpassword` in `pg_authid`).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::crypto::{DEFAULT_ITERATIONS, Digest32, hmac, normalised, random, salted_password, sha256};
use crate::scram::{CLIENT_KEY, SERVER_KEY};
use crate::{Error, Secret};

const PREFIX: &str = "SCRAM-SHA-256$";
const LONGEST_SALT: usize = 1024;

/// What is needed to check a SCRAM proof: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
///
/// A ServerKey lets its holder pose as the server, so `Debug` shows neither key.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) stored_key: Digest32,
    pub(crate) server_key: Digest32,
    /// Belongs to no user: no proof is right.
    pub(crate) mock: bool,
}

impl Verifier {
    /// A new verifier with a random salt and 4096 iterations. Costs about a millisecond.
    pub fn from_password(password: &Secret) -> Result<Self, Error> {
        Ok(Self::derive(password, &random::<16>()?, DEFAULT_ITERATIONS))
    }

    /// The verifier of a password with a known salt.
    pub(crate) fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&normalised(password.expose()), salt, iterations);
        Self {
            iterations,
            salt: salt.into(),
            stored_key: sha256(&[&hmac(&salted, &[CLIENT_KEY])]),
            server_key: hmac(&salted, &[SERVER_KEY]),
            mock: false,
        }
    }

    /// Reads PostgreSQL's text form.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_parts(text).ok_or(Error::BadVerifier)
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let (derivation, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = derivation.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse::<i32>().ok().and_then(|count| u32::try_from(count).ok())?;
        let salt = STANDARD.decode(salt).ok()?;
        if iterations == 0 || salt.is_empty() || salt.len() > LONGEST_SALT {
            return None;
        }
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        let (stored_key, server_key) = (key(stored_key)?, key(server_key)?);
        Some(Self { iterations, salt: salt.into(), stored_key, server_key, mock: false })
    }

    /// PostgreSQL's text form, which is a secret.
    pub fn to_text(&self) -> Secret {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        Secret::new(format!("{PREFIX}{}:{salt}${stored}:{server}", self.iterations))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A stored password of any kind, as in `pg_authid` or a users file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredPassword {
    /// What is wanted.
    Scram(Verifier),
    /// An md5 hash, which is refused by name.
    Md5,
    /// A password itself, as a users file may have it.
    Plain(Secret),
}

impl StoredPassword {
    /// Tells the kinds apart as PostgreSQL does (`get_password_type` in src/backend/libpq/crypt.c), but for
    /// a broken verifier, which is an error here and not somebody's odd password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with(PREFIX) {
            return Verifier::parse(text).map(Self::Scram);
        }
        let hash = text.strip_prefix("md5");
        if hash.is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return Ok(Self::Md5);
        }
        Ok(Self::Plain(Secret::new(text)))
    }

    /// The verifier; made from the password when it is plain, refused when it is md5.
    pub fn into_verifier(self) -> Result<Verifier, Error> {
        match self {
            Self::Scram(verifier) => Ok(verifier),
            Self::Md5 => Err(Error::Md5),
            Self::Plain(password) => Verifier::from_password(&password),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user of RFC 7677, section 3, in PostgreSQL's form.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn verifier(text: &str) -> Verifier {
        Verifier::parse(text).unwrap()
    }

    #[test]
    fn text_form() {
        let pencil = verifier(PENCIL);
        assert_eq!(pencil.to_text(), Secret::new(PENCIL));
        assert_eq!(pencil, Verifier::derive(&Secret::new("pencil"), &pencil.salt, 4096));
        assert_eq!(format!("{pencil:?}"), "Verifier { iterations: 4096, .. }");
    }

    #[test]
    fn fresh_verifiers_differ_in_their_salt() {
        let password = Secret::new("pencil");
        let [one, two] = [(); 2].map(|()| Verifier::from_password(&password).unwrap());
        assert_ne!(one.salt, two.salt);
        let text = one.to_text();
        assert_eq!(verifier(std::str::from_utf8(text.expose()).unwrap()), one);
    }

    #[test]
    fn broken_verifiers_are_errors() {
        let [salt, stored] = ["W22ZaJ0SNY7soEsUEjb6gQ==", "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="];
        for text in [
            "SCRAM-SHA-256$".to_owned(),
            format!("SCRAM-SHA-256$4096:{salt}${stored}"),
            format!("SCRAM-SHA-256$0:{salt}${stored}:{stored}"),
            format!("SCRAM-SHA-256$-1:{salt}${stored}:{stored}"),
            format!("SCRAM-SHA-256$2147483648:{salt}${stored}:{stored}"),
            format!("SCRAM-SHA-256$4096:${stored}:{stored}"),
            format!("SCRAM-SHA-256$4096:*${stored}:{stored}"),
            format!("SCRAM-SHA-256$4096:{salt}${stored}:{salt}"),
            format!("SCRAM-SHA-256$4096:{salt}${stored}:{stored}:"),
        ] {
            assert_eq!(StoredPassword::parse(&text), Err(Error::BadVerifier), "{text}");
        }
    }

    #[test]
    fn kinds_of_stored_passwords() {
        assert_eq!(StoredPassword::parse(PENCIL), Ok(StoredPassword::Scram(verifier(PENCIL))));
        let md5 = StoredPassword::parse("md53175bce1d3201d16594cebf9d7eb3f9d").unwrap();
        assert_eq!(md5, StoredPassword::Md5);
        assert_eq!(md5.into_verifier(), Err(Error::Md5));
        for plain in ["", "pencil", "md5", "md53175bce1d3201d16594cebf9d7eb3f9z"] {
            assert_eq!(StoredPassword::parse(plain), Ok(StoredPassword::Plain(Secret::new(plain))));
        }
    }
}
