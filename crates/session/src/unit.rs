//! Cutting the client's bytes into units: a simple query, everything up to a Sync, or one message by itself.

use pgsplit_wire::{FrameError, Limits, next_frame};

/// A unit at the head of the client's bytes, with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Query.
    Query(usize),
    /// FunctionCall.
    Function(usize),
    /// Messages of the extended protocol.
    Batch(usize, BatchEnd),
    /// Copy data that no server wants any more; PostgreSQL ignores it too.
    Stray(usize),
    /// A Sync with a body.
    Malformed(usize),
    /// Terminate.
    Terminate,
    /// A message that only belongs into a login.
    Unexpected(u8),
}

/// How a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// With Sync.
    Sync,
    /// With Flush: the client wants answers before it goes on.
    Flush,
    /// It is too long to be kept until its end, or something else than the extended protocol follows.
    More,
}

/// A batch that is longer is sent before its end is known.
const MAX_BATCH: usize = 256 * 1024;

/// Finds the first unit; `None` when it has not arrived whole. `scanned` is how far whole messages of an unfinished
/// batch reach, so that a long batch in many reads is walked once.
pub(crate) fn next_unit(
    bytes: &[u8],
    scanned: &mut usize,
    limits: Limits,
) -> Result<Option<Unit>, FrameError> {
    loop {
        let Some(frame) = next_frame(bytes.get(*scanned..).unwrap_or_default(), limits)? else {
            if *scanned >= MAX_BATCH {
                return Ok(Some(finish(scanned, BatchEnd::More, 0)));
            }
            return Ok(None);
        };
        let length = frame.bytes.len();
        match frame.tag {
            // It ends a batch all the same, but fails by itself.
            b'S' if !frame.body.is_empty() && *scanned > 0 => {
                return Ok(Some(finish(scanned, BatchEnd::More, 0)));
            }
            b'S' if !frame.body.is_empty() => return Ok(Some(Unit::Malformed(length))),
            b'S' => return Ok(Some(finish(scanned, BatchEnd::Sync, length))),
            b'H' => return Ok(Some(finish(scanned, BatchEnd::Flush, length))),
            b'P' | b'B' | b'D' | b'E' | b'C' => *scanned += length,
            // A batch that another kind of message cuts short: it goes first.
            _ if *scanned > 0 => return Ok(Some(finish(scanned, BatchEnd::More, 0))),
            b'Q' => return Ok(Some(Unit::Query(length))),
            b'F' => return Ok(Some(Unit::Function(length))),
            b'd' | b'c' | b'f' => return Ok(Some(Unit::Stray(length))),
            b'X' => return Ok(Some(Unit::Terminate)),
            tag => return Ok(Some(Unit::Unexpected(tag))),
        }
    }
}

fn finish(scanned: &mut usize, end: BatchEnd, last: usize) -> Unit {
    let length = std::mem::take(scanned) + last;
    Unit::Batch(length, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: usize) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend_from_slice(&u32::try_from(body + 4).unwrap().to_be_bytes());
        out.resize(out.len() + body, 0);
        out
    }

    fn units(bytes: &[u8]) -> Vec<Unit> {
        let (mut at, mut scanned, mut units) = (0, 0, Vec::new());
        while let Some(unit) = next_unit(&bytes[at..], &mut scanned, Limits::default()).unwrap() {
            units.push(unit);
            at += match unit {
                Unit::Query(n)
                | Unit::Function(n)
                | Unit::Stray(n)
                | Unit::Malformed(n)
                | Unit::Batch(n, _) => n,
                Unit::Terminate | Unit::Unexpected(_) => break,
            };
        }
        units
    }

    #[test]
    fn cuts_at_sync_flush_and_other_messages() {
        let bytes = [frame(b'P', 8), frame(b'B', 8), frame(b'S', 0), frame(b'Q', 1)].concat();
        assert_eq!(units(&bytes), [Unit::Batch(31, BatchEnd::Sync), Unit::Query(6)]);
        let bytes = [frame(b'P', 8), frame(b'H', 0), frame(b'S', 0)].concat();
        assert_eq!(units(&bytes), [Unit::Batch(18, BatchEnd::Flush), Unit::Batch(5, BatchEnd::Sync)]);
        let bytes = [frame(b'P', 8), frame(b'Q', 1), frame(b'd', 3), frame(b'X', 0)].concat();
        assert_eq!(
            units(&bytes),
            [Unit::Batch(13, BatchEnd::More), Unit::Query(6), Unit::Stray(8), Unit::Terminate]
        );
        assert_eq!(units(&frame(b'P', 8)[..9]), []);
    }

    /// Cuts bytes that arrive in pieces; what is cut off, and the units.
    fn cut(pieces: &[Vec<u8>]) -> Result<(Vec<u8>, Vec<Unit>), FrameError> {
        let (mut inbox, mut scanned, mut taken, mut units) = (Vec::new(), 0, Vec::new(), Vec::new());
        for piece in pieces {
            inbox.extend_from_slice(piece);
            while let Some(unit) = next_unit(&inbox, &mut scanned, Limits::default())? {
                let length = match unit {
                    Unit::Query(n)
                    | Unit::Function(n)
                    | Unit::Stray(n)
                    | Unit::Malformed(n)
                    | Unit::Batch(n, _) => n,
                    Unit::Terminate | Unit::Unexpected(_) => return Ok((taken, units)),
                };
                taken.extend(inbox.drain(..length));
                units.push(unit);
            }
            assert!(scanned <= inbox.len());
        }
        Ok((taken, units))
    }

    fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        for cut in cuts {
            let (head, tail) = rest.split_at(*cut.min(&rest.len()));
            pieces.push(head.to_vec());
            rest = tail;
        }
        pieces.push(rest.to_vec());
        pieces
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            cuts in proptest::collection::vec(0_usize..40, 0..20),
        ) {
            if let Ok((taken, _)) = cut(&pieces(&bytes, &cuts)) {
                assert!(bytes.starts_with(&taken));
            }
        }

        #[test]
        fn messages_are_cut_alike_however_they_arrive(
            messages in proptest::collection::vec((proptest::sample::select(&b"QPBDECHSFdcf"[..]), 0_usize..50), 0..40),
            cuts in proptest::collection::vec(0_usize..80, 0..40),
        ) {
            let empty = |tag| matches!(tag, b'S' | b'H');
            let bytes: Vec<u8> = messages
                .iter()
                .flat_map(|(tag, body)| frame(*tag, if empty(*tag) { 0 } else { *body }))
                .chain(frame(b'S', 0))
                .collect();
            let whole = cut(std::slice::from_ref(&bytes)).unwrap();
            assert_eq!(whole.0, bytes);
            assert_eq!(cut(&pieces(&bytes, &cuts)).unwrap(), whole);
        }
    }

    #[test]
    fn a_long_batch_is_cut() {
        let bytes = frame(b'B', 9_000).repeat(40);
        assert!(matches!(units(&bytes)[0], Unit::Batch(n, BatchEnd::More) if n >= MAX_BATCH));
    }
}
