//! Opening a connection to a server: its addresses in turn, then TLS as far as it is wanted.
//!
//! What comes back is ready for a StartupMessage. Logging in is the pool's business; which server to connect
//! to, and what a failure says about it, is the cluster's.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::stream::Stream;
use crate::tls::session::Secured;
use crate::tls::{ClientTls, ConnectLevel};

/// An SSLRequest: length 8, code 1234.5679.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Where a server is.
#[derive(Debug, Clone, Copy)]
pub enum ConnectTarget<'a> {
    /// Over TCP, and with TLS if that is wanted.
    Tcp {
        /// What the host's name stands for; tried in this order.
        addresses: &'a [SocketAddr],
        /// The name or address that was configured: asked for in TLS and verified by `verify-full`.
        host: &'a str,
    },
    /// The socket's path, which ends in `.s.PGSQL.<port>`; never with TLS, as in libpq.
    Unix(&'a Path),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host's name stands for no address.
    #[error("no address to connect to")]
    NoAddress,
    /// The time is up.
    #[error("timed out")]
    Timeout,
    /// The connection could not be made, or broke before it was ready.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// TLS is demanded, and the server has none.
    #[error("the server does not support TLS, which level {0} demands")]
    Unencrypted(&'static str),
    /// The server answered an SSLRequest with an error message. Its text is not read: nobody vouches for who
    /// wrote it.
    #[error("the server answered the request for TLS with an error")]
    ServerError,
    /// The server, or somebody between, does not keep to the protocol.
    #[error("protocol violation: {0}")]
    Protocol(&'static str),
    /// The TLS handshake failed, for instance because the certificate did not pass.
    #[error("TLS handshake with the server failed: {0}")]
    Tls(String),
}

/// Connects within `timeout`, which covers all addresses and the TLS handshake; each address gets an equal
/// share of what is left, so that a dead one does not use up all of it.
///
/// # Errors
/// The failure of the last address that was tried; see [`ConnectError`].
pub async fn connect(
    target: ConnectTarget<'_>,
    tls: &ClientTls,
    timeout: Duration,
) -> Result<Stream, ConnectError> {
    let deadline = Instant::now() + timeout;
    let (addresses, host) = match target {
        ConnectTarget::Tcp { addresses, host } => (addresses, host),
        ConnectTarget::Unix(path) => {
            let socket = timeout_at(deadline, UnixStream::connect(path)).await;
            return Ok(Stream::unix(socket.map_err(|_| ConnectError::Timeout)??));
        }
    };
    let mut result = Err(ConnectError::NoAddress);
    for (left, address) in
        (1..=addresses.len()).rev().map(|n| u32::try_from(n).unwrap_or(u32::MAX)).zip(addresses)
    {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        let attempt = timeout_at(Instant::now() + share, open(*address, host, tls)).await;
        result = attempt.unwrap_or(Err(ConnectError::Timeout));
        if result.is_ok() {
            break;
        }
    }
    result
}

async fn open(address: SocketAddr, host: &str, tls: &ClientTls) -> Result<Stream, ConnectError> {
    let mut stream = Stream::tcp(TcpStream::connect(address).await?)?;
    let Some(config) = tls.config() else { return Ok(stream) };
    stream.write_all(&SSL_REQUEST).await?;
    let mut answer = [0];
    if stream.read_some(&mut answer).await? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    match answer {
        [b'S'] if stream.has_unread_bytes() => {
            Err(ConnectError::Protocol("received unencrypted data after SSL response"))
        }
        [b'S'] => encrypt(stream, address, host, TlsConnector::from(config), tls.level()).await,
        [b'N'] if tls.level() == ConnectLevel::Prefer => Ok(stream),
        [b'N'] => Err(ConnectError::Unencrypted(tls.level().name())),
        [b'E'] => Err(ConnectError::ServerError),
        _ => Err(ConnectError::Protocol("unknown answer to the request for TLS")),
    }
}

async fn encrypt(
    stream: Stream,
    address: SocketAddr,
    host: &str,
    connector: TlsConnector,
    level: ConnectLevel,
) -> Result<Stream, ConnectError> {
    let name = match ServerName::try_from(host.to_owned()) {
        Ok(name) => name,
        Err(_) if level == ConnectLevel::VerifyFull => {
            return Err(ConnectError::Tls(format!("\"{host}\" is not a name that a certificate can bear")));
        }
        // The other levels do not look at the name, and an address is not sent to the server.
        Err(_) => ServerName::from(address.ip()),
    };
    let peer = stream.peer();
    let Ok(socket) = stream.into_tcp() else {
        return Err(ConnectError::Protocol("TLS within TLS"));
    };
    let stream = connector.connect(name, socket).await;
    let stream = stream.map_err(|error| ConnectError::Tls(error.to_string()))?;
    Ok(Stream::secured(Secured::connected(stream), peer))
}
