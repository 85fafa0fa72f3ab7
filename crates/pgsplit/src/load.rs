//! Reading the configuration file for a process that shall run by it.

use std::path::Path;

use anyhow::Context;
use pgsplit_config::Config;

/// The configuration, and what its author should know although it is no error.
pub(crate) fn load(path: &Path) -> anyhow::Result<(Config, Vec<String>)> {
    let read = Config::load(path);
    let (config, warnings) = if path.exists() {
        read?
    } else {
        read.context("the configuration file is named with -c FILE; `pgsplit config --defaults` prints one")?
    };
    Ok((config, warnings.iter().map(ToString::to_string).collect()))
}
