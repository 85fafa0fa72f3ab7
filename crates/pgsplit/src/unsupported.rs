//! Keys that the configuration knows and this version does not carry out. Nobody should believe that they work, and
//! access rules that nobody enforces are no warning but an error.

use anyhow::ensure;
use pgsplit_config::{BalancePolicy, Config, ConsistencyLevel, Fallback, ReadOnlyTransactions, Reads};

/// Refuses what it would be unsafe to ignore.
pub(crate) fn refuse(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.auth.hba.is_none(),
        "auth.hba: this version does not enforce host-based access rules; take the key out, and restrict clients with \
         a firewall or the address in `listen`"
    );
    Ok(())
}

/// What has no effect, a sentence for each key.
pub(crate) fn without_effect(config: &Config) -> Vec<String> {
    let routing = &config.routing;
    let ignored: [(bool, &str); 7] = [
        (
            config.consistency.level != ConsistencyLevel::Eventual,
            "consistency.level: this version serves every level as \"eventual\": a read may go to any replica within \
             `max_lag`, and may not see a write that was just acknowledged",
        ),
        (routing.reads == Reads::Spill, "routing.reads: \"spill\" is served as \"primary\" by this version"),
        (
            routing.read_only_transactions == ReadOnlyTransactions::Replica,
            "routing.read_only_transactions: transactions stay on the primary in this version",
        ),
        (
            routing.fallback != Fallback::Primary,
            "routing.fallback: reads without a replica go to the primary in this version",
        ),
        (
            config.balance.policy != BalancePolicy::LeastOutstanding,
            "balance.policy: this version balances by statements in flight",
        ),
        (!config.topology.patroni.is_empty(), "topology.patroni: not asked by this version"),
        (!config.peers.is_empty(), "peers: not asked by this version"),
    ];
    ignored.into_iter().filter(|(given, _)| *given).map(|(_, text)| text.to_owned()).collect()
}
