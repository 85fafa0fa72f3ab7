//! One read buffer per thread, lent for the length of a single poll.
//!
//! Thousands of idle connections must not own a buffer each, so a task reads into its thread's buffer, acts
//! on the whole frames in it and copies only a torn tail into a buffer of its own. The loan cannot cross an
//! `await`: it is a borrow inside a synchronous closure. This is not a pool of buffers, and nothing is kept
//! in it between two loans.

use std::cell::Cell;

/// Length of the buffer that is lent, in bytes.
pub const SIZE: usize = 64 * 1024;

/// Length of the buffer that a nested loan gets, in bytes.
pub const NESTED_SIZE: usize = 4 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = Cell::new(vec![0; SIZE]);
}

/// Lends this thread's buffer to `act` and returns its result.
///
/// The buffer is [`SIZE`] bytes long and holds whatever the last borrower left: only what the reader has just
/// filled may be looked at. A loan within a loan, or one while the thread ends, gets a fresh buffer of
/// [`NESTED_SIZE`].
pub fn with<R>(act: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut loan = Loan(SCRATCH.try_with(Cell::take).unwrap_or_default());
    if loan.0.is_empty() {
        loan.0.resize(NESTED_SIZE, 0);
    }
    act(&mut loan.0)
}

/// Gives the buffer back when it is dropped, also when the borrower panics.
struct Loan(Vec<u8>);

impl Drop for Loan {
    fn drop(&mut self) {
        if self.0.len() == SIZE {
            let buffer = std::mem::take(&mut self.0);
            // A thread that ends has no place for it any more; then it is simply freed.
            let _ = SCRATCH.try_with(|scratch| scratch.set(buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_buffer_comes_back() {
        let first = with(|buf| (buf.len(), buf.as_ptr() as usize));
        assert_eq!(first.0, SIZE);
        assert_eq!(with(|buf| (buf.len(), buf.as_ptr() as usize)), first);
    }

    #[test]
    fn a_nested_loan_gets_a_small_buffer_of_its_own() {
        let (outer, inner, innermost) = with(|outer| {
            outer[0] = 1;
            let sizes = with(|inner| {
                inner[0] = 2;
                (inner.len(), with(|innermost| innermost.len()))
            });
            assert_eq!(outer[0], 1);
            (outer.len(), sizes.0, sizes.1)
        });
        assert_eq!((outer, inner, innermost), (SIZE, NESTED_SIZE, NESTED_SIZE));
        assert_eq!(with(|buf| buf.len()), SIZE);
    }

    #[test]
    fn a_panic_in_a_loan_does_not_lose_the_buffer() {
        let caught = std::panic::catch_unwind(|| with(|_| panic!("borrower")));
        assert!(caught.is_err());
        assert_eq!(with(|buf| buf.len()), SIZE);
    }
}
