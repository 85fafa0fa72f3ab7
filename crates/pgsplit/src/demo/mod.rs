//! `pgsplit demo`: a real cluster from the installed PostgreSQL with the proxy in front, in one process.
//!
//! Servers and files belong to the test kit, which removes them however this process ends. The order of an ordinary end
//! is: no more clients, then the proxy, then the servers.

mod lines;
mod live;
mod load;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use pgsplit_config::{Config, Log};
use pgsplit_testkit::{Account, Cluster};
use tokio::task::block_in_place;

use crate::cli::Demo;
use crate::logging::Logging;
use crate::proxy::Proxy;
use crate::run::runtime;
use crate::signals::Signals;
use crate::{limits, output};

/// Where the metrics are, if that port is free.
const HTTP_PORT: u16 = 9187;
/// At the end, clients may finish what they do for so long.
const DRAIN: Duration = Duration::from_secs(2);
/// More replicas than a laptop carries are a mistake.
const MOST_REPLICAS: usize = 8;

/// Shows it until a signal.
pub(crate) fn demo(asked: &Demo) -> anyhow::Result<ExitCode> {
    ensure!(asked.replicas <= MOST_REPLICAS, "--replicas: at most {MOST_REPLICAS}");
    ensure!(asked.scale > 0, "--scale: at least 1");
    if !is_free(asked.port) {
        bail!("port {} on 127.0.0.1 is taken; choose another one with --port", asked.port);
    }
    let _log = Logging::start(&Log { level: "warn".to_owned(), ..Log::default() })?;
    limits::raise_files();
    let runtime = runtime()?;
    let outcome = runtime.block_on(play(asked));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn play(asked: &Demo) -> anyhow::Result<()> {
    // From here on a signal ends the demo in order. One that comes while the servers are made is seen right after.
    let mut signals = Signals::listen().context("signals cannot be received")?;
    output::print(&format!("Starting a primary and {} replicas ...\n", asked.replicas))?;
    let cluster = block_in_place(|| Cluster::builder().name("demo").replicas(asked.replicas).start())?;
    let prepared = tokio::select! {
        prepared = prepare(asked, &cluster) => Some(prepared?),
        _ = signals.next() => None,
    };
    if let Some(proxy) = prepared {
        let shown = tokio::select! {
            shown = live::watch(&proxy) => shown,
            _ = signals.next() => Ok(()),
        };
        proxy.drain(DRAIN).await;
        proxy.end().await;
        shown?;
    }
    output::print("\nRemoving the servers ...\n")?;
    block_in_place(|| drop(cluster));
    output::print("Nothing is left.\n").map(drop)
}

/// Loads the tables and runs the proxy in front.
async fn prepare(asked: &Demo, cluster: &Cluster) -> anyhow::Result<std::sync::Arc<Proxy>> {
    load::load(cluster, asked.scale).await?;
    let proxy = Proxy::start(&config(asked.port, cluster)?, None).await?;
    output::print(&lines::to_try(&proxy, cluster, asked.port))?;
    Ok(proxy)
}

fn config(port: u16, cluster: &Cluster) -> anyhow::Result<Config> {
    let http = if is_free(HTTP_PORT) { HTTP_PORT } else { 0 };
    let (user, password) = (Account::PGSPLIT.user(), Account::PGSPLIT.password());
    let mut text = format!(
        "listen = '127.0.0.1:{port}'\nhttp = '127.0.0.1:{http}'\nadmin = 'off'\n\
         [auth]\nuser = '{user}'\npassword = '{password}'\n"
    );
    for (number, node) in (1..).zip(cluster.nodes()) {
        text += &format!("[[nodes]]\nname = 'db{number}'\naddress = '{}'\n", node.address());
    }
    Ok(Config::parse(&text, cluster.directory())?.0)
}

/// Whether nobody listens on this loopback port. Port 0 always is.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
