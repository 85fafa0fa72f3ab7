//! A client's connection: a batch of messages, and whatever comes back, also when the connection ends in the middle.

use std::io::ErrorKind;
use std::time::Duration;

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Proxy};

use crate::model::Told;

/// Longer than anything may wait: no answer by then is one that never comes.
const LIMIT: Duration = Duration::from_secs(60);

/// Errors that say that nothing was done; a hint may say it of others.
const NOT_DONE: [&str; 4] = ["57P03", "53300", "08001", "25006"];

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// ReadyForQuery with this status, or what was waited for before it.
    Ready(u8),
    /// The connection is gone.
    Broken,
    /// Nothing came.
    Silent,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Vec<i64>>,
    pub(crate) tags: Vec<String>,
    /// The first error's SQLSTATE and text.
    pub(crate) error: Option<(String, String)>,
    /// It says that nothing was done.
    pub(crate) harmless: bool,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn is_good(&self) -> bool {
        self.error.is_none() && matches!(self.end, End::Ready(_))
    }

    /// What is counted for an answer that is not good.
    pub(crate) fn code(&self) -> String {
        match &self.error {
            Some((code, _)) => code.clone(),
            None => "connection ended".to_owned(),
        }
    }

    /// What a write's answer says of it, when the write was sent as a whole.
    pub(crate) fn told(&self) -> Told {
        if self.is_good() {
            return Told::Acknowledged;
        }
        match &self.error {
            Some((_, text)) if self.harmless => Told::NotDone(text.clone()),
            _ => Told::Doubt(self.code()),
        }
    }
}

/// A connection to pgsplit.
pub(crate) struct Line(RawClient);

impl Line {
    pub(crate) fn open(proxy: &Proxy) -> std::io::Result<Self> {
        let client = proxy.client(&Account::APP, "app")?;
        client.set_time_limit(LIMIT)?;
        Ok(Self(client))
    }

    /// A simple query.
    pub(crate) fn query(&mut self, text: &str) -> Answer {
        self.talk(&[message::query(text)])
    }

    /// Sends messages that end with a Sync or are a query, and reads up to ReadyForQuery.
    pub(crate) fn talk(&mut self, messages: &[Vec<u8>]) -> Answer {
        self.talk_until(messages, b"Z")
    }

    /// Sends messages and reads up to one of these types, or an error.
    pub(crate) fn talk_until(&mut self, messages: &[Vec<u8>], stop: &[u8]) -> Answer {
        // What a server has said before it hung up can be read although nothing can be sent.
        let _ = self.0.send_all(messages);
        let mut answer =
            Answer { rows: Vec::new(), tags: Vec::new(), error: None, harmless: false, end: End::Broken };
        loop {
            let message = match self.0.read_message() {
                Ok(message) => message,
                Err(error) => {
                    let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    answer.end = if silent { End::Silent } else { End::Broken };
                    return answer;
                }
            };
            match message.tag {
                b'D' => answer.rows.push(numbers(&message)),
                b'C' => answer.tags.push(message.text()),
                b'E' if answer.error.is_none() => {
                    let [code, text] = [b'C', b'M'].map(|field| message.field(field).unwrap_or_default());
                    let hint = message.field(b'H').unwrap_or_default();
                    answer.harmless = NOT_DONE.contains(&code.as_str()) || hint.contains("changed nothing");
                    answer.error = Some((code.clone(), format!("{code} {text} {hint}")));
                }
                _ => {}
            }
            let ended = stop.contains(&message.tag) || message.tag == b'Z';
            // After an error a batch goes on to its Sync; without one nothing else comes.
            if ended || (message.tag == b'E' && !stop.contains(&b'Z')) {
                answer.end = End::Ready(if message.tag == b'Z' { message.body[0] } else { b'?' });
                return answer;
            }
        }
    }

    /// Where the last statement ran, in pgsplit's words.
    pub(crate) fn last_decision(&mut self) -> String {
        let rows = self.0.rows("SHOW pgsplit.last");
        rows.ok().and_then(|rows| rows.first()?.first()?.clone()).unwrap_or_default()
    }
}

/// Every column of these tables is a number.
fn numbers(row: &pgsplit_testkit::peer::Message) -> Vec<i64> {
    let columns = row.columns().unwrap();
    columns.iter().map(|column| column.as_ref().and_then(|text| text.parse().ok()).unwrap_or(-1)).collect()
}

/// Parse, Bind and Execute of the unnamed statement.
pub(crate) fn unnamed(text: &str, values: &[i64]) -> Vec<Vec<u8>> {
    let values: Vec<_> = values.iter().map(i64::to_string).collect();
    let values: Vec<_> = values.iter().map(|value| Some(value.as_str())).collect();
    vec![message::parse("", text, &[]), message::bind("", "", &values), message::execute("", 0)]
}

/// The same up to Sync.
pub(crate) fn batch(text: &str, values: &[i64]) -> Vec<Vec<u8>> {
    let mut messages = unnamed(text, values);
    messages.push(message::sync());
    messages
}
