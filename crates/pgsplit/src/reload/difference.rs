//! What differs between two configurations, key by key, and what of it needs a restart.

use std::collections::BTreeMap;

use pgsplit_admin::console::{Change, Setting};
use pgsplit_config::{Config, Entry};

/// Keys that a running process does not take over; one that ends in a dot stands for all below it.
const RESTART: [&str; 19] = [
    "listen",
    "admin",
    "http",
    "workers",
    "reuse_port",
    "peers",
    "state_file",
    "topology.patroni",
    "auth.user",
    "auth.password",
    "auth.query",
    "tls.server",
    "tls.ca",
    "pool.logins",
    "routing.cache",
    "health.interval",
    "health.timeout",
    "health.eject_after",
    "log.format",
];

/// Whether a reload changes the key at once.
pub(crate) fn reloads(key: &str) -> bool {
    !RESTART.iter().any(|fixed| key == *fixed || (fixed.ends_with('.') && key.starts_with(fixed)))
}

/// What really holds after reloads: of keys that need a restart, what the process began with.
pub(crate) fn effective(started: &Config, now: &Config) -> Vec<Entry> {
    let fixed = started.entries().into_iter().filter(|one| !reloads(&one.key));
    let mut all: Vec<_> = fixed.chain(now.entries().into_iter().filter(|one| reloads(&one.key))).collect();
    // In the order of the documentation.
    let order: BTreeMap<_, _> =
        now.entries().into_iter().enumerate().map(|(at, one)| (one.key, at)).collect();
    all.sort_by_key(|one| order.get(&one.key).copied().unwrap_or(usize::MAX));
    all
}

/// Every key in force.
pub(crate) fn settings(entries: &[Entry]) -> Vec<Setting> {
    let setting = |one: &Entry| Setting {
        key: one.key.clone(),
        value: one.shown().to_owned(),
        reloads: reloads(&one.key),
    };
    entries.iter().map(setting).collect()
}

/// What differs, in the order of the documentation; what was taken away comes last.
pub(crate) fn changes(before: &[Entry], after: &[Entry]) -> Vec<Change> {
    let mut gone: BTreeMap<&str, &Entry> = before.iter().map(|one| (one.key.as_str(), one)).collect();
    let mut changes = Vec::new();
    for one in after {
        let was = gone.remove(one.key.as_str());
        if was.is_none_or(|was| was.exact() != one.exact()) {
            changes.push(change(&one.key, was, Some(one)));
        }
    }
    changes.extend(gone.into_values().map(|was| change(&was.key, Some(was), None)));
    changes
}

fn change(key: &str, old: Option<&Entry>, new: Option<&Entry>) -> Change {
    let shown = |entry: Option<&Entry>| entry.map(|entry| entry.shown().to_owned());
    Change { key: key.to_owned(), old: shown(old), new: shown(new), reloads: reloads(key) }
}

/// A hash of all settings, the same in every process, so that several can be compared.
pub(crate) fn hash(config: &Config) -> u64 {
    let mut text = Vec::new();
    for entry in config.entries() {
        for part in [&entry.key, entry.exact()] {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
    }
    pgsplit_sql::scan::fingerprint(&text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(&format!("nodes = ['a']\n{text}"), Path::new(".")).unwrap().0
    }

    #[test]
    fn only_what_differs_and_whether_it_can_change() {
        let old = config("auth.password = 'old'\n[[rules]]\nname = 'r'\ntarget = 'primary'");
        assert_eq!(changes(&old.entries(), &old.entries()), []);
        let new = config("workers = 3\nauth.password = 'new'\npool.wait = '1s'");
        let lines = changes(&old.entries(), &new.entries())
            .into_iter()
            .map(|one| (one.key, one.old, one.new, one.reloads));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                ("workers".to_owned(), text("0"), text("3"), false),
                ("auth.password".to_owned(), text("(hidden)"), text("(hidden)"), false),
                ("pool.wait".to_owned(), text("5s"), text("1s"), true),
                ("rules.r".to_owned(), text("target primary"), None, true),
            ]
        );
        let held: Vec<_> = effective(&old, &new).into_iter().filter(|one| one.key == "workers").collect();
        assert_eq!(held.iter().map(Entry::shown).collect::<Vec<_>>(), ["0"]);
        assert_ne!(hash(&old), hash(&new));
        assert_eq!(hash(&old), hash(&old.clone()));
    }

    #[test]
    fn every_key_that_needs_a_restart_exists() {
        let keys: Vec<_> = config("").entries().into_iter().map(|one| one.key).collect();
        for fixed in RESTART {
            assert!(keys.iter().any(|key| key == fixed || key.starts_with(fixed)), "{fixed}");
        }
        assert!(reloads("nodes.a") && reloads("pool.wait"));
        assert!(reloads("auth.users.ann"), "the users file is read again");
    }
}
