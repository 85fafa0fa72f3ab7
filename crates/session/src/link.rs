//! A server connection while a session holds it: what has been sent, and what is owed for it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pgsplit_pool::{Params, Server, Statement};
use pgsplit_route::retry::Cause;
use pgsplit_sql::{Effects, Facts};
use pgsplit_wire::{Status, build};

use crate::prepared::{Portal, Prepared};
use crate::resets::Resets;
use crate::spare;

/// A held server connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub server: Box<Server>,
    /// Bytes for the server that are not sent yet.
    pub out: BytesMut,
    /// What the server owes, in order, and what is to be said to the client in between.
    pub owed: VecDeque<Owed>,
    pub ahead: Ahead,
    /// As of the last ReadyForQuery.
    pub status: Status,
    pub replica: bool,
    /// The life of the replica in which it was chosen.
    pub life: u64,
    /// The server takes copy data.
    pub copy_in: bool,
    /// Statements that were to be closed to make room, and were not, because of an error before.
    pub strays: Vec<u64>,
    /// Syncs behind the Execute of a COPY, or among its data. A server that reads copy data ignores them; one that has
    /// failed before it reads them answers them.
    pub doubtful_syncs: usize,
    /// Bytes of the client's present CopyData message that are still to come.
    pub copy_rest: usize,
    /// The connection has sequence values of another session.
    pub foreign_sequences: bool,
    /// The beginning of a message of the server that has not arrived whole.
    pub torn: BytesMut,
    /// Bytes of the present message that pass without being looked at, and whether they go to the client.
    pub pass: usize,
    pub pass_shown: bool,
    pub held: Held,
    /// A unit of the client was put on it.
    pub begun: bool,
    /// What the client had been told before an answer was held back that tells it of changes.
    pub told_before: Option<Arc<Params>>,
    /// What was reset since the session's start-up values were last put back.
    pub resets: Resets,
    /// A message that was sent on the session's behalf failed: the ErrorResponse.
    pub fault: Option<Bytes>,
    /// Statements under the client's own names, to be closed when the unit has ended.
    pub litter: Vec<Box<[u8]>>,
    /// Why a name that the client's text mentions could not be prepared: the ErrorResponse.
    pub stand_in: Option<Bytes>,
    /// The session has prepared statements by SQL on it, whose names are taken.
    pub names_by_sql: bool,
    /// Statements that were parsed in a state in which they may mean something else than for others: as `litter`.
    pub tainted: Vec<u64>,
    /// A statement returns something else than the client was told.
    pub changed: bool,
    /// Rows of the examination.
    pub found: Vec<Bytes>,
    /// Settings may be left on it whose names are not known: nobody else gets it.
    pub unclean: bool,
    /// The server has ended the connection while nothing was owed.
    pub ended: bool,
    /// The error with which it has ended it, kept from the client because the unit may run again.
    pub last_words: Option<Bytes>,
}

/// How far what was sent of an open batch is ahead of the server's answers. Whoever pipelines much should hear of an error
/// about as soon as from the server itself, however much the sockets between would take: so a long batch is answered when
/// it has begun, and then again and again.
#[derive(Debug)]
pub(crate) struct Ahead {
    sent: usize,
    most: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { sent: 0, most: 64 * 1024 }
    }
}

impl Ahead {
    /// So many bytes more.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    /// Whether the server is to be made to answer now.
    pub(crate) fn is_far(&self) -> bool {
        self.sent >= self.most
    }

    /// It has been.
    pub(crate) fn catch_up(&mut self) {
        *self = Self { sent: 0, most: 256 * 1024 };
    }
}

/// Whether the answer is held back so that the unit can be run again elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// It goes to the client as it comes.
    No,
    /// Nothing of it has been forwarded.
    Yes,
    /// It will be run again: what still comes of this answer is thrown away.
    Again(Cause),
}

/// One answer that is owed.
#[derive(Debug)]
pub(crate) struct Owed {
    pub what: What,
    pub to: To,
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Client,
    /// Sent on the session's behalf: its answer is swallowed, its failure is the unit's.
    Session,
    /// Statements prepared anew on this connection: the answer is swallowed, an error is the client's.
    Silent,
    /// Statements prepared under the client's own name for a text that mentions it: the answer is swallowed, an error stands
    /// in for the text's.
    Named,
    /// The examination of the session's state.
    Examiner,
}

/// What was sent.
#[derive(Debug)]
pub(crate) enum What {
    /// A simple query; the next statement of its text.
    Query {
        facts: Option<Arc<Facts>>,
        next: usize,
    },
    /// FunctionCall.
    Function,
    /// Parse; what to undo when it fails.
    Parse {
        undo: Undo,
    },
    Bind {
        portal: Box<[u8]>,
        before: Option<Arc<Portal>>,
        /// What planning, which carries out functions of constants, may leave behind.
        effects: Effects,
    },
    /// Describe; of what, when the client has prepared it.
    Describe {
        prepared: Option<Arc<Prepared>>,
    },
    Execute {
        portal: Option<Arc<Portal>>,
    },
    /// Close of a portal.
    Close,
    /// Close of a statement that makes room.
    Evict(u64),
    Sync,
    /// A message of the extended protocol whose body cannot be read: the server refuses it.
    Malformed,
    /// A Sync and an empty query: how many Syncs before the empty query's answer, and whether that has come.
    Probe {
        syncs: usize,
        marked: bool,
    },
    /// Said to the client in its turn, without asking the server.
    Say {
        answer: Answer,
        undo: Undo,
    },
}

