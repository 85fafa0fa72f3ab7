//! Which of the statements seen so far would go elsewhere with another configuration.
//!
//! Both configurations decide on each statement, for each of its callers (`pgsplit_session::statistics::Caller`) and each
//! share of the sessions, as if all nodes were up and nobody lagged. Calls that no configuration moves (inside a
//! transaction, in a pinned session, by a hint) do not count. Where the lists of functions differ, texts are judged anew,
//! against catalogs read with the new lists.

mod side;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgsplit_admin::console::Moved;
use pgsplit_cluster::{Cluster, Settings};
use pgsplit_config::Config;
use pgsplit_route::Reason;
use pgsplit_session::statistics::Statement;
use pgsplit_sql::{Analyzer, Catalog, Facts};
use tokio::time::Instant;

use self::side::{Side, Way, callers, places};
use super::Operator;
use crate::validate;
use crate::wiring::Tls;

/// The longest read of a catalog that is waited for.
const CATALOG_WAIT: Duration = Duration::from_secs(10);
/// Texts are judged once each.
const CACHE: usize = 1 << 20;
/// Others have their turn after so many statements.
const BETWEEN: usize = 64;
/// A result set that somebody reads.
const MOST: usize = 1_000;

/// Compares; what is wrong with the configuration is the error's text.
pub(super) async fn diff(operator: &Operator, text: &str) -> Result<Vec<Moved>, String> {
    let now = operator.in_force.load_full();
    let folder = operator.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let (new, _) = Config::parse(text, folder).map_err(|error| error.to_string())?;
    let problems: Vec<_> = validate::problems(&new).iter().map(|one| format!("{one:#}")).collect();
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let seen = operator.proxy.seen();
    let total: u64 = seen.statements.iter().map(|one| one.calls()).sum::<u64>() + seen.others;
    let lists = |config: &Config| {
        let routing = &config.routing;
        [&routing.functions_read_only, &routing.functions_write, &routing.functions_stateless]
            .map(Clone::clone)
    };
    let judges = if lists(&now.config) == lists(&new) {
        None
    } else {
        Some(Judges::read(operator.proxy.cluster(), &new, &seen.statements).await?)
    };
    let catalogs = Catalogs::read(operator.proxy.cluster(), &seen.statements).await?;
    let (before, after) =
        (Side::new(&now.config, &operator.proxy.view()), Side::new(&new, &operator.proxy.view()));
    let places = places([&before, &after]);
    let mut moved = Vec::new();
    for (at, one) in seen.statements.iter().enumerate() {
        if at % BETWEEN == 0 {
            tokio::task::yield_now().await;
        }
        let Some(catalog) = catalogs.of(one) else { continue };
        let facts = match &judges {
            Some(judges) => judges.facts(one),
            None => Some((one.facts.clone(), one.facts.clone())),
        };
        let Some((old, new)) = facts else { continue };
        let calls = movable(one) as f64;
        let mut ways: Vec<(Way, Way, f64)> = Vec::new();
        for (caller, share) in callers(one, &before.ground) {
            for &(place, width) in &places {
                let from = before.way(&old, catalog, &caller, place);
                let to = after.way(&new, catalog, &caller, place);
                if from.0 != to.0 {
                    match ways.iter_mut().find(|(known, other, _)| (known, other) == (&from, &to)) {
                        Some((.., sum)) => *sum += share * width,
                        None => ways.push((from, to, share * width)),
                    }
                }
            }
        }
        let ways = ways.into_iter().map(|(from, to, part)| (from, to, (calls * part).round() as u64));
        moved.extend(ways.filter(|(.., calls)| *calls > 0).map(|(from, to, calls)| Moved {
            fingerprint: one.facts.fingerprint,
            database: one.database.to_string(),
            calls,
            share: calls as f64 / total.max(1) as f64,
            from,
            to,
            statement: one.facts.text().into_owned(),
        }));
    }
    moved.sort_by_key(|one| std::cmp::Reverse(one.calls));
    moved.truncate(MOST);
    Ok(moved)
}

/// Calls that were decided by what the statement is.
fn movable(one: &Statement) -> u64 {
    let fixed = ["pinned", "transaction", "hint"];
    let each = Reason::NAMES.iter().enumerate().filter(|(_, name)| !fixed.contains(name));
    each.flat_map(|(at, _)| one.sides.iter().filter_map(move |side| side.reasons.get(at))).sum()
}

/// The catalogs of the databases that statements were seen in, as they are.
struct Catalogs(HashMap<Arc<str>, Arc<Catalog>>);

impl Catalogs {
    async fn read(cluster: &Cluster, seen: &[Arc<Statement>]) -> Result<Self, String> {
        let mut all = HashMap::new();
        for database in databases(seen) {
            let handle = cluster.catalog(&database).map_err(|error| error.to_string())?;
            all.insert(database, handle.fresh(Instant::now() + CATALOG_WAIT).await);
        }
        Ok(Self(all))
    }

    fn of(&self, one: &Statement) -> Option<&Catalog> {
        self.0.get(&one.database).map(|catalog| &**catalog)
    }
}

fn databases(seen: &[Arc<Statement>]) -> Vec<Arc<str>> {
    let mut databases: Vec<_> = seen.iter().map(|one| one.database.clone()).collect();
    databases.sort_unstable();
    databases.dedup();
    databases
}

/// Catalogs by database, with the present lists of functions and with the new ones.
struct Judges {
    catalogs: HashMap<Arc<str>, [Arc<Catalog>; 2]>,
    analyzer: Analyzer,
}

impl Judges {
    async fn read(present: &Cluster, new: &Config, seen: &[Arc<Statement>]) -> Result<Self, String> {
        let tls = Tls::load(new).map_err(|error| format!("{error:#}"))?;
        // For a moment, and nothing is remembered: the state file belongs to the running one.
        let other = Cluster::start(Settings::from_config(new, tls.control()), None);
        other.wait_ready(Instant::now() + 2 * new.health.timeout).await;
        let mut catalogs = HashMap::new();
        for database in databases(seen) {
            let mut pair = Vec::new();
            for cluster in [present, &other] {
                let handle = cluster.catalog(&database).map_err(|error| error.to_string())?;
                pair.push(handle.fresh(Instant::now() + CATALOG_WAIT).await);
            }
            if let Ok(pair) = pair.try_into() {
                catalogs.insert(database, pair);
            }
        }
        other.shutdown().await;
        Ok(Self { catalogs, analyzer: Analyzer::new(CACHE) })
    }

    /// Facts as they are and as they would be.
    fn facts(&self, one: &Statement) -> Option<(Arc<Facts>, Arc<Facts>)> {
        let [before, after] = self.catalogs.get(&one.database)?;
        if one.facts.canonical.is_empty() {
            return None;
        }
        let judge = |catalog: &Arc<Catalog>| self.analyzer.facts(&one.facts.canonical, catalog);
        Some((judge(before), judge(after)))
    }
}
