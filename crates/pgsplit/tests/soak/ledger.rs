//! What a client has written: every row has a key of its own, in a table that would take a duplicate.

use std::collections::VecDeque;

/// Rows by what is known of them. All others must not be there.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    /// Acknowledged: there, once.
    pub(crate) written: Vec<u64>,
    /// Each group is there whole, once, or not at all.
    pub(crate) doubtful: Vec<Vec<u64>>,
    /// Likewise, and looked for in vain: a statement whose client has gone may still be running.
    pub(crate) missing: Vec<Vec<u64>>,
    /// A transaction that may have been prepared, and not ended.
    pub(crate) prepared: Option<String>,
    /// Sent, and not answered.
    sent: VecDeque<Vec<u64>>,
}

impl Ledger {
    /// A new key.
    pub(crate) fn key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// How many keys were given out.
    pub(crate) fn keys(&self) -> u64 {
        self.next
    }

    /// Something is sent that will make these rows last.
    pub(crate) fn sending(&mut self, keys: Vec<u64>) {
        self.sent.push_back(keys);
    }

    /// The first of what was sent has been acknowledged.
    pub(crate) fn acknowledged(&mut self) {
        self.written.extend(self.sent.pop_front().into_iter().flatten());
    }

    /// The first of what was sent has failed.
    pub(crate) fn failed(&mut self) {
        self.sent.pop_front();
    }

    /// Nothing of what was sent can have been carried out.
    pub(crate) fn never_sent(&mut self) {
        self.sent.clear();
    }

    /// Nobody will answer what was sent.
    pub(crate) fn unanswered(&mut self) {
        self.doubtful.extend(self.sent.drain(..).filter(|keys| !keys.is_empty()));
    }

    /// The last of the doubtful groups was looked for.
    pub(crate) fn settle(&mut self, there: bool) {
        match self.doubtful.pop() {
            Some(keys) if there => self.written.extend(keys),
            keys => self.missing.extend(keys),
        }
    }
}
