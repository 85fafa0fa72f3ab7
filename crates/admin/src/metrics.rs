//! The list of metrics. Every series exists from the start, so that a rate over it is right from its first event.

mod rules;

use std::fmt::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pgsplit_pool::Gauges;
use pgsplit_route::retry::Cause;
use pgsplit_route::{Node, NodeState, PinReason, Reason, Role, Target, View};
use pgsplit_session::{ClientState, Decisions, Shared};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::registry::Registry;

use crate::figures::{ControlFigures, NodeFigures, Reload};
use crate::http::Sources;
use crate::page::{Page, family, value};

/// All metrics as text.
///
/// # Errors
/// When the encoder refuses a name or a value.
pub fn text(sources: &Sources) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("pgsplit");
    registry.register_collector(Box::new(Scrape(sources.clone())));
    let mut text = String::with_capacity(32 << 10);
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Sources);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Sources { shared, control, version } = &self.0;
        let figures = control.figures();
        let view = shared.view.load_full();
        let mut page = Page(encoder);
        page.info(family("build", "The version that runs"), &Build { version })?;
        reload(&mut page, &figures.reload)?;
        decisions(&mut page, shared)?;
        rules::write(&mut page, shared)?;
        clients(&mut page, shared)?;
        sessions(&mut page, shared)?;
        servers(&mut page, shared, &view)?;
        nodes(&mut page, &view)?;
        consistency(&mut page, shared, &view)?;
        let ran = shared.metrics.traffic.by_node();
        page.counters(
            family("queries", "Simple queries and batches that ran on the node"),
            view.nodes
                .iter()
                .zip(ran)
                .filter(|(node, _)| node.is_listed())
                .map(|(node, ran)| (label(node), ran)),
        )?;
        control_plane(&mut page, &view, &figures)
    }
}

#[derive(Debug, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct HashLabels {
    hash: String,
}

