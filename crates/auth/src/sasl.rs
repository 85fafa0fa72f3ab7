//! The bodies of PostgreSQL's password-family messages, without their headers (protocol, "Message Formats").

use crate::{Error, MAX_MESSAGE, Secret};

/// SASLInitialResponse: the mechanism that the client chose and, mostly, its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialResponse<'a> {
    /// Name of the mechanism.
    pub mechanism: &'a str,
    /// The first message; absent when the client waits to be asked.
    pub data: Option<&'a [u8]>,
}

impl<'a> InitialResponse<'a> {
    /// Reads a body: name, NUL, length as Int32 (-1: none), bytes.
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        if body.len() > MAX_MESSAGE {
            return Err(Error::Malformed("message too long"));
        }
        let end = body.iter().position(|byte| *byte == 0).ok_or(Error::Malformed("no mechanism"))?;
        let (name, rest) = body.split_at(end);
        let mechanism = std::str::from_utf8(name).map_err(|_| Error::Malformed("mechanism is not text"))?;
        let (length, data) =
            rest.get(1..).and_then(<[u8]>::split_first_chunk).ok_or(Error::Malformed("no length"))?;
        let data = match i32::from_be_bytes(*length) {
            -1 if data.is_empty() => None,
            length if usize::try_from(length).is_ok_and(|length| length == data.len()) => Some(data),
            _ => return Err(Error::Malformed("the length is not that of the data")),
        };
        Ok(Self { mechanism, data })
    }

    /// Writes a body.
    pub fn body(mechanism: &str, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
        [mechanism.as_bytes(), &[0], &length, data].concat()
    }
}

/// The names in AuthenticationSASL's body after its code: each ends with a NUL, an empty one ends the list.
/// What is not a name (not UTF-8, not terminated) is left out.
pub fn mechanism_names(list: &[u8]) -> Vec<&str> {
    let terminated = list.split_inclusive(|byte| *byte == 0).filter_map(|name| name.strip_suffix(&[0]));
    let names = terminated.take_while(|name| !name.is_empty());
    names.filter_map(|name| std::str::from_utf8(name).ok()).take(16).collect()
}

/// Writes AuthenticationSASL's list.
pub fn mechanism_list(names: &[&str]) -> Vec<u8> {
    let mut list = names.iter().flat_map(|name| name.bytes().chain([0])).collect::<Vec<u8>>();
    list.push(0);
    list
}

/// PasswordMessage's body: the password and a NUL. A password with a NUL in it cannot be sent.
pub fn cleartext_body(password: &Secret) -> Result<Vec<u8>, Error> {
    if password.expose().contains(&0) {
        return Err(Error::Unsupported("a password with a zero byte cannot be sent"));
    }
    Ok([password.expose(), &[0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_response() {
        let body = InitialResponse::body("SCRAM-SHA-256", b"n,,n=,r=x");
        let expected = InitialResponse { mechanism: "SCRAM-SHA-256", data: Some(b"n,,n=,r=x") };
        assert_eq!(InitialResponse::parse(&body), Ok(expected));
        let silent = InitialResponse { mechanism: "S", data: None };
        assert_eq!(InitialResponse::parse(b"S\0\xff\xff\xff\xff"), Ok(silent));
        for (body, why) in [
            (&b""[..], "no mechanism"),
            (b"SCRAM", "no mechanism"),
            (b"\xff\0\0\0\0\0", "mechanism is not text"),
            (b"S\0", "no length"),
            (b"S\0\0\0\0", "no length"),
            (b"S\0\0\0\0\x02x", "the length is not that of the data"),
            (b"S\0\0\0\0\0x", "the length is not that of the data"),
            (b"S\0\xff\xff\xff\xffx", "the length is not that of the data"),
            (b"S\0\xff\xff\xff\xfe", "the length is not that of the data"),
        ] {
            assert_eq!(InitialResponse::parse(body), Err(Error::Malformed(why)));
        }
        assert_eq!(InitialResponse::parse(&[0; MAX_MESSAGE + 1]), Err(Error::Malformed("message too long")));
    }

    #[test]
    fn mechanism_lists() {
        let names = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
        assert_eq!(mechanism_names(&mechanism_list(&names)), names);
        assert_eq!(mechanism_names(b"A\0\xff\0B\0\0C\0"), ["A", "B"]);
        assert_eq!(mechanism_names(b"A\0B"), ["A"]);
        assert!(mechanism_names(b"").is_empty());
    }

    #[test]
    fn cleartext() {
        assert_eq!(cleartext_body(&Secret::new("secret")), Ok(b"secret\0".to_vec()));
        assert!(cleartext_body(&Secret::new(b"a\0b")).is_err());
    }
}
