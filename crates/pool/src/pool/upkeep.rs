//! What is done to a pool from outside the line: idle connections that are of no use any more are closed, stock is opened.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pgsplit_route::{Node, NodeState, View};

use super::Pool;
use crate::settings::Settings;

impl Pool {
    /// The node has changed: idle connections of an older generation are closed, and whoever waits for one of a node that
    /// does not answer, or that was another's before, is sent away.
    pub(crate) fn revise(&self, view: &View) {
        let node = view.node(self.node);
        let answers = node.is_some_and(Node::answers);
        // Connections to a node that is away may be dead without anybody having been told.
        let away = node.is_none_or(|node| matches!(node.state, NodeState::Down | NodeState::Gone));
        let mut inner = self.lock();
        let (kept, closing): (Vec<_>, Vec<_>) =
            inner.idle.drain(..).partition(|server| server.generation == view.generation && !away);
        let waiting =
            if answers && closing.is_empty() { VecDeque::new() } else { std::mem::take(&mut inner.waiting) };
        inner.idle = kept;
        drop(inner);
        self.environment.waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
        drop((closing, waiting));
    }

    /// Since when the connection that has been idle the longest is idle.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle.first().map(|server| server.idle_since)
    }

    /// Closes the connection that has been idle the longest.
    pub(crate) fn close_oldest(&self) -> bool {
        let oldest = {
            let mut inner = self.lock();
            if inner.idle.is_empty() { None } else { Some(inner.idle.remove(0)) }
        };
        oldest.is_some()
    }

    /// Closes what is idle for too long, too old, of an older generation, above the limit, or has ended by itself. Opens
    /// up to `min_idle`.
    pub(crate) fn tidy(self: &Arc<Self>, generation: u64, idle_timeout: Option<Duration>, min_idle: usize) {
        let now = Instant::now();
        let (limit, _) = self.environment.limits(self.node, &self.environment.settings.load());
        let mut closing = Vec::new();
        let missing = {
            let mut inner = self.lock();
            let mut kept = Vec::with_capacity(inner.idle.len());
            let mut spare = inner.open.saturating_sub(min_idle);
            // A reload, or a change of role, may have lowered the limit.
            let mut surplus = inner.open.saturating_sub(limit);
            for mut server in inner.idle.drain(..) {
                let dead = server.generation != generation
                    || now >= server.expires
                    || !self.is_of_this_era(&server)
                    || server.stream.is_readable_hint();
                let stale = idle_timeout.is_some_and(|most| now - server.idle_since >= most) && spare > 0;
                if dead || stale || surplus > 0 {
                    spare = spare.saturating_sub(1);
                    surplus = surplus.saturating_sub(1);
                    closing.push(server);
                } else {
                    kept.push(server);
                }
            }
            inner.idle = kept;
            min_idle.saturating_sub(inner.open - closing.len())
        };
        drop(closing);
        for _ in 0..missing {
            self.open_idle();
        }
    }

    /// Opens one connection for stock.
    fn open_idle(self: &Arc<Self>) {
        let settings = self.environment.settings.load();
        let (limit, most) = self.environment.limits(self.node, &settings);
        let Some(place) = self.place(limit, most) else { return };
        let pool = self.clone();
        tokio::spawn(async move {
            if let Ok(server) = pool.open(place, Settings::none()).await {
                Self::put(server);
            }
        });
    }
}
