//! The opening of a client's connection: TLS or not, and what it came for.
//!
//! [`negotiate`] answers SSLRequest and GSSENCRequest, does the TLS handshake (also the direct one, without a
//! request before it), and ends with the bytes of a StartupMessage or a CancelRequest. It reads exactly what
//! it needs, so that nothing is ever carried over from before TLS into it. It does not look into the
//! StartupMessage, sends no error and sets no deadline: that is the caller's. The model is PostgreSQL's
//! `ProcessStartupPacket` and `ProcessSSLStartup` (src/backend/tcop/backend_startup.c).

use std::io;

use tokio_rustls::TlsAcceptor;

use crate::stream::{Peer, Stream};
use crate::tls::session::Secured;
use crate::tls::{ALPN, ServerTls};

/// The longest packet that is read before login, in bytes, its length word included.
pub const MAX_STARTUP_LENGTH: usize = 10_000;

const CANCEL_REQUEST: u32 = 1234 << 16 | 5678;
const SSL_REQUEST: u32 = 1234 << 16 | 5679;
const GSSENC_REQUEST: u32 = 1234 << 16 | 5680;
/// The major version of all requests that are no StartupMessage.
const REQUESTS: u32 = 1234;

/// A TLS record that begins a handshake; as the first byte of a length word it would be far too long a
/// packet.
const TLS_HANDSHAKE: u8 = 0x16;

const PROTOCOL_VIOLATION: &str = "08P01";
const FEATURE_NOT_SUPPORTED: &str = "0A000";
const INVALID_AUTHORIZATION: &str = "28000";

const EARLY_DATA: &str =
    "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";

/// What a client came for.
#[derive(Debug)]
pub enum Opening {
    /// A session.
    Startup {
        /// The connection, by now encrypted if it is to be.
        stream: Stream,
        /// The packet after its length: the protocol version in four bytes, then pairs of NUL-terminated
        /// strings, unchecked.
        bytes: Vec<u8>,
        /// Whether TLS began without an SSLRequest.
        direct_tls: bool,
    },
    /// Another session's running statement is to be cancelled. No answer is expected; the connection is to be
    /// closed.
    Cancel {
        /// The connection.
        stream: Stream,
        /// The process id in four bytes, then the key of 4 to 256 bytes.
        body: Vec<u8>,
    },
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The client left between two packets, as load balancers' checks and libpq's second attempts do: nothing
    /// to log.
    #[error("the client left without asking for anything")]
    Gone,
    /// The connection broke.
    #[error("the connection broke during start-up: {0}")]
    Io(#[from] io::Error),
    /// The TLS handshake failed. The client has been told so in TLS's own terms, where possible.
    #[error("TLS handshake with the client failed: {0}")]
    Tls(String),
    /// The client asked for something that it does not get and must be told with an ErrorResponse.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
}

/// A refusal to be sent as a FATAL ErrorResponse, after which the connection is to be closed.
#[derive(Debug)]
pub struct Refusal {
    /// The connection to send it on.
    pub stream: Stream,
    /// The SQLSTATE.
    pub sqlstate: &'static str,
    /// The message, in PostgreSQL's words where it has some.
    pub message: String,
    /// More on it for the log and the detail field.
    pub detail: Option<&'static str>,
}

impl AcceptError {
    /// The SQLSTATE; none where the client cannot be told anything.
    pub fn sqlstate(&self) -> Option<&'static str> {
        match self {
            AcceptError::Refused(refusal) => Some(refusal.sqlstate),
            _ => None,
        }
    }
}

/// Reads the opening of a connection that was just accepted. The caller limits the time.
///
/// # Errors
/// See [`AcceptError`].
pub async fn negotiate(stream: Stream, tls: &ServerTls) -> Result<Opening, AcceptError> {
    let direct_tls = begins_with_tls(&stream).await?;
    let mut door = Door { stream, tls, may_ask_tls: !direct_tls, may_ask_gss: !direct_tls };
    if direct_tls {
        door = door.encrypt().await?;
        if door.stream.alpn() != Some(ALPN) {
            return Err(door.refuse(
                PROTOCOL_VIOLATION,
                "received direct SSL connection request without ALPN protocol negotiation extension",
            ));
        }
    }
    loop {
        let (code, body);
        (door, code, body) = door.read_packet().await?;
        match code {
            SSL_REQUEST if door.may_ask_tls => door = door.answer_tls(&body).await?,
            GSSENC_REQUEST if door.may_ask_gss => door = door.answer_gss(&body).await?,
            CANCEL_REQUEST => return door.cancel(body),
            _ if code >> 16 == REQUESTS => return Err(door.unsupported(code)),
            _ => return door.startup(body, direct_tls),
        }
    }
}

/// Looks at the first byte without taking it.
async fn begins_with_tls(stream: &Stream) -> Result<bool, AcceptError> {
    let Some(socket) = stream.as_tcp() else { return Ok(false) };
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(0) => Err(AcceptError::Gone),
        Ok(_) => Ok(first == [TLS_HANDSHAKE]),
        Err(error) => Err(left(error)),
    }
}

/// An error between two packets: a reset is how many checks hang up.
fn left(error: io::Error) -> AcceptError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => AcceptError::Gone,
        _ => AcceptError::Io(error),
    }
}

/// A connection in the midst of its opening, and what it may still ask for.
struct Door<'a> {
    stream: Stream,
    tls: &'a ServerTls,
    may_ask_tls: bool,
    may_ask_gss: bool,
}

