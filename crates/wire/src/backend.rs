//! Readers of the server's messages that the proxy acts on.

use crate::Status;

fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// The status of a ReadyForQuery.
#[must_use]
pub fn ready(body: &[u8]) -> Option<Status> {
    match body {
        [byte] => Status::from_byte(*byte),
        _ => None,
    }
}

/// The tag of a CommandComplete, such as `INSERT 0 1`.
#[must_use]
pub fn command_tag(body: &[u8]) -> &[u8] {
    body.strip_suffix(&[0]).unwrap_or(body)
}

/// Name and value of a ParameterStatus.
#[must_use]
pub fn parameter(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = cstring(body)?;
    let (value, _) = cstring(rest)?;
    Some((name, value))
}

/// Process id and cancel key (4 to 256 bytes) of a BackendKeyData.
#[must_use]
pub fn key_data(body: &[u8]) -> Option<(i32, &[u8])> {
    let (pid, key) = body.split_first_chunk::<4>()?;
    (4..=256).contains(&key.len()).then_some((i32::from_be_bytes(*pid), key))
}

/// An Authentication request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Logged in.
    Ok,
    /// Wants the password in clear text.
    Cleartext,
    /// Wants an md5 answer.
    Md5,
    /// Offers SASL mechanisms (NUL-separated).
    Sasl(&'a [u8]),
    /// The server's first SCRAM message.
    SaslContinue(&'a [u8]),
    /// The server's final SCRAM message.
    SaslFinal(&'a [u8]),
    /// Something else (GSSAPI, SSPI, ...), by its code.
    Other(i32),
}

/// Reads an Authentication request.
#[must_use]
pub fn authentication(body: &[u8]) -> Option<Authentication<'_>> {
    let (code, data) = body.split_first_chunk::<4>()?;
    Some(match i32::from_be_bytes(*code) {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5,
        10 => Authentication::Sasl(data),
        11 => Authentication::SaslContinue(data),
        12 => Authentication::SaslFinal(data),
        other => Authentication::Other(other),
    })
}

/// The fields of an ErrorResponse or NoticeResponse.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The field with this code (`C` SQLSTATE, `M` message, `S`/`V` severity, ...).
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.iter().find(|(c, _)| *c == code).map(|(_, value)| value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&code, tail) = rest.split_first()?;
            if code == 0 {
                return None;
            }
            let (value, tail) = cstring(tail)?;
            rest = tail;
            Some((code, value))
        })
    }

    /// The five characters of the SQLSTATE, `XX000` when there is none.
    #[must_use]
    pub fn sqlstate(&self) -> [u8; 5] {
        self.get(b'C').and_then(|c| c.try_into().ok()).unwrap_or(*b"XX000")
    }

    /// The message as text, for logs.
    #[must_use]
    pub fn message(&self) -> String {
        String::from_utf8_lossy(self.get(b'M').unwrap_or_default()).into_owned()
    }

    /// The connection ends with this error (`FATAL` or `PANIC`).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.get(b'V').or_else(|| self.get(b'S')), Some(b"FATAL" | b"PANIC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bodies() {
        assert_eq!(ready(b"T"), Some(Status::Transaction));
        assert_eq!(ready(b"x"), None);
        assert_eq!(ready(b""), None);
        assert_eq!(command_tag(b"SELECT 1\0"), b"SELECT 1");
        assert_eq!(parameter(b"TimeZone\0UTC\0"), Some((&b"TimeZone"[..], &b"UTC"[..])));
        assert_eq!(parameter(b"TimeZone"), None);
        let fields = Fields(b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0");
        assert_eq!(
            (fields.sqlstate(), fields.message().as_str(), fields.is_fatal()),
            (*b"57P01", "bye", true)
        );
        assert_eq!(Fields(b"Cabc").sqlstate(), *b"XX000");
        assert_eq!(key_data(b"\0\0\0\x01abcd"), Some((1, &b"abcd"[..])));
        assert_eq!(key_data(b"\0\0\0\x01abc"), None);
    }
}
