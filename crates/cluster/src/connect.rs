//! Opens control connections: resolves the name, tries its addresses in turn, logs in as pgsplit.
//!
//! Not for: the data path's connections, which carry clients' bytes and live in `pgsplit-pool`.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config};

use crate::error::Error;
use crate::settings::{NodeSettings, Resolver, Settings};
use crate::tls::Tls;

/// What `pg_stat_activity` shows for control connections.
const APPLICATION_NAME: &str = "pgsplit";

/// Makes control connections to the nodes of one configuration.
pub(crate) struct Connector {
    login: Config,
    tls: Tls,
}

/// A control connection. Its socket closes when this is dropped.
pub(crate) struct Control {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Control {
    fn drop(&mut self) {
        // The driver would otherwise wait for the goodbye to be written, which a frozen server never reads.
        self.driver.abort();
    }
}

impl Deref for Control {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (tls, mode) = Tls::new(&settings.tls);
        let mut login = Config::new();
        login
            .user(&settings.login.user)
            .application_name(APPLICATION_NAME)
            .ssl_mode(mode)
            .keepalives_idle(Duration::from_secs(30));
        if let Some(password) = &settings.login.password {
            login.password(password);
        }
        Self { login, tls }
    }

    /// Connects to `database` on `node`. The caller sets the deadline; `limit` is what the server gives a statement,
    /// so that one whose asker has left does not run on.
    ///
    /// # Errors
    /// The last address' failure when none could be used.
    pub(crate) async fn connect(
        &self,
        node: &NodeSettings,
        addresses: &[SocketAddr],
        database: &str,
        limit: Duration,
    ) -> Result<(Control, SocketAddr), Error> {
        let mut config = self.login.clone();
        config.host(&node.host).dbname(database);
        // The control plane's own statements name everything plainly: nobody else's schema may come first. Compiling
        // those on catalogs would take longer than running them.
        config.options(format!(
            "-c search_path=pg_catalog -c jit=off -c statement_timeout={}",
            limit.as_millis().max(1)
        ));
        // An address that swallows packets leaves time for the others.
        let tried = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_add(1);
        config.connect_timeout(limit / tried);
        let mut last = Error::NoServer;
        for address in addresses {
            let mut config = config.clone();
            match config.hostaddr(address.ip()).port(address.port()).connect(self.tls.clone()).await {
                Ok((client, connection)) => {
                    let driver = tokio::spawn(async move {
                        // The client's next call reports the error.
                        let _ = connection.await;
                    });
                    return Ok((Control { client, driver: driver.abort_handle() }, *address));
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// The login with host, port and database; whoever connects with it resolves the name himself.
    pub(crate) fn config(&self, node: &NodeSettings, database: &str) -> Config {
        let mut config = self.login.clone();
        config.host(&node.host).port(node.port).dbname(database);
        config
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls.clone()
    }
}

/// The addresses behind a node's name, in the resolver's order.
///
/// # Errors
/// When the name is not known or the resolver does not answer.
pub(crate) async fn resolve(resolver: &Resolver, node: &NodeSettings) -> Result<Arc<[SocketAddr]>, Error> {
    let found = match resolver.ask(&node.host, node.port) {
        Some(found) => Ok(found.into()),
        None => tokio::net::lookup_host((node.host.as_str(), node.port))
            .await
            .map(|addresses| addresses.take(MAX_ADDRESSES).collect::<Arc<[_]>>()),
    };
    match found {
        Ok(addresses) if addresses.is_empty() => {
            Err(Error::Resolve { address: node.address(), source: std::io::ErrorKind::NotFound.into() })
        }
        Ok(addresses) => Ok(addresses),
        Err(source) => Err(Error::Resolve { address: node.address(), source }),
    }
}

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
