//! A configuration as a list of keys and values, as a file would have them: to show it and to compare two.

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use crate::config::{Config, Node, Rule};
use crate::model::{AuthMethod, Match, MaxConnections};

/// One key with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// `pool.wait`; rules by their names, `rules.catalogue`.
    pub key: String,
    value: String,
    /// It must not be shown.
    secret: bool,
}

impl Entry {
    /// The value for people: secrets are hidden.
    pub fn shown(&self) -> &str {
        if self.secret && !self.value.is_empty() { "(hidden)" } else { &self.value }
    }

    /// The value itself, for comparing and hashing.
    pub fn exact(&self) -> &str {
        &self.value
    }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.shown())
    }
}

/// Collects entries.
struct List(Vec<Entry>);

impl List {
    fn add(&mut self, key: &str, value: impl Display) {
        self.0.push(Entry { key: key.to_owned(), value: value.to_string(), secret: false });
    }

    fn secret(&mut self, key: String, value: &str) {
        self.0.push(Entry { key, value: value.to_owned(), secret: true });
    }

    /// A word of an enumeration.
    fn word(&mut self, key: &str, value: impl Debug) {
        self.add(key, kebab(&format!("{value:?}")));
    }

    fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        self.add(key, value.map(|value| value.to_string()).unwrap_or_default());
    }

    fn list<T: Display>(&mut self, key: &str, values: &[T]) {
        self.add(key, listed(values));
    }

    fn time(&mut self, key: &str, value: Duration) {
        self.add(key, time(value));
    }

    fn time_or_off(&mut self, key: &str, value: Option<Duration>) {
        self.add(key, value.map_or_else(|| "0".to_owned(), time));
    }
}

