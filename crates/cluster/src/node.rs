//! One node's task: keeps a control connection and asks it again and again, at once when somebody has a hint.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgsplit_route::NodeId;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::error::SqlState;

use crate::cluster::Shared;
use crate::connect::resolve;
use crate::error::Error;
use crate::names;
use crate::pace::Pace;
use crate::probe::{Answer, Prober};
use crate::settings::NodeSettings;

/// Hints come in swarms; probes do not.
const SHORTEST_GAP: Duration = Duration::from_millis(20);
/// A wrong password does not become right within half a second, and each attempt fills the server's log.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);
/// Where control connections go: every cluster has one of these.
pub(crate) const DATABASES: [&str; 2] = ["postgres", "template1"];

/// Probes until cancelled.
pub(crate) async fn watch(shared: Arc<Shared>, id: NodeId) {
    let Some(settings) = shared.roster.get(id) else { return };
    let mut link = Link { id, prober: None, addresses: Arc::new([]), resolved: None, pace: Pace::default() };
    let mut complaint = None;
    loop {
        let begun = Instant::now();
        let limit = shared.settings.timeout;
        let outcome =
            timeout(limit, link.probe(&shared, &settings)).await.unwrap_or(Err(Error::Timeout(limit)));
        let refused = outcome.as_ref().is_err_and(Error::is_refusal);
        complain(&settings.name, &outcome, &mut complaint);
        shared.probed(id, outcome, Arc::clone(&link.addresses));
        let pause = if refused { AFTER_REFUSAL } else { shared.interval() };
        link.sample_until(&shared, begun, begun + pause).await;
    }
}

/// Logs why probes fail: once for each reason in a row.
fn complain(name: &str, outcome: &Result<Answer, Error>, last: &mut Option<String>) {
    let text = outcome.as_ref().err().map(ToString::to_string);
    if let Some(error) = &text
        && text != *last
    {
        tracing::warn!(target: "cluster", node = name, error, "probe failed");
    }
    *last = text;
}

/// The way to a node.
struct Link {
    id: NodeId,
    prober: Option<Prober>,
    /// The one that is connected comes first.
    addresses: Arc<[SocketAddr]>,
    /// When the name was last asked for.
    resolved: Option<Instant>,
    pace: Pace,
}

impl Link {
    async fn probe(&mut self, shared: &Shared, node: &NodeSettings) -> Result<Answer, Error> {
        self.look_up(shared, node, shared.settings.timeout / 2).await;
        // Taken out, so that a failure or the deadline drops it: an answer that comes late belongs to no question.
        if let Some(prober) = self.prober.take()
            && !shared.take_suspicion(self.id)
            && let Ok(answer) = prober.ask().await
        {
            self.prober = Some(prober);
            return Ok(answer);
        }
        // A server that was restarted between two probes has not failed, so the same probe tries a new connection.
        let prober = self.open(shared, node).await?;
        let answer = prober.ask().await?;
        self.prober = Some(prober);
        Ok(answer)
    }

    /// Takes a sample, the heartbeat, and then one whenever it is wanted, until the next probe is due.
    async fn sample_until(&mut self, shared: &Shared, begun: Instant, due: Instant) {
        let mut burst = 0;
        loop {
            let limit = shared.settings.timeout;
            let sampled = timeout(limit, self.sample(shared)).await;
            if sampled.is_err() {
                // As good as a probe that was not answered.
                shared.probed(self.id, Err(Error::Timeout(limit)), Arc::clone(&self.addresses));
            }
            if self.prober.is_none() || sampled.is_err() {
                // Nothing is known of the node until a probe was answered.
                self.prober = None;
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = shared.kicked(self.id) => sleep_until(begun + SHORTEST_GAP).await,
                }
                return;
            }
            tokio::select! {
                biased;
                () = sleep_until(due) => return,
                () = shared.kicked(self.id) => return sleep_until(begun + SHORTEST_GAP).await,
                () = shared.demanded(self.id, &mut burst) => {}
            }
        }
    }

    /// Asks how far the node is. A failure drops the connection.
    async fn sample(&mut self, shared: &Shared) {
        let Some(prober) = self.prober.take() else { return };
        let (question, began) = (shared.ask(self.id), std::time::Instant::now());
        if let Ok(position) = prober.sample().await {
            let now = std::time::Instant::now();
            shared.positioned(self.id, question, position);
            shared.paced(self.id, self.pace.add(now.saturating_duration_since(began), now));
            self.prober = Some(prober);
        } else {
            shared.kick(self.id);
        }
    }

    async fn open(&mut self, shared: &Shared, node: &NodeSettings) -> Result<Prober, Error> {
        let limit = shared.settings.timeout;
        self.resolve(shared, node, limit / 2).await?;
        let connect = || {
            let database = shared.database(self.id);
            shared.connector.connect(node, &self.addresses, database, limit)
        };
        let (control, address) = match connect().await {
            Err(error) if is_closed_to_us(&error) => {
                shared.next_database(self.id);
                connect().await?
            }
            outcome => outcome?,
        };
        // The data path connects to the first address.
        if self.addresses.first() != Some(&address) {
            let others = self.addresses.iter().copied().filter(|other| *other != address);
            self.addresses = std::iter::once(address).chain(others).collect();
        }
        shared.positions.reborn(self.id);
        Prober::new(control).await
    }

    /// Now and then, whether the name still leads to the address that is connected.
    async fn look_up(&mut self, shared: &Shared, node: &NodeSettings, limit: Duration) {
        if let Some(address) = shared.assigned.get(self.id) {
            if self.prober.is_some() && self.addresses.first().copied() != address {
                self.prober = None;
            }
            return;
        }
        let due = self.resolved.is_some_and(|last| last.elapsed() >= names::again(&shared.settings));
        if !due || !names::is_name(node) {
            return;
        }
        self.resolved = Some(Instant::now());
        let Ok(now) = within(limit, resolve(&shared.settings.resolver, node)).await else { return };
        if self.addresses.first().is_some_and(|connected| !now.contains(connected)) {
            tracing::info!(target: "cluster", node = &*node.name, "the name leads elsewhere");
            self.addresses = now;
            self.prober = None;
        }
    }

    /// The old addresses serve while the resolver does not.
    async fn resolve(&mut self, shared: &Shared, node: &NodeSettings, limit: Duration) -> Result<(), Error> {
        if let Some(address) = shared.assigned.get(self.id) {
            self.addresses = address.into_iter().collect();
            let source = || std::io::Error::other("the name has fewer addresses than it had");
            return address
                .map(|_| ())
                .ok_or_else(|| Error::Resolve { address: node.address(), source: source() });
        }
        match within(limit, resolve(&shared.settings.resolver, node)).await {
            Ok(addresses) => (self.addresses, self.resolved) = (addresses, Some(Instant::now())),
            Err(error) if self.addresses.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or(Err(Error::Timeout(limit)))
}

/// The database is missing or may not be entered; another one may do.
fn is_closed_to_us(error: &Error) -> bool {
    [SqlState::INVALID_CATALOG_NAME, SqlState::INSUFFICIENT_PRIVILEGE]
        .iter()
        .any(|code| error.code() == Some(code))
}
