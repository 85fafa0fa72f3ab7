//! Comments that this thread has met before: what they say is not read again. The value of `traceparent` is no part of it,
//! since each call has another.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memchr_iter;

use super::{KEPT, Place, TRACE, Tags, place_of};

/// Places in a thread's table. A comment has one place, and the one met last keeps it.
const PLACES: usize = 128;
/// The longest comment that is kept, in bytes.
const LONGEST: usize = 512;
/// The length of a trace id: `00-` trace `-` span `-` flags, in hexadecimal.
const TRACE_VALUE: usize = 55;

/// What is said in a comment: a hint's word, and tags.
type Said<'t> = (Option<&'t str>, Option<Tags<'t>>);

/// A place in the table.
#[derive(Default)]
struct Slot {
    /// Of what came last. Only what comes twice in a row is kept, so that a tag with another value each time costs no more
    /// than a hash.
    hash: u64,
    comment: Option<Comment>,
}

/// A comment without hints.
struct Comment {
    /// All of it but the value of `traceparent`.
    parts: [Box<[u8]>; 2],
    tags: Option<Found>,
}

/// Where its tags are.
struct Found {
    number: u64,
    body: [u16; 2],
    places: [Place; KEPT],
    count: usize,
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    /// The number of the next comment; 0: this thread has none yet.
    next: u64,
}

thread_local! {
    static TABLE: RefCell<Table> = const { RefCell::new(Table { slots: Vec::new(), next: 0 }) };
}

/// What is said behind a text, from memory or else by reading it.
pub(super) fn said<'t>(behind: &'t [u8], read: impl FnOnce() -> Said<'t>) -> Said<'t> {
    if behind.len() > LONGEST {
        return read();
    }
    let parts = without_trace(behind);
    let hash = hash(parts);
    TABLE.with_borrow_mut(|table| {
        if table.slots.is_empty() {
            table.slots.resize_with(PLACES, Slot::default);
        }
        let Some(slot) = table.slots.get_mut(hash as usize % PLACES) else { return read() };
        if slot.hash != hash {
            *slot = Slot { hash, comment: None };
            return read();
        }
        match &slot.comment {
            Some(known) if known.has(parts) => (None, known.tags.as_ref().and_then(|tags| tags.of(behind))),
            Some(_) => read(),
            None => {
                let (hint, mut tags) = read();
                if hint.is_none() {
                    slot.comment = Some(Comment::new(behind, parts, &mut tags, &mut table.next));
                }
                (hint, tags)
            }
        }
    })
}

/// The part before and the part behind the value of `traceparent`.
fn without_trace(comment: &[u8]) -> [&[u8]; 2] {
    let named = |at: &usize| comment.get(..*at).and_then(|before| before.strip_suffix(TRACE.as_bytes()));
    let parts = || {
        let mark = memchr_iter(b'=', comment).find(|at| named(at).is_some())?;
        let begins = named(&mark)?;
        let whole_name = begins.ends_with(b"/*") || matches!(begins.last(), Some(b',' | b' '));
        let (before, rest) =
            comment.split_at_checked(mark + 2).filter(|(before, _)| before.ends_with(b"'"))?;
        let (value, behind) = rest.split_at_checked(TRACE_VALUE)?;
        // All of them, whatever is found, so that many are looked at at once.
        let plain = value.iter().fold(true, |plain, byte| plain & is_of_trace(*byte));
        (whole_name && plain && behind.starts_with(b"'")).then_some([before, behind])
    };
    parts().unwrap_or([comment, &[]])
}

fn is_of_trace(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6) | (byte == b'-')
}

fn hash([before, behind]: [&[u8]; 2]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(before);
    hasher.write(behind);
    // What was never set is 0.
    hasher.finish() | 1 << 63
}

