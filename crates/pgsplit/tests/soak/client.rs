//! A client: it logs in, takes steps by chance, compares what it sees with what it knows, loses its connection or drops
//! it, finds out what became of its last writes, and comes again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pgsplit_testkit::Account;
use pgsplit_testkit::peer::message;

use crate::catalogue;
use crate::ledger::Ledger;
use crate::line::{Line, Outcome, Reply, Trouble, says_gone};
use crate::model::Model;
use crate::random::Random;
use crate::shared::Shared;
use crate::{look, steps};

/// The accounts that clients log in as: most as the first.
pub(crate) const ACCOUNTS: [Account; 2] = [Account::APP, Account::POSTGRES];

/// Whether a session goes on behind a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Step,
    /// The client has dropped its connection.
    Gone,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) id: usize,
    pub(crate) shared: &'a Shared,
    pub(crate) random: Random,
    pub(crate) line: Line,
    pub(crate) model: Model,
    pub(crate) ledger: Ledger,
    /// An advisory lock that no other session asks for: the server lets go of a former session's a little later.
    pub(crate) own_lock: usize,
    account: usize,
    permit: bool,
    /// When the present step began.
    began: Instant,
}

impl<'a> Client<'a> {
    /// Lives until time is over; what it has written is left in `ledger`. A failure is told to all.
    pub(crate) fn live(shared: &'a Shared, id: usize, round: u64, ledger: &mut Ledger) {
        let mut random = Random::new(shared.seed, id as u64 + (round << 32));
        for session in 1.. {
            if shared.is_over() {
                break;
            }
            let began = Instant::now();
            let account = usize::from(id % 10 == 9);
            let (base, parameters) = start_up(&mut random);
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let line = match Line::open(shared.port, ACCOUNTS[account], &parameters) {
                Ok(line) => line,
                Err(Trouble::Lost(_)) if shared.was_stormy(began) => continue,
                Err(trouble) => return shared.fail(format!("client {id}: {trouble:?}")),
            };
            let model = Model::new(ACCOUNTS[account].user(), base);
            let mut client = Client {
                id,
                shared,
                random,
                line,
                model,
                ledger: std::mem::take(ledger),
                own_lock: 10_000 * session + id,
                account,
                permit: false,
                began,
            };
            shared.count("logins");
            let lived = client.session();
            client.leave();
            *ledger = std::mem::take(&mut client.ledger);
            random = std::mem::replace(&mut client.random, Random::new(0, 0));
            if let Err(why) = lived {
                let history: Vec<_> = client.line.history.iter().map(|said| format!("    {said}")).collect();
                let failure =
                    format!("client {id}: {why}\n{}\n  it knows {:?}", history.join("\n"), client.model);
                return shared.fail(failure);
            }
        }
    }

    /// Steps until the connection is gone, or time is over.
    fn session(&mut self) -> Result<(), String> {
        let mut first = true;
        loop {
            self.began = Instant::now();
            let step = match std::mem::take(&mut first) {
                true => look::settle_doubts(self).map(|()| Next::Step),
                false if self.shared.is_over() => Ok(steps::vanish(self)),
                false => {
                    steps::any(self).and_then(|next| if next == Next::Step { self.check() } else { Ok(next) })
                }
            };
            match step {
                Ok(Next::Step) => {}
                Ok(Next::Gone) => return Ok(()),
                Err(Trouble::Wrong(why)) => return Err(why),
                Err(Trouble::Lost(why)) if self.shared.was_stormy(self.began) => {
                    self.line.note(format!("lost: {why}"));
                    self.shared.count("lost");
                    return Ok(());
                }
                Err(Trouble::Refused(code)) if self.shared.was_stormy(self.began) => {
                    // Only what says so may have been carried out.
                    if code == "08007" {
                        self.ledger.unanswered()
                    } else {
                        self.ledger.never_sent()
                    }
                    self.shared.count("refused");
                }
                Err(trouble) => return Err(format!("{trouble:?}, and no fault explains it")),
            }
        }
    }

    fn check(&mut self) -> Outcome<Next> {
        self.shared.count("steps");
        look::check(self)?;
        Ok(Next::Step)
    }

    /// Behind the end of a session: what it had to itself is free.
    fn leave(&mut self) {
        self.ledger.unanswered();
        for lock in std::mem::take(&mut self.model.locks) {
            self.let_go(lock);
        }
        self.return_permit();
    }

