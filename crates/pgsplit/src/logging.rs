//! The log: to standard error, as text or JSON, with a level that a reload can change.

use std::io::{IsTerminal, stderr};

use anyhow::Context;
use pgsplit_config::{Log, LogFormat};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// A handle of the running log.
#[derive(Debug)]
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    /// `RUST_LOG` decides, and not the configuration.
    overridden: bool,
}

impl Logging {
    /// Starts the log of this process.
    pub(crate) fn start(log: &Log) -> anyhow::Result<Self> {
        let environment = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
        let chosen = match &environment {
            Some(directives) => EnvFilter::try_new(directives).context("RUST_LOG")?,
            None => filter(log)?,
        };
        let (layer, handle) = reload::Layer::new(chosen);
        let output = match log.format {
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(stderr).boxed(),
            LogFormat::Text => fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).boxed(),
        };
        tracing_subscriber::registry().with(layer).with(output).try_init().context("starting the log")?;
        Ok(Self { filter: handle, overridden: environment.is_some() })
    }

    /// Takes a new level; `RUST_LOG` stays in force where it is set.
    pub(crate) fn reload(&self, log: &Log) -> anyhow::Result<()> {
        if self.overridden {
            return Ok(());
        }
        self.filter.reload(filter(log)?).context("log.level")
    }
}

/// The level, or directives, of the configuration.
pub(crate) fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.level).with_context(|| {
        format!(
            "log.level: `{}` is neither a level nor directives such as \"info,pgsplit_pool=debug\"",
            log.level
        )
    })
}
