//! SCRAM's messages: `a=value` separated by commas. Read as PostgreSQL's auth-scram.c does, byte by byte and
//! without a view on encodings.

use crate::{Error, MAX_MESSAGE};

/// Reads attributes from the front of a message.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    /// Checks the message's length, and that C programs see all of it.
    pub(super) fn new(message: &'a [u8]) -> Result<Self, Error> {
        match message {
            [] => Err(Error::Malformed("empty message")),
            _ if message.len() > MAX_MESSAGE => Err(Error::Malformed("message too long")),
            _ if message.contains(&0) => Err(Error::Malformed("zero byte in message")),
            _ => Ok(Self { message, at: 0 }),
        }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    /// What stands before the next attribute, without the comma between them.
    pub(super) fn before(&self) -> &'a [u8] {
        let end = self.at.saturating_sub(1);
        self.message.get(..end).unwrap_or_default()
    }

    /// Skips a prefix if it is there.
    pub(super) fn skip(&mut self, prefix: &[u8]) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// The bytes up to a comma, which is skipped, or to the end.
    pub(super) fn until_comma(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
        self.at = (self.at + length + 1).min(self.message.len());
        rest.get(..length).unwrap_or_default()
    }

    /// The next attribute's value; it must have this name.
    pub(super) fn value(&mut self, name: u8) -> Result<&'a [u8], Error> {
        match self.any()? {
            (found, value) if found == name => Ok(value),
            _ => Err(Error::Malformed("not the attribute that is due")),
        }
    }

    /// The next attribute, whichever it is.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), Error> {
        match self.rest() {
            [] => Err(Error::Malformed("an attribute is missing")),
            [name, b'=', ..] if name.is_ascii_alphabetic() => {
                let name = *name;
                self.at += 2;
                Ok((name, self.until_comma()))
            }
            _ => Err(Error::Malformed("an attribute is not a letter and `=`")),
        }
    }
}

/// Whether a nonce is made of what RFC 5802 calls printable: ASCII without blanks, control characters, commas.
pub(super) fn is_nonce(nonce: &[u8]) -> bool {
    !nonce.is_empty() && nonce.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_in_order() {
        let mut attributes = Attributes::new(b"n,,n=,r=abc,x=y=z").unwrap();
        assert!(attributes.skip(b"n,,") && !attributes.skip(b"m="));
        assert_eq!(attributes.value(b'n'), Ok(&b""[..]));
        assert_eq!(attributes.value(b'r'), Ok(&b"abc"[..]));
        assert_eq!(attributes.before(), b"n,,n=,r=abc");
        assert_eq!(attributes.any(), Ok((b'x', &b"y=z"[..])));
        assert_eq!(attributes.any(), Err(Error::Malformed("an attribute is missing")));
    }

    #[test]
    fn not_attributes() {
        let any =
            |message: &[u8]| Attributes::new(message).and_then(|mut attributes| attributes.any().map(|_| ()));
        for (message, why) in [
            (&b""[..], "empty message"),
            (b"a=\0", "zero byte in message"),
            (b"a", "an attribute is not a letter and `=`"),
            (b",a=b", "an attribute is not a letter and `=`"),
            (b"1=b", "an attribute is not a letter and `=`"),
            (&[b'a'; MAX_MESSAGE + 1], "message too long"),
        ] {
            assert_eq!(any(message), Err(Error::Malformed(why)));
        }
    }

    #[test]
    fn nonces() {
        for (nonce, good) in
            [(&b"a!~"[..], true), (b"", false), (b"a b", false), (b"a,b", false), (b"\xc3\xa9", false)]
        {
            assert_eq!(is_nonce(nonce), good);
        }
    }
}
