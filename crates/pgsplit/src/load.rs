//! Reading the configuration file for a process that shall run by it.

use std::path::Path;

use anyhow::Context;
use pgsplit_config::Config;

use crate::unsupported;

/// The configuration, and what its author should know although it is no error.
pub(crate) fn load(path: &Path) -> anyhow::Result<(Config, Vec<String>)> {
    let read = Config::load(path);
    let (config, warnings) = if path.exists() {
        read?
    } else {
        read.context("the configuration file is named with -c FILE; `pgsplit config --defaults` prints one")?
    };
    let ignored = unsupported::without_effect(&config).into_iter();
    let ignored = ignored.map(|warning| format!("{}: {warning}", path.display()));
    let warnings = warnings.iter().map(ToString::to_string).chain(ignored).collect();
    Ok((config, warnings))
}
