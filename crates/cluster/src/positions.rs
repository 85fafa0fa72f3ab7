//! Samples: how far the primary is and how far the replicas are, asked when somebody waits for it and at each probe.
//!
//! A node is asked on the control connection that probes it, by the task that probes it, so at most one question is in
//! flight, and all who wait share its answer. What comes of it is stored in each node's [`pgsplit_route::Progress`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgsplit_route::{Lsn, MOST_NODES, Marks, Need, NodeId, Progress, Sample, Samples};
use tokio::sync::{Notify, watch};

/// Questions in a row before a pause is made, as long as somebody waits.
const BURST: u32 = 6;
/// The pause. The replica, or its way to the primary, is slower than the questions.
const PAUSE: Duration = Duration::from_millis(1);

/// What a node answered to a sampler's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// A primary's flushed and inserted positions, and whether commits are asynchronous by default.
    Primary { flushed: Lsn, inserted: Lsn, asynchronous: bool },
    /// What a standby has replayed.
    Standby { replayed: Lsn },
    /// A standby that has not replayed anything.
    Nothing,
}

/// What was noted before a question was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    ticket: u64,
    epoch: u64,
    generation: u64,
}

/// What is known of all positions.
pub(crate) struct Positions {
    pub(crate) marks: Arc<Marks>,
    /// Of the nodes that may come, too.
    nodes: Vec<Place>,
    samples: Mutex<Current>,
    waiting: AtomicUsize,
    /// The newest epochs that somebody waits for.
    wanted: [AtomicU64; 2],
    /// Something was learnt.
    learnt: watch::Sender<()>,
}

/// The samples of one life of the primary.
#[derive(Default)]
struct Current {
    samples: Samples,
    /// As in [`pgsplit_route::View::generation`].
    generation: u64,
}

struct Place {
    progress: Arc<Progress>,
    demand: Notify,
    /// Somebody waits for a question after this ticket.
    confirm: AtomicU64,
}

impl Positions {
    pub(crate) fn new() -> Self {
        let place = || Place { progress: Arc::default(), demand: Notify::new(), confirm: AtomicU64::new(0) };
        Self {
            marks: Arc::default(),
            nodes: (0..MOST_NODES).map(|_| place()).collect(),
            samples: Mutex::default(),
            waiting: AtomicUsize::new(0),
            wanted: [AtomicU64::new(0), AtomicU64::new(0)],
            learnt: watch::Sender::new(()),
        }
    }

    pub(crate) fn progress(&self, node: NodeId) -> Arc<Progress> {
        self.nodes.get(node.index()).map(|place| Arc::clone(&place.progress)).unwrap_or_default()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question to this node is about to be sent.
    pub(crate) fn ask(&self, node: NodeId, is_primary: bool, generation: u64) -> Question {
        let ticket = self.nodes.get(node.index()).map_or(0, |place| place.progress.ask());
        // Counted before the question is sent: whatever was marked until now had been done by then.
        let epoch = if is_primary { self.marks.begin_sample() } else { 0 };
        Question { ticket, epoch, generation }
    }

    /// The answer.
    pub(crate) fn answer(&self, node: NodeId, question: Question, position: Position) {
        let Some(place) = self.nodes.get(node.index()) else { return };
        {
            let mut current = self.current();
            let Current { samples, generation } = &mut *current;
            match position {
                Position::Primary { flushed, inserted, asynchronous }
                    if question.epoch > 0 && question.generation == *generation =>
                {
                    let epoch = planted_epoch(&self.marks).unwrap_or(question.epoch);
                    samples.add(Sample { epoch, flushed, inserted, asynchronous });
                    for other in &self.nodes {
                        other.progress.reach(samples.reached(other.progress.replayed()));
                    }
                }
                Position::Standby { replayed } => {
                    place.progress.replay(replayed);
                    place.progress.reach(samples.reached(replayed));
                }
                _ => {}
            }
            place.progress.answer(question.ticket);
        }
        self.learnt.send_replace(());
    }

    /// A new connection to the node: it may be another life of its server.
    pub(crate) fn reborn(&self, node: NodeId) {
        let _current = self.current();
        if let Some(place) = self.nodes.get(node.index()) {
            place.progress.reborn();
        }
    }

    /// Another primary, or another life of it: no position of before compares. Before anybody hears of it.
    pub(crate) fn forget(&self, generation: u64) {
        let mut current = self.current();
        current.samples.clear();
        current.generation = generation;
        self.nodes.iter().for_each(|place| place.progress.forget());
    }

    /// The primary's newest sample with at least this epoch.
    pub(crate) fn sampled(&self, epoch: u64) -> Option<Sample> {
        self.current().samples.newest().copied().filter(|sample| sample.epoch >= epoch)
    }

    /// Waits until the condition holds. While somebody waits, the nodes are asked again and again.
    pub(crate) async fn wait(
        &self,
        need: Need,
        confirm: Option<(NodeId, u64)>,
        holds: &(dyn Fn() -> bool + Sync),
    ) {
        let mut learnt = self.learnt.subscribe();
        let _waiter = Waiter::new(self, need, confirm);
        while !holds() {
            if learnt.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until a question to this node is wanted; `burst` counts those in a row.
    pub(crate) async fn demanded(&self, node: NodeId, is_primary: bool, burst: &mut u32) {
        let Some(place) = self.nodes.get(node.index()) else { return std::future::pending().await };
        if !self.is_demanded(place, is_primary) {
            *burst = 0;
            loop {
                let notified = place.demand.notified();
                if self.is_demanded(place, is_primary) {
                    return;
                }
                notified.await;
            }
        }
        *burst += 1;
        if *burst >= BURST {
            *burst = 0;
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn is_demanded(&self, place: &Place, is_primary: bool) -> bool {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let [flushed, inserted] = self.wanted.each_ref().map(|wanted| wanted.load(Ordering::SeqCst));
        let wanted = Need { flushed, inserted };
        if is_primary {
            return self.current().samples.newest().is_none_or(|sample| sample.epoch < wanted.newest());
        }
        !wanted.is_met_by(place.progress.reached())
            || !place.progress.confirms(place.confirm.load(Ordering::SeqCst))
    }
}

/// A bug on purpose: the epoch of the moment in which the answer came.
#[cfg(feature = "planted")]
fn planted_epoch(marks: &Marks) -> Option<u64> {
    (std::env::var_os("PGSPLIT_PLANTED")? == "receive-time").then(|| marks.begin_sample())
}

#[cfg(not(feature = "planted"))]
fn planted_epoch(_: &Marks) -> Option<u64> {
    None
}

/// Somebody who waits.
struct Waiter<'p>(&'p Positions);

impl<'p> Waiter<'p> {
    fn new(positions: &'p Positions, need: Need, confirm: Option<(NodeId, u64)>) -> Self {
        for (wanted, epoch) in positions.wanted.iter().zip([need.flushed, need.inserted]) {
            wanted.fetch_max(epoch, Ordering::SeqCst);
        }
        if let Some((node, ticket)) = confirm
            && let Some(place) = positions.nodes.get(node.index())
        {
            place.confirm.fetch_max(ticket, Ordering::SeqCst);
        }
        positions.waiting.fetch_add(1, Ordering::SeqCst);
        positions.nodes.iter().for_each(|place| place.demand.notify_one());
        Self(positions)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
