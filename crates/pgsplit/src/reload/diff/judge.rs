//! What statements are: by the catalogs as they are, and by those that a new configuration would have.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pgsplit_admin::console::Proof;
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::Config;
use pgsplit_session::statistics::Statement;
use pgsplit_sql::{Analyzer, Catalog, Facts, NotRead, Verdict};
use tokio::time::Instant;

use crate::wiring::Tls;

/// The longest read of a catalog that is waited for.
const CATALOG_WAIT: Duration = Duration::from_secs(10);
/// Texts are judged once each.
const CACHE: usize = 1 << 20;

/// The catalogs of the databases that statements were seen in.
pub(super) struct Catalogs(HashMap<Arc<str>, Arc<Catalog>>);

impl Catalogs {
    pub(super) async fn read(cluster: &Cluster, seen: &[Arc<Statement>]) -> Result<Self, String> {
        let mut databases: Vec<_> = seen.iter().map(|one| one.database.clone()).collect();
        databases.sort_unstable();
        databases.dedup();
        let mut all = HashMap::new();
        for database in databases {
            let handle = cluster.catalog(&database).map_err(|error| error.to_string())?;
            all.insert(database, handle.fresh(Instant::now() + CATALOG_WAIT).await);
        }
        Ok(Self(all))
    }

    /// As another configuration has them.
    async fn of_config(config: &Config, seen: &[Arc<Statement>]) -> Result<Self, String> {
        let tls = Tls::load(config).map_err(|error| format!("{error:#}"))?;
        // For a moment, and nothing is remembered: the state file belongs to the running one.
        let other = Cluster::start(Settings::from_config(config, tls.control()), None);
        other.wait_ready(Instant::now() + 2 * config.health.timeout).await;
        let catalogs = Self::read(&other, seen).await;
        other.shutdown().await;
        catalogs
    }

    pub(super) fn of(&self, one: &Statement) -> Option<&Arc<Catalog>> {
        self.0.get(&one.database)
    }
}

/// Judges texts anew where the lists of functions differ.
pub(super) struct Judges {
    catalogs: [Catalogs; 2],
    analyzer: Analyzer,
}

impl Judges {
    pub(super) async fn read(
        present: &Cluster,
        new: &Config,
        seen: &[Arc<Statement>],
    ) -> Result<Self, String> {
        let catalogs = [Catalogs::read(present, seen).await?, Catalogs::of_config(new, seen).await?];
        Ok(Self { catalogs, analyzer: Analyzer::new(CACHE) })
    }

    /// Facts as they are and as they would be.
    pub(super) fn facts(&self, one: &Statement) -> Option<(Arc<Facts>, Arc<Facts>)> {
        let [before, after] = &self.catalogs;
        let (before, after) = (before.of(one)?, after.of(one)?);
        if one.facts.canonical.is_empty() {
            return None;
        }
        let judge = |catalog: &Arc<Catalog>| self.analyzer.facts(&one.facts.canonical, catalog);
        Some((judge(before), judge(after)))
    }
}

/// Judges texts as if `routing.functions_read_only` were empty.
pub(super) struct Doubts {
    catalogs: Catalogs,
    analyzer: Analyzer,
    trusted: Vec<String>,
}

impl Doubts {
    /// `None` where nothing is trusted.
    pub(super) async fn read(new: &Config, seen: &[Arc<Statement>]) -> Result<Option<Self>, String> {
        let mut doubting = new.clone();
        let trusted = std::mem::take(&mut doubting.routing.functions_read_only);
        if trusted.is_empty() {
            return Ok(None);
        }
        let catalogs = Catalogs::of_config(&doubting, seen).await?;
        Ok(Some(Self { catalogs, analyzer: Analyzer::new(CACHE), trusted }))
    }

    /// The function that a read is only one for because it is trusted.
    fn trusts(&self, one: &Statement) -> Option<String> {
        if one.facts.canonical.is_empty() {
            return None;
        }
        let facts = self.analyzer.facts(&one.facts.canonical, self.catalogs.of(one)?);
        match &facts.verdict {
            Verdict::Read => None,
            Verdict::NotRead(NotRead::Function(name)) => Some(name.to_string()),
            Verdict::NotRead(_) => {
                let called = |name: &&String| {
                    let bare = name.rsplit('.').next().unwrap_or(name);
                    facts.functions.iter().any(|call| *call.name == *bare)
                };
                Some(self.trusted.iter().find(called)?.clone())
            }
        }
    }
}

/// What is known of a statement that would go to a replica.
pub(super) fn proof(one: &Statement, facts: &Facts, doubts: Option<&Doubts>) -> Proof {
    match doubts.and_then(|doubts| doubts.trusts(one)) {
        _ if !facts.is_read() => Proof::None,
        Some(function) => Proof::Trusted(function),
        None => Proof::Read,
    }
}
