//! From an accepted socket to a session: start-up, login, and what PostgreSQL says before the first ReadyForQuery.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use pgsplit_auth::scram;
use pgsplit_auth::{InitialResponse, Secret, StoredPassword, Verifier};
use pgsplit_net::{Opening, Stream, negotiate};
use pgsplit_pool::{CheckoutError, Credentials, OpenError, Params, PoolKey, Settings, UserPools};
use pgsplit_route::{Node, NodeState, Role};
use pgsplit_wire::startup::{PROTOCOL_3_0, PROTOCOL_3_2, Replication, Startup};
use pgsplit_wire::{HEADER, Header, PgError, Status, build, sqlstate};

use crate::cancel::{Door, cancel};
use crate::journal::Journal;
use crate::own::Own;
use crate::passage::{self, Passage};
use crate::question::Mentioned;
use crate::registry::{Client, Identity};
use crate::session::{Session, Tally};
use crate::shared::{AuthMethod, Shared};
use crate::state::State;

/// The longest password message that is read.
const MAX_PASSWORD_MESSAGE: usize = 16 * 1024;

/// Who is served from now on.
#[derive(Debug)]
pub(crate) enum Entered {
    /// On the heap from the start: each future that it is moved through would have room for it for ever.
    Session(Box<Session>),
    Replication(Box<Passage>),
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum NoSession {
    /// Nothing more is to be said: a cancel request, or a client that left.
    Done,
    /// The client is told this, as a whole frame.
    Tell(Box<Stream>, BytesMut),
}

impl NoSession {
    pub(crate) fn tell(stream: Stream, error: &PgError) -> Self {
        let mut frame = BytesMut::new();
        error.encode(&mut frame);
        Self::Tell(Box::new(stream), frame)
    }
}

/// Verifiers made from passwords in a users file: made once, so that the salt stays the same from login to login.
#[derive(Debug, Default)]
pub(crate) struct Verifiers(Mutex<HashMap<Vec<u8>, (Secret, Verifier)>>);

impl Verifiers {
    fn of(&self, user: &[u8], password: &Secret) -> Result<Verifier, pgsplit_auth::Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        match known {
            Some((then, verifier)) if then == *password => Ok(verifier),
            _ => {
                let verifier = Verifier::from_password(password)?;
                let entry = (password.clone(), verifier.clone());
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_vec(), entry);
                Ok(verifier)
            }
        }
    }
}

/// What a new connection asks for first. A cancel request is carried out here.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    stream: Stream,
    door: Door,
) -> Result<(Stream, Startup), NoSession> {
    let tls = shared.tls.load_full();
    let (stream, packet) = match negotiate(stream, &tls).await {
        Ok(Opening::Startup { stream, bytes, .. }) => (stream, bytes),
        Ok(Opening::Cancel { body, .. }) => {
            cancel(shared, &body, door).await;
            return Err(NoSession::Done);
        }
        Err(pgsplit_net::AcceptError::Refused(refusal)) => {
            let code = refusal.sqlstate.as_bytes().try_into().unwrap_or(sqlstate::PROTOCOL_VIOLATION);
            let mut error = PgError::fatal(code, refusal.message);
            error.detail = refusal.detail.map(Into::into);
            return Err(NoSession::tell(refusal.stream, &error));
        }
        Err(error) => {
            tracing::debug!(%error, "a connection did not open");
            return Err(NoSession::Done);
        }
    };
    match Startup::read(&packet) {
        Ok(startup) => Ok((stream, startup)),
        Err(error) => {
            let mut told = PgError::fatal(error.sqlstate(), error.to_string());
            told.hint = error.hint().map(Into::into);
            Err(NoSession::tell(stream, &told))
        }
    }
}

/// Takes a new connection up to its first ReadyForQuery.
pub(crate) async fn login(shared: Arc<Shared>, stream: Stream) -> Result<Entered, NoSession> {
    let (stream, startup) = open(&shared, stream, Door::Clients).await?;
    if shared.is_draining() {
        let error = PgError::fatal(sqlstate::CANNOT_CONNECT_NOW, "the database system is shutting down");
        return Err(NoSession::tell(stream, &error));
    }
    let most = shared.settings.load().max_clients;
    let Some(handle) = shared.registry.add(stream.peer(), most) else {
        let error = PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
        return Err(NoSession::tell(stream, &error));
    };
    let mut guest = Guest { shared, stream: Some(stream), handle: Some(handle), inbox: BytesMut::new() };
    match guest.enter(&startup).await {
        Ok(entered) => Ok(entered),
        Err(Refusal::Gone) => Err(NoSession::Done),
        Err(Refusal::Error(error)) => {
            tracing::info!(user = %String::from_utf8_lossy(&startup.user), %error, "login refused");
            Err(guest.stream.take().map_or(NoSession::Done, |stream| NoSession::tell(stream, &error)))
        }
        Err(Refusal::Frame(frame)) => Err(guest
            .stream
            .take()
            .map_or(NoSession::Done, |stream| NoSession::Tell(Box::new(stream), frame))),
    }
}

