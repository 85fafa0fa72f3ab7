//! Keys that the configuration knows and this version does not carry out. Nobody should believe that they work, and
//! access rules that nobody enforces are no warning but an error.

use anyhow::ensure;
use pgsplit_config::Config;

/// Refuses what it would be unsafe to ignore.
pub(crate) fn refuse(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.auth.hba.is_none(),
        "auth.hba: this version does not enforce host-based access rules; take the key out, and restrict clients with \
         a firewall or the address in `listen`"
    );
    Ok(())
}
