//! The result sets. Columns are named, typed and ordered for scripts: `docs/console.md` lists them.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use pgsplit_pool::Gauges;
use pgsplit_route::{Node, NodeId, PinReason, View};
use pgsplit_session::{ClientState, Identity, Shared};

use super::Console;
use super::command::{Command, Show};
use super::fault::Fault;
use super::table::{Column, Kind, Table, Value};
use super::{rules, statements};
use crate::metrics;

const HELP: &[Column] = &[("command", Kind::Text), ("shows", Kind::Text)];
const NODES: &[Column] = &[
    ("node", Kind::Text),
    ("address", Kind::Text),
    ("zone", Kind::Text),
    ("role", Kind::Text),
    ("state", Kind::Text),
    ("takes_reads", Kind::Truth),
    ("weight", Kind::Int),
    ("lag_ms", Kind::Real),
    ("lag_bytes", Kind::Int),
    ("position", Kind::Text),
    ("in_flight", Kind::Int),
    ("connections", Kind::Int),
    ("connection_limit", Kind::Int),
    ("statements", Kind::Int),
];
const POOLS: &[Column] = &[
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("node", Kind::Text),
    ("role", Kind::Text),
    ("busy", Kind::Int),
    ("idle", Kind::Int),
    ("opening", Kind::Int),
    ("waiting", Kind::Int),
    ("limit", Kind::Int),
];
const CLIENTS: &[Column] = &[
    ("client", Kind::Int),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("application_name", Kind::Text),
    ("address", Kind::Text),
    ("state", Kind::Text),
    ("pinned", Kind::Text),
    ("node", Kind::Text),
    ("server", Kind::Int),
    ("since", Kind::Time),
];
const SERVERS: &[Column] = &[
    ("server", Kind::Int),
    ("node", Kind::Text),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("state", Kind::Text),
    ("client", Kind::Int),
    ("since", Kind::Time),
];
const PINS: &[Column] = &[("reason", Kind::Text), ("sessions", Kind::Int), ("total", Kind::Int)];
const REFUSALS: &[Column] = &[
    ("since", Kind::Time),
    ("left_s", Kind::Real),
    ("spared", Kind::Int),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("fingerprint", Kind::Text),
    ("statement", Kind::Text),
];
const METRICS: &[Column] = &[("metric", Kind::Text), ("labels", Kind::Text), ("value", Kind::Real)];
const CONFIG: &[Column] = &[("key", Kind::Text), ("value", Kind::Text), ("changes", Kind::Text)];
const VERSION: &[Column] = &[
    ("version", Kind::Text),
    ("started", Kind::Time),
    ("config_file", Kind::Text),
    ("config_hash", Kind::Text),
    ("config_since", Kind::Time),
    ("reload_refused", Kind::Text),
    ("unconfirmed_until", Kind::Time),
];
pub(super) const ROUTE: &[Column] = &[("route", Kind::Text)];
pub(super) const CHANGES: &[Column] =
    &[("key", Kind::Text), ("old", Kind::Text), ("new", Kind::Text), ("in_force", Kind::Text)];
pub(super) const MOVED: &[Column] = &[
    ("calls", Kind::Int),
    ("share", Kind::Real),
    ("old_target", Kind::Text),
    ("old_reason", Kind::Text),
    ("new_target", Kind::Text),
    ("new_reason", Kind::Text),
    ("database", Kind::Text),
    ("fingerprint", Kind::Text),
    ("statement", Kind::Text),
    ("proof", Kind::Text),
];

pub(super) fn columns(show: Show) -> &'static [Column] {
    match show {
        Show::Help => HELP,
        Show::Nodes => NODES,
        Show::Pools => POOLS,
        Show::Clients => CLIENTS,
        Show::Servers => SERVERS,
        Show::Pins => PINS,
        Show::Statements => statements::STATEMENTS,
        Show::Tables => statements::TABLES,
        Show::Routes => statements::ROUTES,
        Show::Rules => rules::RULES,
        Show::Refusals => REFUSALS,
        Show::Metrics => METRICS,
        Show::Config => CONFIG,
        Show::Version => VERSION,
    }
}