/// What is said without asking the server.
#[derive(Debug)]
pub(crate) enum Answer {
    ParseComplete,
    BindComplete,
    CloseComplete,
    /// What a statement of pgsplit's own returns; whether the statement was asked about, or its portal.
    Describe(Arc<Prepared>, bool),
    /// A statement of pgsplit's own is carried out.
    Execute(Arc<Prepared>),
}

/// What a message that was not carried out must undo.
#[derive(Debug)]
pub(crate) enum Undo {
    Nothing,
    /// The name stood for this before; the empty name is the unnamed statement.
    Name {
        name: Box<[u8]>,
        before: Option<Arc<Prepared>>,
    },
    /// The statement is not on the connection.
    OnServer(Arc<Statement>),
    /// Both.
    Both {
        name: Box<[u8]>,
        before: Option<Arc<Prepared>>,
        statement: Arc<Statement>,
    },
}

impl Link {
    pub(crate) fn new(server: Box<Server>, replica: bool, life: u64) -> Self {
        Self {
            foreign_sequences: server.sequences,
            server,
            out: spare::buffer(),
            owed: spare::queue(),
            ahead: Ahead::default(),
            status: Status::Idle,
            replica,
            life,
            copy_in: false,
            strays: Vec::new(),
            doubtful_syncs: 0,
            copy_rest: 0,
            torn: BytesMut::new(),
            pass: 0,
            pass_shown: false,
            held: Held::No,
            begun: false,
            told_before: None,
            resets: Resets::default(),
            fault: None,
            litter: Vec::new(),
            stand_in: None,
            names_by_sql: false,
            tainted: Vec::new(),
            changed: false,
            found: Vec::new(),
            unclean: false,
            ended: false,
            last_words: None,
        }
    }

    /// The connection; what it took to hold it is for the next one.
    pub(crate) fn part(self: Box<Self>) -> Box<Server> {
        let Self { server, out, owed, .. } = *self;
        spare::keep(out);
        spare::keep_queue(owed);
        server
    }

    pub(crate) fn owe(&mut self, what: What, to: To) {
        self.owed.push_back(Owed { what, to });
    }

    /// Sends a simple query on the session's behalf. It destroys the unnamed statement (exec_simple_query in postgres.c).
    pub(crate) fn query(&mut self, text: &[u8], to: To) {
        self.server.unnamed = None;
        build::query(&mut self.out, text);
        self.owe(What::Query { facts: None, next: 0 }, to);
    }

    /// Sends a Sync on the session's behalf.
    pub(crate) fn sync(&mut self) {
        build::sync(&mut self.out);
        self.owe(What::Sync, To::Session);
    }

    /// Asks how many Syncs the server still answers. An empty query is answered in any state but the skipping of
    /// messages, which the Sync before it ends.
    pub(crate) fn probe(&mut self) {
        self.server.unnamed = None;
        build::sync(&mut self.out);
        build::query(&mut self.out, b"");
        self.owe(What::Probe { syncs: 0, marked: false }, To::Session);
    }

    /// Whether it is being found out how many Syncs the server answers.
    pub(crate) fn is_probed(&self) -> bool {
        matches!(self.owed.back(), Some(Owed { what: What::Probe { .. }, .. }))
    }

    /// Says something to the client when all before it has been answered.
    pub(crate) fn say(&mut self, answer: Answer, undo: Undo) {
        self.owe(What::Say { answer, undo }, To::Client);
    }

    /// Whether nothing of an answer for the client can be on its way: at most the session's own messages are.
    pub(crate) fn owes_client_nothing(&self) -> bool {
        self.torn.is_empty() && self.pass == 0 && self.owed.iter().all(|owed| owed.to == To::Session)
    }

