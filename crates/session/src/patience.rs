//! Waiting for a replica to catch up with what a read must see, and what is done when none does.

use std::time::{Duration, Instant};

use pgsplit_pool::Server;
use pgsplit_route::{Among, Excluded, Need, Node, NodeId, Target, View, Wanted};
use pgsplit_wire::{PgError, sqlstate};

use crate::checkout::NoLink;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::turn::Attempt;

/// Replicas that were last current so long ago will not be so within a moment: nobody waits for them.
const HOPELESS: Duration = Duration::from_millis(1500);

/// What happens to a read that no replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It goes to the primary.
    Primary,
    /// It waits for a replica, as long as for a connection.
    Wait,
    /// It fails.
    Error,
}

/// How far the waiting of one unit has come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    New,
    /// It would rather choose freely among the replicas; if that takes too long, this will do.
    Roaming(Wanted),
    Waited,
}

/// One read in so many is a chance to leave the replica that the session has read from, so that one which comes back
/// gets its share.
const ROAMS: u32 = 256;

impl Session {
    /// No replica is far enough for a read: waits for one, or does what is configured. True when a connection is held,
    /// false when it is to be decided again.
    pub(crate) async fn consistent(
        &mut self,
        wanted: &mut Wanted,
        excluded: Excluded,
        attempt: &Attempt,
        patience: &mut Patience,
    ) -> Result<bool, NoLink> {
        let among = self.asked(attempt.ask).among(excluded);
        match std::mem::replace(patience, Patience::Waited) {
            Patience::New => {
                Metrics::count(&self.shared.metrics.stale_prevented);
                if self.await_replica(wanted, among, self.patience(wanted)).await? {
                    return Ok(false);
                }
            }
            Patience::Roaming(settled) => {
                if !self.await_replica(wanted, among, self.settings.consistency_wait).await? {
                    *wanted = settled;
                }
                *patience = Patience::New;
                return Ok(false);
            }
            Patience::Waited => {}
        }
        if self.fall_back(wanted, among).await? {
            return Ok(false);
        }
        self.acquire(Target::Primary, wanted, attempt.effects).await.map(|()| true)
    }

    /// How long a replica is waited for. While there is no primary to fall back to, as long as for one, if a replica can get
    /// there at all: nobody can tell what a position is worth that no primary has told.
    fn patience(&self, wanted: &Wanted) -> Duration {
        let attainable = wanted.newest() == 0 || self.shared.control.sampled(wanted.newest()).is_some();
        if attainable && self.misses_primary() {
            return self.settings.consistency_wait.max(self.settings.failover_wait);
        }
        self.settings.consistency_wait
    }

    /// There is no primary at the moment, for a read that would fall back to it.
    fn misses_primary(&self) -> bool {
        self.settings.fallback == Fallback::Primary && self.shared.view.load().writable().is_none()
    }

    /// Now and then a session that has read from a replica chooses anew.
    pub(crate) fn roam(&mut self, wanted: &mut Wanted) -> Patience {
        if wanted.stay.is_none() || !self.random().is_multiple_of(ROAMS) {
            return Patience::New;
        }
        let free = wanted.anywhere();
        Patience::Roaming(std::mem::replace(wanted, free))
    }

    /// No replica is far enough: waits until one is, or until there is a primary where there was none. False when neither
    /// came in time.
    pub(crate) async fn await_replica(
        &mut self,
        wanted: &Wanted,
        among: Among,
        most: Duration,
    ) -> Result<bool, NoLink> {
        let view = self.shared.view.clone();
        let no_primary = self.misses_primary();
        let hopeless = |most| {
            let view = view.load();
            let mut replicas = view.nodes.iter().filter(|node| among.has(node)).peekable();
            // One that is away may come back.
            replicas.peek().is_some() && replicas.all(|node| node.lag > HOPELESS.max(most))
        };
        if most.is_zero() || hopeless(most) {
            return Ok(false);
        }
        let (since, control) = (Instant::now(), self.shared.control.clone());
        let marks = self.shared.marks.clone();
        let wanted = *wanted;
        let found = self
            .unless_cancelled(Box::pin(async move {
                let holds = || {
                    let view = view.load();
                    // As the decision has it, or it would be woken for nothing again and again.
                    view.nodes.iter().any(|node| among.has(node) && wanted.is_met_by(node))
                        || no_primary && view.writable().is_some()
                };
                let stay = wanted.stay.map_or(Need::NONE, |stay| stay.need);
                let position = if wanted.position.0 > 0 { marks.need_now() } else { Need::NONE };
                let need = wanted.need.and(stay).and(position);
                control.wait_positions(need, None, most, &holds).await
            }))
            .await?;
        self.shared.metrics.consistency_wait.observe(since.elapsed());
        Ok(found)
    }

    /// Whether what is known of a replica holds for this connection to it: it was asked after the connection was opened.
    /// Otherwise the replica may have been restarted since, and be behind of where it was. It is asked then.
    pub(crate) async fn confirm(&mut self, server: &Server, wanted: &Wanted) -> Result<Option<u64>, NoLink> {
        let (node, opened) = (server.node, server.opened);
        if wanted.is_nothing() {
            return Ok(Some(self.life(node)));
        }
        let known = known_life(&self.shared.view.load(), node, opened, wanted);
        if known.is_some() {
            return Ok(known);
        }
        let (most, control, view) =
            (self.patience(wanted), self.shared.control.clone(), self.shared.view.clone());
        let asked = *wanted;
        self.unless_cancelled(Box::pin(async move {
            let holds = || {
                let view = view.load();
                known_life(&view, node, opened, &asked).is_some()
                    || !view.node(node).is_some_and(Node::answers)
            };
            control.wait_positions(asked.need, Some((node, opened)), most, &holds).await
        }))
        .await?;
        Ok(known_life(&self.shared.view.load(), node, opened, wanted))
    }

    fn life(&self, node: NodeId) -> u64 {
        self.shared.view.load().node(node).map_or(0, |node| node.progress.life())
    }

    /// No replica may answer a read, and waiting a moment has not helped. `Ok(true)`: one may now; false: the primary.
    pub(crate) async fn fall_back(&mut self, wanted: &Wanted, among: Among) -> Result<bool, NoLink> {
        let (fallback, most) = (self.settings.fallback, self.settings.replica_wait);
        match fallback {
            Fallback::Primary => Ok(false),
            Fallback::Wait if self.await_replica(wanted, among, most).await? => Ok(true),
            Fallback::Wait | Fallback::Error => {
                Metrics::count(&self.shared.metrics.consistency_errors);
                // What a replica itself says when its replay stands in a read's way: it may be tried again.
                Err(PgError::error(
                    sqlstate::SERIALIZATION_FAILURE,
                    "no replica can answer this statement now: none has caught up with what it must see, or none is there",
                )
                .into())
            }
        }
    }
}

/// The life of a replica in which it is what is wanted, as far as that holds for a connection that was opened at this ticket.
fn known_life(view: &View, node: NodeId, opened: u64, wanted: &Wanted) -> Option<u64> {
    let node = view.node(node)?;
    // The life is read first: one that ends meanwhile ends the connection with it.
    let life = node.progress.life();
    (node.progress.confirms(opened) && wanted.is_met_by(node)).then_some(life)
}
