//! How far a node is, as the data path reads it: numbers behind atomics that the sampler stores and no lock guards.
//!
//! What was learnt of a node belongs to one life of its server. A restarted standby may be behind of where it was seen
//! before it stopped, so a connection that was opened after the last question says nothing until the next is answered:
//! questions are counted by tickets, and a connection notes the ticket at which it was open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::marks::Need;
use crate::view::Lsn;

/// How far one node is. Written by the sampler only.
#[derive(Debug, Default)]
pub struct Progress {
    /// Counts connections of the sampler: a life of the server lasts at least as long as one.
    life: AtomicU64,
    reached_flushed: AtomicU64,
    reached_inserted: AtomicU64,
    replayed: AtomicU64,
    /// Counts questions.
    ticket: AtomicU64,
    /// The last question that was answered.
    answered: AtomicU64,
    samples: AtomicU64,
    /// How long it takes to answer the sampler, in microseconds.
    pace: AtomicU64,
}

impl Progress {
    /// The sampler has a new connection: what was known may belong to another life.
    pub fn reborn(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
        self.forget();
        self.answered.store(0, Ordering::SeqCst);
    }

    /// Positions of another primary's incarnation compare with nothing.
    pub fn forget(&self) {
        for number in [&self.reached_flushed, &self.reached_inserted, &self.replayed] {
            number.store(0, Ordering::SeqCst);
        }
    }

    /// A question is about to be sent: its ticket.
    pub fn ask(&self) -> u64 {
        self.ticket.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// What is reached, as far as it was learnt in this life.
    pub fn reach(&self, reached: Need) {
        self.reached_flushed.fetch_max(reached.flushed, Ordering::SeqCst);
        self.reached_inserted.fetch_max(reached.inserted, Ordering::SeqCst);
    }

    /// The position that the node has replayed.
    pub fn replay(&self, replayed: Lsn) {
        self.replayed.fetch_max(replayed.0, Ordering::SeqCst);
    }

    /// The question with this ticket was answered, and what it told is stored.
    pub fn answer(&self, ticket: u64) {
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.answered.store(ticket, Ordering::SeqCst);
    }

    /// The ticket of the last question, for a connection that has just been opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.ticket.load(Ordering::SeqCst)
    }

    /// Whether what is known was asked after a connection was opened that noted this ticket.
    #[must_use]
    pub fn confirms(&self, opened: u64) -> bool {
        self.answered.load(Ordering::Acquire) > opened
    }

    /// Which life this is.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life.load(Ordering::Acquire)
    }

    /// The samples that it has reached.
    #[must_use]
    pub fn reached(&self) -> Need {
        Need {
            flushed: self.reached_flushed.load(Ordering::Acquire),
            inserted: self.reached_inserted.load(Ordering::Acquire),
        }
    }

    /// The position that it has replayed.
    #[must_use]
    pub fn replayed(&self) -> Lsn {
        Lsn(self.replayed.load(Ordering::Acquire))
    }

    /// How long it takes to answer a short question.
    pub fn set_pace(&self, pace: Duration) {
        self.pace.store(u64::try_from(pace.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The same, in microseconds; 0 while it is not known.
    #[must_use]
    pub fn pace(&self) -> u64 {
        self.pace.load(Ordering::Relaxed)
    }

    /// Questions answered since the process began.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }
}
