//! A client's connection: whole answers instead of messages, and what was said last, for whoever reads of a failure.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::time::Duration;

use pgsplit_testkit::Account;
use pgsplit_testkit::peer::{Message, RawClient, message};

/// Longer than any wait of the proxy's configuration: beyond it something hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// How much of what was said is kept.
const HISTORY: usize = 40;

/// What SQLSTATE a client sees when a server goes away.
const GONE: [&str; 5] = ["08006", "08007", "57P01", "57P02", "57P03"];

/// Why a step did not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection has ended.
    Lost(String),
    /// A statement was refused, with this SQLSTATE, because a server went away; the session goes on.
    Refused(String),
    /// What must not be.
    Wrong(String),
}

pub(crate) type Outcome<T = ()> = Result<T, Trouble>;

/// An answer up to ReadyForQuery, or up to CopyInResponse.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) tags: Vec<String>,
    /// SQLSTATE and text.
    pub(crate) error: Option<(String, String)>,
    /// Lines of COPY … TO STDOUT.
    pub(crate) copied: usize,
    pub(crate) suspended: bool,
    /// As of ReadyForQuery; `G` when the server takes copy data.
    pub(crate) status: u8,
}

impl Reply {
    pub(crate) fn code(&self) -> Option<&str> {
        self.error.as_ref().map(|(code, _)| code.as_str())
    }

    /// The columns of the only row.
    pub(crate) fn row(&self) -> Outcome<Vec<&str>> {
        match self.rows.as_slice() {
            [row] => Ok(row.iter().map(|column| column.as_deref().unwrap_or("NULL")).collect()),
            _ => Err(Trouble::Wrong(format!("one row was expected: {self:?}"))),
        }
    }

    /// The only column of the only row.
    pub(crate) fn value(&self) -> Outcome<&str> {
        match self.row()?.as_slice() {
            [value] => Ok(value),
            _ => Err(Trouble::Wrong(format!("one column was expected: {self:?}"))),
        }
    }
}

/// A connection that is logged in.
#[derive(Debug)]
pub(crate) struct Line {
    client: RawClient,
    port: u16,
    key: Vec<u8>,
    /// What ParameterStatus has said.
    pub(crate) told: BTreeMap<String, String>,
    /// Notifications that nobody has looked at: channel and payload.
    pub(crate) heard: Vec<(String, String)>,
    pub(crate) history: VecDeque<String>,
}

impl Line {
    pub(crate) fn open(port: u16, account: Account, parameters: &[(&str, &str)]) -> Outcome<Self> {
        let opened = RawClient::connect(("127.0.0.1", port)).and_then(|mut client| {
            client.set_time_limit(LIMIT)?;
            let said = client.login(account.user(), account.password(), "app", parameters)?;
            Ok((client, said))
        });
        let (client, said) = opened.map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied if GONE.iter().any(|code| error.to_string().starts_with(code)) => {
                Trouble::Lost(format!("at login: {error}"))
            }
            ErrorKind::PermissionDenied | ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                Trouble::Wrong(format!("at login: {error}"))
            }
            _ => Trouble::Lost(format!("at login: {error}")),
        })?;
        let mut line = Self {
            client,
            port,
            key: Vec::new(),
            told: BTreeMap::new(),
            heard: Vec::new(),
            history: VecDeque::new(),
        };
        line.note(format!("logged in as {} with {parameters:?}", account.user()));
        for message in &said {
            line.take(message, &mut Reply::default())?;
        }
        Ok(line)
    }

    pub(crate) fn note(&mut self, text: String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(text);
    }

    /// Sends; `what` is for the history.
    pub(crate) fn send(&mut self, what: &str, bytes: &[u8]) -> Outcome {
        self.note(format!("> {what}"));
        if let Err(error) = self.client.send(bytes) {
            // Its last words explain it better.
            let words = self.client.read_to_end().unwrap_or_default();
            let said: Vec<_> = words.iter().filter_map(|m| m.field(b'C')).collect();
            return Err(Trouble::Lost(format!("{error}, after {said:?}")));
        }
        Ok(())
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self) -> Outcome<Reply> {
        let mut reply = Reply::default();
        loop {
            let message = match self.client.read_message() {
                Ok(message) => message,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Trouble::Wrong(format!("no answer within {LIMIT:?}, after {reply:?}")));
                }
                Err(error) => {
                    let code = reply.code().unwrap_or("no word").to_owned();
                    return Err(Trouble::Lost(format!("{code}: {error}, after {reply:?}")));
                }
            };
            self.take(&message, &mut reply)?;
            if matches!(message.tag, b'Z' | b'G') {
                let text = format!("{reply:?}");
                self.note(format!("< {}", text.chars().take(400).collect::<String>()));
                return Ok(reply);
            }
        }
    }

    fn take(&mut self, message: &Message, reply: &mut Reply) -> Outcome {
        let broken = |error: std::io::Error| Trouble::Wrong(error.to_string());
        match message.tag {
            b'D' => reply.rows.push(message.columns().map_err(broken)?),
            b'C' => reply.tags.push(message.text()),
            b'E' => {
                let fields = [b'C', b'M'].map(|field| message.field(field).unwrap_or_default());
                reply.error = Some(fields.into());
            }
            b'S' | b'A' => {
                let skipped = if message.tag == b'A' { 4 } else { 0 };
                let text = String::from_utf8_lossy(&message.body[skipped..]).into_owned();
                let mut parts = text.split('\0').map(str::to_owned);
                let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                if message.tag == b'S' {
                    self.told.insert(name, value);
                } else {
                    self.note(format!("< notification {name} {value}"));
                    self.heard.push((name, value));
                }
            }
            b'K' => self.key = message.body.clone(),
            b'Z' => reply.status = message.body[0],
            b'G' => reply.status = b'G',
            b'd' => reply.copied += message.body.iter().filter(|byte| **byte == b'\n').count(),
            b's' => reply.suspended = true,
            b'1' | b'2' | b'3' | b'c' | b'H' | b'I' | b'N' | b'R' | b'T' | b'n' | b't' => {}
            other => return Err(Trouble::Wrong(format!("a message {:?}", char::from(other)))),
        }
        Ok(())
    }

    /// Reads a few messages of an answer that nobody will read to its end.
    pub(crate) fn read_some(&mut self, count: usize) -> Outcome {
        for _ in 0..count {
            self.client.read_message().map_err(|error| Trouble::Lost(error.to_string()))?;
        }
        Ok(())
    }

    /// Reads everything up to the end of the connection.
    pub(crate) fn read_to_end(&mut self) {
        // Whatever it was, it is over.
        let _ = self.client.read_to_end();
    }

    /// Asks to cancel what runs, and waits until that has been taken note of.
    pub(crate) fn cancel(&mut self) -> Outcome {
        self.note("> cancel request".into());
        let (pid, secret) = self.key.split_at(4);
        let pid = u32::from_be_bytes(pid.try_into().unwrap_or_default());
        let sent = RawClient::connect(("127.0.0.1", self.port)).and_then(|mut other| {
            other.send(&message::cancel(pid, secret))?;
            other.read_to_end()
        });
        sent.map(drop).map_err(|error| Trouble::Lost(format!("cancel request: {error}")))
    }
}

/// Whether this SQLSTATE says that a server went away.
pub(crate) fn says_gone(code: &str) -> bool {
    GONE.contains(&code)
}
