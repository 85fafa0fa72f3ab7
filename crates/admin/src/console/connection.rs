//! One connection to the console: its messages are cut and checked here, so that `pgwire` is given nothing but whole
//! messages whose counts fit their bodies.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::SinkExt;
use pgsplit_net::{Peer, Stream};
use pgsplit_session::Admitted;
use pgsplit_wire::frontend::{self, Kind};
use pgsplit_wire::{Frame, FrameError, Limits, PgError, Status, build, next_frame, sqlstate};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, DefaultClient, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Bind, Close, Describe, Execute, Flush, Parse, Sync};
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use pgwire::messages::simplequery::Query;
use pgwire::tokio::server::PgWireMessageServerCodec;
use tokio_util::codec::Framed;

use super::command::Command;
use super::fault::Fault;
use super::handler::{Handler, columns};

/// The longest message: a configuration for DIFF, and what surrounds it.
const LIMITS: Limits = Limits { large: 1 << 20, small: 10_000 };
/// Prepared statements and portals of one connection.
const NAMES: usize = 100;
/// More rows are never asked for at once; an Execute that wants them gets the rest when it comes again.
const MOST_ROWS: i32 = 10_000;
/// A client that takes nothing of an answer for so long is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a connection ended.
pub(super) enum End {
    /// The client left, or its socket failed.
    Gone,
    /// It sent what no client sends.
    Violation(String),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Violation(error.to_string())
    }
}

/// A connection that was let in.
pub(super) struct Connection {
    socket: Framed<Stream, PgWireMessageServerCodec<Command>>,
    inbox: BytesMut,
    handler: Handler,
    /// After an error, up to the next Sync.
    skipping: bool,
    /// Statements and portals that were named.
    names: usize,
}

impl Connection {
    /// Tells the client that it is in.
    pub(super) async fn begin(admitted: Admitted, handler: Handler, pid: i32) -> Result<Self, End> {
        let Admitted { mut stream, inbox, mut out, startup } = admitted;
        build::authentication_ok(&mut out);
        let user: &[u8] = &startup.user;
        let version = format!("15.0 (pgsplit {})", handler.console.sources.version);
        let parameters: [(&[u8], &[u8]); 8] = [
            (b"server_version", version.as_bytes()),
            (b"server_encoding", b"UTF8"),
            (b"client_encoding", b"UTF8"),
            (b"DateStyle", b"ISO, MDY"),
            (b"TimeZone", b"UTC"),
            (b"integer_datetimes", b"on"),
            (b"standard_conforming_strings", b"on"),
            (b"session_authorization", user),
        ];
        for (name, value) in parameters {
            build::parameter(&mut out, name, value);
        }
        // Commands are short, so there is nothing to cancel: no request ever fits.
        build::key_data(&mut out, pid, &[0; 4]);
        build::ready(&mut out, Status::Idle);
        stream.write_all(&out).await?;
        let address = match stream.peer() {
            Peer::Tcp(address) => address,
            Peer::Unix => ([127, 0, 0, 1], 0).into(),
        };
        let mut client = DefaultClient::new(address, stream.is_tls());
        client.state = PgWireConnectionState::ReadyForQuery;
        let socket = Framed::new(stream, PgWireMessageServerCodec::new(client));
        Ok(Self { socket, inbox, handler, skipping: false, names: 0 })
    }

    /// Serves the client until it leaves.
    pub(super) async fn run(&mut self) -> Result<(), End> {
        loop {
            let whole = next_frame(&self.inbox, LIMITS)?.map(|frame| frame.bytes.len());
            let Some(length) = whole else {
                let mut chunk = [0; 8192];
                let n = self.socket.get_mut().read_some(&mut chunk).await?;
                if n == 0 {
                    return Ok(());
                }
                self.inbox.extend_from_slice(chunk.get(..n).unwrap_or_default());
                continue;
            };
            let bytes = self.inbox.split_to(length).freeze();
            let Some(frame) = next_frame(&bytes, LIMITS)? else { return Ok(()) };
            if frame.tag == b'X' {
                return Ok(());
            }
            match tokio::time::timeout(PATIENCE, self.message(frame)).await {
                Ok(done) => done?,
                Err(_) => return Err(End::Gone),
            }
        }
    }

