//! The handle of the control plane: starts its tasks, publishes what they find out, stops them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use pgsplit_route::{Balance, MOST_NODES, Need, NodeId, Sample, View};
use pgsplit_sql::catalog::FunctionConfig;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::catalog::{CatalogHandle, Catalogs};
use crate::connect::Connector;
use crate::error::Error;
use crate::event::Event;
use crate::judge::Judge;
use crate::metrics::Metrics;
use crate::names::{self, Assigned};
use crate::node;
use crate::positions::{Position, Positions, Question};
use crate::probe::Answer;
use crate::roster::Roster;
use crate::settings::{NodeSettings, Settings};
use crate::standing::Standings;
use crate::state_file::StateFile;
use crate::topology;
use crate::verifier::{Lookup, Verifiers};

/// The control plane of one configuration. Clones are handles of the same one.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    catalogs: Arc<Catalogs>,
    verifiers: Arc<Verifiers>,
    standings: Arc<Standings>,
    /// Ends the tasks with the last handle.
    _guard: Arc<DropGuard>,
}

/// Where writes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Primary {
    /// The node, if one is known and answers.
    pub node: Option<NodeId>,
    /// As in [`View::generation`].
    pub generation: u64,
}

/// What the tasks share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) roster: Roster,
    /// Held while the roster and the judge are told of new nodes, so that both number them alike.
    numbering: Mutex<()>,
    pub(crate) assigned: Assigned,
    /// Those of the settings, or what a reload has put in their place.
    pub(crate) functions: ArcSwap<FunctionConfig>,
    pub(crate) connector: Connector,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) view: Arc<ArcSwap<View>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) positions: Positions,
    pub(crate) runtime: Handle,
    judge: Mutex<Judge>,
    hints: Vec<Hints>,
    primary: watch::Sender<Primary>,
    ready: watch::Sender<bool>,
    /// Counts events that end somebody's patience.
    alarms: watch::Sender<u64>,
    pub(crate) state_file: Arc<StateFile>,
}

/// What others tell a node's task, and it them.
#[derive(Default)]
struct Hints {
    kick: Notify,
    /// The data path could not connect, so a control connection that still works proves nothing.
    suspect: AtomicBool,
    /// Index of the database that control connections can enter.
    database: AtomicUsize,
    /// A reload has taken the node away.
    gone: CancellationToken,
}

/// Time between two probes while there is no primary.
const WITHOUT_PRIMARY: Duration = Duration::from_millis(100);

impl Cluster {
    /// Starts probing all nodes at once. Must be called within a tokio runtime. The state file, if any, is where the
    /// highest timeline is remembered; it is read here, on the calling thread.
    #[must_use]
    pub fn start(settings: Settings, state_file: Option<PathBuf>) -> Self {
        let state_file = StateFile::load(state_file);
        let positions = Positions::new();
        let judge = Judge::new(&settings, state_file.remembered(), &positions);
        let shared = Arc::new(Shared {
            connector: Connector::new(&settings),
            metrics: Arc::new(Metrics::new()),
            view: Arc::new(ArcSwap::from_pointee(judge.view())),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            functions: ArcSwap::new(Arc::clone(&settings.functions)),
            positions,
            hints: (0..MOST_NODES).map(|_| Hints::default()).collect(),
            roster: Roster::new(&settings.nodes),
            numbering: Mutex::new(()),
            assigned: Assigned::default(),
            judge: Mutex::new(judge),
            primary: watch::Sender::new(Primary::default()),
            ready: watch::Sender::new(false),
            alarms: watch::Sender::new(0),
            state_file: Arc::new(state_file),
            settings,
        });
        for id in (0..).map(NodeId).take(shared.settings.nodes.len()) {
            shared.watch(id);
        }
        for url in shared.settings.patroni.clone() {
            shared.spawn(topology::watch(Arc::clone(&shared), url));
        }
        let verifiers = Arc::new(Verifiers::new(Arc::clone(&shared)));
        let standings = Arc::new(Standings::new(Arc::clone(&verifiers)));
        let catalogs = Arc::new(Catalogs::new(Arc::clone(&shared)));
        let guard = Arc::new(shared.cancel.clone().drop_guard());
        Self { shared, catalogs, verifiers, standings, _guard: guard }
    }