impl Door<'_> {
    fn refuse(self, sqlstate: &'static str, message: impl Into<String>) -> AcceptError {
        self.refuse_with(sqlstate, message, None)
    }

    fn refuse_with(
        self,
        sqlstate: &'static str,
        message: impl Into<String>,
        detail: Option<&'static str>,
    ) -> AcceptError {
        AcceptError::Refused(Box::new(Refusal {
            stream: self.stream,
            sqlstate,
            message: message.into(),
            detail,
        }))
    }

    /// A request that does not exist, or that comes a second time; PostgreSQL takes it for a protocol
    /// version.
    fn unsupported(self, code: u32) -> AcceptError {
        let (major, minor) = (code >> 16, code & 0xffff);
        self.refuse(
            FEATURE_NOT_SUPPORTED,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"),
        )
    }

    /// One packet: its first four bytes as a number, and all of it after the length.
    async fn read_packet(mut self) -> Result<(Self, u32, Vec<u8>), AcceptError> {
        let mut length = [0; 4];
        match read_exact(&mut self.stream, &mut length).await {
            Ok(4) => {}
            Ok(0) => return Err(AcceptError::Gone),
            Ok(_) => return Err(self.refuse(PROTOCOL_VIOLATION, "incomplete startup packet")),
            Err(error) => return Err(left(error)),
        }
        let length = u32::from_be_bytes(length) as usize;
        if !(8..=MAX_STARTUP_LENGTH).contains(&length) {
            return Err(self.refuse(PROTOCOL_VIOLATION, "invalid length of startup packet"));
        }
        let mut body = vec![0; length - 4];
        if read_exact(&mut self.stream, &mut body).await? != body.len() {
            return Err(self.refuse(PROTOCOL_VIOLATION, "incomplete startup packet"));
        }
        let code = body.first_chunk().map_or(0, |code| u32::from_be_bytes(*code));
        Ok((self, code, body))
    }

    /// Answers an SSLRequest, and encrypts if the answer was yes.
    async fn answer_tls(mut self, body: &[u8]) -> Result<Self, AcceptError> {
        self = self.only_code(body)?;
        self.may_ask_tls = false;
        if self.stream.is_unix() || self.tls.config().is_none() {
            self.stream.write_all(b"N").await.map_err(left)?;
            return Ok(self);
        }
        // Whoever sends more before our answer did not mean it for TLS, or somebody else has put it there.
        if self.stream.has_unread_bytes() {
            return Err(self.refuse_with(
                PROTOCOL_VIOLATION,
                "received unencrypted data after SSL request",
                Some(EARLY_DATA),
            ));
        }
        self.stream.write_all(b"S").await.map_err(left)?;
        self.may_ask_gss = false;
        self.encrypt().await
    }

    async fn answer_gss(mut self, body: &[u8]) -> Result<Self, AcceptError> {
        self = self.only_code(body)?;
        self.may_ask_gss = false;
        self.stream.write_all(b"N").await.map_err(left)?;
        Ok(self)
    }

    /// A request for encryption is nothing but its code.
    fn only_code(self, body: &[u8]) -> Result<Self, AcceptError> {
        if body.len() == 4 {
            return Ok(self);
        }
        Err(self.refuse(PROTOCOL_VIOLATION, "invalid length of startup packet"))
    }

    async fn encrypt(mut self) -> Result<Self, AcceptError> {
        let Some(config) = self.tls.config() else {
            return Err(AcceptError::Tls("the client began TLS, which is disabled here".to_owned()));
        };
        let peer = self.stream.peer();
        let Ok(socket) = self.stream.into_tcp() else {
            return Err(AcceptError::Tls("TLS within TLS".to_owned()));
        };
        let stream = TlsAcceptor::from(config).accept(socket).await;
        let stream = stream.map_err(|error| AcceptError::Tls(error.to_string()))?;
        self.stream = Stream::secured(Secured::accepted(stream, self.tls.end_point()), peer);
        Ok(self)
    }

    /// A CancelRequest is served without TLS at every level, because libpq up to version 16 never encrypts
    /// it. Nothing is answered, whatever is wrong with it.
    fn cancel(self, mut body: Vec<u8>) -> Result<Opening, AcceptError> {
        body.drain(..4);
        if !(8..=260).contains(&body.len()) {
            let why = "invalid length of cancel request packet";
            return Err(AcceptError::Io(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Ok(Opening::Cancel { stream: self.stream, body })
    }

    fn startup(self, bytes: Vec<u8>, direct_tls: bool) -> Result<Opening, AcceptError> {
        let exposed = !self.stream.is_tls() && !self.stream.is_unix();
        if exposed && self.tls.is_required() {
            let host = match self.stream.peer() {
                Peer::Tcp(address) => address.ip().to_string(),
                Peer::Unix => Peer::Unix.to_string(),
            };
            return Err(self.refuse_with(
                INVALID_AUTHORIZATION,
                format!("connection from host \"{host}\" refused: no encryption"),
                Some("This server accepts only TLS connections; use sslmode=require or higher."),
            ));
        }
        Ok(Opening::Startup { stream: self.stream, bytes, direct_tls })
    }
}

/// Fills `buf`; the result is shorter only where the stream ends.
async fn read_exact(stream: &mut Stream, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read_some(rest).await? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