fn listed<T: Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `LeastOutstanding` as `least-outstanding`.
fn kebab(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// In the largest unit that leaves nothing over.
fn time(value: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    let micros = value.as_micros();
    if micros == 0 {
        return "0".to_owned();
    }
    let fits = UNITS.iter().find(|(unit, _)| micros.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{micros}us"), |(unit, name)| format!("{}{name}", micros / unit))
}

/// In the largest unit that leaves nothing over.
fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

impl Config {
    /// Every key in force, in the order of the documentation.
    pub fn entries(&self) -> Vec<Entry> {
        let mut list = List(Vec::with_capacity(90));
        self.top(&mut list);
        self.login(&mut list);
        self.servers(&mut list);
        self.decisions(&mut list);
        for rule in &self.rules {
            list.add(&format!("rules.{}", rule.name), rule.summary());
        }
        for (at, test) in self.tests.iter().enumerate() {
            let target = test.expect.target.as_ref().map(ToString::to_string).unwrap_or_default();
            let rule = test.expect.rule.as_deref().unwrap_or_default();
            list.add(&format!("tests.{}", at + 1), format!("{target} {rule}: {}", test.sql));
        }
        list.0
    }

    fn top(&self, list: &mut List) {
        let off = |listen: &Option<crate::Listen>| {
            listen.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string)
        };
        list.list("listen", &self.listen);
        list.add("admin", off(&self.admin));
        list.add("http", off(&self.http));
        list.list("admin_users", &self.admin_users);
        list.add("watch", self.watch);
        list.add("workers", self.workers);
        list.add("reuse_port", self.reuse_port);
        list.list("peers", &self.peers);
        list.add("state_file", self.state_file.display());
        list.list("topology.patroni", &self.topology.patroni);
        for node in &self.nodes {
            list.add(&format!("nodes.{}", node.name), node.summary());
        }
    }

    fn login(&self, list: &mut List) {
        let auth = &self.auth;
        match auth.method {
            AuthMethod::ScramSha256 => list.add("auth.method", "scram-sha-256"),
            other => list.word("auth.method", other),
        }
        list.add("auth.user", &auth.user);
        list.secret("auth.password".to_owned(), auth.password.as_ref().map_or("", |secret| secret.expose()));
        list.maybe("auth.query", auth.query.as_ref());
        list.maybe("auth.users", auth.users_file.as_ref().map(|path| path.display()));
        for (user, secret) in &auth.users {
            list.secret(format!("auth.users.{user}"), secret.expose());
        }
        list.maybe("auth.hba", auth.hba.as_ref().map(|path| path.display()));
        list.word("tls.client", self.tls.client);
        list.word("tls.server", self.tls.server);
        let identity = self.tls.identity.as_ref();
        list.maybe("tls.cert", identity.map(|pair| pair.cert.display()));
        list.maybe("tls.key", identity.map(|pair| pair.key.display()));
        list.maybe("tls.ca", self.tls.ca.as_ref().map(|path| path.display()));
    }

    fn servers(&self, list: &mut List) {
        let (pool, timeouts) = (&self.pool, &self.timeouts);
        list.word("pool.mode", pool.mode);
        list.add("pool.max_clients", pool.max_clients);
        list.add("pool.primary_connections", pool.primary_connections);
        list.add("pool.replica_connections", pool.replica_connections);
        match pool.max_connections {
            MaxConnections::Auto => list.add("pool.max_connections", "auto"),
            MaxConnections::Limit(most) => list.add("pool.max_connections", most),
        }
        list.add("pool.min_idle", pool.min_idle);
        list.time("pool.wait", pool.wait);
        list.time_or_off("pool.idle_timeout", pool.idle_timeout);
        list.time_or_off("pool.lifetime", pool.lifetime);
        list.add("pool.prepared_statements", pool.prepared_statements);
        list.add("pool.logins", pool.logins);
        list.add("pool.waiting", pool.waiting);
        list.time_or_off("timeouts.connect", timeouts.connect);
        list.time_or_off("timeouts.login", timeouts.login);
        list.time_or_off("timeouts.idle_client", timeouts.idle_client);
        list.time_or_off("timeouts.idle_transaction", timeouts.idle_transaction);
        list.time_or_off("timeouts.query", timeouts.query);
        list.time("timeouts.drain", timeouts.drain);
    }

    fn decisions(&self, list: &mut List) {
        let (routing, consistency, health) = (&self.routing, &self.consistency, &self.health);
        list.word("routing.reads", routing.reads);
        list.time("routing.spill.read_latency", routing.spill.read_latency);
        list.add("routing.spill.load", routing.spill.load);
        list.time("routing.spill.window", routing.spill.window);
        list.word("routing.read_only_transactions", routing.read_only_transactions);
        list.word("routing.fallback", routing.fallback);
        list.add("routing.hints", routing.hints);
        list.list("routing.functions_read_only", &routing.functions_read_only);
        list.list("routing.functions_write", &routing.functions_write);
        list.list("routing.functions_stateless", &routing.functions_stateless);
        for (table, others) in &routing.triggers {
            list.list(&format!("routing.triggers.{table}"), others);
        }
        list.add("routing.cache", size(routing.cache));
        list.add("routing.retry.budget", routing.retry.budget);
        list.add("routing.retry.buffer", size(routing.retry.buffer));
        list.word("routing.mode", routing.mode);
        list.word("consistency.level", consistency.level);
        list.time("consistency.max_lag", consistency.max_lag);
        list.time("consistency.wait", consistency.wait);
        list.word("balance.policy", self.balance.policy);
        list.maybe("balance.zone", self.balance.zone.as_ref());
        list.time("health.interval", health.interval);
        list.time("health.timeout", health.timeout);
        list.add("health.eject_after", health.eject_after);
        list.time("health.slow_start", health.slow_start);
        list.time("health.failover_wait", health.failover_wait);
        list.add("log.level", &self.log.level);
        list.word("log.format", self.log.format);
        list.time_or_off("log.slow", self.log.slow);
    }
}

impl Node {
    fn summary(&self) -> String {
        let role = kebab(&format!("{:?}", self.role));
        let zone = self.zone.as_ref().map(|zone| format!(", zone {zone}")).unwrap_or_default();
        format!("{}{zone}, weight {}, role {role}", self.address, self.weight)
    }
}

impl Rule {
    /// All that it says, on one line.
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        let matching = self.matching.summary();
        if !matching.is_empty() {
            parts.push(format!("match {matching}"));
        }
        let mut part = |name: &str, value: Option<String>| {
            parts.extend(value.map(|value| format!("{name} {value}")));
        };
        part("target", self.target.as_ref().map(ToString::to_string));
        part("consistency", self.consistency.map(|level| kebab(&format!("{level:?}"))));
        part("max_lag", self.max_lag.map(time));
        part("timeout", self.timeout.map(time));
        part("percent", (self.percent < 100.0).then(|| self.percent.to_string()));
        part(
            "sticky",
            (self.sticky != crate::Sticky::default()).then(|| kebab(&format!("{:?}", self.sticky))),
        );
        part("expires", self.expires.map(|date| date.to_string()));
        part("mode", (self.mode != crate::RuleMode::default()).then(|| kebab(&format!("{:?}", self.mode))));
        parts.join("; ")
    }
}

