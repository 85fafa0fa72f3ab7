//! From the answers of all nodes to roles, lag and the view. No I/O and no clock of its own.
//!
//! Roles are found out, not believed. A node is the primary only if it is not in recovery, belongs to the cluster and
//! is on the highest timeline ever seen; of two claims to one timeline neither counts. Nothing is judged before
//! every node has been asked once, so that an old primary that answers first is not taken for the present one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use pgsplit_route::{Balance, Lsn, Marks, Node, NodeId, NodeState, Progress, Role, View};

use crate::event::{Event, Rejection};
use crate::history::{Behind, History};
use crate::positions::Positions;
use crate::probe::Answer;
use crate::settings::{AllowedRole, NodeSettings, Settings};
use crate::state_file::Remembered;

/// All that is known of the nodes.
pub(crate) struct Judge {
    nodes: Vec<Known>,
    marks: Arc<Marks>,
    eject_after: u32,
    max_lag: Duration,
    slow_start: Duration,
    balance: Balance,
    /// The time of the last answer: the judge has no clock of its own.
    now: Option<Instant>,
    system: Option<u64>,
    highest: u32,
    history: History,
    /// The primary that was accepted last, until it is replaced or fenced.
    incumbent: Option<Incarnation>,
    primary: Option<NodeId>,
    generation: u64,
    disputed: bool,
}

/// One life of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Incarnation {
    node: NodeId,
    started: i64,
    timeline: u32,
}

struct Known {
    id: NodeId,
    named: NodeId,
    name: Arc<str>,
    address: Arc<str>,
    zone: Arc<str>,
    weight: u32,
    allowed: AllowedRole,
    outstanding: Arc<AtomicU32>,
    progress: Arc<Progress>,
    resolved: Arc<[SocketAddr]>,
    asked: bool,
    answer: Option<Answer>,
    answered: Option<Instant>,
    /// The timeline that it last wrote or streamed since its postmaster started.
    timeline: Option<u32>,
    failures: u32,
    silent: bool,
    /// Since when it is back, while it does not get its full share yet.
    back: Option<Instant>,
    state: NodeState,
    role: Role,
}

impl Judge {
    /// A replica further behind takes no reads from now on.
    pub(crate) fn set_max_lag(&mut self, max_lag: Duration, interval: Duration) -> Vec<Event> {
        self.max_lag = max_lag;
        self.history.set_span(max_lag, interval);
        Vec::new()
    }

    /// Reads are shared out like this from now on.
    pub(crate) fn set_balance(&mut self, balance: Balance, slow_start: Duration) -> Vec<Event> {
        (self.balance, self.slow_start) = (balance, slow_start);
        Vec::new()
    }

    pub(crate) fn new(settings: &Settings, remembered: Option<Remembered>, positions: &Positions) -> Self {
        Self {
            nodes: (0..)
                .map(NodeId)
                .zip(&settings.nodes)
                .map(|(id, node)| Known::new(id, node, positions.progress(id)))
                .collect(),
            marks: Arc::clone(&positions.marks),
            eject_after: settings.eject_after.max(1),
            max_lag: settings.max_lag,
            slow_start: settings.slow_start,
            balance: settings.balance.clone(),
            now: None,
            system: remembered.map(|remembered| remembered.system),
            highest: remembered.map_or(0, |remembered| remembered.timeline),
            history: History::new(settings.max_lag, settings.interval),
            incumbent: None,
            primary: None,
            generation: 0,
            disputed: false,
        }
    }

    /// A node has come, which goes by the name of `named`. Nobody waits until it was asked, if those that were there have
    /// been.
    pub(crate) fn added(
        &mut self,
        [id, named]: [NodeId; 2],
        settings: &NodeSettings,
        progress: Arc<Progress>,
    ) -> Vec<Event> {
        debug_assert_eq!(id.index(), self.nodes.len(), "numbers are given in turn");
        let asked = self.is_ready();
        self.nodes.push(Known { asked, named, ..Known::new(id, settings, progress) });
        Vec::new()
    }

