//! Reading what a server says: which bytes go to the client, what they mean for what is owed and for the session.
//!
//! Only headers are walked. Rows, descriptions and copy data pass as the bytes that arrived; the few message types that
//! change something are looked at when they are whole.

use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use pgsplit_wire::{HEADER, Header, build};

use crate::link::{Held, Link, Owed, To, What};
use crate::outcome::{on_complete, on_copy_in};
use crate::session::Session;
use crate::stale::shape;

/// The longest message that is looked at whole. Messages of these types are short but for errors that quote a value.
const MAX_INSPECTED: usize = 16 * 1024 * 1024;

/// The server does not follow the protocol, or we have lost step with it: the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfStep(pub &'static str);

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Forward,
    Swallow,
}

/// Types whose bodies may be long and are never looked at.
fn passes(tag: u8) -> bool {
    matches!(tag, b'D' | b'd' | b'T' | b't' | b'V' | b'N')
}

/// A run of bytes of one read that go to the client as they are; runs that end are copied to its buffer.
struct Run<'a> {
    data: &'a [u8],
    range: Range<usize>,
}

impl Run<'_> {
    fn extend(&mut self, from: usize, to: usize, outbox: &mut BytesMut) {
        if self.range.end == from && !self.range.is_empty() {
            self.range.end = to;
        } else {
            self.end(outbox);
            self.range = from..to;
        }
    }

    fn end(&mut self, outbox: &mut BytesMut) {
        outbox.extend_from_slice(self.data.get(self.range.clone()).unwrap_or_default());
        self.range = 0..0;
    }
}

impl Session {
    /// Takes bytes of the server. Returns the last run of them that goes to the client; everything before it is in the
    /// client's buffer already.
    pub(crate) fn walk(&mut self, link: &mut Link, data: &[u8]) -> Result<Range<usize>, OutOfStep> {
        let mut run = Run { data, range: 0..0 };
        let mut at = 0;
        while at < data.len() {
            at += if link.pass > 0 {
                self.walk_passing(link, &mut run, at)
            } else if link.torn.is_empty() {
                self.walk_frame(link, &mut run, at)?
            } else {
                run.end(&mut self.outbox);
                self.walk_torn(link, data.get(at..).unwrap_or_default())?
            };
        }
        Ok(run.range)
    }

    /// Bytes of a message that passes.
    fn walk_passing(&mut self, link: &mut Link, run: &mut Run<'_>, at: usize) -> usize {
        let n = link.pass.min(run.data.len() - at);
        link.pass -= n;
        if link.pass_shown {
            run.extend(at, at + n, &mut self.outbox);
        }
        n
    }

