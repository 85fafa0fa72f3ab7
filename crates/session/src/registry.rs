//! The clients that are connected: their cancel keys, what they are doing, and a way to wake them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use foldhash::fast::RandomState;
use futures_util::task::AtomicWaker;
use pgsplit_net::Peer;
use pgsplit_pool::CancelTarget;
use pgsplit_route::PinReason;

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientState {
    /// Not logged in yet.
    Login = 0,
    /// Waiting for the client.
    Idle = 1,
    /// In a transaction, waiting for the client.
    InTransaction = 2,
    /// Waiting for a server connection.
    Waiting = 3,
    /// A statement runs.
    Active = 4,
    /// A replication connection, whatever it does.
    Replication = 5,
}

impl ClientState {
    /// All states with their names in metrics.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Login, "login"),
        (Self::Idle, "idle"),
        (Self::InTransaction, "in-transaction"),
        (Self::Waiting, "waiting"),
        (Self::Active, "active"),
        (Self::Replication, "replication"),
    ];
}

/// Who a client is, once it has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The three names, one behind the other, and where the second and the third begin: there are many clients.
    names: Box<str>,
    database: u32,
    application: u32,
}

impl Identity {
    /// From the names.
    #[must_use]
    pub fn new(user: &str, database: &str, application: &str) -> Self {
        // A start-up packet is shorter than that.
        let place = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            names: [user, database, application].concat().into(),
            database: place(user.len()),
            application: place(user.len() + database.len()),
        }
    }

    fn part(&self, from: u32, to: Option<u32>) -> &str {
        let to = to.map_or(self.names.len(), |to| to as usize);
        self.names.get(from as usize..to).unwrap_or_default()
    }

    /// Role name.
    #[must_use]
    pub fn user(&self) -> &str {
        self.part(0, Some(self.database))
    }

    /// Database name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.part(self.database, Some(self.application))
    }

    /// `application_name`, as the connection began.
    #[must_use]
    pub fn application(&self) -> &str {
        self.part(self.application, None)
    }
}

/// One connected client, as others see it.
#[derive(Debug)]
pub struct Client {
    /// The process id that the client was told.
    pub pid: i32,
    /// The key that it must show to cancel.
    key: [u8; 32],
    /// How much of the key it was told.
    key_length: AtomicU8,
    /// Where it came from.
    pub peer: Peer,
    /// When it connected.
    pub since: SystemTime,
    identity: OnceLock<Identity>,
    state: AtomicU8,
    /// One more than the place in [`PinReason::ALL`] of what ties it to one server connection; 0: nothing.
    pin: AtomicU8,
    running: Mutex<Running>,
    /// Ask the session to end.
    closing: AtomicBool,
    waker: AtomicWaker,
}

/// Which server connection runs the client's statement now.
#[derive(Debug, Default)]
struct Running {
    target: Option<Arc<CancelTarget>>,
    /// The client waits for a connection: a cancel ends the wait.
    waiting: bool,
    /// A cancel request has come since.
    cancelled: bool,
}

impl Client {
    /// What it is doing.
    pub fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    pub(crate) fn set_state(&self, state: ClientState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Who it is; `None` before it has logged in.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.get()
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        // A client logs in once.
        let _ = self.identity.set(identity);
    }

    /// Why it is tied to one server connection, if it is.
    pub fn pin(&self) -> Option<PinReason> {
        usize::from(self.pin.load(Ordering::Relaxed))
            .checked_sub(1)
            .and_then(|at| PinReason::ALL.get(at).copied())
    }

