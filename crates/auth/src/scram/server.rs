//! The server's side: pgsplit towards a client. After PostgreSQL's src/backend/libpq/auth-scram.c.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::message::{Attributes, is_nonce};
use super::{BINDING_HEADER, Keys, NONCE_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, sign};
use crate::crypto::{Digest32, random, sha256, xor};
use crate::{Error, Verifier};

/// One client's login. Two steps: [`Server::client_first`], [`Server::client_final`].
pub struct Server {
    verifier: Verifier,
    /// The hash of this side's certificate; `None` without TLS.
    binding: Option<Box<[u8]>>,
    state: State,
}

enum State {
    Start,
    Challenged(Challenge),
    Done,
}

/// What was said in the first step and is needed to check the second.
struct Challenge {
    client_first_bare: Vec<u8>,
    server_first: Vec<u8>,
    nonce: Vec<u8>,
    /// What `c=` must decode to.
    expected_binding: Vec<u8>,
    binds: bool,
}

impl Server {
    /// A login against a verifier; `binding` is the tls-server-end-point hash of the certificate that this
    /// side showed (RFC 5929, section 4.1).
    pub fn new(verifier: Verifier, binding: Option<&[u8]>) -> Self {
        Self { verifier, binding: binding.map(Into::into), state: State::Start }
    }

    /// What to offer, in PostgreSQL's order.
    pub fn mechanisms(&self) -> &'static [&'static str] {
        if self.binding.is_some() { &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256] } else { &[SCRAM_SHA_256] }
    }

    /// Takes the client's choice and first message; gives the challenge to send back.
    pub fn client_first(&mut self, mechanism: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = STANDARD.encode(random::<NONCE_BYTES>()?);
        self.client_first_with(mechanism, message, nonce.as_bytes())
    }

    pub(super) fn client_first_with(
        &mut self,
        mechanism: &str,
        message: &[u8],
        own_nonce: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let State::Start = std::mem::replace(&mut self.state, State::Done) else {
            return Err(Error::OutOfOrder);
        };
        let binds = match (mechanism, &self.binding) {
            (SCRAM_SHA_256, _) => false,
            (SCRAM_SHA_256_PLUS, Some(_)) => true,
            _ => return Err(Error::Malformed("the client chose a mechanism that was not offered")),
        };
        let mut attributes = Attributes::new(message)?;
        let expected_binding = self.gs2_header(binds, &mut attributes)?;
        let client_first_bare = attributes.rest().to_vec();
        let client_nonce = client_nonce(attributes)?;
        let nonce = [client_nonce, own_nonce].concat();
        let salt = STANDARD.encode(&self.verifier.salt);
        let server_first = [
            b"r=",
            &nonce[..],
            b",s=",
            salt.as_bytes(),
            b",i=",
            self.verifier.iterations.to_string().as_bytes(),
        ]
        .concat();
        let answer = server_first.clone();
        self.state =
            State::Challenged(Challenge { client_first_bare, server_first, nonce, expected_binding, binds });
        Ok(answer)
    }

    /// Reads the GS2 header and gives what `c=` must repeat of it, with the binding.
    fn gs2_header(&self, binds: bool, attributes: &mut Attributes<'_>) -> Result<Vec<u8>, Error> {
        let flag = attributes.until_comma();
        match flag {
            b"n" | b"y" if binds => {
                return Err(Error::Malformed(
                    "SCRAM-SHA-256-PLUS was chosen and the message has no channel binding",
                ));
            }
            b"n" => {}
            // The client could bind and believes that this side cannot: somebody removed the offer on its way.
            b"y" if self.binding.is_some() => {
                return Err(Error::ChannelBinding(
                    "SCRAM channel binding negotiation error: the client supports channel binding but thinks the server does not",
                ));
            }
            b"y" => {}
            [b'p', ..] if !binds => {
                return Err(Error::Malformed("SCRAM-SHA-256 was chosen and the message has channel binding"));
            }
            b"p=tls-server-end-point" => {}
            [b'p', b'=', ..] => return Err(Error::Malformed("unsupported channel-binding type")),
            _ => return Err(Error::Malformed("unexpected channel-binding flag")),
        }
        if attributes.skip(b"a=") {
            return Err(Error::Unsupported("client uses authorization identity, but it is not supported"));
        }
        if !attributes.skip(b",") {
            return Err(Error::Malformed("no comma after the channel-binding flag"));
        }
        let hash = self.binding.as_deref().filter(|_| binds).unwrap_or_default();
        Ok(if binds { [BINDING_HEADER, hash].concat() } else { [flag, b",,"].concat() })
    }

    /// Takes the client's proof. A right one gives the message to send in AuthenticationSASLFinal and the keys
    /// with which this user can be logged in to servers.
    pub fn client_final(&mut self, message: &[u8]) -> Result<(Vec<u8>, Keys), Error> {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Done) else {
            return Err(Error::OutOfOrder);
        };
        let (without_proof, proof) = client_proof(message, &challenge)?;
        let Challenge { client_first_bare, server_first, .. } = &challenge;
        let signed = |key: &Digest32| sign(key, client_first_bare, server_first, without_proof);
        let client_key = xor(&proof, &signed(&self.verifier.stored_key));
        let right = sha256(&[&client_key]).ct_eq(&self.verifier.stored_key);
        let server_signature = signed(&self.verifier.server_key);
        // Only here does a user that does not exist part from a wrong password.
        if !bool::from(right) || self.verifier.mock {
            return Err(Error::WrongPassword);
        }
        let answer = format!("v={}", STANDARD.encode(server_signature)).into_bytes();
        let Verifier { salt, iterations, server_key, .. } = &self.verifier;
        let keys = Keys { client_key, server_key: *server_key, salt: salt.clone(), iterations: *iterations };
        Ok((answer, keys))
    }
}

/// The nonce of client-first-bare; the user name before it is not looked at, it stands in the start-up packet.
fn client_nonce<'a>(mut attributes: Attributes<'a>) -> Result<&'a [u8], Error> {
    if attributes.skip(b"m=") {
        return Err(Error::Unsupported("client requires an unsupported SCRAM extension"));
    }
    attributes.value(b'n')?;
    let nonce = attributes.value(b'r')?;
    if !is_nonce(nonce) {
        return Err(Error::Malformed("non-printable characters in SCRAM nonce"));
    }
    while !attributes.rest().is_empty() {
        attributes.any()?;
    }
    Ok(nonce)
}

/// Checks client-final but for the proof; gives the text before the proof, and the proof.
fn client_proof<'a>(message: &'a [u8], challenge: &Challenge) -> Result<(&'a [u8], Digest32), Error> {
    let mut attributes = Attributes::new(message)?;
    let binding = STANDARD.decode(attributes.value(b'c')?);
    if binding.as_ref() != Ok(&challenge.expected_binding) {
        return Err(if challenge.binds {
            Error::ChannelBinding("SCRAM channel binding check failed")
        } else {
            Error::Malformed("unexpected SCRAM channel-binding attribute in client-final-message")
        });
    }
    if attributes.value(b'r')? != challenge.nonce {
        return Err(Error::Malformed("the nonce does not match"));
    }
    loop {
        let without_proof = attributes.before();
        let (name, value) = attributes.any()?;
        if name != b'p' {
            continue;
        }
        if !attributes.rest().is_empty() {
            return Err(Error::Malformed("garbage at the end of client-final-message"));
        }
        let proof = STANDARD.decode(value).ok().and_then(|proof| proof.try_into().ok());
        return Ok((
            without_proof,
            proof.ok_or(Error::Malformed("malformed proof in client-final-message"))?,
        ));
    }
}