    /// Whether nothing is owed and nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.owed.is_empty()
            && self.out.is_empty()
            && self.torn.is_empty()
            && self.pass == 0
            && self.copy_rest == 0
    }

    /// Whether the client's copy data goes to the server: until the end of the message that was begun, even when the
    /// server has ended the copy by an error.
    pub(crate) fn takes_copy(&self) -> bool {
        self.copy_in || self.copy_rest > 0
    }

    /// Makes a statement exist on the connection, with answers that nobody sees. Whether it did not before.
    pub(crate) fn ensure(&mut self, statement: &Arc<Statement>) -> bool {
        if self.server.prepared.get(&statement.id).is_some() {
            return false;
        }
        self.prepare(statement, To::Silent, Undo::OnServer(statement.clone()));
        true
    }

    /// Whether statements are on it that must be closed before others get it.
    pub(crate) fn has_leftovers(&self) -> bool {
        !(self.strays.is_empty() && self.litter.is_empty() && self.tainted.is_empty())
    }

    /// The names of what must be closed before the connection goes on.
    pub(crate) fn take_litter(&mut self) -> Vec<Box<[u8]>> {
        let mut litter = std::mem::take(&mut self.litter);
        for id in self.tainted.drain(..) {
            if self.server.prepared.pop(&id).is_some() {
                litter.push(server_name(id).as_bytes().into());
            }
        }
        litter
    }

    /// Sends Parse under the statement's server-side name; the least recently used one makes room.
    pub(crate) fn prepare(&mut self, statement: &Arc<Statement>, to: To, undo: Undo) {
        if let Some((evicted, ())) = self.server.prepared.push(statement.id, ())
            && evicted != statement.id
        {
            self.evict(evicted);
        }
        if let Some(at) = self.strays.iter().position(|id| *id == statement.id) {
            self.strays.swap_remove(at);
            self.evict(statement.id);
        }
        let name = server_name(statement.id);
        build::parse(&mut self.out, name.as_bytes(), &statement.key.text, &statement.key.types);
        self.owe(What::Parse { undo }, to);
    }

    /// Makes a statement exist under the client's own name, until the unit has ended. Whatever had the name in this
    /// transaction may be gone, or another one.
    pub(crate) fn prepare_as(&mut self, name: &[u8], text: &[u8], types: &[u8], to: To) {
        build::close_statement(&mut self.out, name);
        self.owe(What::Close, to);
        build::parse(&mut self.out, name, text, types);
        self.owe(What::Parse { undo: Undo::Nothing }, to);
        if !self.litter.iter().any(|known| **known == *name) {
            self.litter.push(name.into());
        }
    }

    /// Asks the server whether a name is free: where SQL has prepared something under it the server says so, in its own words.
    pub(crate) fn try_name(&mut self, name: &[u8], text: &[u8], types: &[u8]) {
        build::parse(&mut self.out, name, text, types);
        self.owe(What::Parse { undo: Undo::Nothing }, To::Silent);
        build::close_statement(&mut self.out, name);
        self.owe(What::Close, To::Silent);
    }

    fn evict(&mut self, id: u64) {
        build::close_statement(&mut self.out, server_name(id).as_bytes());
        self.owe(What::Evict(id), To::Silent);
    }

    /// Makes the connection's unnamed statement this one.
    pub(crate) fn ensure_unnamed(&mut self, statement: &Arc<Statement>) {
        if self.server.unnamed == Some(statement.id) {
            return;
        }
        build::parse(&mut self.out, b"", &statement.key.text, &statement.key.types);
        self.owe(What::Parse { undo: Undo::OnServer(statement.clone()) }, To::Silent);
        self.server.unnamed = Some(statement.id);
    }

    /// Makes the connection have no unnamed statement.
    pub(crate) fn ensure_no_unnamed(&mut self) {
        if self.server.unnamed.take().is_some() {
            build::close_statement(&mut self.out, b"");
            self.owe(What::Close, To::Silent);
        }
    }

    /// Takes back what is noted about a statement on the connection.
    pub(crate) fn forget(&mut self, statement: &Statement) {
        self.server.prepared.pop(&statement.id);
        if self.server.unnamed == Some(statement.id) {
            // A Parse that failed has left none, one that was skipped has left what was there.
            self.server.unnamed = Some(UNKNOWN);
        }
    }
}

/// No statement has this id: the connection's unnamed statement may be anything.
pub(crate) const UNKNOWN: u64 = 0;

/// What server-side names begin with. The control character keeps them apart from any name that a client would use.
pub(crate) const NAME_PREFIX: &str = "\u{1}pgsplit_";

/// The name under which servers know a statement. Made anew for each Bind, so without an allocation.
pub(crate) struct ServerName {
    bytes: [u8; NAME_PREFIX.len() + MOST_DIGITS],
    length: usize,
}

/// Of a `u64`.
const MOST_DIGITS: usize = 20;

impl ServerName {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

pub(crate) fn server_name(id: u64) -> ServerName {
    let mut bytes = [0; NAME_PREFIX.len() + MOST_DIGITS];
    let digits = id.checked_ilog10().map_or(1, |log| log as usize + 1);
    let length = NAME_PREFIX.len() + digits;
    let mut rest = id;
    for place in bytes.iter_mut().take(length).rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    for (place, letter) in bytes.iter_mut().zip(NAME_PREFIX.bytes()) {
        *place = letter;
    }
    ServerName { bytes, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_prefix_and_the_number() {
        for id in [0, 7, 10, 4711, u64::MAX] {
            assert_eq!(server_name(id).as_bytes(), format!("{NAME_PREFIX}{id}").as_bytes());
        }
    }
}
