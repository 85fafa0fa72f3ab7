//! Clients that read all the time, what they see, and how long it takes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgsplit_testkit::Proxy;

use crate::{Door, SOON, client, code, until};

/// Readers at a time.
const READERS: usize = 32;

/// What the readers have seen.
#[derive(Default)]
pub(crate) struct Seen {
    stop: AtomicBool,
    done: AtomicU64,
    failures: Mutex<Vec<String>>,
    times: Mutex<Vec<Duration>>,
}

impl Seen {
    /// Waits until so many more reads are done.
    pub(crate) fn go_on(&self, more: u64) {
        let goal = self.done.load(Ordering::Relaxed) + more;
        until("reads go on", || self.done.load(Ordering::Relaxed) >= goal || self.has_failed());
    }

    fn has_failed(&self) -> bool {
        !self.failures.lock().unwrap().is_empty()
    }

    /// One reader, until the end.
    pub(crate) fn read(&self, door: Door<'_>, number: usize) {
        let mut client = door();
        client.set_time_limit(SOON).unwrap();
        let mut times = Vec::new();
        let mut id = number;
        while !self.stop.load(Ordering::Relaxed) {
            id = id * 7 % 1000 + 1;
            let began = Instant::now();
            let answer = client.query(&format!("SELECT v FROM still WHERE id = {id}"));
            match answer {
                Ok(answer) if code(&answer).is_none() => times.push(began.elapsed()),
                Ok(answer) => {
                    let error = answer.iter().find(|message| message.tag == b'E').unwrap();
                    self.fail(error.text());
                    break;
                }
                Err(error) => {
                    self.fail(error.to_string());
                    break;
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        self.times.lock().unwrap().append(&mut times);
    }

    fn fail(&self, why: String) {
        self.failures.lock().unwrap().push(why);
    }

    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The longest read, once all have ended without an error.
    pub(crate) fn longest(&self) -> Duration {
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{failures:?}");
        let mut times = self.times.lock().unwrap();
        times.sort();
        let at = |part: usize| times[(times.len() - 1) * part / 1000];
        let (median, most) = (at(500), at(1000));
        println!("  {} reads: p50 {median:.1?}, p99.9 {:.1?}, longest {most:.1?}", times.len(), at(999));
        most
    }
}

/// Has clients read while something is done; none of them may see an error. Returns the longest read.
pub(crate) fn under_reads(proxy: &Proxy, act: impl FnOnce(&Seen)) -> Duration {
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for number in 0..READERS {
            let seen = &seen;
            scope.spawn(move || seen.read(&|| client(proxy), number));
        }
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&seen)));
        seen.end();
        if let Err(panic) = acted {
            println!("  {:?}", seen.failures.lock().unwrap());
            std::panic::resume_unwind(panic);
        }
    });
    seen.longest()
}
