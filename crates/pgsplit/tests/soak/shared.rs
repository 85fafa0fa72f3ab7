//! What all clients share: the time, the weather, counters, and what only one of them may have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Advisory locks that all clients compete for.
pub(crate) const CONTESTED: usize = 6;
/// How long after a fault its consequences may be met.
const AFTERMATH: Duration = Duration::from_secs(5);

/// The table that clients sit around.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) port: u16,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
    began: Instant,
    over: AtomicBool,
    /// Pins that clients of each account may have at once: a pool's connections must not all be pinned.
    permits: [AtomicI64; 2],
    /// Who has a contested lock: 0 is nobody.
    pub(crate) contested: [AtomicUsize; CONTESTED],
    /// When the primary was last made to go away, and when it was back, in milliseconds from the beginning.
    storm: [AtomicU64; 2],
    counts: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) failures: Mutex<Vec<String>>,
}

impl Shared {
    pub(crate) fn new(port: u16, seed: u64, clients: usize, permits: [i64; 2]) -> Self {
        Self {
            port,
            seed,
            clients,
            began: Instant::now(),
            over: AtomicBool::new(false),
            permits: permits.map(AtomicI64::new),
            contested: Default::default(),
            storm: Default::default(),
            counts: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// All clients shall leave, or may come again.
    pub(crate) fn set_over(&self, over: bool) {
        self.over.store(over, Ordering::Relaxed);
    }

    /// The primary goes away while `act` runs.
    pub(crate) fn storm(&self, act: impl FnOnce()) {
        self.storm[1].store(u64::MAX, Ordering::SeqCst);
        self.storm[0].store(self.now(), Ordering::SeqCst);
        act();
        self.storm[1].store(self.now() + AFTERMATH.as_millis() as u64, Ordering::SeqCst);
    }

    /// Whether the primary was away at some time from `since` on.
    pub(crate) fn was_stormy(&self, since: Instant) -> bool {
        let since = since.duration_since(self.began).as_millis() as u64;
        let [began, ended] = [0, 1].map(|at: usize| self.storm[at].load(Ordering::SeqCst));
        began > 0 && since <= ended && began <= self.now()
    }

    /// Leave to tie oneself to a connection.
    pub(crate) fn take_permit(&self, account: usize) -> bool {
        let taken = |left: i64| (left > 0).then_some(left - 1);
        self.permits[account].fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).is_ok()
    }

    pub(crate) fn return_permit(&self, account: usize) {
        self.permits[account].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn fail(&self, why: String) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(why);
        self.set_over(true);
    }
}

/// Lets time pass.
#[allow(
    clippy::disallowed_methods,
    reason = "nothing is waited for: when something is done is a client's own affair"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Ends everybody's time when it goes, also by a panic.
pub(crate) struct Curfew<'a>(pub(crate) &'a Shared);

impl Drop for Curfew<'_> {
    fn drop(&mut self) {
        self.0.set_over(true);
    }
}