    /// Says why the connection ends.
    pub(super) async fn refuse(&mut self, why: String) {
        let mut frame = BytesMut::new();
        PgError::fatal(sqlstate::PROTOCOL_VIOLATION, why).encode(&mut frame);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.socket.get_mut().write_all(&frame)).await;
    }

    async fn message(&mut self, frame: Frame<'_>) -> Result<(), End> {
        let extended = matches!(frame.tag, b'P' | b'B' | b'D' | b'E' | b'C');
        if self.skipping && (extended || frame.tag == b'H') {
            return Ok(());
        }
        let outcome = match frame.tag {
            b'Q' => self.query(frontend::query(frame.body)?).await,
            b'P' => self.parse(&frontend::Parse::read(frame.body)?).await,
            b'B' => self.bind(&frontend::Bind::read(frame.body)?).await,
            b'D' => {
                let (kind, name) = frontend::target(frame.body)?;
                let describe = Describe::new(letter(kind), text(name)?);
                self.handler.on_describe(&mut self.socket, describe).await
            }
            b'E' => {
                let name = text(frontend::execute(frame.body)?)?;
                let mut rows = frame.body.get(frame.body.len().saturating_sub(4)..).unwrap_or_default();
                let rows = rows.try_get_i32().unwrap_or_default().clamp(0, MOST_ROWS);
                self.handler.on_execute(&mut self.socket, Execute::new(name, rows)).await
            }
            b'C' => {
                let (kind, name) = frontend::target(frame.body)?;
                self.names = self.names.saturating_sub(1);
                let close = Close::new(letter(kind), text(name)?);
                self.handler.on_close(&mut self.socket, close).await
            }
            b'H' => self.handler.on_flush(&mut self.socket, Flush::new()).await,
            b'S' => {
                self.skipping = false;
                self.handler.on_sync(&mut self.socket, Sync::new()).await
            }
            // Copy data that nobody wants; PostgreSQL ignores it, too.
            b'd' | b'c' | b'f' => Ok(()),
            b'F' => Err(Fault::new("0A000", "the console has no functions").into()),
            tag => return Err(End::Violation(format!("invalid frontend message type {tag}"))),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(PgWireError::IoError(_)) => Err(End::Gone),
            Err(error) => self.fail(error, extended).await,
        }
    }

    async fn query(&mut self, sql: &[u8]) -> Result<(), PgWireError> {
        let query = utf8(sql)?;
        self.handler.on_query(&mut self.socket, Query::new(query)).await
    }

    async fn parse(&mut self, parse: &frontend::Parse<'_>) -> Result<(), PgWireError> {
        self.count_name(parse.name)?;
        let mut types = parse.types.get(2..).unwrap_or_default();
        let mut type_oids = Vec::with_capacity(types.len() / 4);
        while let Ok(oid) = types.try_get_u32() {
            type_oids.push(oid);
        }
        let parse = Parse::new(named(parse.name)?, utf8(parse.text)?, type_oids);
        self.handler.on_parse(&mut self.socket, parse).await
    }

    async fn bind(&mut self, bind: &frontend::Bind<'_>) -> Result<(), PgWireError> {
        self.count_name(bind.portal)?;
        let statement = named(bind.statement)?;
        let formats = result_formats(bind.rest)?;
        let known = statement.as_deref().unwrap_or(pgwire::api::DEFAULT_NAME);
        let stored = self.socket.portal_store().get_statement(known);
        if let Some(stored) = stored.as_ref().and_then(|entry| entry.value()) {
            let columns = columns(&stored.statement).len();
            if formats.len() > 1 && formats.len() != columns {
                let given = formats.len();
                let why = format!("bind message has {given} result formats but query has {columns} columns");
                return Err(Fault::new("08P01", why).into());
            }
        }
        let bind = Bind::new(named(bind.portal)?, statement, Vec::new(), Vec::new(), formats);
        self.handler.on_bind(&mut self.socket, bind).await
    }

    fn count_name(&mut self, name: &[u8]) -> Result<(), PgWireError> {
        if name.is_empty() {
            return Ok(());
        }
        self.names += 1;
        if self.names > NAMES {
            let why = format!("too many prepared statements and portals: the console keeps {NAMES}");
            return Err(Fault::new("53400", why).into());
        }
        Ok(())
    }

    async fn fail(&mut self, error: PgWireError, extended: bool) -> Result<(), End> {
        let info: ErrorInfo = error.into();
        self.socket.feed(PgWireBackendMessage::ErrorResponse(info.into())).await?;
        self.socket.set_state(PgWireConnectionState::ReadyForQuery);
        let status = match self.socket.transaction_status() {
            TransactionStatus::Idle => TransactionStatus::Idle,
            _ => TransactionStatus::Error,
        };
        self.socket.set_transaction_status(status);
        if extended {
            self.skipping = true;
        } else {
            self.socket.feed(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        }
        self.socket.flush().await?;
        Ok(())
    }
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::Statement => b'S',
        Kind::Portal => b'P',
    }
}

fn utf8(bytes: &[u8]) -> Result<String, PgWireError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| PgWireError::from(Fault::new("22021", "invalid byte sequence for encoding \"UTF8\"")))?;
    Ok(text.to_owned())
}

/// `None` is the unnamed statement or portal.
fn named(name: &[u8]) -> Result<Option<String>, PgWireError> {
    if name.is_empty() { Ok(None) } else { utf8(name).map(Some) }
}

/// A name in a message that is answered with the end of the connection when it is no text.
fn text(name: &[u8]) -> Result<Option<String>, End> {
    named(name).map_err(|_| End::Violation("invalid byte sequence for encoding \"UTF8\"".to_owned()))
}

/// The result formats of a Bind, which must have no parameters: no command takes any.
fn result_formats(rest: &[u8]) -> Result<Vec<i16>, PgWireError> {
    let short = || PgWireError::from(Fault::new("08P01", "insufficient data left in message"));
    let mut rest = Bytes::copy_from_slice(rest);
    let codes = |rest: &mut Bytes| -> Result<Vec<i16>, PgWireError> {
        let count = usize::from(rest.try_get_u16().map_err(|_| short())?);
        if rest.remaining() < count * 2 {
            return Err(short());
        }
        Ok((0..count).map_while(|_| rest.try_get_i16().ok()).collect())
    };
    codes(&mut rest)?;
    if rest.try_get_u16().map_err(|_| short())? != 0 {
        return Err(Fault::new("08P01", "commands of the console take no parameters").into());
    }
    let formats = codes(&mut rest)?;
    if rest.has_remaining() {
        return Err(Fault::new("08P01", "invalid message format").into());
    }
    match formats.iter().find(|code| !matches!(code, 0 | 1)) {
        Some(code) => Err(Fault::new("22023", format!("unsupported format code: {code}")).into()),
        None => Ok(formats),
    }
}
