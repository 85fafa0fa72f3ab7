//! What a replication connection is doing, told from the headers of the server's messages: so much must be known to end
//! it with an error message that the client can read.

use pgsplit_wire::{HEADER, Header};

/// What the server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing: it waits for a command.
    Waiting,
    /// A command.
    Command,
    /// Streaming, without an end of its own.
    Streaming,
}

/// Follows the server's messages from one to the next.
#[derive(Debug)]
pub(crate) struct Phase {
    doing: Doing,
    /// The part of a header that has come.
    header: [u8; HEADER],
    have: usize,
    /// What is still to come of the present message's body.
    missing: usize,
    /// The server does not speak the protocol.
    lost: bool,
}

impl Phase {
    /// Behind a login.
    pub(crate) fn new() -> Self {
        Self { doing: Doing::Waiting, header: [0; HEADER], have: 0, missing: 0, lost: false }
    }

    /// Whether something may be said between two messages, and nothing is cut off by it that would end by itself.
    pub(crate) fn may_end(&self) -> bool {
        self.is_between() && self.doing != Doing::Command
    }

    /// Whether something may be said between two messages.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.missing == 0 && !self.lost
    }

    /// The client has sent something.
    pub(crate) fn client_spoke(&mut self) {
        if self.doing == Doing::Waiting {
            self.doing = Doing::Command;
        }
    }

    /// The server has sent this.
    pub(crate) fn server_spoke(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let body = bytes.len().min(self.missing);
            self.missing -= body;
            bytes = bytes.get(body..).unwrap_or_default();
            for (place, byte) in self.header.iter_mut().skip(self.have).zip(bytes) {
                *place = *byte;
            }
            let head = bytes.len().min(HEADER - self.have);
            self.have += head;
            bytes = bytes.get(head..).unwrap_or_default();
            if self.have == HEADER {
                self.begin();
            }
        }
    }

    /// A header is complete.
    fn begin(&mut self) {
        self.have = 0;
        let Ok(Some(header)) = Header::read(&self.header) else {
            self.lost = true;
            return;
        };
        self.missing = header.body;
        match header.tag {
            b'W' => self.doing = Doing::Streaming,
            b'Z' => self.doing = Doing::Waiting,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CopyBothResponse, CopyData, CopyDone, CommandComplete, ReadyForQuery; cut at every place.
    #[test]
    fn follows_messages_however_they_are_cut() {
        let stream = b"W\0\0\0\x07\0\0\0d\0\0\0\x06ZZc\0\0\0\x04C\0\0\0\x06x\0Z\0\0\0\x05I";
        let ends = [8, 15, 20, 27, 33];
        for size in 1..=stream.len() {
            let mut phase = Phase::new();
            assert!(phase.may_end());
            phase.client_spoke();
            assert!(!phase.may_end() && phase.is_between());
            let mut at = 0;
            for chunk in stream.chunks(size) {
                phase.server_spoke(chunk);
                at += chunk.len();
                assert_eq!(phase.is_between(), ends.contains(&at), "after {at} bytes by {size}");
                assert_eq!(phase.may_end(), ends.contains(&at), "after {at} bytes by {size}");
            }
            phase.client_spoke();
            assert!(!phase.may_end());
        }
    }

    #[test]
    fn says_nothing_into_a_broken_stream() {
        let mut phase = Phase::new();
        phase.server_spoke(b"W\0\0\0\x01rest");
        assert!(!phase.is_between() && !phase.may_end());
    }
}
