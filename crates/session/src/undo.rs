//! After an error the server skips everything up to the next Sync: what was noted ahead of the answers is taken back.

use std::sync::Arc;

use crate::link::{Link, Owed, To, UNKNOWN, Undo, What};
use crate::prepared::Prepared;
use crate::session::Session;

impl Session {
    /// After an error the server skips everything up to the next Sync: it is not owed any more.
    pub(crate) fn drop_until_sync(&mut self, link: &mut Link) {
        let sync = link.owed.iter().position(|owed| matches!(owed.what, What::Sync)).unwrap_or_else(|| {
            // The client's Sync is still to come; what it sends before is skipped here as it is there.
            self.skipping = true;
            self.open = true;
            link.owed.len()
        });
        let mut dropped: Vec<Owed> = link.owed.drain(..sync).collect();
        if let Some(Owed { what: What::Parse { undo: Undo::Both { name, before, .. } }, to: To::Client }) =
            dropped.first_mut()
            && name.is_empty()
        {
            // A Parse that fails has thrown the old unnamed statement away (exec_parse_message in postgres.c).
            *before = None;
        }
        for owed in dropped.into_iter().rev() {
            match owed.what {
                What::Parse { undo } | What::Say { undo, .. } => self.undo(link, undo),
                What::Bind { portal, before, .. } => {
                    self.state.portals.set(&portal, before);
                }
                What::Evict(id) => link.strays.push(id),
                // The unnamed statement was not closed.
                What::Close if owed.to == To::Silent => link.server.unnamed = Some(UNKNOWN),
                _ => {}
            }
        }
    }

    pub(crate) fn undo(&mut self, link: &mut Link, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::OnServer(statement) => link.forget(&statement),
            Undo::Name { name, before } => self.restore(name, before),
            Undo::Both { name, before, statement } => {
                link.forget(&statement);
                self.restore(name, before);
            }
        }
    }

    pub(crate) fn restore(&mut self, name: Box<[u8]>, before: Option<Arc<Prepared>>) {
        if name.is_empty() {
            self.state.unnamed = before;
            return;
        }
        match before {
            Some(before) => self.state.names.insert(name, before),
            None => self.state.names.remove(&name),
        };
    }
}
