//! Listening on TCP and Unix sockets.
//!
//! [`Listener::accept`] outlives every passing trouble: a process that is out of file descriptors waits a
//! little and goes on. How many clients are let in is not decided here.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::Stream;

/// Connections that the kernel keeps waiting for us, if its own limit (`net.core.somaxconn`) allows.
pub const BACKLOG: i32 = 4096;

/// The first wait when nothing can be accepted; it doubles up to [`LONGEST_BACK_OFF`].
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);
/// The longest wait when nothing can be accepted.
const LONGEST_BACK_OFF: Duration = Duration::from_millis(500);

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The socket `.s.PGSQL.<port>` in a directory, where libpq looks for it.
    Unix {
        /// The directory, which must exist.
        directory: PathBuf,
        /// The port number, of which only the name is made.
        port: u16,
    },
}

impl ListenAddr {
    /// The path of the socket; none for TCP.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            ListenAddr::Tcp(_) => None,
            ListenAddr::Unix { directory, port } => Some(directory.join(format!(".s.PGSQL.{port}"))),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(address) => address.fmt(f),
            ListenAddr::Unix { directory, port } => write!(f, "unix:{}/.s.PGSQL.{port}", directory.display()),
        }
    }
}

/// A socket that accepts clients. Dropping it closes it, and removes the file of a Unix socket.
#[derive(Debug)]
pub struct Listener {
    socket: Accepting,
    address: ListenAddr,
    back_off: Duration,
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

impl Listener {
    /// Listens on an address. With `reuse_port` several processes may do so on the same TCP address, and the
    /// kernel spreads the clients over them; Unix sockets ignore it. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not ours or not allowed; the error names it.
    pub fn bind(address: &ListenAddr, reuse_port: bool) -> io::Result<Listener> {
        let bound = match address {
            ListenAddr::Tcp(tcp) => bind_tcp(*tcp, reuse_port),
            ListenAddr::Unix { directory, port } => {
                bind_unix(&directory.join(format!(".s.PGSQL.{port}")), address)
            }
        };
        let (socket, address) = bound
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        Ok(Listener { socket, address, back_off: Duration::ZERO })
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> &ListenAddr {
        &self.address
    }

    /// The next client. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Only if this socket can never accept again. A client that is gone already is passed over; a lack of
    /// descriptors or memory is waited out.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            let accepted = match &self.socket {
                Accepting::Tcp(listener) => listener.accept().await.map(|(socket, _)| Stream::tcp(socket)),
                Accepting::Unix { listener, .. } => {
                    listener.accept().await.map(|(socket, _)| Ok(Stream::unix(socket)))
                }
            };
            match accepted {
                Ok(stream) => {
                    self.back_off = Duration::ZERO;
                    match stream {
                        Ok(stream) => return Ok(stream),
                        Err(error) => {
                            tracing::debug!(listen = %self.address, %error, "a client was gone at once")
                        }
                    }
                }
                Err(error) => match Trouble::of(&error) {
                    Trouble::Client => {}
                    Trouble::Resources => self.wait(&error).await,
                    Trouble::Listener => return Err(error),
                },
            }
        }
    }

    async fn wait(&mut self, error: &io::Error) {
        if self.back_off.is_zero() {
            tracing::warn!(listen = %self.address, %error, "cannot accept clients; trying on");
        }
        self.back_off = (self.back_off * 2).clamp(FIRST_BACK_OFF, LONGEST_BACK_OFF);
        tokio::time::sleep(self.back_off).await;
    }
}

/// Whose trouble a failed `accept` is.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The client's: it left before it was accepted.
    Client,
    /// The process's or the machine's, and passing: EMFILE, ENFILE, ENOBUFS, ENOMEM, a firewall, and whatever
    /// is unknown.
    Resources,
    /// The socket does not listen.
    Listener,
}

impl Trouble {
    fn of(error: &io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted => Trouble::Client,
            io::ErrorKind::InvalidInput => Trouble::Listener,
            _ => Trouble::Resources,
        }
    }
}

fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<(Accepting, ListenAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok((Accepting::Tcp(listener), ListenAddr::Tcp(address)))
}

fn bind_unix(path: &Path, address: &ListenAddr) -> io::Result<(Accepting, ListenAddr)> {
    let name = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.bind(&name) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path, &name) => {
            fs::remove_file(path)?;
            socket.bind(&name)?;
        }
        bound => bound?,
    }
    let file = SocketFile::new(path)?;
    // Who may log in is decided by the login; PostgreSQL's own socket has this mode as well.
    fs::set_permissions(path, Permissions::from_mode(0o777))?;
    socket.listen(BACKLOG)?;
    let listener = UnixListener::from_std(socket.into())?;
    Ok((Accepting::Unix { listener, _file: file }, address.clone()))
}

/// Whether nobody listens on the socket at `path`. Another kind of file is never stale: connecting to it is
/// refused too.
fn is_stale(path: &Path, name: &SockAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        probe.set_nonblocking(true)?;
        probe.connect(name)
    };
    is_socket && refused().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file of a Unix socket, removed on drop if it is still the same one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