    /// A message that begins at `at`.
    fn walk_frame(&mut self, link: &mut Link, run: &mut Run<'_>, at: usize) -> Result<usize, OutOfStep> {
        let rest = run.data.get(at..).unwrap_or_default();
        let Some(header) = Header::read(rest).map_err(|_| OutOfStep("impossible message length"))? else {
            link.torn.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let whole = rest.get(..header.total());
        if whole.is_none() && passes(header.tag) && !is_examined(link) {
            let fate = self.on_message(link, header.tag, &[])?;
            link.pass = header.total();
            link.pass_shown = fate == Fate::Forward;
            return Ok(0);
        }
        let Some(frame) = whole else {
            if header.total() > MAX_INSPECTED {
                return Err(OutOfStep("a message is too long"));
            }
            link.torn.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let body = frame.get(HEADER..).unwrap_or_default();
        if matches!(link.owed.front(), Some(Owed { to: To::Session, .. }))
            || header.tag == b'S' && link.resets.any()
            || header.tag == b'Z' && self.notice.is_some()
            || header.tag == b'A'
            || header.tag == b'E' && link.stand_in.is_some()
        {
            // The client may be told of changes behind it, or in its place.
            run.end(&mut self.outbox);
        }
        let fate = self.on_message(link, header.tag, body)?;
        if matches!(link.held, Held::Again(_)) {
            // What came before it in this read was held back too.
            run.range = 0..0;
        }
        match fate {
            Fate::Forward => run.extend(at, at + header.total(), &mut self.outbox),
            Fate::Swallow => {}
        }
        if matches!(link.owed.front(), Some(Owed { what: What::Say { .. }, .. })) {
            run.end(&mut self.outbox);
            self.say_what_is_due(link);
        }
        Ok(header.total())
    }

    /// Completes a message that began in an earlier read; returns how many bytes that took.
    fn walk_torn(&mut self, link: &mut Link, data: &[u8]) -> Result<usize, OutOfStep> {
        let mut taken = 0;
        let missing = HEADER.saturating_sub(link.torn.len()).min(data.len());
        link.torn.extend_from_slice(data.get(..missing).unwrap_or_default());
        taken += missing;
        let Some(header) = Header::read(&link.torn).map_err(|_| OutOfStep("impossible message length"))?
        else {
            return Ok(taken);
        };
        if passes(header.tag) && !is_examined(link) {
            let fate = self.on_message(link, header.tag, &[])?;
            let begun = std::mem::take(&mut link.torn);
            link.pass = header.total() - begun.len();
            link.pass_shown = fate == Fate::Forward;
            if link.pass_shown {
                self.outbox.extend_from_slice(&begun);
            }
            return Ok(taken);
        }
        if header.total() > MAX_INSPECTED {
            return Err(OutOfStep("a message is too long"));
        }
        let missing = (header.total() - link.torn.len()).min(data.len() - taken);
        link.torn.extend_from_slice(data.get(taken..taken + missing).unwrap_or_default());
        taken += missing;
        if link.torn.len() == header.total() {
            let frame = std::mem::take(&mut link.torn);
            let body = frame.get(HEADER..).unwrap_or_default();
            if self.on_message(link, header.tag, body)? == Fate::Forward {
                self.outbox.extend_from_slice(&frame);
            }
            self.say_what_is_due(link);
        }
        Ok(taken)
    }

    /// Says what is due to the client without asking the server.
    pub(crate) fn say_what_is_due(&mut self, link: &mut Link) {
        while matches!(link.owed.front(), Some(Owed { what: What::Say { .. }, .. })) {
            if let Some(Owed { what: What::Say { answer, .. }, .. }) = link.owed.pop_front() {
                self.say(&answer);
            }
        }
    }

    /// NotificationResponse names the process of the server that has sent it. Where that ran it for one of our clients, the
    /// client is known to others by the number that it was told itself.
    fn notified(&mut self, link: &Link, body: &[u8]) -> Fate {
        let Some((pid, rest)) = body.split_first_chunk::<4>() else { return Fate::Forward };
        let writer = self.shared.pools.environment().writer(link.server.node, i32::from_be_bytes(*pid));
        let Some(writer) = writer else { return Fate::Forward };
        build::message(&mut self.outbox, b'A', |out| {
            out.extend_from_slice(&writer.to_be_bytes());
            out.extend_from_slice(rest);
        });
        Fate::Swallow
    }

    /// One message of the server; `body` is empty for those that pass.
    fn on_message(&mut self, link: &mut Link, tag: u8, body: &[u8]) -> Result<Fate, OutOfStep> {
        let to = link.owed.front().map(|owed| owed.to);
        let shown = match to {
            Some(To::Client) if !matches!(link.held, Held::Again(_)) => Fate::Forward,
            Some(_) => Fate::Swallow,
            // Nothing is owed: what comes is asynchronous.
            None => Fate::Forward,
        };
        match tag {
            b'D' | b'd' => {
                if to == Some(To::Examiner) && tag == b'D' {
                    link.found.push(Bytes::copy_from_slice(body));
                }
                Ok(shown)
            }
            b'Z' => self.on_ready(link, body, shown),
            b'C' => self.on_command_complete(link, body, shown),
            b'E' => self.on_error(link, body, shown),
            b'S' => self.on_parameter(link, body, shown),
            b'1' | b'2' | b'3' => on_complete(&mut self.state, link, tag, shown),
            b'T' | b'n' => {
                if let Some(Owed { what: What::Describe { prepared }, .. }) = link.owed.front() {
                    if let Some(prepared) = prepared {
                        let now = shape(body);
                        match to {
                            Some(To::Silent) => {
                                link.changed |= prepared.described.load(Ordering::Relaxed) != now
                            }
                            _ => prepared.described.store(now, Ordering::Relaxed),
                        }
                    }
                    link.owed.pop_front();
                }
                Ok(shown)
            }
            b'I' => {
                match link.owed.front_mut() {
                    Some(Owed { what: What::Execute { .. }, .. }) => drop(link.owed.pop_front()),
                    Some(Owed { what: What::Probe { marked, .. }, .. }) => *marked = true,
                    _ => {}
                }
                Ok(shown)
            }
            b's' => self.on_suspended(link, shown),
            b'G' => {
                link.held = if link.held == Held::Yes { Held::No } else { link.held };
                // The client's Sync that was ignored is still to come, behind the data.
                self.open |= on_copy_in(link);
                Ok(shown)
            }
            b't' | b'H' | b'c' | b'V' | b'N' | b'W' => Ok(shown),
            b'A' => {
                // Whoever sent it may have written anything before.
                self.shared.marks.mark_all();
                Ok(self.notified(link, body))
            }
            b'K' => Ok(Fate::Swallow),
            _ => Err(OutOfStep("unknown message type")),
        }
    }
}

fn is_examined(link: &Link) -> bool {
    link.owed.front().is_some_and(|owed| {
        owed.to == To::Examiner || matches!(owed.what, What::Describe { prepared: Some(_) })
    })
}
