//! A client that does exactly what it is told, byte by byte.

use std::{
    io::{self, BufReader, Error, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

use super::message;

/// No answer within this time is an error, not a hang.
const LIMIT: Duration = Duration::from_secs(15);
/// A message beyond this is a broken stream: more than any test sends.
const LONGEST: usize = 256 << 20;

/// A backend message: its type and its body, without the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The type byte.
    pub tag: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

impl Message {
    /// The body as text, for assertions; a terminating zero is cut off.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end_matches('\0').to_owned()
    }

    /// A field of an ErrorResponse or NoticeResponse: `b'C'` the SQLSTATE, `b'M'` the message.
    pub fn field(&self, code: u8) -> Option<String> {
        let mut fields = self.body.split(|byte| *byte == 0);
        let field = fields.find(|field| field.first() == Some(&code))?;
        Some(String::from_utf8_lossy(field.get(1..)?).into_owned())
    }

    /// The columns of a DataRow, in text; `None` is NULL.
    pub fn columns(&self) -> io::Result<Vec<Option<String>>> {
        let mut rest = self.body.as_slice();
        let count = u16::from_be_bytes(take(&mut rest)?);
        (0..count).map(|_| column(&mut rest)).collect()
    }
}

fn column(rest: &mut &[u8]) -> io::Result<Option<String>> {
    let Ok(length) = usize::try_from(i32::from_be_bytes(take(rest)?)) else { return Ok(None) };
    let (value, tail) = rest.split_at_checked(length).ok_or_else(|| broken("a column beyond its row"))?;
    *rest = tail;
    Ok(Some(String::from_utf8_lossy(value).into_owned()))
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk().ok_or_else(|| broken("a body that is too short"))?;
    *rest = tail;
    Ok(*head)
}

/// A connection on which a test sends any bytes and reads whole messages. Every read and write has a
/// time limit.
#[derive(Debug)]
pub struct RawClient {
    stream: BufReader<TcpStream>,
}

impl RawClient {
    /// Connects; nothing is sent.
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(LIMIT))?;
        let client = Self { stream: BufReader::new(stream) };
        client.set_time_limit(LIMIT)?;
        Ok(client)
    }

    /// How long a read waits for the next byte; 15 seconds unless changed.
    pub fn set_time_limit(&self, limit: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))
    }

    /// The stream itself, to shut down one side or read nothing for a while.
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends several messages in one write.
    pub fn send_all(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        self.send(&messages.concat())
    }

    /// Sends a StartupMessage of protocol 3.0, and nothing else.
    pub fn startup(&mut self, user: &str, database: &str, parameters: &[(&str, &str)]) -> io::Result<()> {
        let named = [("user", user), ("database", database)];
        let all: Vec<_> = named.iter().chain(parameters).copied().collect();
        self.send(&message::startup(message::VERSION_3_0, &all))
    }

    /// Reads one byte: the answer to SSLRequest and GSSENCRequest.
    pub fn read_byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    /// Reads the next message. A closed connection is `UnexpectedEof`.
    pub fn read_message(&mut self) -> io::Result<Message> {
        let tag = self.read_byte()?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let length = length.checked_sub(4).filter(|length| *length <= LONGEST);
        let mut body = vec![0; length.ok_or_else(|| broken("an absurd length"))?];
        self.stream.read_exact(&mut body)?;
        Ok(Message { tag, body })
    }

    /// Reads up to and including the first message of this type.
    pub fn read_until(&mut self, tag: u8) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.read_message()?);
            if messages.last().is_some_and(|message| message.tag == tag) {
                return Ok(messages);
            }
        }
    }

    /// Reads up to the end of the connection; a reset counts as the end.
    pub fn read_to_end(&mut self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            match self.read_message() {
                Ok(message) => messages.push(message),
                Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                    return Ok(messages);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a simple query and reads its whole answer, ReadyForQuery included.
    pub fn query(&mut self, sql: &str) -> io::Result<Vec<Message>> {
        self.send(&message::query(sql))?;
        self.read_until(b'Z')
    }

    /// As [`RawClient::query`], but only the rows, in text. An ErrorResponse is an error.
    pub fn rows(&mut self, sql: &str) -> io::Result<Vec<Vec<Option<String>>>> {
        let answer = self.query(sql)?;
        answer.iter().find(|message| message.tag == b'E').map_or(Ok(()), refused)?;
        answer.iter().filter(|message| message.tag == b'D').map(Message::columns).collect()
    }

    /// Logs in, by SCRAM, by clear-text password or by trust, as the server asks. Returns what came
    /// after AuthenticationOk, ReadyForQuery included. An ErrorResponse is an error of kind
    /// `PermissionDenied` that begins with its SQLSTATE.
    pub fn login(
        &mut self,
        user: &str,
        password: &str,
        database: &str,
        parameters: &[(&str, &str)],
    ) -> io::Result<Vec<Message>> {
        self.startup(user, database, parameters)?;
        let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
        loop {
            let answer = self.read_message()?;
            match answer.tag {
                b'E' => refused(&answer)?,
                b'R' => {
                    if self.authenticate(&answer.body, password, &mut scram)? {
                        return self.ready();
                    }
                }
                // NegotiateProtocolVersion may precede the login.
                b'v' => {}
                other => return Err(broken(&format!("{:?} during login", char::from(other)))),
            }
        }
    }

    /// Answers one authentication request; true when it was AuthenticationOk.
    fn authenticate(&mut self, request: &[u8], password: &str, scram: &mut ScramSha256) -> io::Result<bool> {
        let mut rest = request;
        match u32::from_be_bytes(take(&mut rest)?) {
            0 => return Ok(true),
            3 => self.send(&message::password(password))?,
            10 => self.send(&message::sasl_initial_response(SCRAM_SHA_256, scram.message()))?,
            11 => {
                scram.update(rest)?;
                self.send(&message::sasl_response(scram.message()))?;
            }
            12 => scram.finish(rest)?,
            other => return Err(broken(&format!("authentication request {other}"))),
        }
        Ok(false)
    }

    fn ready(&mut self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            let message = self.read_message()?;
            if message.tag == b'E' {
                refused(&message)?;
            }
            let last = message.tag == b'Z';
            messages.push(message);
            if last {
                return Ok(messages);
            }
        }
    }
}

fn refused(error: &Message) -> io::Result<()> {
    let [code, text] = [b'C', b'M'].map(|field| error.field(field).unwrap_or_default());
    Err(Error::new(ErrorKind::PermissionDenied, format!("{code} {text}")))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("broken stream: {what}"))
}
