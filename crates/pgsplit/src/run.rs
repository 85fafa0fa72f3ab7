//! `pgsplit run`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use pgsplit_config::Config;
use pgsplit_route::{Role, View};
use tokio::runtime::{Builder, Runtime};

use crate::load::load;
use crate::logging::{self, Logging};
use crate::proxy::Proxy;
use crate::reload::needs_restart;
use crate::signals::{Asked, Signals};
use crate::{limits, systemd};

/// Whatever still runs when all is done is given up after this.
const GIVE_UP: Duration = Duration::from_secs(1);

/// Runs until a signal ends it.
pub(crate) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let (config, warnings) = load(path)?;
    let logging = Logging::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    limits::check_files(limits::raise_files(), config.pool.max_clients);
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(path, config, &logging));
    runtime.shutdown_timeout(GIVE_UP);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The runtime of the control plane. Sessions have threads of their own.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("pgsplit-control").enable_all();
    builder.build().context("threads cannot be started")
}

async fn serve(path: &Path, started: Config, logging: &Logging) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let proxy = tokio::select! {
        proxy = Proxy::start(&started, Some(started.state_file.clone())) => proxy?,
        () = signals.stop() => return Ok(()),
    };
    announce(&proxy);
    systemd::notify("READY=1");
    let mut most = started.timeouts.drain;
    while signals.next().await == Asked::Reload {
        match reload(path, &started, &proxy, logging) {
            Ok(new) => most = new.timeouts.drain,
            Err(error) => tracing::error!("not reloaded, the old configuration stays in force: {error:#}"),
        }
    }
    systemd::notify("STOPPING=1");
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        finished = proxy.drain(most) => if !finished {
            tracing::warn!("clients that did not finish within timeouts.drain ({most:?}) are disconnected");
        },
        () = signals.stop() => {
            tracing::warn!("stopping at once");
            return Ok(());
        }
    }
    proxy.end().await;
    tracing::info!("stopped");
    Ok(())
}

/// Reads the file again. An error changes nothing.
fn reload(path: &Path, started: &Config, proxy: &Proxy, logging: &Logging) -> anyhow::Result<Config> {
    let read = || {
        let (new, warnings) = load(path)?;
        logging::filter(&new.log)?;
        proxy.reload(&new)?;
        logging.reload(&new.log)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        anyhow::Ok(new)
    };
    let outcome = read();
    proxy.reloaded(outcome.is_ok());
    let new = outcome?;
    let later = needs_restart(started, &new);
    if later.is_empty() {
        tracing::info!("reloaded");
    } else {
        tracing::warn!("reloaded; in force only after a restart: {}", later.join("; "));
    }
    Ok(new)
}

/// One line that says where clients connect and what stands behind.
fn announce(proxy: &Proxy) {
    let addresses: Vec<_> = proxy.addresses().iter().map(ToString::to_string).collect();
    let view = proxy.view();
    let primary = primary(&view).unwrap_or("none");
    let replicas = view.nodes.iter().filter(|node| node.role == Role::Replica).count();
    let http = proxy.http().map_or("off".to_owned(), |address| address.to_string());
    tracing::info!(%http, primary, replicas, "listening on {}", addresses.join(", "));
    if view.primary.is_none() {
        tracing::warn!("no primary is known yet: writes wait for one as long as health.failover_wait allows");
    }
}

fn primary(view: &View) -> Option<&str> {
    view.primary.and_then(|id| view.node(id)).map(|node| &*node.name)
}
