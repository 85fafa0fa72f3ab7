//! One connection, whatever carries it: TCP, a Unix socket, or TLS over TCP in either direction.
//!
//! The relay uses the poll-level methods, which read into a borrowed slice; everything that happens once a
//! connection (login, start-up, the control plane) uses the async helpers or tokio's own traits, which are
//! implemented too. A stream knows nothing of messages and buffers nothing of its own.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, Id};

use crate::scratch;
use crate::socket::{again, came, peek, tune};
use crate::tls::session::Secured;

pub use crate::tls::session::TlsInfo;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A process on this machine, over a Unix socket.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("[local]"),
        }
    }
}

/// A connection to a client or to a server.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    peer: Peer,
    /// The runtime whose driver watches the socket.
    home: Option<Id>,
}

/// The runtime that this thread runs.
fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// TLS is boxed: its state is more than a kilobyte, and a plain connection must not pay for it.
#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<Secured>),
}

impl Stream {
    /// Wraps a connected TCP socket and sets its options (no delay, keepalive, user timeout).
    ///
    /// # Errors
    /// The socket has no peer any more, or an option was refused.
    pub fn tcp(socket: TcpStream) -> io::Result<Stream> {
        let peer = Peer::Tcp(socket.peer_addr()?);
        tune(&socket)?;
        Ok(Stream { transport: Transport::Tcp(socket), peer, home: here() })
    }

    /// Wraps a connected Unix socket.
    pub fn unix(socket: UnixStream) -> Stream {
        Stream { transport: Transport::Unix(socket), peer: Peer::Unix, home: here() }
    }

    /// Wraps a finished TLS handshake.
    pub(crate) fn secured(secured: Secured, peer: Peer) -> Stream {
        Stream { transport: Transport::Tls(Box::new(secured)), peer, home: here() }
    }

    /// The TCP socket of a plain TCP stream, to begin TLS on; any other stream comes back as it was.
    pub(crate) fn into_tcp(self) -> Result<TcpStream, Stream> {
        match self.transport {
            Transport::Tcp(socket) => Ok(socket),
            transport => Err(Stream { transport, ..self }),
        }
    }

