//! Clients that write, and what they were told of each write.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgsplit_testkit::Node;
use pgsplit_testkit::peer::RawClient;

use crate::{Door, SOON, code, until};

/// What a client was told of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Done.
    Acknowledged,
    /// Not known.
    Doubt,
    /// Not done, and why.
    Failed(String),
}

/// All writes of all writers.
#[derive(Default)]
pub(crate) struct Ledger {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    /// By writer and number, with the time at which the write was sent.
    told: Mutex<BTreeMap<(usize, usize), (Told, Instant)>>,
    /// When writes were acknowledged.
    times: Mutex<Vec<Instant>>,
    longest: Mutex<Duration>,
}

impl Ledger {
    /// One writer, until the end. Whatever it is told, it never sends a write again.
    pub(crate) fn write(&self, door: Door<'_>, writer: usize) {
        let mut client = patient(door);
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let sent = Instant::now();
            let told = match client.query(&format!("INSERT INTO ledger VALUES ({writer}, {n})")) {
                Ok(answer) => match code(&answer) {
                    None => Told::Acknowledged,
                    Some(code) if code == "08007" => Told::Doubt,
                    Some(code) => Told::Failed(code),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer at all"),
                // The connection ends behind a FATAL: the last message says why.
                Err(error) if error.to_string().contains("57P01") => Told::Failed("57P01".to_owned()),
                Err(_) => Told::Doubt,
            };
            if told == Told::Acknowledged {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                self.times.lock().unwrap().push(Instant::now());
                let mut longest = self.longest.lock().unwrap();
                *longest = longest.max(sent.elapsed());
            } else {
                client = patient(door);
            }
            self.told.lock().unwrap().insert((writer, n), (told, sent));
        }
    }

    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) fn go_on(&self, more: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + more;
        until("writes go on", || self.acknowledged.load(Ordering::Relaxed) >= goal);
    }

    /// When the last write was acknowledged.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.times.lock().unwrap().last().copied()
    }

    /// When the first write was acknowledged after this moment.
    pub(crate) fn first_after(&self, moment: Instant) -> Option<Instant> {
        self.times.lock().unwrap().iter().find(|time| **time > moment).copied()
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Writes that were sent after this moment and acknowledged.
    pub(crate) fn sent_after(&self, moment: Instant) -> Vec<(usize, usize)> {
        let told = self.told.lock().unwrap();
        let after = told.iter().filter(|(_, (told, sent))| *told == Told::Acknowledged && *sent > moment);
        after.map(|(key, _)| *key).collect()
    }

    /// Every acknowledged write is on the node, nothing is there twice, and what failed is not there.
    pub(crate) fn check(&self, node: &Node) {
        self.check_rows(&rows(node), 8);
    }

    /// The same, of what is there; at most so many writes may be in doubt.
    pub(crate) fn check_rows(&self, there: &BTreeMap<(usize, usize), usize>, most: usize) {
        let told = self.told.lock().unwrap();
        let (mut doubts, mut failed) = (0, BTreeMap::<String, usize>::new());
        for (key, (told, _)) in told.iter() {
            let count = there.get(key).copied().unwrap_or(0);
            match told {
                Told::Acknowledged => assert_eq!(count, 1, "{key:?} was acknowledged"),
                Told::Doubt => {
                    doubts += 1;
                    assert!(count <= 1, "{key:?} is there {count} times");
                }
                Told::Failed(code) => {
                    *failed.entry(code.clone()).or_default() += 1;
                    assert_eq!(count, 0, "{key:?} has failed with {code}");
                }
            }
        }
        let acknowledged = self.acknowledged();
        let longest = self.longest.lock().unwrap();
        println!(
            "  {acknowledged} writes acknowledged, {doubts} in doubt, failed: {failed:?}; longest {longest:.1?}"
        );
        assert!(failed.keys().all(|code| code == "57P01"), "what was not sent waits: {failed:?}");
        assert!(doubts <= most, "one statement of each writer was in flight");
    }
}

/// A client that waits as long as a write may.
fn patient(door: Door<'_>) -> RawClient {
    let client = door();
    client.set_time_limit(SOON).unwrap();
    client
}

/// What a node has of the ledger, and how often.
pub(crate) fn rows(node: &Node) -> BTreeMap<(usize, usize), usize> {
    counted(&node.sql("app", "SELECT writer, n FROM ledger").unwrap())
}

/// The same of psql's lines.
pub(crate) fn counted(text: &str) -> BTreeMap<(usize, usize), usize> {
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let (writer, n) = line.split_once('|').unwrap();
        *rows.entry((writer.parse().unwrap(), n.parse().unwrap())).or_default() += 1;
    }
    rows
}