    /// Its name, zone, weight or role in the configuration is another one.
    pub(crate) fn changed(&mut self, id: NodeId, settings: &NodeSettings) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(node) = self.nodes.get_mut(id.index()) else { return events };
        node.configure(settings);
        self.evaluate(&mut events);
        events
    }

    /// A reload has taken it away.
    pub(crate) fn removed(&mut self, id: NodeId) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(node) = self.nodes.get_mut(id.index()) else { return events };
        (node.answer, node.timeline, node.asked) = (None, None, true);
        node.enter(NodeState::Gone, &mut events);
        self.evaluate(&mut events);
        events
    }

    /// A node that was not taken away.
    fn known(&mut self, id: NodeId) -> Option<&mut Known> {
        self.nodes.get_mut(id.index()).filter(|node| node.state != NodeState::Gone)
    }

    /// A probe was answered.
    pub(crate) fn answered(
        &mut self,
        id: NodeId,
        answer: Answer,
        resolved: Arc<[SocketAddr]>,
        now: Instant,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(node) = self.known(id) else { return events };
        if node.answer.as_ref().is_none_or(|last| last.started != answer.started) {
            node.timeline = None;
            if !answer.monitor {
                events.push(Event::NotMonitor { node: id });
            }
        }
        node.timeline = answer.timeline.or(node.timeline);
        node.answer = Some(answer);
        node.answered = Some(now);
        node.resolved = resolved;
        node.asked = true;
        node.failures = 0;
        node.silent = false;
        if node.state == NodeState::Down {
            node.back = Some(now);
        }
        node.enter(NodeState::Up, &mut events);
        self.now = Some(now);
        self.evaluate(&mut events);
        events
    }

    /// A probe failed; `silent`: there was no answer at all.
    pub(crate) fn failed(&mut self, id: NodeId, silent: bool) -> Vec<Event> {
        let mut events = Vec::new();
        let most = self.eject_after;
        let Some(node) = self.known(id) else { return events };
        if silent && !node.silent && node.state == NodeState::Up {
            events.push(Event::Silent { node: id });
        }
        node.silent |= silent;
        node.asked = true;
        node.failures = node.failures.saturating_add(1);
        if node.failures >= most || node.state == NodeState::Unknown {
            node.enter(NodeState::Down, &mut events);
        }
        self.evaluate(&mut events);
        events
    }

    /// A connection of the data path failed: down until a probe is answered.
    pub(crate) fn ejected(&mut self, id: NodeId) -> Vec<Event> {
        let mut events = Vec::new();
        let most = self.eject_after;
        let Some(node) = self.known(id) else { return events };
        node.failures = node.failures.max(most);
        node.enter(NodeState::Down, &mut events);
        self.evaluate(&mut events);
        events
    }

    /// Every node has been asked once.
    pub(crate) fn is_ready(&self) -> bool {
        self.nodes.iter().all(|node| node.asked)
    }

    fn evaluate(&mut self, events: &mut Vec<Event>) {
        if !self.is_ready() || !self.settle_system() {
            return;
        }
        self.raise_timeline(events);
        let claims: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.state == NodeState::Up && node.verdict(self.system, self.highest) == CLAIM)
            .map(|node| node.id)
            .collect();
        let accepted = if let [only] = claims[..] { Some(only) } else { None };
        if claims.len() > 1 && !self.disputed {
            events.push(Event::Disputed { timeline: self.highest, nodes: claims.clone() });
        }
        self.disputed = claims.len() > 1;
        self.assign(accepted, events);
        self.follow(accepted, events);
    }

    /// The cluster's identifier: remembered, or else the one that most answers have; the primary's when they are even.
    fn settle_system(&mut self) -> bool {
        if self.system.is_none() {
            let answers = || self.nodes.iter().filter_map(|node| node.answer.as_ref());
            self.system = answers()
                .max_by_key(|candidate| {
                    let alike = answers().filter(|answer| answer.system == candidate.system);
                    (alike.clone().count(), alike.filter(|answer| !answer.in_recovery).count())
                })
                .map(|answer| answer.system);
        }
        self.system.is_some()
    }

    fn raise_timeline(&mut self, events: &mut Vec<Event>) {
        let seen = self.nodes.iter().filter(|node| node.decides_timeline(self.system));
        let highest = seen.filter_map(|node| node.timeline).max().unwrap_or(0);
        if let Some(system) = self.system
            && highest > self.highest
        {
            self.highest = highest;
            events.push(Event::Timeline(Remembered { system, timeline: highest }));
        }
    }

    fn assign(&mut self, accepted: Option<NodeId>, events: &mut Vec<Event>) {
        for node in &mut self.nodes {
            let (mut role, mut why) = node.verdict(self.system, self.highest);
            // A claimant that is down stays what it was, unless somebody took its place.
            let dethroned = accepted.is_some_and(|primary| primary != node.id);
            if role == Role::Primary && accepted != Some(node.id) && (self.disputed || dethroned) {
                (role, why) = (Role::Rejected, Some(Rejection::Disputed));
            }
            if role != node.role {
                events.push(Event::Role { node: node.id, from: node.role, to: role, why });
                node.role = role;
            }
        }
    }

    /// Counts a new generation when the primary is another node or another life of the same one, and when the last
    /// one was found to be none any more: its connections must not be used.
    fn follow(&mut self, accepted: Option<NodeId>, events: &mut Vec<Event>) {
        let now = accepted.and_then(|id| self.nodes.get(id.index())).and_then(Known::incarnation);
        let fenced = self.incumbent.is_some_and(|last| {
            self.nodes.get(last.node.index()).is_none_or(|node| node.role != Role::Primary)
        });
        if (now.is_some() && now != self.incumbent) || (now.is_none() && fenced) {
            self.incumbent = now;
            self.generation += 1;
            self.history.clear();
            events.push(Event::Primary {
                node: accepted,
                generation: self.generation,
                timeline: self.highest,
            });
        }
        self.primary = accepted;
        let primary = accepted.and_then(|id| self.nodes.get(id.index()));
        if let Some((position, at)) =
            primary.and_then(|node| node.answer.as_ref()?.position.zip(node.answered))
        {
            self.history.add(position, at);
        }
    }

    /// What readers see.
    pub(crate) fn view(&self) -> View {
        View {
            nodes: self.nodes.iter().map(|node| self.show(node)).collect(),
            primary: self.primary,
            generation: self.generation,
            marks: Arc::clone(&self.marks),
            balance: self.balance.clone(),
        }
    }

    fn show(&self, node: &Known) -> Node {
        let (lag_bytes, lag) = if node.role == Role::Replica { self.lag(node) } else { (0, Duration::ZERO) };
        let answer = node.answer.as_ref();
        Node {
            id: node.id,
            named: node.named,
            name: Arc::clone(&node.name),
            address: Arc::clone(&node.address),
            resolved: Arc::clone(&node.resolved),
            zone: Arc::clone(&node.zone),
            weight: node.weight,
            role: node.role,
            state: node.state,
            silent: node.silent,
            share: self.share(node),
            position: answer.and_then(|answer| answer.position).unwrap_or_default(),
            lag_bytes,
            lag,
            within_max_lag: lag <= self.max_lag,
            version: answer.map_or(0, |answer| answer.version),
            connection_limit: answer.map_or(0, |answer| answer.connection_limit),
            outstanding: Arc::clone(&node.outstanding),
            progress: Arc::clone(&node.progress),
        }
    }

    /// What a node is given of its weight: the more, the longer it is back, and something from the start.
    fn share(&self, node: &Known) -> u32 {
        let (Some(back), Some(now)) = (node.back, self.now) else { return Node::WHOLE };
        let since = now.saturating_duration_since(back);
        if since >= self.slow_start {
            return Node::WHOLE;
        }
        let part = since.as_millis() * u128::from(Node::WHOLE) / self.slow_start.as_millis().max(1);
        u32::try_from(part).unwrap_or(Node::WHOLE).clamp(Node::WHOLE / 10, Node::WHOLE)
    }

    fn lag(&self, node: &Known) -> (u64, Duration) {
        let answer = node.answer.as_ref();
        let replayed = answer.and_then(|answer| answer.position).unwrap_or_default();
        let bytes = self.history.newest().map_or(0, |newest| newest.0.saturating_sub(replayed.0));
        let lag = match self.history.behind(replayed) {
            Behind::NoPrimary if replayed == Lsn::default() => Duration::MAX,
            Behind::NoPrimary => Duration::ZERO,
            Behind::Exactly(lag) => lag,
            // Behind since before anything was remembered: only the replica itself can say more.
            Behind::AtLeast(lag) => {
                answer.and_then(|answer| answer.replay_age).unwrap_or(Duration::MAX).max(lag)
            }
        };
        (bytes, lag)
    }
}