    /// The TCP socket of a plain TCP stream.
    pub(crate) fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Tcp(socket) => Some(socket),
            _ => None,
        }
    }

    /// Whether the runtime that asks is the one that watches the socket. Another one's may be read and written too, but
    /// each wake-up then goes from thread to thread.
    pub fn is_home(&self) -> bool {
        self.home == here()
    }

    /// Has the socket watched by the runtime that asks, from now on. Nothing that was received or waits in TLS is lost.
    /// Costs nothing where it is at home already, else a few system calls.
    ///
    /// # Errors
    /// The socket cannot be registered; it stays where it was.
    pub fn come_home(&mut self) -> io::Result<()> {
        let here = here();
        if self.home != here {
            match &mut self.transport {
                Transport::Tcp(socket) => *socket = TcpStream::from_std(again(&*socket)?.into())?,
                Transport::Unix(socket) => *socket = UnixStream::from_std(again(&*socket)?.into())?,
                Transport::Tls(secured) => {
                    let socket = secured.socket_mut();
                    *socket = TcpStream::from_std(again(&*socket)?.into())?;
                }
            }
            self.home = here;
        }
        Ok(())
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Whether this is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.transport, Transport::Unix(_))
    }

    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Tls(_))
    }

    /// What TLS has agreed on; none without TLS. Collected anew on each call.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.as_tls().map(Secured::info)
    }

    /// The leaf certificate that the peer has shown and proved to own, in DER.
    pub fn peer_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.as_tls()?.peer_certificate()
    }

    /// SCRAM's channel binding data of type `tls-server-end-point` (RFC 5929, section 4): the hash of the
    /// server's certificate, which is ours on an accepted connection and the peer's on one that we opened.
    /// None without TLS, and none where the RFC defines no hash for the certificate's signature (Ed25519), so
    /// that SCRAM-SHA-256-PLUS must not be offered or chosen then.
    pub fn tls_server_end_point(&self) -> Option<&Arc<[u8]>> {
        self.as_tls()?.end_point()
    }

    /// The application protocol that was agreed on in TLS.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.as_tls()?.alpn()
    }

    fn as_tls(&self) -> Option<&Secured> {
        match &self.transport {
            Transport::Tls(secured) => Some(secured),
            _ => None,
        }
    }

    /// Reads into `buf`; 0 is the end of the stream. A TLS peer that hangs up without saying so ends it too:
    /// the protocol has lengths and a Terminate message of its own, so that a cut cannot be mistaken for
    /// anything else.
    ///
    /// # Errors
    /// The connection has failed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(self).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    /// Writes some of `buf`. Over TLS the bytes may stay in its buffer until [`Stream::poll_flush`] is ready.
    ///
    /// # Errors
    /// The connection has failed.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, buf)
    }

    /// Sends what TLS still holds; ready at once without TLS.
    ///
    /// # Errors
    /// The connection has failed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_flush(cx)
    }

    /// Ends the writing side: close_notify over TLS, then the socket's shutdown.
    ///
    /// # Errors
    /// The connection has failed.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }

    /// Whether an idle connection has something to read: data, or its end.
    ///
    /// Costs no system call when nothing came since the last read, takes no task's place as the one to be
    /// woken, and consumes nothing. It is a hint: what arrived since the runtime last asked the kernel is not
    /// seen yet, and over TLS a record without data (a session ticket) counts as something.
    pub fn is_readable_hint(&mut self) -> bool {
        match &mut self.transport {
            Transport::Tcp(socket) => {
                came(socket.try_io(Interest::READABLE, || peek(SockRef::from(&*socket))))
            }
            Transport::Unix(socket) => {
                came(socket.try_io(Interest::READABLE, || peek(SockRef::from(&*socket))))
            }
            Transport::Tls(secured) => {
                if secured.has_plaintext() {
                    return true;
                }
                let socket = secured.socket();
                came(socket.try_io(Interest::READABLE, || peek(SockRef::from(socket))))
            }
        }
    }

    /// Whether the kernel already holds bytes of a TCP connection that nobody has read.
    pub(crate) fn has_unread_bytes(&self) -> bool {
        self.as_tcp().is_some_and(|socket| matches!(peek(SockRef::from(socket)), Ok(n) if n > 0))
    }

    /// Reads once into `buf`; 0 is the end of the stream. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection has failed.
    pub async fn read_some(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Stream::poll_read(self, cx, buf)).await
    }

    /// Writes and flushes all of `buf`. When the future is dropped, part of it may have been sent.
    ///
    /// # Errors
    /// The connection has failed, or takes no more bytes (`WriteZero`).
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = poll_fn(|cx| Stream::poll_write(self, cx, buf)).await?;
            buf = match buf.get(written..) {
                Some(rest) if written > 0 => rest,
                _ => return Err(io::ErrorKind::WriteZero.into()),
            };
        }
        poll_fn(|cx| Stream::poll_flush(self, cx)).await
    }

    /// Ends the writing side; see [`Stream::poll_shutdown`].
    ///
    /// # Errors
    /// The connection has failed.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| Stream::poll_shutdown(self, cx)).await
    }

    /// Ends the connection so that what was written last still arrives: closing a socket with unread bytes in
    /// it resets the connection, and the peer may then never see the error message before it. So the writing
    /// side is ended, and what the peer still sends is read and dropped until it hangs up too, for `patience`
    /// and [`scratch::SIZE`] bytes at most.
    pub async fn close(mut self, patience: Duration) {
        let farewell = async {
            let mut allowance = scratch::SIZE;
            self.shutdown().await?;
            while allowance > 0 {
                let read = poll_fn(|cx| scratch::with(|buf| Stream::poll_read(&mut self, cx, buf))).await?;
                if read == 0 {
                    break;
                }
                allowance = allowance.saturating_sub(read);
            }
            io::Result::Ok(())
        };
        // Failure or not, the socket is closed now.
        let _ = tokio::time::timeout(patience, farewell).await;
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Transport::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
            Transport::Tls(secured) => match Pin::new(secured.stream()).poll_read(cx, buf) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                other => other,
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Transport::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
            Transport::Tls(secured) => Pin::new(secured.stream()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(_) | Transport::Unix(_) => Poll::Ready(Ok(())),
            Transport::Tls(secured) => Pin::new(secured.stream()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(secured) => Pin::new(secured.stream()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream is taken from one runtime to another with bytes on the way.
    #[test]
    fn a_stream_comes_home() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, two) = (runtime(), runtime());
        let (mut stream, mut other) = one.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (other, _) = listener.accept().await.unwrap();
            (Stream::tcp(stream).unwrap(), Stream::tcp(other).unwrap())
        });
        one.block_on(async {
            assert!(stream.is_home());
            other.write_all(b"before").await.unwrap();
        });
        two.block_on(async {
            assert!(!stream.is_home());
            stream.come_home().unwrap();
            assert!(stream.is_home());
            let mut bytes = [0; 6];
            assert_eq!(stream.read_some(&mut bytes).await.unwrap(), 6);
            assert_eq!(&bytes, b"before");
            other.come_home().unwrap();
            stream.write_all(b"behind").await.unwrap();
            assert_eq!(other.read_some(&mut bytes).await.unwrap(), 6);
            assert_eq!(&bytes, b"behind");
        });
        drop(one);
    }

    /// Thousands of clients are idle: the plain kinds must stay small.
    #[test]
    fn a_stream_is_small() {
        assert!(size_of::<Stream>() <= 88, "{}", size_of::<Stream>());
        println!("Stream {} bytes, boxed TLS state {} bytes", size_of::<Stream>(), size_of::<Secured>());
    }
}
