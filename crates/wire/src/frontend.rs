//! Readers of the client's messages that the proxy acts on. Names and texts are bytes: the client's encoding is
//! the server's business.

use crate::frame::FrameError;

/// Splits off a NUL-terminated string.
fn cstring(bytes: &[u8]) -> Result<(&[u8], &[u8]), FrameError> {
    let end = memchr::memchr(0, bytes).ok_or(FrameError::Body("missing string terminator"))?;
    let (text, rest) = bytes.split_at(end);
    Ok((text, rest.get(1..).unwrap_or_default()))
}

/// The text of a Query.
///
/// # Errors
/// When the body is not one NUL-terminated string.
pub fn query(body: &[u8]) -> Result<&[u8], FrameError> {
    match cstring(body)? {
        (text, []) => Ok(text),
        _ => Err(FrameError::Body("trailing data in Query")),
    }
}

/// Parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Statement name, empty for the unnamed statement.
    pub name: &'a [u8],
    /// SQL text.
    pub text: &'a [u8],
    /// Count (i16) and object ids (i32 each) of parameter types, as they arrived.
    pub types: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse.
    ///
    /// # Errors
    /// When strings or counts do not fit the body.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let (name, rest) = cstring(body)?;
        let (text, types) = cstring(rest)?;
        let Some((&count, oids)) = types.split_first_chunk::<2>() else {
            return Err(FrameError::Body("insufficient data left in Parse"));
        };
        if oids.len() != usize::from(u16::from_be_bytes(count)) * 4 {
            return Err(FrameError::Body("wrong number of parameter types in Parse"));
        }
        Ok(Self { name, text, types })
    }
}

/// Bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Portal name, empty for the unnamed portal.
    pub portal: &'a [u8],
    /// Statement name.
    pub statement: &'a [u8],
    /// Parameter formats, parameters and result formats, as they arrived.
    pub rest: &'a [u8],
}

impl<'a> Bind<'a> {
    /// Reads the names of a Bind; what follows them is the server's to check.
    ///
    /// # Errors
    /// When a name is not terminated.
    pub fn read(body: &'a [u8]) -> Result<Self, FrameError> {
        let (portal, rest) = cstring(body)?;
        let (statement, rest) = cstring(rest)?;
        Ok(Self { portal, statement, rest })
    }

    /// The value of parameter `n` (from 0): `Some(None)` is NULL. `None` when it is in binary format or not there.
    #[must_use]
    pub fn text_parameter(&self, n: usize) -> Option<Option<&'a [u8]>> {
        let mut rest = Cursor(self.rest);
        let formats = usize::from(rest.u16()?);
        let codes = rest.take(formats.checked_mul(2)?)?;
        let format = match formats {
            0 => 0,
            1 => u16::from_be_bytes([*codes.first()?, *codes.get(1)?]),
            _ => u16::from_be_bytes([*codes.get(n * 2)?, *codes.get(n * 2 + 1)?]),
        };
        let count = usize::from(rest.u16()?);
        if format != 0 || n >= count {
            return None;
        }
        for _ in 0..n {
            rest.value()?;
        }
        rest.value()
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// One parameter: outer `None` when the body is too short, inner `None` for NULL.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        let length = i32::from_be_bytes(self.take(4)?.try_into().ok()?);
        match length {
            -1 => Some(None),
            _ => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }
}

/// Whether Describe or Close names a statement or a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `S`
    Statement,
    /// `P`
    Portal,
}

/// The body of Describe or Close: what kind of thing, and its name.
///
/// # Errors
/// When the kind is neither `S` nor `P`, or the name is not terminated.
pub fn target(body: &[u8]) -> Result<(Kind, &[u8]), FrameError> {
    let (&kind, rest) = body.split_first().ok_or(FrameError::Body("empty Describe or Close"))?;
    let kind = match kind {
        b'S' => Kind::Statement,
        b'P' => Kind::Portal,
        _ => return Err(FrameError::Body("invalid Describe or Close subtype")),
    };
    match cstring(rest)? {
        (name, []) => Ok((kind, name)),
        _ => Err(FrameError::Body("trailing data in Describe or Close")),
    }
}

/// The portal that an Execute names.
///
/// # Errors
/// When the name is not followed by exactly a row limit.
pub fn execute(body: &[u8]) -> Result<&[u8], FrameError> {
    let (portal, rest) = cstring(body)?;
    if rest.len() != 4 {
        return Err(FrameError::Body("wrong length of Execute"));
    }
    Ok(portal)
}

/// SASLInitialResponse: mechanism and the first message (`None` when the client sent none).
///
/// # Errors
/// When lengths do not fit the body.
pub fn sasl_initial(body: &[u8]) -> Result<(&[u8], Option<&[u8]>), FrameError> {
    let (mechanism, rest) = cstring(body)?;
    let mut rest = Cursor(rest);
    let data = rest.value().ok_or(FrameError::Body("wrong length of SASLInitialResponse"))?;
    if !rest.0.is_empty() {
        return Err(FrameError::Body("trailing data in SASLInitialResponse"));
    }
    Ok((mechanism, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bodies() {
        assert_eq!(query(b"select 1\0").unwrap(), b"select 1");
        assert!(query(b"select 1").is_err());
        assert!(query(b"a\0b\0").is_err());
        let parse = Parse::read(b"s\0select $1\0\0\x01\0\0\0\x17").unwrap();
        assert_eq!((parse.name, parse.text), (&b"s"[..], &b"select $1"[..]));
        assert!(Parse::read(b"s\0select $1\0\0\x02\0\0\0\x17").is_err());
        assert_eq!(target(b"Sx\0").unwrap(), (Kind::Statement, &b"x"[..]));
        assert!(target(b"Qx\0").is_err());
        assert_eq!(execute(b"p\0\0\0\0\0").unwrap(), b"p");
        assert_eq!(sasl_initial(b"M\0\0\0\0\x01a").unwrap(), (&b"M"[..], Some(&b"a"[..])));
        assert!(sasl_initial(b"M\0\x7f\xff\xff\xffa").is_err());
    }

    #[test]
    fn reads_bound_text() {
        let body = b"\0s\0\0\0\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02bc\0\0";
        let bind = Bind::read(body).unwrap();
        assert_eq!(bind.text_parameter(0), Some(Some(&b"a"[..])));
        assert_eq!(bind.text_parameter(1), Some(None));
        assert_eq!(bind.text_parameter(2), Some(Some(&b"bc"[..])));
        assert_eq!(bind.text_parameter(3), None);
    }
}
