//! What a configuration must pass before a process runs by it: at start, at a reload, and in `check`.

use pgsplit_config::Config;

use crate::control::Users;
use crate::wiring::Tls;
use crate::{logging, unsupported};

/// Everything that is wrong with it, beyond what reading the file has shown.
pub(crate) fn problems(config: &Config) -> Vec<anyhow::Error> {
    let outcomes = [
        unsupported::refuse(config),
        logging::filter(&config.log).map(drop),
        Users::of(config).map(drop),
        Tls::load(config).map(drop),
    ];
    outcomes.into_iter().filter_map(Result::err).collect()
}
