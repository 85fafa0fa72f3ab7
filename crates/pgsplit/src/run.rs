//! `pgsplit run`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pgsplit_config::Config;
use pgsplit_route::{Role, View};
use tokio::runtime::{Builder, Runtime};

use crate::load::load;
use crate::logging::Logging;
use crate::proxy::Proxy;
use crate::reload::{Asked, Operator};
use crate::signals::{Asked as Signal, Signals};
use crate::{expectations, limits, systemd};

/// Whatever still runs when all is done is given up after this.
const GIVE_UP: Duration = Duration::from_secs(1);

/// Runs until a signal ends it.
pub(crate) fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let (config, warnings) = load(path)?;
    expectations::must_hold(&config, path)?;
    let logging = Logging::start(&config.log)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    limits::check_files(limits::raise_files(), config.pool.max_clients);
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(path, config, logging));
    runtime.shutdown_timeout(GIVE_UP);
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The runtime of the control plane. Sessions have threads of their own.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("pgsplit-control").enable_all();
    builder.build().context("threads cannot be started")
}

async fn serve(path: &Path, started: Config, logging: Logging) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be received")?;
    let proxy = tokio::select! {
        proxy = Proxy::start(&started, Some(started.state_file.clone())) => proxy?,
        () = signals.stop() => return Ok(()),
    };
    announce(&proxy);
    systemd::notify("READY=1");
    let operator = Operator::new(path, started, proxy.clone(), logging);
    proxy.serve_console(Arc::new(Asked(operator.clone())));
    proxy.spawn(operator.clone().watch());
    while signals.next().await == Signal::Reload {
        // What is wrong with the file is in the log.
        let _ = operator.reload(None).await;
    }
    let most = operator.drain();
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

/// One line that says where clients connect and what stands behind.
fn announce(proxy: &Proxy) {
    let addresses: Vec<_> = proxy.addresses().iter().map(ToString::to_string).collect();
    let view = proxy.view();
    let primary = primary(&view).unwrap_or("none");
    let replicas = view.nodes.iter().filter(|node| node.role == Role::Replica).count();
    let http = proxy.http().map_or("off".to_owned(), |address| address.to_string());
    let admin = proxy.admin().unwrap_or_else(|| "off".to_owned());
    tracing::info!(%http, admin, primary, replicas, "listening on {}", addresses.join(", "));
    if view.primary.is_none() {
        tracing::warn!("no primary is known yet: writes wait for one as long as health.failover_wait allows");
    }
}

fn primary(view: &View) -> Option<&str> {
    view.primary.and_then(|id| view.node(id)).map(|node| &*node.name)
}
