//! The configuration while the process runs: read again, compared, put into force, taken back.
//!
//! All ways lead here: SIGHUP, `RELOAD` on the console (and so `pgsplit reload`), a change of the file. One reload at a
//! time; whatever is wrong with the new file, the old configuration stays in force as it was.

mod diff;
pub(crate) mod difference;
mod operations;
mod trial;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use pgsplit_admin::console::Change;
use pgsplit_config::Config;

use crate::load::load;
use crate::logging::Logging;
use crate::proxy::Proxy;
use crate::{expectations, validate};
pub(crate) use operations::Asked;
use trial::Trial;
pub(crate) use trial::{Counts, Minute};

/// Looks after the configuration of a running proxy.
pub(crate) struct Operator {
    path: PathBuf,
    /// As the process began: what needs a restart is still as it was then.
    started: Config,
    proxy: Arc<Proxy>,
    logging: Logging,
    in_force: ArcSwap<InForce>,
    /// Why the last reload was refused, if it was.
    refused: Mutex<Option<String>>,
    /// Held while a reload runs; what waits for its confirmation.
    trial: tokio::sync::Mutex<Option<Trial>>,
    unconfirmed: Mutex<Option<SystemTime>>,
    /// The file as it was last read.
    read: Mutex<watch::Stamp>,
}

/// A configuration and since when it holds.
#[derive(Debug)]
pub(super) struct InForce {
    config: Config,
    hash: u64,
    at: SystemTime,
}

impl InForce {
    fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { hash: difference::hash(&config), config, at: SystemTime::now() })
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Operator {
    pub(crate) fn new(path: &Path, config: Config, proxy: Arc<Proxy>, logging: Logging) -> Arc<Self> {
        proxy.reloaded(None, difference::hash(&config));
        Arc::new(Self {
            path: path.to_owned(),
            started: config.clone(),
            proxy,
            logging,
            in_force: ArcSwap::new(InForce::new(config)),
            refused: Mutex::default(),
            trial: tokio::sync::Mutex::default(),
            unconfirmed: Mutex::default(),
            read: Mutex::new(watch::stamp(path)),
        })
    }

    /// How long clients may take to finish at the end.
    pub(crate) fn drain(&self) -> Duration {
        self.in_force.load().config.timeouts.drain
    }

    /// Reads the file again. With `confirm` it goes back by itself after that time.
    ///
    /// # Errors
    /// The file is wrong, all of it in the text; or another reload waits for its confirmation.
    pub(crate) async fn reload(self: &Arc<Self>, confirm: Option<Duration>) -> Result<Vec<Change>, String> {
        let mut trial = self.trial.lock().await;
        if trial.as_ref().is_some_and(Trial::is_open) {
            let why = "the last reload waits for its confirmation: `pgsplit reload --confirmed` keeps it";
            tracing::error!("not reloaded: {why}");
            self.proxy.reloaded(Some(false), self.in_force.load().hash);
            return Err(why.to_owned());
        }
        let outcome = self.read();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().cloned();
        let before = self.in_force.load_full();
        match outcome {
            Ok((new, changes)) => {
                self.proxy.reloaded(Some(true), new.hash);
                self.in_force.store(new);
                report(&changes);
                if let Some(most) = confirm {
                    *trial = Some(Trial::begin(self, before, most));
                }
                Ok(changes)
            }
            Err(error) => {
                self.proxy.reloaded(Some(false), before.hash);
                tracing::error!("not reloaded, the old configuration stays in force: {error}");
                Err(error)
            }
        }
    }

    /// Whether a reload waits for its confirmation.
    async fn is_on_trial(&self) -> bool {
        self.trial.lock().await.as_ref().is_some_and(Trial::is_open)
    }

    /// Keeps what was reloaded on trial.
    pub(crate) async fn confirm(&self) -> Result<(), String> {
        match self.trial.lock().await.take() {
            Some(trial) if trial.confirm() => {
                tracing::info!("the reloaded configuration is confirmed");
                Ok(())
            }
            _ => Err("no reload waits for a confirmation".to_owned()),
        }
    }

    /// Reads, validates, and puts into force.
    fn read(&self) -> Result<(Arc<InForce>, Vec<Change>), String> {
        // Before it is read: what changes meanwhile was not.
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = watch::stamp(&self.path);
        let (new, warnings) = load(&self.path).map_err(|error| format!("{error:#}"))?;
        let problems = validate::problems(&new);
        if !problems.is_empty() {
            let lines: Vec<_> =
                problems.iter().map(|one| format!("{}: {one:#}", self.path.display())).collect();
            return Err(lines.join("\n"));
        }
        expectations::must_hold(&new, &self.path).map_err(|error| format!("{error:#}"))?;
        let changes = difference::changes(&self.effective(), &new.entries());
        self.apply(&new).map_err(|error| format!("{error:#}"))?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok((InForce::new(new), changes))
    }

    fn apply(&self, config: &Config) -> anyhow::Result<()> {
        self.proxy.apply(config)?;
        self.logging.reload(&config.log)
    }

    /// What really holds: of keys that need a restart, what the process began with.
    fn effective(&self) -> Vec<pgsplit_config::Entry> {
        let now = self.in_force.load();
        difference::effective(&self.started, &now.config)
    }
}

/// Says in the log what a reload has changed.
fn report(changes: &[Change]) {
    if changes.is_empty() {
        tracing::info!("reloaded; nothing has changed");
        return;
    }
    tracing::info!("reloaded");
    for change in changes {
        let (old, new) = (change.old.as_deref().unwrap_or("-"), change.new.as_deref().unwrap_or("-"));
        if change.reloads {
            tracing::info!("{}: {old} -> {new}", change.key);
        } else {
            tracing::warn!("{}: {old} -> {new}, in force only after a restart", change.key);
        }
    }
}