    /// Where views are published. Reading it never waits.
    #[must_use]
    pub fn view(&self) -> &Arc<ArcSwap<View>> {
        &self.shared.view
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Waits until every node has been asked once, whatever came of it. `false`: the deadline came first.
    pub async fn wait_ready(&self, deadline: Instant) -> bool {
        let mut ready = self.shared.ready.subscribe();
        matches!(timeout_at(deadline, ready.wait_for(|ready| *ready)).await, Ok(Ok(_)))
    }

    /// Waits for a node that takes writes.
    pub async fn wait_primary(&self, deadline: Instant) -> Option<NodeId> {
        let mut primary = self.primary();
        let found = timeout_at(deadline, primary.wait_for(|primary| primary.node.is_some())).await;
        found.ok()?.ok()?.node
    }

    /// Follows changes of primary.
    #[must_use]
    pub fn primary(&self) -> watch::Receiver<Primary> {
        self.shared.primary.subscribe()
    }

    /// Counts what ends the patience of those who wait for a node's answer: it lets a probe wait, is down, or is the
    /// primary no more.
    #[must_use]
    pub fn alarms(&self) -> watch::Receiver<u64> {
        self.shared.alarms.subscribe()
    }

    /// Waits until `holds`, while the nodes are asked how far they are: the primary until there is a sample that covers
    /// `need`, the replicas until they have reached it. With `confirm`, a node is asked again after this ticket at least.
    pub async fn wait_positions(
        &self,
        need: Need,
        confirm: Option<(NodeId, u64)>,
        holds: &(dyn Fn() -> bool + Sync),
    ) {
        self.shared.positions.wait(need, confirm, holds).await;
    }

    /// The primary's newest position, if it was asked for in this epoch or later.
    #[must_use]
    pub fn sampled(&self, epoch: u64) -> Option<Sample> {
        self.shared.positions.sampled(epoch)
    }

    /// Asks the node now, because something hints at a change. Hints that come together cause one probe.
    pub fn kick(&self, node: NodeId) {
        self.shared.kick(node);
    }

    /// A connection of the data path was refused or reset: the node is down until a probe, made at once, is answered.
    pub fn report_failure(&self, node: NodeId) {
        self.shared.metrics.with(node, |metrics| metrics.reported.add_one());
        if let Some(hints) = self.shared.hints.get(node.index()) {
            hints.suspect.store(true, Ordering::Release);
        }
        self.shared.judged(|judge| judge.ejected(node));
        self.shared.kick(node);
    }

    /// The catalog of a database, watched from now on for as long as it is asked for.
    ///
    /// # Errors
    /// [`Error::TooMany`] when more databases are watched than there is room for.
    pub fn catalog(&self, database: &str) -> Result<CatalogHandle, Error> {
        self.catalogs.get(database)
    }

    /// These are the nodes from now on: new ones are asked at once, and what is gone is used no more. A node is known by its
    /// address; one that comes back is a new one.
    ///
    /// # Errors
    /// [`Error::TooMany`] when there were more in the life of this process than there is room for; then nothing changes.
    pub fn set_nodes(&self, nodes: &[NodeSettings]) -> Result<(), Error> {
        let shared = &self.shared;
        let _numbering = shared.numbering.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = shared.roster.set(nodes)?;
        for id in changes.gone {
            shared.hint(id, |hints| hints.gone.cancel());
            shared.judged(|judge| judge.removed(id));
        }
        for (id, settings) in changes.changed {
            shared.judged(|judge| judge.changed(id, &settings));
        }
        for (id, settings) in changes.new {
            shared.judged(|judge| judge.added([id, id], &settings, shared.positions.progress(id)));
            shared.watch(id);
        }
        Ok(())
    }

    /// A replica further behind takes no reads from now on.
    pub fn set_max_lag(&self, max_lag: Duration) {
        let interval = self.shared.settings.interval;
        self.shared.judged(|judge| judge.set_max_lag(max_lag, interval));
    }

    /// Reads are shared out like this from now on.
    pub fn set_balance(&self, balance: Balance, slow_start: Duration) {
        self.shared.judged(|judge| judge.set_balance(balance, slow_start));
    }

    /// Trusts and distrusts other functions from now on: every catalog is read again.
    pub fn set_functions(&self, functions: FunctionConfig) {
        if **self.shared.functions.load() != functions {
            self.shared.functions.store(Arc::new(functions));
            self.catalogs.outdated();
        }
    }

    /// Closes the connection to a database that its catalog is watched by, until somebody asks for that again.
    pub fn vacate(&self, database: &str) {
        self.catalogs.vacate(database);
    }

    /// Looks up a role's verifier: in the cache, or else on the primary, or else on a replica.
    ///
    /// # Errors
    /// When nobody could be asked; that the role does not exist is not an error.
    pub async fn verifier(&self, user: &str) -> Result<Lookup, Error> {
        self.verifiers.get(user).await
    }

    /// The next look-up of this role asks a server: its password did not fit, so it may have been changed.
    pub fn forget(&self, user: &str) {
        self.verifiers.forget(user);
    }

    /// What a login of this role in this database would meet, as a fingerprint; empty when one of them does not exist.
    ///
    /// # Errors
    /// When nobody could be asked.
    pub async fn standing(&self, user: &str, database: &str) -> Result<Arc<str>, Error> {
        self.standings.get(user, database).await
    }

    /// A role or a database may have been changed: the next logins ask again.
    pub fn forget_standings(&self) {
        self.standings.forget();
    }

    /// Ends all tasks and waits for their end. The last view stays readable.
    pub async fn shutdown(&self) {
        self.shared.cancel.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.verifiers.close();
    }
}

impl Shared {
    /// Runs `task` until it ends or the control plane stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        let task = async move {
            let _ = cancel.run_until_cancelled(task).await;
        };
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Asks a node of the configuration again and again, until it is taken away, and those that its name leads to.
    fn watch(self: &Arc<Self>, node: NodeId) {
        let is_name = self.roster.get(node).is_some_and(|settings| names::is_name(&settings));
        if !is_name {
            return self.watch_node(node, std::future::ready(()));
        }
        let shared = Arc::clone(self);
        // Nothing is judged before all servers behind the name are known.
        self.watch_node(node, async move { names::look_up(&shared, node).await });
        self.until_gone(node, names::watch(Arc::clone(self), node));
    }

