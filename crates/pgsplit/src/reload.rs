//! What of a new configuration a running process does not take over.

use pgsplit_config::Config;

/// The keys that differ and need a restart.
pub(crate) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let control_login = |config: &Config| (config.auth.user.clone(), config.auth.password.clone());
    let probing =
        |config: &Config| (config.health.interval, config.health.timeout, config.health.eject_after);
    let functions = |config: &Config| {
        let routing = &config.routing;
        let lists = [&routing.functions_read_only, &routing.functions_write, &routing.functions_stateless];
        lists.map(Clone::clone)
    };
    let changed = [
        ("listen", old.listen != new.listen),
        ("reuse_port", old.reuse_port != new.reuse_port),
        ("http", old.http != new.http),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("state_file", old.state_file != new.state_file),
        ("nodes", old.nodes != new.nodes),
        ("auth.user, auth.password", control_login(old) != control_login(new)),
        ("auth.query", old.auth.query != new.auth.query),
        (
            "tls.server (pgsplit's own connections)",
            (old.tls.server, &old.tls.ca) != (new.tls.server, &new.tls.ca),
        ),
        ("pool.logins", old.pool.logins != new.pool.logins),
        ("routing.cache", old.routing.cache != new.routing.cache),
        ("routing.functions_*", functions(old) != functions(new)),
        ("consistency.max_lag", old.consistency.max_lag != new.consistency.max_lag),
        ("health.interval, health.timeout, health.eject_after", probing(old) != probing(new)),
        ("log.format", old.log.format != new.log.format),
    ];
    changed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(&format!("nodes = ['a']\n{text}"), Path::new(".")).unwrap().0
    }

    #[test]
    fn only_what_differs_and_cannot_change() {
        let old = config("");
        assert!(needs_restart(&old, &old).is_empty());
        let new = config("workers = 3\n[pool]\nwait = '1s'\n[health]\ntimeout = '2s'");
        let expected = ["workers", "health.interval, health.timeout, health.eject_after"];
        assert_eq!(needs_restart(&old, &new), expected);
    }
}
