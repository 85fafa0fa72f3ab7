//! Messages whose bodies cannot be read. The server says so, in its words, and the session goes on as it would there: with
//! the next message, or in the extended protocol behind the next Sync.
//!
//! Not here: headers that cannot be read, after which nothing can be found any more, so that they end the session.

use pgsplit_sql::Effects;
use pgsplit_wire::frontend::{Bind, Parse, execute, target};
use pgsplit_wire::{Frame, build};

use crate::batch::frames;
use crate::end::End;
use crate::link::{To, What};
use crate::query::aborted;
use crate::session::Session;
use crate::turn::Attempt;
use crate::unit::BatchEnd;

impl Session {
    /// One that is answered by itself: a Query, or a Sync with a body.
    pub(crate) async fn malformed(&mut self, frame: &[u8]) -> Result<(), End> {
        self.pass_on(frame, What::Query { facts: None, next: 0 }, BatchEnd::Sync).await
    }

    /// A batch with at least one. What stands before it is carried out, and what stands behind it is skipped, as the
    /// server skips it.
    pub(crate) async fn malformed_batch(&mut self, bytes: &[u8], end: BatchEnd) -> Result<(), End> {
        let good = frames(bytes).take_while(is_well_formed).map(|frame| frame.bytes.len()).sum();
        let (before, rest) = bytes.split_at_checked(good).unwrap_or((bytes, b""));
        let Some(frame) = frames(rest).next() else { return Ok(()) };
        if !before.is_empty() {
            Box::pin(self.batch(before, BatchEnd::More)).await?;
        }
        if self.skipping {
            return self.skip(end).await;
        }
        self.pass_on(frame.bytes, What::Malformed, end).await
    }

    async fn pass_on(&mut self, frame: &[u8], what: What, end: BatchEnd) -> Result<(), End> {
        if self.state.lost {
            return self.fail(&aborted(), end);
        }
        self.tally.begin();
        self.begin_unit(&self.catalog.load());
        // It is refused before anything is done.
        let attempt = Attempt { effects: Effects::NONE, ..Attempt::unread(end) };
        let by_itself = !matches!(what, What::Malformed);
        let mut what = Some(what);
        self.attempt(&attempt, &mut |_, link| {
            link.out.extend_from_slice(frame);
            if let Some(what) = what.take() {
                link.owe(what, To::Client);
            }
            match end {
                _ if by_itself => {}
                BatchEnd::Sync => {
                    build::sync(&mut link.out);
                    link.owe(What::Sync, To::Client);
                }
                BatchEnd::Flush => build::flush(&mut link.out),
                BatchEnd::More => {}
            }
            Ok(())
        })
        .await
    }
}

/// Whether what the proxy acts on of a message can be read. What else it says is the server's to check.
fn is_well_formed(frame: &Frame<'_>) -> bool {
    match frame.tag {
        b'P' => Parse::read(frame.body).is_ok(),
        b'B' => Bind::read(frame.body).is_ok(),
        b'D' | b'C' => target(frame.body).is_ok(),
        b'E' => execute(frame.body).is_ok(),
        b'H' => frame.body.is_empty(),
        _ => true,
    }
}