    fn watch_node(self: &Arc<Self>, node: NodeId, before: impl Future<Output = ()> + Send + 'static) {
        let shared = Arc::clone(self);
        self.until_gone(node, async move {
            before.await;
            node::watch(shared, node).await;
        });
    }

    fn until_gone(&self, node: NodeId, task: impl Future<Output = ()> + Send + 'static) {
        let Some(gone) = self.hints.get(node.index()).map(|hints| hints.gone.clone()) else { return };
        self.spawn(async move {
            let _ = gone.run_until_cancelled(task).await;
        });
    }

    /// One more node of a name. `assign` is called before it is asked for the first time.
    pub(crate) fn add_node(self: &Arc<Self>, first: NodeId, assign: impl FnOnce(NodeId)) -> Option<NodeId> {
        let _numbering = self.numbering.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, settings) = self.roster.add(first)?;
        assign(id);
        self.judged(|judge| judge.added([id, first], &settings, self.positions.progress(id)));
        self.watch_node(id, std::future::ready(()));
        Some(id)
    }

    fn hint(&self, node: NodeId, say: impl FnOnce(&Hints)) {
        if let Some(hints) = self.hints.get(node.index()) {
            say(hints);
        }
    }

    pub(crate) fn kick(&self, node: NodeId) {
        self.hint(node, |hints| hints.kick.notify_one());
    }

    /// Asks all nodes now.
    pub(crate) fn kick_all(&self) {
        self.hints.iter().for_each(|hints| hints.kick.notify_one());
    }

    pub(crate) async fn kicked(&self, node: NodeId) {
        match self.hints.get(node.index()) {
            Some(hints) => hints.kick.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the next probe must use a new connection; asking clears it.
    pub(crate) fn take_suspicion(&self, node: NodeId) -> bool {
        self.hints.get(node.index()).is_some_and(|hints| hints.suspect.swap(false, Ordering::AcqRel))
    }

    /// The database that control connections to this node use.
    pub(crate) fn database(&self, node: NodeId) -> &'static str {
        let index = self.hints.get(node.index()).map_or(0, |hints| hints.database.load(Ordering::Relaxed));
        node::DATABASES[index % node::DATABASES.len()]
    }

    /// Control connections may not enter the one they used.
    pub(crate) fn next_database(&self, node: NodeId) {
        if let Some(hints) = self.hints.get(node.index()) {
            hints.database.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A question about its position is about to be sent to a node.
    pub(crate) fn ask(&self, node: NodeId) -> Question {
        let primary = *self.primary.borrow();
        self.positions.ask(node, primary.node == Some(node), primary.generation)
    }

    /// It was answered.
    pub(crate) fn positioned(&self, node: NodeId, question: Question, position: Position) {
        self.positions.answer(node, question, position);
    }

    /// Waits until somebody wants to know how far the node is.
    pub(crate) async fn demanded(&self, node: NodeId, burst: &mut u32) {
        let is_primary = self.primary.borrow().node == Some(node);
        self.positions.demanded(node, is_primary, burst).await;
    }

    pub(crate) fn primary(&self) -> watch::Receiver<Primary> {
        self.primary.subscribe()
    }

    /// Time between two probes; while writes have nowhere to go their new place is looked for more often.
    pub(crate) fn interval(&self) -> Duration {
        let settled = !*self.ready.borrow() || self.primary.borrow().node.is_some();
        if settled { self.settings.interval } else { self.settings.interval.min(WITHOUT_PRIMARY) }
    }

    /// How long a node takes to answer a short question.
    pub(crate) fn paced(&self, node: NodeId, pace: Duration) {
        self.positions.progress(node).set_pace(pace);
    }

    /// A probe has ended.
    pub(crate) fn probed(&self, node: NodeId, outcome: Result<Answer, Error>, resolved: Arc<[SocketAddr]>) {
        self.metrics.with(node, |metrics| {
            metrics.probes.add_one();
            if outcome.is_err() {
                metrics.failures.add_one();
            }
        });
        self.judged(|judge| match outcome {
            Ok(answer) => judge.answered(node, answer, resolved, std::time::Instant::now()),
            Err(error) => judge.failed(node, matches!(error, Error::Timeout(_))),
        });
    }

    /// Changes what is known, publishes the outcome, then tells the log and the counters.
    fn judged(&self, change: impl FnOnce(&mut Judge) -> Vec<Event>) {
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let events = change(&mut judge);
        let view = judge.view();
        let primary = Primary { node: view.writable(), generation: view.generation };
        if self.primary.borrow().generation != view.generation {
            self.positions.forget(view.generation);
        }
        // Within the lock, so that an older view cannot replace a newer one.
        self.view.store(Arc::new(view));
        let moved = self.primary.send_if_modified(|last| std::mem::replace(last, primary) != primary);
        let ready = judge.is_ready();
        drop(judge);
        self.ready.send_if_modified(|last| std::mem::replace(last, ready) != ready);
        if events.iter().any(Event::is_alarming) {
            self.alarms.send_modify(|count| *count += 1);
        }
        for event in events {
            self.tell(event);
        }
        if moved {
            // Whoever takes over, or follows, is found sooner.
            self.kick_all();
        }
    }
}
