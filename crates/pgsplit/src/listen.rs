//! From addresses in the configuration to sockets, and from sockets to sessions.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use pgsplit_config::{Address, Config, Listen};
use pgsplit_net::{ListenAddr, Listener};
use pgsplit_session::Shared;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::workers::Workers;

/// Binds all addresses of `listen`. The first one with a free port of its own choice names the Unix sockets as well.
pub(crate) async fn bind(config: &Config) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for listen in config.listen.iter().filter_map(tcp) {
        listeners.extend(bind_tcp("listen", listen, config.reuse_port).await?);
    }
    let port = listeners.iter().find_map(|listener| port(listener.local_addr())).unwrap_or(UNIX_PORT);
    for listen in &config.listen {
        if let Listen::Unix { directory } = listen {
            let address = ListenAddr::Unix { directory: directory.clone(), port };
            listeners.push(
                Listener::bind(&address, false).with_context(|| advice("listen", &address.to_string()))?,
            );
        }
    }
    Ok(listeners)
}

/// Binds the address of the admin console.
pub(crate) async fn bind_admin(config: &Config) -> anyhow::Result<Vec<Listener>> {
    match &config.admin {
        None => Ok(Vec::new()),
        Some(Listen::Tcp(address)) => bind_tcp("admin", address, false).await,
        Some(Listen::Unix { directory }) => {
            let address = ListenAddr::Unix { directory: directory.clone(), port: ADMIN_PORT };
            let listener = Listener::bind(&address, false);
            Ok(vec![listener.with_context(|| advice("admin", &address.to_string()))?])
        }
    }
}

/// The port in the name of the console's Unix socket.
pub(crate) const ADMIN_PORT: u16 = 6433;

/// The port in a Unix socket's name when nothing is listened to over TCP.
const UNIX_PORT: u16 = 6432;

fn tcp(listen: &Listen) -> Option<&Address> {
    match listen {
        Listen::Tcp(address) => Some(address),
        Listen::Unix { .. } => None,
    }
}

/// The port of a TCP address.
pub(crate) fn port(address: &ListenAddr) -> Option<u16> {
    match address {
        ListenAddr::Tcp(address) => Some(address.port()),
        ListenAddr::Unix { .. } => None,
    }
}

async fn bind_tcp(key: &str, address: &Address, reuse_port: bool) -> anyhow::Result<Vec<Listener>> {
    let bind = |address: SocketAddr| Listener::bind(&ListenAddr::Tcp(address), reuse_port);
    if address.host == "*" {
        // An IPv6 socket takes both families, where the machine has IPv6 at all.
        let any = [IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED)];
        let [both, four] = any.map(|ip| SocketAddr::new(ip, address.port));
        let listener = match bind(both) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => bind(four),
            bound => bound,
        };
        return Ok(vec![listener.with_context(|| advice(key, &address.to_string()))?]);
    }
    let addresses = resolve(key, address).await?;
    let listeners = addresses.into_iter().map(bind).collect::<io::Result<_>>();
    listeners.with_context(|| advice(key, &address.to_string()))
}

async fn resolve(key: &str, address: &Address) -> anyhow::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let mut addresses: Vec<_> =
        found.with_context(|| format!("{key}: `{address}` cannot be resolved"))?.collect();
    addresses.dedup();
    if addresses.is_empty() {
        bail!("{key}: `{address}` resolves to no address");
    }
    Ok(addresses)
}

fn advice(key: &str, address: &str) -> String {
    format!("{key}: `{address}` cannot be used; choose another address, or stop the process that has it")
}

/// Binds the address of the metrics.
pub(crate) async fn bind_http(listen: &Listen) -> anyhow::Result<TcpListener> {
    let Listen::Tcp(address) = listen else {
        bail!("http: `{listen}` is no TCP address; metrics are served over TCP, as in \"127.0.0.1:9187\"");
    };
    let host = if address.host == "*" { "0.0.0.0" } else { &address.host };
    let address = Address { host: host.to_owned(), port: address.port };
    let addresses = resolve("http", &address).await?;
    TcpListener::bind(&*addresses).await.with_context(|| advice("http", &listen.to_string()))
}

/// Where sessions run, and what waits for their ends.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) workers: Arc<Workers>,
    pub(crate) sessions: TaskTracker,
}

/// Turns clients into sessions until `stop`.
pub(crate) async fn accept(
    mut listener: Listener,
    shared: Arc<Shared>,
    hosts: Hosts,
    stop: CancellationToken,
) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok(stream) => {
                let session = pgsplit_session::serve(shared.clone(), stream);
                hosts.workers.spawn(hosts.sessions.track_future(session));
            }
            Err(error) => {
                tracing::error!(listen = %listener.local_addr(), %error, "no more clients are accepted here");
                return;
            }
        }
    }
}
