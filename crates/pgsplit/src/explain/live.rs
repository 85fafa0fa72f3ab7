//! The answer that the running proxy would give: with the servers' catalog, roles and states.

use std::time::Duration;

use anyhow::ensure;
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::{Config, Reads, RoutingMode};
use pgsplit_route::{Excluded, SessionView, Target, View, decide};
use pgsplit_sql::Analyzer;
use tokio::time::Instant;

use super::answer::{Answer, Background};
use crate::run::runtime;
use crate::wiring::Tls;

/// The longest read of a catalog that is waited for.
const CATALOG_WAIT: Duration = Duration::from_secs(10);
/// One text is analysed once.
const CACHE: usize = 64 << 10;

pub(super) fn explain(config: &Config, database: &str, sql: &str) -> anyhow::Result<Answer> {
    let settings = Settings::from_config(config, Tls::load(config)?.control());
    runtime()?.block_on(async {
        // Nothing is remembered: the state file belongs to the running proxy.
        let cluster = Cluster::start(settings, None);
        let answer = ask(&cluster, config, database, sql).await;
        cluster.shutdown().await;
        answer
    })
}

pub(super) async fn ask(
    cluster: &Cluster,
    config: &Config,
    database: &str,
    sql: &str,
) -> anyhow::Result<Answer> {
    cluster.wait_ready(Instant::now() + 2 * config.health.timeout).await;
    let view = cluster.view().load_full();
    ensure!(
        view.primary.is_some(),
        "no primary is known: {}; check `nodes`, `auth.user` and `auth.password`",
        states(&view)
    );
    let handle = cluster.catalog(database)?;
    let catalog = handle.fresh(Instant::now() + CATALOG_WAIT).await;
    ensure!(
        catalog.is_known(),
        "the catalog of the database `{database}` cannot be read; name the database with --database"
    );
    let facts = Analyzer::new(CACHE).facts(sql.as_bytes(), &catalog);
    let decision = decide(&facts.verdict, SessionView::default(), &view, Excluded::default(), 0);
    let [primary, replica] = Target::NAMES;
    let stays = stays_on_primary(config).filter(|_| facts.is_read());
    let to_replica = matches!(decision.target, Target::Replica(_)) && stays.is_none();
    let candidates = view
        .nodes
        .iter()
        .filter(|node| if to_replica { node.takes_reads() } else { view.primary == Some(node.id) });
    Ok(Answer {
        sql: sql.to_owned(),
        target: if to_replica { replica } else { primary },
        reason: decision.reason,
        candidates: candidates.map(|node| node.name.clone()).collect(),
        facts,
        background: Background::Live { database: database.to_owned(), nodes: view.nodes.clone() },
        notes: stays.map(str::to_owned).into_iter().collect(),
    })
}

/// Why proved reads stay on the primary, if the configuration says so.
fn stays_on_primary(config: &Config) -> Option<&'static str> {
    if config.routing.mode == RoutingMode::Shadow {
        Some("routing.mode = \"shadow\": everything goes to the primary.")
    } else {
        (config.routing.reads != Reads::Replica).then_some("routing.reads keeps reads on the primary.")
    }
}

fn states(view: &View) -> String {
    let states = view.nodes.iter().map(|node| format!("{} is {}", node.name, super::text::state(node)));
    states.collect::<Vec<_>>().join(", ")
}
