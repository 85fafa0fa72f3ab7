//! How long a session waits for a node. A slow statement is left alone: it is the control connection that tells a slow
//! node from one that does not answer, and an alarm tells the sessions. Without one, each wait costs a look at a counter.

use std::sync::atomic::Ordering;
use std::task::Context;

use crate::causality::planted;
use crate::link::{Held, Link};
use crate::relay::Break;
use crate::session::Session;

impl Session {
    /// Whether the connection that is held must not be waited for any longer. Whoever gets `None` is woken by an alarm.
    pub(crate) fn alarmed(&mut self, cx: &Context<'_>, link: &Link) -> Option<Break> {
        self.handle.register(cx);
        let now = self.shared.alarms.load(Ordering::Acquire);
        if now == self.alarm {
            return None;
        }
        let gone = self.gone(link);
        if gone.is_none() {
            self.alarm = now;
        }
        gone
    }

    fn gone(&self, link: &Link) -> Option<Break> {
        if self.is_fenced(link) {
            return Some(Break::Fenced);
        }
        // What has begun elsewhere cannot begin again, so its answer is waited for as long as the connection lasts.
        let free = !link.begun || link.held == Held::Yes;
        let view = self.shared.view.load();
        let answers = view.node(link.server.node).is_some_and(pgsplit_route::Node::answers);
        (free && !answers).then_some(Break::Silent)
    }

    /// Whether a connection leads to a primary that is none any more, or to an earlier life of it.
    pub(crate) fn is_fenced(&self, link: &Link) -> bool {
        !planted("stale-connection")
            && !link.replica
            && link.server.life().1 != self.shared.view.load().generation
    }
}
