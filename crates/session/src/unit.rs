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
                Unit::Query(n) | Unit::Function(n) | Unit::Stray(n) | Unit::Batch(n, _) => n,
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

    #[test]
    fn a_long_batch_is_cut() {
        let bytes = frame(b'B', 9_000).repeat(40);
        assert!(matches!(units(&bytes)[0], Unit::Batch(n, BatchEnd::More) if n >= MAX_BATCH));
    }
}