/// Claims to be the primary, and might be.
const CLAIM: (Role, Option<Rejection>) = (Role::Primary, None);

impl Known {
    fn new(id: NodeId, settings: &NodeSettings, progress: Arc<Progress>) -> Self {
        Self {
            id,
            named: id,
            name: Arc::clone(&settings.name),
            address: settings.address().into(),
            zone: Arc::clone(&settings.zone),
            weight: settings.weight,
            allowed: settings.role,
            outstanding: Arc::default(),
            progress,
            resolved: Arc::new([]),
            asked: false,
            answer: None,
            answered: None,
            timeline: None,
            failures: 0,
            silent: false,
            back: None,
            state: NodeState::Unknown,
            role: Role::Unknown,
        }
    }

    /// Takes over what the configuration says.
    fn configure(&mut self, settings: &NodeSettings) {
        self.name = Arc::clone(&settings.name);
        self.zone = Arc::clone(&settings.zone);
        self.weight = settings.weight;
        self.allowed = settings.role;
    }

    fn enter(&mut self, state: NodeState, events: &mut Vec<Event>) {
        if self.state != state {
            events.push(Event::State { node: self.id, from: self.state, to: state });
            self.state = state;
        }
    }

    /// Whether its timeline proves that older ones are over. A node that may only be a replica and was promoted all
    /// the same proves nothing: it would take the true primary out of service.
    fn decides_timeline(&self, system: Option<u64>) -> bool {
        self.answer.as_ref().is_some_and(|answer| {
            Some(answer.system) == system && (answer.in_recovery || self.allowed != AllowedRole::Replica)
        })
    }

    /// What its last answer makes of it, other claims aside.
    fn verdict(&self, system: Option<u64>, highest: u32) -> (Role, Option<Rejection>) {
        let Some(answer) = &self.answer else { return (Role::Unknown, None) };
        let rejected = |why| (Role::Rejected, Some(why));
        // A receiver's timeline proves the most; the control file's may be older than the truth, never newer.
        let timeline = self.timeline.unwrap_or(0).max(answer.control_timeline);
        if Some(answer.system) != system {
            rejected(Rejection::OtherSystem)
        } else if answer.in_recovery {
            match self.allowed {
                AllowedRole::Primary => rejected(Rejection::NotAllowed),
                _ if timeline < highest => rejected(Rejection::OldTimeline),
                _ => (Role::Replica, None),
            }
        } else {
            match self.allowed {
                AllowedRole::Replica => rejected(Rejection::NotAllowed),
                _ if timeline < highest => rejected(Rejection::OldTimeline),
                _ => CLAIM,
            }
        }
    }

    fn incarnation(&self) -> Option<Incarnation> {
        let answer = self.answer.as_ref()?;
        Some(Incarnation { node: self.id, started: answer.started, timeline: answer.timeline? })
    }
}

#[cfg(test)]
mod tests;
