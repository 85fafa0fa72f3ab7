//! A place for each thread, so that what every statement counts is not passed from core to core.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for threads. Where there are more threads, some share one.
const PLACES: usize = 16;

thread_local! {
    static OWN: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % PLACES
    };
}

/// Counters of one kind, once for each place. Whoever shows them adds them up.
#[derive(Debug, Default)]
pub struct Places<T>([Aligned<T>; PLACES]);

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Aligned<T>(T);

impl<T> Places<T> {
    /// The calling thread's.
    #[must_use]
    pub fn own(&self) -> Option<&T> {
        self.0.get(OWN.with(|own| *own)).map(|place| &place.0)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|place| &place.0)
    }
}