    /// A contested lock is not this client's any more. Said before the server hears of it.
    pub(crate) fn let_go(&self, lock: usize) {
        if let Some(holder) = self.shared.contested.get(lock) {
            let _ = holder.compare_exchange(self.id + 1, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Leave to be tied to a connection.
    pub(crate) fn take_permit(&mut self) -> bool {
        self.permit = self.permit || self.shared.take_permit(self.account);
        self.permit
    }

    /// Whether the primary was away during this step.
    pub(crate) fn is_stormy(&self) -> bool {
        self.shared.was_stormy(self.began)
    }

    pub(crate) fn return_permit(&mut self) {
        if std::mem::take(&mut self.permit) {
            self.shared.return_permit(self.account);
        }
    }

    /// Sends messages and reads one answer.
    pub(crate) fn exchange(&mut self, what: &str, bytes: &[u8]) -> Outcome<Reply> {
        self.line.send(what, bytes)?;
        self.answer()
    }

    /// Reads one answer. That a server went away is no answer.
    pub(crate) fn answer(&mut self) -> Outcome<Reply> {
        let reply = self.line.answer()?;
        match reply.code() {
            Some(code) if says_gone(code) => {
                self.model.error();
                Err(Trouble::Refused(code.to_owned()))
            }
            _ => Ok(reply),
        }
    }

    /// A simple query, whatever comes of it.
    pub(crate) fn simple(&mut self, sql: &str) -> Outcome<Reply> {
        self.exchange(sql, &message::query(sql))
    }

    /// The unnamed statement with parameters, whatever comes of it.
    pub(crate) fn bound(&mut self, sql: &str, parameters: &[Option<&str>]) -> Outcome<Reply> {
        let messages = [
            message::parse("", sql, &[]),
            message::bind("", "", parameters),
            message::describe(b'P', ""),
            message::execute("", 0),
            message::sync(),
        ];
        self.exchange(&format!("{sql} with {parameters:?}"), &messages.concat())
    }

    /// One statement in either protocol; it must succeed.
    pub(crate) fn run(&mut self, sql: &str) -> Outcome<Reply> {
        let reply = if self.random.chance(50) { self.simple(sql)? } else { self.bound(sql, &[])? };
        succeeded(sql, reply)
    }

    /// One statement in either protocol; it must fail so.
    pub(crate) fn fails(&mut self, sql: &str, code: &str) -> Outcome {
        let reply = if self.random.chance(50) { self.simple(sql)? } else { self.bound(sql, &[])? };
        self.model.error();
        refused(sql, &reply, code)
    }

    /// Rows that will last once the transaction commits, or at once where there is none.
    pub(crate) fn writing(&mut self, keys: &[u64]) {
        if !self.model.in_transaction() {
            self.ledger.sending(keys.to_vec());
        }
    }

    /// They were written.
    pub(crate) fn wrote(&mut self, keys: &[u64]) {
        if self.model.in_transaction() {
            self.model.now.written.extend(keys);
        } else {
            self.ledger.acknowledged();
        }
    }
}

pub(crate) fn succeeded(what: &str, reply: Reply) -> Outcome<Reply> {
    match &reply.error {
        None => Ok(reply),
        Some(error) => Err(Trouble::Wrong(format!("{what}: {error:?}"))),
    }
}

pub(crate) fn refused(what: &str, reply: &Reply, code: &str) -> Outcome {
    if reply.code() == Some(code) {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{what}: {code} was expected: {reply:?}")))
}

/// What must be equal.
pub(crate) fn equal<T: PartialEq + std::fmt::Debug>(what: &str, seen: T, known: T) -> Outcome {
    if seen == known {
        return Ok(());
    }
    Err(Trouble::Wrong(format!("{what}: {seen:?} is seen where {known:?} must be")))
}

type Base = BTreeMap<&'static str, String>;

/// Start-up parameters, and what they set.
fn start_up(random: &mut Random) -> (Base, Vec<(&'static str, String)>) {
    let (mut base, mut parameters, mut options) = (Base::new(), Vec::new(), String::new());
    if random.chance(60) {
        return (base, parameters);
    }
    for _ in 0..1 + random.below(3) {
        let setting = catalogue::any(random);
        if base.contains_key(setting.name) {
            continue;
        }
        let value = setting.value(random);
        if random.chance(50) {
            options.push_str(&format!(" -c {}={}", setting.name, value.replace(' ', "\\ ")));
        } else {
            parameters.push((setting.name, value.clone()));
        }
        base.insert(setting.name, value);
    }
    if !options.is_empty() {
        parameters.push(("options", options));
    }
    (base, parameters)
}