impl Comment {
    fn new(behind: &[u8], parts: [&[u8]; 2], tags: &mut Option<Tags<'_>>, next: &mut u64) -> Self {
        let tags = tags.as_mut().and_then(|tags| {
            tags.number = number(next);
            let body = place_of(tags.body, behind)?;
            Some(Found { number: tags.number, body, places: tags.places, count: tags.count })
        });
        Self { parts: parts.map(Into::into), tags }
    }

    fn has(&self, [before, behind]: [&[u8]; 2]) -> bool {
        let [known_before, known_behind] = &self.parts;
        // Most have no second part, and comparing nothing with nothing is dear: an empty slice's address is no memory's,
        // and some memcmp look there all the same, under a mask.
        **known_before == *before
            && known_behind.len() == behind.len()
            && (behind.is_empty() || **known_behind == *behind)
    }
}

impl Found {
    /// The tags of a comment that has them at the same places.
    fn of<'t>(&self, behind: &'t [u8]) -> Option<Tags<'t>> {
        let [start, end] = self.body.map(usize::from);
        let body = behind.get(start..end)?;
        Some(Tags { body, places: self.places, count: self.count, number: self.number })
    }
}

/// Numbers that no other thread gives.
fn number(next: &mut u64) -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    if *next == 0 {
        *next = THREADS.fetch_add(1, Ordering::Relaxed) << 40;
    }
    *next += 1;
    *next
}

#[cfg(test)]
mod tests {
    use super::super::decoded;
    use crate::scan::Around;

    fn tags(behind: &str) -> (u64, Vec<(String, String)>) {
        let around = Around { before: b"", text: b"select 1", behind: behind.as_bytes() };
        let Some(tags) = around.tags() else { return (0, Vec::new()) };
        let pair = |of: &[u8]| decoded(of).into_owned();
        (tags.number, tags.iter().map(|tag| (pair(tag.name), pair(tag.value))).collect())
    }

    #[test]
    fn what_came_twice_is_known_the_third_time_whatever_the_trace_id() {
        let traced = |n: u64| format!(" /*route='%2Fa',traceparent='00-{n:032x}-{n:016x}-01',x='y'*/");
        let (first, read) = tags(&traced(1));
        let (known, again) = tags(&traced(1));
        assert_eq!((first, &read), (0, &again));
        assert_ne!(known, 0);
        for n in [1, 2, u64::MAX] {
            let (number, pairs) = tags(&traced(n));
            assert_eq!((number, &pairs[0], &pairs[2]), (known, &read[0], &read[2]));
            assert_eq!(pairs[1].1, format!("00-{n:032x}-{n:016x}-01"));
        }
        let other = traced(1).replace("%2Fa", "%2Fb");
        assert_ne!(tags(&other).1, read);
        assert_ne!([tags(&other), tags(&other)].map(|(number, _)| number), [known; 2]);
    }

    #[test]
    fn only_the_value_of_traceparent_is_left_out() {
        let hexadecimal = |digit: &str| digit.repeat(55);
        for text in [
            " /*xtraceparent='{}'*/",
            " /*a='traceparent=\\'{}\\''*/",
            " /*a='b' traceparent='{}'*/",
            " /*a='traceparent='{}'*/",
            " /*traceparent='{}a'*/",
            " /*traceparent='{}*/",
            " /*traceparent=\"{}\"*/",
            " /*traceparent:{}*/",
            " -- traceparent='{}'",
        ] {
            for digit in ["0", "1", "f", "0", "0", "0", "1"] {
                let text = text.replace("{}", &hexadecimal(digit));
                let (_, pairs) = tags(&text);
                let read = super::super::Tags::parse(text.trim().trim_matches(['/', '*']).as_bytes());
                let read: Vec<_> = read.iter().flat_map(super::super::Tags::iter).collect();
                assert_eq!(pairs.len(), if text.contains("--") { 0 } else { read.len() }, "{text}");
                for (pair, tag) in pairs.iter().zip(read) {
                    assert_eq!(pair.1, decoded(tag.value), "{text}");
                }
            }
        }
    }
}
