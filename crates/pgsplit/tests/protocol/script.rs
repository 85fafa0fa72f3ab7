//! Scripts: what a client sends, and how much of the answer it waits for before it goes on.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::Duration;

use pgsplit_testkit::peer::{Message, RawClient, message};

/// One thing that a client does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Sends bytes in one write.
    Send(Vec<u8>),
    /// Sends bytes in several writes that arrive apart.
    Apart(Vec<Vec<u8>>),
    /// Reads up to this many ReadyForQuery.
    Ready(usize),
    /// Reads up to a message of this type.
    Until(u8),
    /// Reads to the end of the connection.
    End,
}

/// A script with a name.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// What came of a script: all messages, and how the connection failed, if it did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) messages: Vec<Message>,
    pub(crate) error: Option<ErrorKind>,
}

/// A script that is run as it stands.
pub(crate) fn case(name: &str, steps: impl IntoIterator<Item = Step>) -> Case {
    Case { name: name.to_owned(), steps: steps.into_iter().collect() }
}

/// A script of simple queries, each answered before the next.
pub(crate) fn queries(name: &str, texts: &[&str]) -> Case {
    case(name, texts.iter().flat_map(|text| [send([q(text)]), Step::Ready(1)]))
}

/// A script of batches, each answered before the next; every batch ends with one Sync.
pub(crate) fn batches<const N: usize>(name: &str, batches: [Vec<Vec<u8>>; N]) -> Case {
    case(
        name,
        batches.into_iter().flat_map(|mut batch| {
            batch.push(s());
            [send(batch), Step::Ready(1)]
        }),
    )
}

pub(crate) fn send(messages: impl IntoIterator<Item = Vec<u8>>) -> Step {
    Step::Send(messages.into_iter().flatten().collect())
}

pub(crate) fn q(text: &str) -> Vec<u8> {
    message::query(text)
}

pub(crate) fn p(name: &str, text: &str) -> Vec<u8> {
    message::parse(name, text, &[])
}

pub(crate) fn b(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let parameters: Vec<_> = parameters.iter().copied().map(Some).collect();
    message::bind(portal, statement, &parameters)
}

pub(crate) fn d(kind: u8, name: &str) -> Vec<u8> {
    message::describe(kind, name)
}

pub(crate) fn e(portal: &str, rows: u32) -> Vec<u8> {
    message::execute(portal, rows)
}

pub(crate) fn c(kind: u8, name: &str) -> Vec<u8> {
    message::close(kind, name)
}

pub(crate) fn s() -> Vec<u8> {
    message::sync()
}

pub(crate) fn h() -> Vec<u8> {
    message::flush()
}

/// Parse, Bind, Execute of a text without parameters, all unnamed.
pub(crate) fn run(text: &str) -> Vec<Vec<u8>> {
    vec![p("", text), b("", "", &[]), e("", 0)]
}

/// As libpq does it: with a Describe of the portal.
pub(crate) fn run_described(text: &str) -> Vec<Vec<u8>> {
    vec![p("", text), b("", "", &[]), d(b'P', ""), e("", 0)]
}

/// Bind and Execute of a named statement.
pub(crate) fn again(statement: &str, parameters: &[&str]) -> Vec<Vec<u8>> {
    vec![b("", statement, parameters), e("", 0)]
}

/// Plays a script to its end, or until the connection fails.
pub(crate) fn play(client: &mut RawClient, steps: &[Step]) -> Outcome {
    let mut messages = Vec::new();
    let error = steps.iter().try_for_each(|step| take(client, step, &mut messages)).err();
    Outcome { messages, error: error.map(|error| kind(&error)) }
}

/// Ways to say that the connection is gone are one.
fn kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => ErrorKind::UnexpectedEof,
        ErrorKind::WouldBlock => ErrorKind::TimedOut,
        kind => kind,
    }
}

fn take(client: &mut RawClient, step: &Step, messages: &mut Vec<Message>) -> io::Result<()> {
    match step {
        Step::Send(bytes) => client.send(bytes)?,
        Step::Apart(parts) => {
            for part in parts {
                client.send(part)?;
                // Nobody tells when a part has been read.
                pause(Duration::from_micros(300));
            }
        }
        Step::Ready(count) => {
            let mut ready = 0;
            while ready < *count {
                messages.push(client.read_message()?);
                ready += usize::from(messages.last().is_some_and(|last| last.tag == b'Z'));
            }
        }
        Step::Until(tag) => loop {
            messages.push(client.read_message()?);
            if messages.last().is_some_and(|last| last.tag == *tag) {
                break;
            }
        },
        Step::End => loop {
            messages.push(client.read_message()?);
        },
    }
    Ok(())
}

/// Lets time pass where there is nothing to be waited for.
#[allow(
    clippy::disallowed_methods,
    reason = "what is tested is what happens, or does not, while nothing is done"
)]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