/// Carries a command out that has rows.
pub(super) async fn table(console: &Console, command: &Command) -> Result<Table, Fault> {
    let operations = &console.operations;
    let (columns, rows) = match command {
        Command::Show(what) => (columns(*what), show(console, *what)?),
        Command::Explain { database, user, sql } => {
            let database = database.clone().unwrap_or_else(|| busiest(&console.sources.shared));
            let lines = operations.explain(&database, user.as_deref().unwrap_or_default(), sql).await?;
            (ROUTE, lines.into_iter().map(|line| vec![line.into()]).collect())
        }
        Command::Reload { confirm } => {
            let changes = operations.reload(*confirm).await?.into_iter();
            let row = |change: super::Change| {
                let when = if change.reloads { "now" } else { "after a restart" };
                vec![change.key.into(), change.old.into(), change.new.into(), when.into()]
            };
            (CHANGES, changes.map(row).collect())
        }
        Command::Diff(text) => {
            let moved = operations.diff(text).await?.into_iter();
            let row = |one: super::Moved| {
                vec![
                    one.calls.into(),
                    Value::Real(one.share),
                    one.from.0.into(),
                    one.from.1.into(),
                    one.to.0.into(),
                    one.to.1.into(),
                    one.database.into(),
                    format!("{:016x}", one.fingerprint).into(),
                    one.statement.into(),
                    one.proof.map(|proof| proof.words()).into(),
                ]
            };
            (MOVED, moved.map(row).collect())
        }
        Command::Confirm | Command::Forget | Command::Begin | Command::End(_) | Command::Nothing(_) => {
            (HELP, Vec::new())
        }
    };
    Ok(Table { columns, rows })
}

fn show(console: &Console, what: Show) -> Result<Vec<Vec<Value>>, Fault> {
    let shared = &console.sources.shared;
    Ok(match what {
        Show::Help => help(),
        Show::Nodes => nodes(shared),
        Show::Pools => pools(shared),
        Show::Clients => clients(shared),
        Show::Servers => servers(shared),
        Show::Pins => pins(shared),
        Show::Statements => statements::statements(shared),
        Show::Tables => statements::tables(shared),
        Show::Routes => statements::routes(shared),
        Show::Rules => rules::rules(console),
        Show::Refusals => refusals(shared),
        Show::Metrics => metrics(console)?,
        Show::Config => config(console),
        Show::Version => version(console),
    })
}

/// The database that most clients use, for commands that name none.
fn busiest(shared: &Shared) -> String {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for client in shared.registry.all() {
        if let Some(identity) = client.identity() {
            *counts.entry(identity.database().to_owned()).or_default() += 1;
        }
    }
    for statement in shared.statistics.all().statements {
        counts.entry(statement.database.to_string()).or_default();
    }
    let most = counts.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    most.map_or_else(|| "postgres".to_owned(), |(name, _)| name)
}

fn help() -> Vec<Vec<Value>> {
    let shows = Show::ALL.iter().map(|(_, name, what)| (format!("SHOW {name}"), *what));
    let others = [
        ("EXPLAIN ROUTE [DATABASE name] sql", "where a statement would go, and why"),
        ("EXPLAIN ROUTE ... [USER name] sql", "the same, as this user's statement"),
        ("RELOAD", "reads the configuration again"),
        ("RELOAD CONFIRM '5m'", "likewise; goes back unless confirmed"),
        ("RELOAD CONFIRMED", "keeps what was reloaded"),
        ("DIFF 'configuration'", "statements that would go elsewhere"),
        ("RESET REFUSALS", "forgets them: replicas are tried again"),
    ];
    let all = shows.chain(others.map(|(command, what)| (command.to_owned(), what)));
    all.map(|(command, what)| vec![command.into(), what.into()]).collect()
}

fn name(view: &View, id: NodeId) -> Value {
    view.node(id).map(|node| node.name.to_string()).into()
}

fn nodes(shared: &Shared) -> Vec<Vec<Value>> {
    let view = shared.view.load();
    let ran = shared.metrics.traffic.by_node();
    let row = |node: &Node| {
        vec![
            (*node.name).into(),
            (*node.address).into(),
            Some(&*node.zone).filter(|zone| !zone.is_empty()).into(),
            node.role.name().into(),
            metrics::state(node).into(),
            node.takes_reads().into(),
            node.weight.into(),
            node.lag.into(),
            node.lag_bytes.into(),
            node.position.to_string().into(),
            node.load().into(),
            shared.pools.open_on(node.id).into(),
            Some(node.connection_limit).filter(|limit| *limit > 0).into(),
            ran.get(node.id.index()).copied().into(),
        ]
    };
    view.listed().map(row).collect()
}