impl Match {
    /// The conditions that there are, on one line.
    pub fn summary(&self) -> String {
        let lists = [
            ("tables", &self.tables),
            ("only_tables", &self.only_tables),
            ("functions", &self.functions),
            ("commands", &self.commands),
            ("route", &self.route),
            ("hint", &self.hint),
            ("user", &self.user),
            ("database", &self.database),
            ("application_name", &self.application_name),
            ("client", &self.client),
            ("fingerprint", &self.fingerprint),
            ("same_as", &self.same_as),
        ];
        let lists = lists.into_iter().map(|(name, values)| (name.to_owned(), values));
        let tags = self.tags.iter().map(|(name, values)| (format!("tags.{name}"), values));
        let given = lists.chain(tags).filter(|(_, values)| !values.is_empty());
        given.map(|(name, values)| format!("{name} = {}", listed(values))).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::config::DEFAULTS;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new(".")).unwrap().0
    }

    /// `a.b` for every value, `a` for lists.
    fn keys(prefix: &str, table: &toml::Table, found: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(table) if !table.is_empty() => keys(&key, table, found),
                toml::Value::Table(_) => {}
                _ => drop(found.insert(key)),
            }
        }
    }

    #[test]
    fn every_key_of_the_defaults_is_listed() {
        let mut expected = BTreeSet::new();
        keys("", &DEFAULTS.parse().unwrap(), &mut expected);
        expected.remove("nodes");
        let listed: BTreeSet<_> = config("nodes = ['a']").entries().into_iter().map(|one| one.key).collect();
        let missing: Vec<_> = expected.difference(&listed).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn values_are_as_a_file_has_them_and_secrets_are_hidden() {
        let text = "nodes = [{ address = 'db1:5432', name = 'one', zone = 'a' }]\nauth.password = 'hush'\n\
            pool.wait = '90s'\nrouting.cache = '3MiB'\nbalance.policy = 'round-robin'\n\
            [[rules]]\nname = 'r'\nmatch.tables = ['A', 'B']\nmatch.tags.x = 'y'\ntarget = 'replica'\nmax_lag = '1m'\n";
        let entries = config(text).entries();
        let shown = |key: &str| entries.iter().find(|one| one.key == key).unwrap().shown().to_owned();
        assert_eq!(shown("pool.wait"), "90s");
        assert_eq!(shown("routing.cache"), "3MiB");
        assert_eq!(shown("balance.policy"), "round-robin");
        assert_eq!(shown("auth.method"), "scram-sha-256");
        assert_eq!(shown("nodes.one"), "db1:5432, zone a, weight 1, role auto");
        assert_eq!(shown("rules.r"), "match tables = A, B, tags.x = y; target replica; max_lag 1m");
        assert_eq!(shown("auth.password"), "(hidden)");
        assert!(!format!("{entries:?}").contains("hush"));
        assert_eq!(time(Duration::from_micros(1500)), "1500us");
    }
}
