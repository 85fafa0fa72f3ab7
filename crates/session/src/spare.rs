//! Buffers that the sessions of a thread use in turns.
//!
//! A session that waits for its client owns no buffer, so each statement would allocate and free the same few; instead
//! they go back to the thread. What has grown large is freed.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

use crate::link::Owed;

/// Buffers of each kind that a thread keeps. More are in use only while more sessions than this are at work on it.
const MOST: usize = 64;
/// The largest buffer that is kept, in bytes.
const LARGEST: usize = 32 * 1024;
/// The smallest worth keeping, in bytes.
const SMALLEST: usize = 512;
/// The longest queue that is kept.
const LONGEST: usize = 256;

thread_local! {
    static BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static QUEUES: RefCell<Vec<VecDeque<Owed>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn buffer() -> BytesMut {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SMALLEST))
}

/// Takes a buffer back; what is in it does not matter.
pub(crate) fn keep(mut buffer: BytesMut) {
    buffer.clear();
    // Bytes that were taken from its front count again from here on.
    if buffer.try_reclaim(SMALLEST) && buffer.capacity() <= LARGEST {
        BUFFERS.with_borrow_mut(|kept| {
            if kept.len() < MOST {
                kept.push(buffer);
            }
        });
    }
}

/// An empty queue.
pub(crate) fn queue() -> VecDeque<Owed> {
    QUEUES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes a queue back.
pub(crate) fn keep_queue(mut queue: VecDeque<Owed>) {
    queue.clear();
    if queue.capacity() <= LONGEST {
        QUEUES.with_borrow_mut(|kept| {
            if kept.len() < MOST {
                kept.push(queue);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn a_buffer_comes_back_whole_and_empty() {
        let mut one = buffer();
        one.extend_from_slice(&[7; SMALLEST]);
        let memory = one.as_ptr();
        one.advance(SMALLEST);
        keep(one);
        let mut again = buffer();
        assert!(again.is_empty() && again.capacity() >= SMALLEST);
        again.extend_from_slice(b"x");
        assert_eq!(again.as_ptr(), memory);
    }

    #[test]
    fn a_large_buffer_and_a_shared_one_are_not_kept() {
        keep(BytesMut::with_capacity(LARGEST + 1));
        let mut shared = BytesMut::with_capacity(SMALLEST);
        shared.extend_from_slice(&[7; SMALLEST]);
        let rest = shared.split_to(10);
        keep(shared);
        assert_eq!(BUFFERS.with_borrow(Vec::len), 0);
        drop(rest);
    }
}