    pub(crate) fn set_pin(&self, pin: Option<PinReason>) {
        let place = pin.and_then(|pin| PinReason::ALL.iter().position(|known| *known == pin));
        let place = place.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or_default();
        self.pin.store(place, Ordering::Relaxed);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement runs on this connection from now on.
    pub(crate) fn set_running(&self, target: Option<Arc<CancelTarget>>) {
        let mut running = self.running();
        running.target = target;
        running.waiting = false;
        running.cancelled = false;
    }

    /// The client waits for a connection from now on.
    pub(crate) fn set_waiting(&self) {
        let mut running = self.running();
        *running = Running { target: None, waiting: true, cancelled: false };
    }

    /// Ready when a cancel request has arrived while the client waits for a connection.
    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.running().cancelled { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether a cancel request has arrived for the statement that runs.
    pub(crate) fn was_cancelled(&self) -> bool {
        self.running().cancelled
    }

    /// Ready when the session should end.
    pub(crate) fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_closing() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether the session should end.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Has the session look at what it waits for when [`Client::wake`] is called.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Has the session look at what it waits for.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Asks the session to end at the next safe point.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The first process id that a client is told. A client may ask a server to end the process with its number: no server's
/// process has such a one, since Linux numbers them up to 2^22.
const FIRST: i32 = 1 << 30;

/// All connected clients.
#[derive(Debug, Default)]
pub struct Registry {
    clients: Mutex<HashMap<i32, Arc<Client>, RandomState>>,
    next: AtomicI32,
}

/// What has become of a cancel request.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// No client here has this number and this key.
    Unknown,
    /// Nothing more is to be done.
    Here,
    /// A server is to be told.
    OnServer(pgsplit_pool::InFlight),
}

impl Registry {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Arc<Client>, RandomState>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a client with a process id of its own and a random cancel key: 4 bytes long, or 32 for protocol 3.2.
    /// `None` when there are `most` clients already.
    pub(crate) fn add(&self, peer: Peer, most: usize) -> Option<Arc<Client>> {
        let mut clients = self.lock();
        if clients.len() >= most {
            return None;
        }
        let pid = loop {
            let pid = self.next.fetch_add(1, Ordering::Relaxed) & (FIRST - 1) | FIRST;
            if !clients.contains_key(&pid) {
                break pid;
            }
        };
        let client = Arc::new(Client {
            pid,
            key: rand::random(),
            key_length: AtomicU8::new(0),
            peer,
            since: SystemTime::now(),
            identity: OnceLock::new(),
            pin: AtomicU8::new(0),
            state: AtomicU8::new(ClientState::Login as u8),
            running: Mutex::default(),
            closing: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        clients.insert(pid, client.clone());
        Some(client)
    }

    pub(crate) fn remove(&self, client: &Client) {
        self.lock().remove(&client.pid);
    }

    /// How many clients are connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no client is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// All clients.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.lock().values().cloned().collect()
    }

    /// How many clients are in each state, in the order of [`ClientState::ALL`].
    #[must_use]
    pub fn by_state(&self) -> [usize; ClientState::ALL.len()] {
        let mut counts = [0; ClientState::ALL.len()];
        for client in self.lock().values() {
            if let Some(count) = counts.get_mut(usize::from(client.state())) {
                *count += 1;
            }
        }
        counts
    }

    /// Takes a CancelRequest (process id and key). A client that waits for a connection is woken; a wrong key does nothing
    /// and says nothing, as in PostgreSQL.
    pub(crate) fn cancel(&self, body: &[u8]) -> Cancelled {
        let Some((pid, key)) = body.split_first_chunk::<4>() else { return Cancelled::Unknown };
        let client = self.lock().get(&i32::from_be_bytes(*pid)).cloned();
        let Some(client) = client.filter(|client| client.has_key(key)) else { return Cancelled::Unknown };
        let mut running = client.running();
        running.cancelled = running.waiting || running.target.is_some();
        if running.waiting {
            client.waker.wake();
        }
        running.target.as_ref().map_or(Cancelled::Here, |target| Cancelled::OnServer(target.begin()))
    }
}

impl Client {
    /// The key to be told to a client that speaks this minor version of the protocol: 4 or 32 bytes.
    pub(crate) fn key(&self, minor: u16) -> &[u8] {
        self.key_length.store(if minor >= 2 { 32 } else { 4 }, Ordering::Relaxed);
        self.told_key()
    }

    fn told_key(&self) -> &[u8] {
        self.key.get(..usize::from(self.key_length.load(Ordering::Relaxed))).unwrap_or_default()
    }

    /// Compares in constant time: the key is a secret. A client that was not told one yet has none.
    fn has_key(&self, key: &[u8]) -> bool {
        let told = self.told_key();
        !told.is_empty()
            && told.len() == key.len()
            && told.iter().zip(key).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}