/// A client that is not let in yet.
pub(crate) struct Guest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: Option<Stream>,
    pub(crate) handle: Option<Arc<Client>>,
    pub(crate) inbox: BytesMut,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            self.shared.registry.remove(handle);
        }
    }
}

/// Why a guest is not let in.
pub(crate) enum Refusal {
    Gone,
    Error(PgError),
    /// A server's own words.
    Frame(BytesMut),
}

impl From<PgError> for Refusal {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

impl Guest {
    async fn enter(&mut self, startup: &Startup) -> Result<Entered, Refusal> {
        let shared = self.shared.clone();
        let _permit = shared.logins.acquire().await.map_err(|_| Refusal::Gone)?;
        let base = match startup.replication {
            Replication::No => Some(base_settings(startup, &shared)?),
            // It has a server connection of its own, to which everything is said as it was said here.
            _ => None,
        };
        let mut out = BytesMut::new();
        if startup.negotiate {
            let version = if startup.minor >= 2 { PROTOCOL_3_2 } else { PROTOCOL_3_0 };
            let unknown: Vec<&[u8]> = startup.unknown_options.iter().map(Vec::as_slice).collect();
            build::negotiate(&mut out, version, &unknown);
        }
        let credentials = self.authenticate(startup, &mut out).await?;
        let Some((base, own)) = base else {
            return self
                .replicate(startup, &credentials, out)
                .await
                .map(|passage| Entered::Replication(Box::new(passage)));
        };
        let key = PoolKey { user: startup.user.clone().into(), database: startup.database.clone().into() };
        let users = shared.pools.get(&key, credentials);
        let params = reported(&shared, &users, &base).await?;
        let base = users.shared_base(base);
        self.welcome(startup, users, (base, own), params, out).await.map(Entered::Session)
    }

    /// Lets the client prove who it is; what is won by that logs in to servers.
    pub(crate) async fn authenticate(
        &mut self,
        startup: &Startup,
        out: &mut BytesMut,
    ) -> Result<Credentials, Refusal> {
        let method = self.shared.settings.load().auth;
        let user = String::from_utf8_lossy(&startup.user).into_owned();
        match method {
            AuthMethod::Trust => Ok(self.password_of(&user).await),
            AuthMethod::Cert => {
                let shown =
                    self.stream.as_ref().and_then(Stream::tls_info).and_then(|tls| tls.peer_common_name);
                if shown.as_deref() == Some(user.as_str()) {
                    return Ok(self.password_of(&user).await);
                }
                let message = format!("certificate authentication failed for user \"{user}\"");
                Err(PgError::fatal(sqlstate::INVALID_AUTHORIZATION, message).into())
            }
            AuthMethod::Scram => self.scram(&user, out).await,
        }
    }

    /// A configured password, for clients that showed none.
    async fn password_of(&self, user: &str) -> Credentials {
        match self.shared.control.stored(user).await {
            Ok(Some(stored)) => match stored.password {
                StoredPassword::Plain(password) => Credentials::Password(password),
                _ => Credentials::None,
            },
            _ => Credentials::None,
        }
    }

    async fn scram(&mut self, user: &str, out: &mut BytesMut) -> Result<Credentials, Refusal> {
        let wrong = || {
            PgError::fatal(
                sqlstate::INVALID_PASSWORD,
                format!("password authentication failed for user \"{user}\""),
            )
        };
        let stored = self.shared.control.stored(user).await.map_err(|why| {
            tracing::error!(user, why, "cannot look up a login");
            PgError::fatal(sqlstate::CANNOT_CONNECT_NOW, "cannot check the password at the moment")
        })?;
        let expired = stored.as_ref().is_some_and(|stored| stored.expired);
        let (verifier, password) = match stored.map(|stored| stored.password) {
            Some(StoredPassword::Scram(verifier)) => (verifier, None),
            Some(StoredPassword::Plain(password)) => {
                let made = self.shared.verifiers.of(user.as_bytes(), &password);
                (made.map_err(internal)?, Some(password))
            }
            Some(StoredPassword::Md5) => {
                tracing::error!(
                    user,
                    "the role has an md5 password, which is not supported: set it again with password_encryption = 'scram-sha-256'"
                );
                (self.shared.mock.verifier(user), None)
            }
            None => (self.shared.mock.verifier(user), None),
        };
        let keys = self.exchange(user, verifier, out, &wrong).await?;
        if expired {
            return Err(wrong().into());
        }
        Ok(password.map_or(Credentials::Keys(keys), Credentials::Password))
    }

