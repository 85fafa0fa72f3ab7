//! The header walk: one type byte, four bytes of length (which counts itself), the body.

use thiserror::Error;

/// Bytes of a header: type and length.
pub const HEADER: usize = 5;

/// Why bytes are not a frame. The stream is out of step afterwards: close it (SQLSTATE 08P01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field is below 4 or negative.
    #[error("invalid message length {0}")]
    Length(i32),
    /// The length field is larger than this type of message may be.
    #[error("message of type \"{}\" is too long: {length} bytes", char::from(*.tag))]
    TooLong {
        /// The type byte.
        tag: u8,
        /// The body's length in bytes.
        length: usize,
    },
    /// No message of the protocol has this type byte.
    #[error("invalid frontend message type {0}")]
    Type(u8),
    /// The body is not what its type promises.
    #[error("invalid message format: {0}")]
    Body(&'static str),
}

/// What a frame may be at most. PostgreSQL takes 1 GiB less one byte for messages that carry data and 10 000
/// bytes for the others (`PQ_LARGE_MESSAGE_LIMIT`, `PQ_SMALL_MESSAGE_LIMIT` in libpq/libpq.h).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For Query, Parse, Bind, FunctionCall, CopyData.
    pub large: usize,
    /// For all others.
    pub small: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { large: 0x3FFF_FFFE, small: 10_000 }
    }
}

/// A header: the type byte and the length of the body (without the length field's own four bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type byte.
    pub tag: u8,
    /// Bytes of body that follow the header.
    pub body: usize,
}

impl Header {
    /// Reads a header, or `None` when fewer than five bytes are there.
    ///
    /// # Errors
    /// When the length is below 4.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes([a, b, c, d]);
        match usize::try_from(length) {
            Ok(length) if length >= 4 => Ok(Some(Self { tag, body: length - 4 })),
            _ => Err(FrameError::Length(length)),
        }
    }

    /// Header and body together, in bytes.
    #[must_use]
    pub fn total(self) -> usize {
        HEADER + self.body
    }

    /// Checks a client's header: a type that exists, a length that its type may have.
    ///
    /// # Errors
    /// When the type does not exist or the body is too long for it.
    pub fn check_frontend(self, limits: Limits) -> Result<Self, FrameError> {
        let most = match self.tag {
            b'Q' | b'P' | b'B' | b'F' | b'd' => limits.large,
            b'E' | b'C' | b'D' | b'S' | b'H' | b'X' | b'c' | b'f' | b'p' => limits.small,
            other => return Err(FrameError::Type(other)),
        };
        if self.body > most {
            return Err(FrameError::TooLong { tag: self.tag, length: self.body });
        }
        Ok(self)
    }
}

/// A whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte.
    pub tag: u8,
    /// The body, without the header.
    pub body: &'a [u8],
    /// Header and body as they arrived.
    pub bytes: &'a [u8],
}

/// Takes the first whole frame of a client's bytes; `None` when it has not arrived whole.
///
/// # Errors
/// When the header is impossible.
pub fn next_frame(bytes: &[u8], limits: Limits) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(header) = Header::read(bytes)? else { return Ok(None) };
    let header = header.check_frontend(limits)?;
    Ok(bytes.get(..header.total()).and_then(|whole| {
        let body = whole.get(HEADER..)?;
        Some(Frame { tag: header.tag, body, bytes: whole })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_and_refuses() {
        let limits = Limits::default();
        assert_eq!(next_frame(b"S\0\0\0", limits), Ok(None));
        let sync = next_frame(b"S\0\0\0\x04X", limits).unwrap().unwrap();
        assert_eq!((sync.tag, sync.body, sync.bytes.len()), (b'S', &b""[..], 5));
        assert_eq!(next_frame(b"Q\0\0\0\x03abc", limits), Err(FrameError::Length(3)));
        assert_eq!(next_frame(b"Q\xff\xff\xff\xff", limits), Err(FrameError::Length(-1)));
        assert_eq!(next_frame(b"z\0\0\0\x04", limits), Err(FrameError::Type(b'z')));
        assert_eq!(
            next_frame(b"E\0\0\x40\0", limits),
            Err(FrameError::TooLong { tag: b'E', length: 0x4000 - 4 })
        );
        assert!(matches!(next_frame(b"Q\x7f\xff\xff\xff", limits), Err(FrameError::TooLong { .. })));
    }
}