#[derive(Debug, EncodeLabelSet)]
struct DecisionLabels {
    target: &'static str,
    reason: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct TargetLabels {
    target: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct NodeLabels {
    node: Arc<str>,
}

#[derive(Debug, EncodeLabelSet)]
struct NodeStateLabels {
    node: Arc<str>,
    state: &'static str,
}

#[derive(Debug, EncodeLabelSet)]
struct NodeRoleLabels {
    node: Arc<str>,
    role: &'static str,
}

fn reload(page: &mut Page<'_>, reload: &Reload) -> Result<(), Error> {
    let successful =
        family("config_last_reload_successful", "Whether the configuration was last read without an error");
    page.gauge(successful, truth(reload.successful))?;
    let since = reload.success.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let at = family(
        "config_last_reload_success_timestamp",
        "When the configuration was last read without an error",
    );
    page.gauge(at.seconds(), since.as_secs_f64())?;
    let results = [("accepted", reload.accepted), ("refused", reload.refused)];
    page.counters(
        family("config_reloads", "Times that the configuration was read again, by what came of it"),
        results.map(|(result, count)| (ResultLabels { result }, count)),
    )?;
    let hash = format!("{:016x}", reload.hash);
    page.info(family("config", "A hash of the settings in force"), &HashLabels { hash })
}

fn decisions(page: &mut Page<'_>, shared: &Shared) -> Result<(), Error> {
    let metrics = &shared.metrics;
    let labelled = |counts: Decisions<u64>| {
        Target::NAMES.into_iter().zip(counts).flat_map(|(target, by)| {
            let reasons = Reason::NAMES.into_iter().zip(by);
            reasons.map(move |(reason, count)| (DecisionLabels { target, reason }, count))
        })
    };
    let counts = labelled(metrics.traffic.decisions());
    page.counters(family("routing_decisions", "Statements by target and reason"), counts)?;
    page.counters(
        family(
            "routing_shadow_decisions",
            "With routing.mode = \"shadow\": where statements would have gone",
        ),
        labelled(metrics.traffic.shadow()),
    )?;
    page.counter(
        family(
            "shadow_stale_reads",
            "With routing.mode = \"shadow\": reads that would have missed something on a replica that did not wait",
        ),
        value(&metrics.shadow_stale),
    )?;
    let durations = metrics.traffic.durations();
    page.histograms(
        family("query_duration", "Time from a statement's last byte to the end of its answer"),
        Target::NAMES.into_iter().zip(&durations).map(|(target, times)| (TargetLabels { target }, times)),
    )?;
    page.counter(
        family("statements_failed", "Simple queries and batches that ended in an error"),
        value(&metrics.failed),
    )?;
    let (known, forgotten) = shared.statistics.size();
    page.gauge(family("statements_known", "Statements whose figures the console shows"), known as f64)?;
    page.counter(
        family("statements_forgotten", "Statements whose figures had to make room for others"),
        forgotten,
    )?;
    page.counter(
        family("local_answers", "Statements that were answered without a server"),
        value(&metrics.local_answers),
    )
}

fn clients(page: &mut Page<'_>, shared: &Shared) -> Result<(), Error> {
    let states = ClientState::ALL.iter().zip(shared.registry.by_state());
    page.gauges(
        family("client_connections", "Client connections by what they are doing"),
        states.map(|((_, state), count)| (StateLabels { state }, count as f64)),
    )?;
    let most = shared.settings.load().max_clients;
    page.gauge(family("client_connections_max", "Most client connections"), most as f64)?;
    let metrics = &shared.metrics;
    page.counter(
        family("client_connections_accepted", "Client connections accepted"),
        value(&metrics.accepted),
    )?;
    page.counter(family("client_login_failures", "Logins that failed"), value(&metrics.login_failures))?;
    page.gauge(family("draining", "Whether the process is about to end"), truth(shared.is_draining()))
}

fn sessions(page: &mut Page<'_>, shared: &Shared) -> Result<(), Error> {
    let metrics = &shared.metrics;
    let label = |reason: &PinReason| ReasonLabels { reason: reason.name() };
    let pins = PinReason::ALL.iter().zip(&metrics.pins);
    page.counters(
        family("pins", "Sessions that became tied to one server connection, by reason"),
        pins.map(|(reason, counter)| (label(reason), value(counter))),
    )?;
    let pinned = PinReason::ALL.iter().zip(&metrics.pinned);
    page.gauges(
        family("pinned_sessions", "Sessions that are tied to one server connection now, by reason"),
        pinned.map(|(reason, counter)| (label(reason), value(counter) as f64)),
    )?;
    page.gauge(
        family(
            "reads_spilled",
            "Whether reads go to replicas because the primary is busy (routing.reads = \"spill\")",
        ),
        truth(shared.is_spilled()),
    )?;
    let retries = Cause::NAMES.iter().zip(&metrics.retries);
    page.counters(
        family("retries", "Reads run again on another node, by cause"),
        retries.map(|(&cause, counter)| (CauseLabels { cause }, value(counter))),
    )?;
    page.counter(
        family(
            "retries_denied",
            "Reads that failed on a node and that routing.retry.budget did not let run again",
        ),
        value(&metrics.retries_denied),
    )?;
    page.gauge(
        family("refusals", "Statements that go to the primary because a replica has refused them"),
        shared.refusals.all().len() as f64,
    )?;
    page.counter(
        family("settings_replays", "Server connections brought into another session's settings"),
        value(&metrics.replays),
    )?;
    page.counter(
        family("examinations", "Server connections examined for state that no text showed"),
        value(&metrics.examinations),
    )?;
    page.counter(
        family("server_connections_broken", "Server connections that broke while a statement ran on them"),
        value(&metrics.broken),
    )
}

fn servers(page: &mut Page<'_>, shared: &Shared, view: &View) -> Result<(), Error> {
    let mut by_node = vec![Gauges::default(); view.nodes.len()];
    for (_, node, gauges) in shared.pools.gauges() {
        if let Some(sum) = by_node.get_mut(node.index()) {
            sum.idle += gauges.idle;
            sum.busy += gauges.busy;
            sum.opening += gauges.opening;
            sum.waiting += gauges.waiting;
        }
    }
    let each = || view.nodes.iter().zip(&by_node).filter(|(node, _)| node.is_listed());
    let states = each().flat_map(|(node, sum)| {
        let states = [("idle", sum.idle), ("busy", sum.busy), ("opening", sum.opening)];
        states.map(|(state, count)| (NodeStateLabels { node: node.name.clone(), state }, count as f64))
    });
    page.gauges(family("server_connections", "Server connections by node and state"), states)?;
    let waiting = each().map(|(node, sum)| (label(node), sum.waiting as f64));
    page.gauges(family("clients_waiting", "Clients that wait for a server connection, by node"), waiting)?;
    let metrics = &shared.pools.environment().metrics;
    page.counter(family("server_connections_opened", "Server connections opened"), value(&metrics.opened))?;
    page.counter(
        family("server_connections_failed", "Server connections that could not be opened"),
        value(&metrics.open_failures),
    )?;
    page.counter(family("server_connections_closed", "Server connections closed"), value(&metrics.closed))?;
    page.histogram(
        family("client_wait", "How long clients waited for a server connection; only those that had to"),
        &metrics.wait,
    )?;
    page.counter(
        family("client_wait_timeouts", "Clients that waited in vain (SQLSTATE 53300)"),
        value(&metrics.timeouts),
    )?;
    page.counter(family("cancels", "Cancel requests passed on to a server"), value(&metrics.cancels))
}

fn nodes(page: &mut Page<'_>, view: &View) -> Result<(), Error> {
    let each = |figure: fn(&Node) -> f64| view.listed().map(move |node| (label(node), figure(node)));
    page.gauges(
        family("node_up", "Whether the node answers probes"),
        each(|node| truth(node.state == NodeState::Up)),
    )?;
    const ROLES: [Role; 4] = [Role::Primary, Role::Replica, Role::Rejected, Role::Unknown];
    let roles = view.listed().flat_map(|node| {
        ROLES.map(|role| {
            let labels = NodeRoleLabels { node: node.name.clone(), role: role.name() };
            (labels, truth(node.role == role))
        })
    });
    page.gauges(family("node_role", "1 for the role that the node has"), roles)?;
    page.gauges(
        family("node_takes_reads", "Whether reads may go to the node as a replica"),
        each(|node| truth(node.takes_reads())),
    )?;
    page.gauges(
        family("node_answers", "Whether the node has answered its last probe in time"),
        each(|node| truth(node.answers())),
    )?;
    page.gauges(
        family("node_share", "How much of its weight the node is given: less after it has come back"),
        each(|node| f64::from(node.share) / f64::from(Node::WHOLE)),
    )?;
    page.gauges(
        family("node_pace", "How long the node takes to answer a short question; a mean that falls slowly")
            .seconds(),
        each(|node| node.progress.pace() as f64 / 1e6),
    )?;
    page.gauges(
        family("replica_lag", "Time since the replica was last known to be current").seconds(),
        each(|node| node.lag.as_secs_f64()),
    )?;
    page.gauges(
        family("replica_lag", "How far the replica is behind the primary's last known position").bytes(),
        each(|node| node.lag_bytes as f64),
    )?;
    page.gauges(
        family("statements_in_flight", "Statements that run on the node through this proxy"),
        each(|node| f64::from(node.load())),
    )?;
    page.gauges(
        family("server_connections_limit", "Connections that the server itself allows; 0 while unknown"),
        each(|node| f64::from(node.connection_limit)),
    )?;
    page.gauge(family("primary_generation", "Counts changes of primary"), view.generation as f64)
}

fn consistency(page: &mut Page<'_>, shared: &Shared, view: &View) -> Result<(), Error> {
    let metrics = &shared.metrics;
    page.counter(
        family("stale_reads_prevented", "Reads that no replica was far enough for when they came"),
        value(&metrics.stale_prevented),
    )?;
    page.histogram(
        family("consistency_wait", "How long reads waited for a replica to catch up; only those that had to"),
        &metrics.consistency_wait,
    )?;
    page.counter(
        family("consistency_errors", "Reads that failed because no replica caught up (SQLSTATE 40001)"),
        value(&metrics.consistency_errors),
    )?;
    let samples = view.listed().map(|node| (label(node), node.progress.samples()));
    page.counters(family("position_samples", "Times that the node said how far it is"), samples)?;
    // Positions grow without end and are no counters: a new primary's may be lower.
    let positions = view.listed().map(|node| (label(node), node.position.0 as f64));
    page.gauges(
        family("node_position", "WAL replayed, or flushed on a primary, at the last probe").bytes(),
        positions,
    )
}

fn control_plane(page: &mut Page<'_>, view: &View, figures: &ControlFigures) -> Result<(), Error> {
    let each = |figure: fn(&NodeFigures) -> u64| {
        let each = view.nodes.iter().zip(&figures.nodes).filter(|(node, _)| node.is_listed());
        each.map(move |(node, figures)| (label(node), figure(figures)))
    };
    page.counters(family("probes", "Probes of the node that ended"), each(|node| node.probes))?;
    page.counters(
        family("probe_failures", "Probes of the node without an answer in time"),
        each(|node| node.failures),
    )?;
    page.counters(
        family("node_failures_reported", "Failures of the node that statements met"),
        each(|node| node.reported),
    )?;
    page.counters(family("node_role_changes", "Changes of the node's role"), each(|node| node.role_changes))?;
    page.counters(
        family("node_state_changes", "Times that the node went down or came back"),
        each(|node| node.state_changes),
    )?;
    page.counter(family("catalog_reads", "Catalogs read"), figures.catalog_reads)?;
    page.counter(
        family("catalog_failures", "Catalogs that could not be read or looked at"),
        figures.catalog_failures,
    )?;
    page.counter(family("verifier_lookups", "Verifiers that logins asked for"), figures.lookups)?;
    page.counter(
        family("verifier_queries", "Verifiers that had to be asked of a server"),
        figures.lookup_queries,
    )?;
    page.counter(
        family("verifier_failures", "Verifiers that could not be looked up"),
        figures.lookup_failures,
    )
}

fn label(node: &Node) -> NodeLabels {
    NodeLabels { node: node.name.clone() }
}

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// The name of a node's state.
pub(crate) fn state(node: &Node) -> &'static str {
    match node.state {
        NodeState::Up if node.silent => "silent",
        NodeState::Unknown => "unknown",
        NodeState::Up => "up",
        NodeState::Down => "down",
        NodeState::Gone => "gone",
    }
}