    /// The SCRAM conversation. The outcome stays in `out`, to be sent with what follows.
    async fn exchange(
        &mut self,
        user: &str,
        verifier: Verifier,
        out: &mut BytesMut,
        wrong: &impl Fn() -> PgError,
    ) -> Result<pgsplit_auth::Keys, Refusal> {
        let binding = self.stream.as_ref().and_then(Stream::tls_server_end_point).cloned();
        let mut server = scram::Server::new(verifier, binding.as_deref());
        let refused = |error: pgsplit_auth::Error| match error {
            pgsplit_auth::Error::WrongPassword => Refusal::Error(wrong()),
            error => {
                let code = error.sqlstate().as_bytes().try_into().unwrap_or(sqlstate::INTERNAL_ERROR);
                Refusal::Error(PgError::fatal(code, error.to_string()))
            }
        };
        build::sasl(out, server.mechanisms());
        self.send(out).await?;
        let body = self.password_message().await?;
        let response = InitialResponse::parse(&body).map_err(refused)?;
        let first = match response.data {
            Some(data) => data.to_vec(),
            // The mechanism alone: the client's first message is asked for by an empty challenge.
            None => {
                build::sasl_continue(out, Vec::new());
                self.send(out).await?;
                self.password_message().await?
            }
        };
        let challenge = server.client_first(response.mechanism, &first).map_err(refused)?;
        build::sasl_continue(out, challenge);
        self.send(out).await?;
        let proof = self.password_message().await?;
        let (outcome, keys) = server.client_final(&proof).map_err(|error| {
            if error == pgsplit_auth::Error::WrongPassword {
                // It may have been changed since it was looked up: the next try asks again.
                self.shared.control.forget(user);
            }
            refused(error)
        })?;
        build::sasl_final(out, outcome);
        Ok(keys)
    }

    async fn send(&mut self, out: &mut BytesMut) -> Result<(), Refusal> {
        let stream = self.stream.as_mut().ok_or(Refusal::Gone)?;
        stream.write_all(out).await.map_err(|_| Refusal::Gone)?;
        out.clear();
        Ok(())
    }

    /// The body of the next message, which must be a password message.
    async fn password_message(&mut self) -> Result<Vec<u8>, Refusal> {
        let violation = |message: &str| Refusal::Error(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message));
        loop {
            if let Some(header) = Header::read(&self.inbox).map_err(|error| violation(&error.to_string()))? {
                if header.tag != b'p' {
                    return Err(violation(&format!(
                        "expected SASL response, got message type {}",
                        header.tag
                    )));
                }
                if header.body > MAX_PASSWORD_MESSAGE {
                    return Err(violation("password message is too long"));
                }
                if self.inbox.len() >= header.total() {
                    let frame = self.inbox.split_to(header.total());
                    return Ok(frame.get(HEADER..).unwrap_or_default().to_vec());
                }
            }
            let mut chunk = [0; 1024];
            let stream = self.stream.as_mut().ok_or(Refusal::Gone)?;
            match stream.read_some(&mut chunk).await {
                Ok(n) if n > 0 => self.inbox.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                _ => return Err(Refusal::Gone),
            }
        }
    }

    /// Opens a connection to the primary for this client alone.
    async fn replicate(
        &mut self,
        startup: &Startup,
        credentials: &Credentials,
        mut out: BytesMut,
    ) -> Result<Passage, Refusal> {
        let opened = passage::open(&self.shared, startup, credentials).await.map_err(refusal)?;
        let named = startup.settings.iter().find(|(name, _)| name.as_slice() == b"application_name");
        let application = named.map_or(&b""[..], |(_, value)| value);
        let handle = self.greet(startup, application, &opened.server.params, &mut out).await?;
        let client = self.stream.take().ok_or(Refusal::Gone)?;
        Ok(Passage::new(self.shared.clone(), client, handle, opened, std::mem::take(&mut self.inbox)))
    }

    /// AuthenticationOk, parameters, cancel key, ReadyForQuery. From here on whoever is given the client removes it from
    /// the registry.
    async fn greet(
        &mut self,
        startup: &Startup,
        application: &[u8],
        params: &Params,
        out: &mut BytesMut,
    ) -> Result<Arc<Client>, Refusal> {
        let handle = self.handle.clone().ok_or(Refusal::Gone)?;
        let [user, database, application] =
            [&startup.user, &startup.database, application].map(String::from_utf8_lossy);
        handle.set_identity(Identity::new(&user, &database, &application));
        build::authentication_ok(out);
        params.encode(out);
        build::key_data(out, handle.pid, handle.key(startup.minor));
        build::ready(out, Status::Idle);
        self.send(out).await?;
        self.handle = None;
        Ok(handle)
    }

