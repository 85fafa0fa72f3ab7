//! The answer that the running proxy would give: with the servers' catalog, roles and states.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::Config;
use pgsplit_route::{Level, Node, Rules, View};
use pgsplit_sql::Catalog;
use tokio::time::Instant;

use super::answer::{Answer, Background};
use super::consider::{Ground, Moment, consider};
use super::question::Question;
use crate::run::runtime;
use crate::wiring::{self, Tls};

/// The longest read of a catalog that is waited for.
const CATALOG_WAIT: Duration = Duration::from_secs(10);

pub(super) fn explain(config: &Config, question: &Question) -> anyhow::Result<Answer> {
    look(config, &question.database, |view, catalog| {
        let ground = Ground::new(Some(config), wiring::rules(config), view.clone());
        answer(question, &ground, catalog)
    })
}

/// As a control plane sees it that runs already, with the rules that are in force and what holds at
/// the moment.
pub(super) async fn running(
    cluster: &Cluster,
    config: &Config,
    rules: Arc<Rules>,
    moment: Moment,
    question: &Question,
) -> anyhow::Result<Answer> {
    let (view, catalog) = ask(cluster, config, &question.database).await?;
    Ok(answer(question, &Ground::now(config, rules, view, moment), &catalog))
}

fn answer(question: &Question, ground: &Ground, catalog: &Arc<Catalog>) -> Answer {
    let considered = consider(question, ground, catalog);
    let answer = Answer::new(question, &considered, ground);
    let (view, database) = (&ground.view, question.database.clone());
    let causal = answer.level.as_ref().is_some_and(|(level, _)| *level == Level::Causal);
    let need = view.marks.need(pgsplit_sql::key(&database), &considered.facts.read);
    let has = |node: &Node| (causal && node.is_replica()).then(|| need.is_met_by(node.progress.reached()));
    let nodes = view.listed().map(|node| (node.clone(), has(node))).collect();
    Answer { background: Background::Live { database, nodes }, ..answer }
}

/// Asks the servers for their states and the catalog of a database, and looks at both.
pub(crate) fn look<T>(
    config: &Config,
    database: &str,
    then: impl FnOnce(&Arc<View>, &Arc<Catalog>) -> T,
) -> anyhow::Result<T> {
    let settings = Settings::from_config(config, Tls::load(config)?.control());
    runtime()?.block_on(async {
        // Nothing is remembered: the state file belongs to the running proxy.
        let cluster = Cluster::start(settings, None);
        let found = ask(&cluster, config, database).await;
        cluster.shutdown().await;
        found.map(|(view, catalog)| then(&view, &catalog))
    })
}

async fn ask(
    cluster: &Cluster,
    config: &Config,
    database: &str,
) -> anyhow::Result<(Arc<View>, Arc<Catalog>)> {
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
    Ok((view, catalog))
}

fn states(view: &View) -> String {
    let states = view.listed().map(|node| format!("{} is {}", node.name, super::text::state(node)));
    states.collect::<Vec<_>>().join(", ")
}