fn pools(shared: &Shared) -> Vec<Vec<Value>> {
    let view = shared.view.load();
    let settings = shared.pools.environment().settings.load();
    let mut rows: Vec<_> = shared.pools.gauges();
    rows.sort_by(|a, b| (&a.0.database, &a.0.user, a.1).cmp(&(&b.0.database, &b.0.user, b.1)));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let row = |(key, id, gauges): (pgsplit_pool::PoolKey, NodeId, Gauges)| {
        let primary = view.primary == Some(id);
        let limit = if primary { settings.primary_connections } else { settings.replica_connections };
        vec![
            text(&key.user).into(),
            text(&key.database).into(),
            name(&view, id),
            view.node(id).map(|node| node.role.name()).into(),
            gauges.busy.into(),
            gauges.idle.into(),
            gauges.opening.into(),
            gauges.waiting.into(),
            limit.into(),
        ]
    };
    rows.into_iter().map(row).collect()
}

fn clients(shared: &Shared) -> Vec<Vec<Value>> {
    let view = shared.view.load();
    let connections = shared.pools.connections();
    let held: HashMap<i32, _> =
        connections.iter().filter_map(|one| Some((one.client()?, (one.node, one.pid)))).collect();
    let mut clients = shared.registry.all();
    clients.sort_by_key(|client| client.pid);
    let row = |client: &std::sync::Arc<pgsplit_session::Client>| {
        let who = client.identity();
        let state = ClientState::ALL.get(usize::from(client.state())).map(|(_, name)| *name);
        let held = held.get(&client.pid);
        vec![
            client.pid.into(),
            who.map(Identity::user).into(),
            who.map(Identity::database).into(),
            who.map(Identity::application).into(),
            client.peer.to_string().into(),
            state.into(),
            client.pin().map(PinReason::name).into(),
            held.map_or(Value::Null, |(node, _)| name(&view, *node)),
            held.map(|(_, pid)| *pid).into(),
            client.since.into(),
        ]
    };
    clients.iter().map(row).collect()
}

fn servers(shared: &Shared) -> Vec<Vec<Value>> {
    let view = shared.view.load();
    let mut connections = shared.pools.connections();
    connections.sort_by_key(|one| (one.node, one.pid));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let row = |one: &std::sync::Arc<pgsplit_pool::Connection>| {
        let client = one.client();
        vec![
            one.pid.into(),
            name(&view, one.node),
            text(&one.key.user).into(),
            text(&one.key.database).into(),
            if client.is_some() { "busy" } else { "idle" }.into(),
            client.into(),
            one.since.into(),
        ]
    };
    connections.iter().map(row).collect()
}

fn pins(shared: &Shared) -> Vec<Vec<Value>> {
    let metrics = &shared.metrics;
    let each = PinReason::ALL.iter().zip(&metrics.pinned).zip(&metrics.pins);
    each.map(|((reason, now), total)| {
        vec![reason.name().into(), now.load(Ordering::Relaxed).into(), total.load(Ordering::Relaxed).into()]
    })
    .collect()
}

fn refusals(shared: &Shared) -> Vec<Vec<Value>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let row = |one: &std::sync::Arc<pgsplit_session::Refusal>| {
        vec![
            one.since.into(),
            Value::Real(one.left().as_secs_f64().round()),
            one.spared.load(Ordering::Relaxed).into(),
            text(&one.who.user).into(),
            text(&one.who.database).into(),
            format!("{:016x}", one.facts.statement()).into(),
            one.facts.text().into_owned().into(),
        ]
    };
    shared.refusals.all().iter().map(row).collect()
}

/// Every series of `/metrics`.
fn metrics(console: &Console) -> Result<Vec<Vec<Value>>, Fault> {
    let text = metrics::text(&console.sources)
        .map_err(|error| Fault::new("XX000", format!("metrics cannot be written: {error}")))?;
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.strip_suffix('}').unwrap_or(labels);
        Some(vec![name.into(), labels.into(), value.parse().map_or(Value::Null, Value::Real)])
    });
    Ok(series.collect())
}

fn config(console: &Console) -> Vec<Vec<Value>> {
    let settings = console.operations.settings().into_iter();
    settings
        .map(|one| {
            let changes = if one.reloads { "reload" } else { "restart" };
            vec![one.key.into(), one.value.into(), changes.into()]
        })
        .collect()
}

fn version(console: &Console) -> Vec<Vec<Value>> {
    let loaded = console.operations.loaded();
    let unconfirmed: Option<SystemTime> = loaded.unconfirmed;
    vec![vec![
        console.sources.version.into(),
        console.started.into(),
        loaded.file.into(),
        format!("{:016x}", loaded.hash).into(),
        loaded.at.into(),
        loaded.refused.into(),
        unconfirmed.into(),
    ]]
}