    /// A session that is ready for its first statement.
    async fn welcome(
        &mut self,
        startup: &Startup,
        users: Arc<UserPools>,
        (base, own): (Arc<Settings>, Own),
        params: Arc<Params>,
        mut out: BytesMut,
    ) -> Result<Box<Session>, Refusal> {
        let database = String::from_utf8_lossy(&startup.database).into_owned();
        let application = base.get(b"application_name").unwrap_or_default();
        let handle = self.greet(startup, application, &params, &mut out).await?;
        Ok(Box::new(Session {
            catalog: self.shared.control.catalog(&database),
            settings: self.shared.settings.load_full(),
            shared: self.shared.clone(),
            client: self.stream.take().ok_or(Refusal::Gone)?,
            inbox: std::mem::take(&mut self.inbox),
            outbox: BytesMut::new(),
            scanned: 0,
            users,
            handle,
            state: State::new(Journal::new(base, own), params),
            link: None,
            open: false,
            skipping: false,
            discarded: false,
            unsettled: 0,
            judged: 0,
            suspected: 0,
            fatal: false,
            mentioned: Mentioned::default(),
            audience: None,
            last: None,
            begun: None,
            notice: None,
            failed: false,
            random: rand::random::<u32>() | 1,
            alarm: 0,
            recorder: self.shared.statistics.recorder(),
            database: self.shared.statistics.database(&database),
            tally: Tally::default(),
        }))
    }
}

fn internal(error: pgsplit_auth::Error) -> Refusal {
    Refusal::Error(PgError::fatal(sqlstate::INTERNAL_ERROR, error.to_string()))
}

/// The start-up parameters as settings, and pgsplit's own. Those in `options` come first, as in PostgreSQL
/// (`process_startup_options`).
fn base_settings(startup: &Startup, shared: &Shared) -> Result<(Arc<Settings>, Own), Refusal> {
    let options = startup.option_settings().map_err(|why| {
        PgError::fatal(*b"42601", why)
            .hint("Through pgsplit, options may only set parameters: -c name=value.")
    })?;
    let all = || options.iter().chain(&startup.settings);
    let is_own = |name: &[u8]| name.to_ascii_lowercase().starts_with(b"pgsplit.");
    let mut own = Own::default();
    for (name, value) in all().filter(|(name, _)| is_own(name)) {
        let (name, value) = (String::from_utf8_lossy(name).to_lowercase(), String::from_utf8_lossy(value));
        let set = own.set(&name, &value, |word| shared.knows_target(word));
        set.map_err(|error| PgError { severity: pgsplit_wire::Severity::Fatal, ..error })?;
    }
    let settings = all().filter(|(name, _)| !is_own(name)).map(|(name, value)| (&name[..], &value[..]));
    Ok((Settings::new(settings), own))
}

/// What a server reports for this user, database and start-up parameters. The first to come asks one, so that its
/// refusal is heard in its own words.
async fn reported(
    shared: &Shared,
    users: &Arc<UserPools>,
    base: &Arc<Settings>,
) -> Result<Arc<Params>, Refusal> {
    let (user, database) =
        [&users.key.user, &users.key.database].map(|name| String::from_utf8_lossy(name)).into();
    if let Some(standing) = shared.control.standing(&user, &database).await {
        users.renew(standing);
    }
    if let Some(params) = users.reported(base) {
        return Ok(params);
    }
    let view = shared.view.load_full();
    let replicas = view.nodes.iter().filter(|node| node.role == Role::Replica && node.state == NodeState::Up);
    let mut candidates: Vec<_> = view.primary.into_iter().chain(replicas.map(|node| node.id)).collect();
    // Nobody waits for one that does not answer while there are others.
    candidates.sort_by_key(|id| !view.node(*id).is_some_and(Node::answers));
    let mut last = CheckoutError::NoNode;
    for node in candidates {
        let Some(pool) = users.pool(node) else { continue };
        match pool.open_new(base).await {
            Ok(server) => {
                let params = server.params.clone();
                server.put_back();
                return Ok(params);
            }
            // A node that goes away in the middle of the login says so, too: another one may answer.
            Err(CheckoutError::Open(error @ OpenError::Refused { .. })) if !error.is_node_failure() => {
                return Err(refusal(error.into()));
            }
            Err(error) => last = error,
        }
    }
    Err(refusal(last))
}

/// What a client is told when no server lets it in: the server's own words, if it had any.
fn refusal(error: CheckoutError) -> Refusal {
    match error {
        CheckoutError::Open(OpenError::Refused { frame, .. }) => Refusal::Frame(BytesMut::from(&frame[..])),
        error => PgError { severity: pgsplit_wire::Severity::Fatal, ..error.to_pg() }.into(),
    }
}
