//! The client's side: pgsplit towards a server. After PostgreSQL's src/interfaces/libpq/fe-auth-scram.c.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::message::{Attributes, is_nonce};
use super::{BINDING_HEADER, Keys, NONCE_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, sign};
use crate::crypto::{Digest32, MAX_ITERATIONS, random, sha256, xor};
use crate::{Error, KeyCache, Secret};

/// What proves a user's identity to a server.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A password; keys derived from it are kept in the cache.
    Password {
        /// The cache's key; it is not sent.
        user: String,
        /// The password.
        password: Secret,
        /// Where derived keys are kept.
        cache: Arc<KeyCache>,
    },
    /// Keys won from the client's own login: good for servers with the same verifier only.
    Keys(Keys),
}

/// One login to a server. Three steps: [`Client::start`], [`Client::server_first`], [`Client::server_final`].
pub struct Client {
    credential: Credential,
    /// The hash of the server's certificate; `None` without TLS.
    binding: Option<Box<[u8]>>,
    state: State,
}

enum State {
    Start,
    Greeted {
        gs2_header: &'static [u8],
        client_first_bare: Vec<u8>,
        nonce: Vec<u8>,
    },
    Proved {
        server_signature: Digest32,
    },
    Verified,
    /// A step went wrong, or is being taken.
    Failed,
}

impl Client {
    /// A login; `binding` is the tls-server-end-point hash of the certificate that the server showed.
    pub fn new(credential: Credential, binding: Option<&[u8]>) -> Self {
        Self { credential, binding: binding.map(Into::into), state: State::Start }
    }

    /// Chooses among the mechanisms that the server offers; gives the chosen one and the first message.
    pub fn start(&mut self, offered: &[&str]) -> Result<(&'static str, Vec<u8>), Error> {
        let nonce = STANDARD.encode(random::<NONCE_BYTES>()?);
        self.start_with(offered, b"", nonce.into_bytes())
    }

    pub(super) fn start_with(
        &mut self,
        offered: &[&str],
        user: &[u8],
        nonce: Vec<u8>,
    ) -> Result<(&'static str, Vec<u8>), Error> {
        let State::Start = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(Error::OutOfOrder);
        };
        let (mechanism, gs2_header): (_, &'static [u8]) = match &self.binding {
            Some(_) if offered.contains(&SCRAM_SHA_256_PLUS) => (SCRAM_SHA_256_PLUS, BINDING_HEADER),
            _ if !offered.contains(&SCRAM_SHA_256) => return Err(Error::NoMechanism),
            // "y" tells the server that binding was possible here, so that a removed offer is noticed.
            Some(_) => (SCRAM_SHA_256, b"y,,"),
            None => (SCRAM_SHA_256, b"n,,"),
        };
        let client_first_bare = [b"n=", user, b",r=", &nonce].concat();
        let message = [gs2_header, &client_first_bare].concat();
        self.state = State::Greeted { gs2_header, client_first_bare, nonce };
        Ok((mechanism, message))
    }

    /// Takes the server's challenge; gives the message with the proof. With a password whose keys are not in
    /// the cache this computes for a millisecond at 4096 iterations, a quarter of a second at most.
    pub fn server_first(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let state = std::mem::replace(&mut self.state, State::Failed);
        let State::Greeted { gs2_header, client_first_bare, nonce } = state else {
            return Err(Error::OutOfOrder);
        };
        let challenge = Challenge::parse(message, &nonce)?;
        let keys = self.keys(&challenge)?;
        let hash = self.binding.as_deref().filter(|_| gs2_header == BINDING_HEADER).unwrap_or_default();
        let binding = STANDARD.encode([gs2_header, hash].concat());
        let without_proof = [b"c=", binding.as_bytes(), b",r=", challenge.nonce].concat();
        let signed = |key: &Digest32| sign(key, &client_first_bare, message, &without_proof);
        let proof = xor(&keys.client_key, &signed(&sha256(&[&keys.client_key])));
        self.state = State::Proved { server_signature: signed(&keys.server_key) };
        Ok([&without_proof, &b",p="[..], STANDARD.encode(proof).as_bytes()].concat())
    }

    fn keys(&self, challenge: &Challenge<'_>) -> Result<Keys, Error> {
        let Challenge { salt, iterations, .. } = challenge;
        match &self.credential {
            Credential::Keys(keys) if keys.salt[..] == salt[..] && keys.iterations == *iterations => {
                Ok(keys.clone())
            }
            Credential::Keys(_) => Err(Error::DifferentVerifier),
            Credential::Password { .. } if *iterations > MAX_ITERATIONS => {
                Err(Error::TooManyIterations(*iterations))
            }
            Credential::Password { user, password, cache } => {
                Ok(cache.keys(user, password, salt, *iterations))
            }
        }
    }

    /// Takes the server's last message, its proof that it knows the verifier.
    pub fn server_final(&mut self, message: &[u8]) -> Result<(), Error> {
        let State::Proved { server_signature } = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(Error::OutOfOrder);
        };
        let mut attributes = Attributes::new(message)?;
        match attributes.any()? {
            (b'e', reason) => {
                let shown = reason.iter().take(200).filter(|byte| byte.is_ascii_graphic());
                Err(Error::RefusedByServer(shown.map(|byte| char::from(*byte)).collect()))
            }
            (b'v', signature) if attributes.rest().is_empty() => {
                let signature =
                    STANDARD.decode(signature).map_err(|_| Error::Malformed("malformed signature"))?;
                if !bool::from(signature.ct_eq(&server_signature)) {
                    return Err(Error::ServerSignature);
                }
                self.state = State::Verified;
                Ok(())
            }
            _ => Err(Error::Malformed("server-final-message without a signature")),
        }
    }

    /// Whether the server has proved itself; an AuthenticationOk before that is an attack.
    pub fn is_verified(&self) -> bool {
        matches!(self.state, State::Verified)
    }
}

/// server-first-message.
struct Challenge<'a> {
    nonce: &'a [u8],
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Challenge<'a> {
    fn parse(message: &'a [u8], own_nonce: &[u8]) -> Result<Self, Error> {
        let mut attributes = Attributes::new(message)?;
        if attributes.skip(b"m=") {
            return Err(Error::Malformed("the server requires an unsupported SCRAM extension"));
        }
        let nonce = attributes.value(b'r')?;
        if !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() || !is_nonce(nonce) {
            return Err(Error::Malformed("the server's nonce does not begin with the client's"));
        }
        let salt =
            STANDARD.decode(attributes.value(b's')?).map_err(|_| Error::Malformed("malformed salt"))?;
        let iterations = std::str::from_utf8(attributes.value(b'i')?).ok().and_then(|text| text.parse().ok());
        let iterations =
            iterations.filter(|count| *count > 0).ok_or(Error::Malformed("malformed iteration count"))?;
        if salt.is_empty() || !attributes.rest().is_empty() {
            return Err(Error::Malformed("malformed server-first-message"));
        }
        Ok(Self { nonce, salt, iterations })
    }
}
