//! Copy data on its way from the client to the server.

use bytes::{Buf, BytesMut};

use crate::end::End;
use crate::link::Link;
use crate::relay::Relayed;
use crate::session::Session;

impl Session {
    /// Passes copy data on to the server, and whatever the server says meanwhile to the client.
    pub(crate) async fn copy_in(&mut self) -> Result<(), End> {
        while let Some(link) = self.link.as_mut().filter(|link| link.takes_copy()) {
            if pass_copy_data(&mut self.inbox, link)? {
                if let Some(why) = self.drain().await? {
                    return Err(self.lost(&why));
                }
                continue;
            }
            match self.relay(true).await? {
                Relayed::Broken(why) => return Err(self.lost(&why)),
                Relayed::Answered | Relayed::Client => {}
            }
        }
        // In the extended protocol the server answers when the client's Sync comes.
        if !self.open
            && self.link.as_ref().is_some_and(|link| !link.is_quiet())
            && let Relayed::Broken(why) = self.relay(false).await?
        {
            return Err(self.lost(&why));
        }
        self.clean_up().await
    }
}

/// Moves copy data, and what ends it, to the server. False when there is nothing to move.
fn pass_copy_data(inbox: &mut BytesMut, link: &mut Link) -> Result<bool, End> {
    if link.copy_rest > 0 {
        let n = link.copy_rest.min(inbox.len());
        link.out.extend_from_slice(inbox.get(..n).unwrap_or_default());
        inbox.advance(n);
        link.copy_rest -= n;
        return Ok(n > 0);
    }
    let Some(header) = pgsplit_wire::Header::read(inbox)? else { return Ok(false) };
    let header = header.check_frontend(Session::limits())?;
    if header.tag == b'd' {
        link.copy_rest = header.total();
        return Ok(true);
    }
    if inbox.len() < header.total() {
        return Ok(false);
    }
    match header.tag {
        b'X' => return Err(End::Client),
        // A server that takes copy data ignores them. If it has ended the copy by an error it has yet to be heard of, a
        // Sync ends what it skips.
        b'H' => {}
        b'S' => {
            link.out.extend_from_slice(inbox.get(..header.total()).unwrap_or_default());
            link.doubtful_syncs += 1;
        }
        // CopyDone, CopyFail, or something that does not belong here: then the server says so.
        _ => {
            link.out.extend_from_slice(inbox.get(..header.total()).unwrap_or_default());
            link.copy_in = false;
        }
    }
    inbox.advance(header.total());
    Ok(true)
}
