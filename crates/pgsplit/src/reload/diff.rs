//! Which of the statements seen so far would go elsewhere with another configuration.
//!
//! Both configurations decide on each statement, for each of its callers (`pgsplit_session::statistics::Caller`) and each
//! share of the sessions, as if all nodes were up and nobody lagged. Calls that no configuration moves (inside a
//! transaction, in a pinned session, by a hint) do not count. Where the lists of functions differ, texts are judged anew,
//! against catalogs read with the new lists; and where the new one trusts functions, also without that trust, so that it is
//! said what goes to a replica only because of it.

mod judge;
mod side;

use std::path::Path;

use pgsplit_admin::console::Moved;
use pgsplit_config::Config;
use pgsplit_route::Reason;
use pgsplit_session::statistics::Statement;

use self::judge::{Catalogs, Doubts, Judges, proof};
use self::side::{Side, Way, callers, places};
use super::Operator;
use crate::validate;

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
    let doubts = Doubts::read(&new, &seen.statements).await?;
    let catalogs = Catalogs::read(operator.proxy.cluster(), &seen.statements).await?;
    let (view, moment) = (operator.proxy.view(), operator.proxy.moment());
    let (before, after) = (Side::new(&now.config, &view, moment.clone()), Side::new(&new, &view, moment));
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
        let Some((old_facts, new_facts)) = facts else { continue };
        let calls = movable(one) as f64;
        let mut ways: Vec<(Way, Way, f64)> = Vec::new();
        for (caller, share) in callers(one, &before.ground) {
            for &(place, width) in &places {
                let from = before.way(&old_facts, catalog, &caller, place);
                let to = after.way(&new_facts, catalog, &caller, place);
                if from.target != to.target {
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
            from: (from.target, from.reason),
            proof: (!to.is_primary).then(|| proof(one, &new_facts, doubts.as_ref())),
            to: (to.target, to.reason),
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
