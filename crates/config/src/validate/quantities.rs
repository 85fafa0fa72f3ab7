//! Numbers and times that make no sense, alone or together.

use std::time::Duration;

use super::Report;
use crate::model::{File, Health, MaxConnections, Pool, Routing};
use crate::suggest::nearest;

/// More of anything is a mistake, and would overflow what counts it.
const LARGEST_COUNT: usize = 10_000_000;

const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(super) fn check(file: &File, report: &mut Report<'_>) {
    check_pool(&file.pool, report);
    check_routing(&file.routing, report);
    check_health(&file.health, report);
    let needs_lag = "must be above zero: no replica is ever less behind than that";
    report.require(!file.consistency.max_lag.is_zero(), "consistency.max_lag", needs_lag);
    check_log_level(&file.log.level, report);
}

fn check_pool(pool: &Pool, report: &mut Report<'_>) {
    for (key, value) in [
        ("pool.max_clients", pool.max_clients),
        ("pool.primary_connections", pool.primary_connections),
        ("pool.replica_connections", pool.replica_connections),
        ("pool.prepared_statements", pool.prepared_statements),
        ("pool.logins", pool.logins),
        ("pool.waiting", pool.waiting),
    ] {
        report.require(value > 0, key, "must be above zero");
        report.require(value <= LARGEST_COUNT, key, "must be at most 10000000");
    }
    let smaller = pool.primary_connections.min(pool.replica_connections);
    if pool.min_idle > smaller {
        report.error("pool.min_idle", format!("is more than a pool may have connections ({smaller})"));
    }
    if let MaxConnections::Limit(limit) = pool.max_connections {
        let larger = pool.primary_connections.max(pool.replica_connections);
        if limit == 0 {
            report.error("pool.max_connections", "must be above zero, or \"auto\"");
        } else if limit < larger {
            let message =
                format!("is less than one pool may have ({larger}): that many can never be reached");
            report.warn("pool.max_connections", message);
        }
    }
}

fn check_routing(routing: &Routing, report: &mut Report<'_>) {
    let share = routing.spill.load;
    report.require(share > 0.0 && share <= 1.0, "routing.spill.load", "must be a share above 0 and up to 1");
    report.require(!routing.spill.window.is_zero(), "routing.spill.window", "must be above zero");
    let budget = routing.retry.budget;
    report.require((0.0..=1.0).contains(&budget), "routing.retry.budget", "must be a share from 0 to 1");
    report.require(
        routing.retry.buffer <= 16 << 20,
        "routing.retry.buffer",
        "must be at most 16MiB: each client may hold it",
    );
    report.require(routing.cache >= 1 << 20, "routing.cache", "must be at least 1MiB");
    for name in routing.functions_read_only.iter().filter(|name| routing.functions_write.contains(name)) {
        let message = format!("`{name}` is also in `functions_write`; a function cannot be in both");
        report.error("routing.functions_read_only", message);
    }
}

fn check_health(health: &Health, report: &mut Report<'_>) {
    report.require(health.interval >= Duration::from_millis(10), "health.interval", "must be at least 10ms");
    report.require(
        !health.timeout.is_zero(),
        "health.timeout",
        "must be above zero: a probe needs a deadline",
    );
    report.require(health.eject_after > 0, "health.eject_after", "must be above zero");
}

/// `level` or `module=level`, separated by commas. A misspelt level would be taken for a module's name.
fn check_log_level(directives: &str, report: &mut Report<'_>) {
    for directive in directives.split(',') {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
        if LOG_LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            continue;
        }
        let near =
            nearest(level, LOG_LEVELS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        report.error("log.level", format!("`{level}` is not one of {}{near}", LOG_LEVELS.join(", ")));
    }
}
