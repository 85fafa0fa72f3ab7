//! Opening a server connection: connect, log in as the client's own user, up to the first ReadyForQuery.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use pgsplit_auth::scram::{Client, Credential};
use pgsplit_auth::{Keys, Secret, cleartext_body, mechanism_names};
use pgsplit_net::{ConnectTarget, Stream, connect};
use pgsplit_route::Node;
use pgsplit_wire::backend::{Authentication, authentication, key_data, parameter};
use pgsplit_wire::startup::PROTOCOL_3_0;
use pgsplit_wire::{HEADER, Header, build};

use crate::cancel::{CancelTarget, host_of};
use crate::error::OpenError;
use crate::listing::Connection;
use crate::params::Params;
use crate::server::Parts;
use crate::settings::Settings;
use crate::users::{Environment, UserPools};

/// What a server is shown. No plaintext password is needed: the keys come from the client's own login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing: the server must trust this side.
    None,
    /// ClientKey and ServerKey won from the client's login.
    Keys(Keys),
    /// A configured password.
    Password(Secret),
}

/// Keys derived from configured passwords.
#[derive(Debug, Clone)]
pub(crate) struct KeyCache(Arc<pgsplit_auth::KeyCache>);

impl Default for KeyCache {
    fn default() -> Self {
        Self(Arc::new(pgsplit_auth::KeyCache::new(1024)))
    }
}

/// The longest message that a server sends during a login.
const MAX_LOGIN_MESSAGE: usize = 64 * 1024;

/// Opens a connection to `node` that starts with the settings `base`.
pub(crate) async fn open(
    environment: &Environment,
    users: &UserPools,
    node: &Node,
    generation: u64,
    base: Arc<Settings>,
) -> Result<Parts, OpenError> {
    let settings = environment.settings.load_full();
    let (credentials, era) = (users.credentials(), users.era());
    let who = Who { user: &users.key.user, credentials: &credentials };
    let pairs = [(&b"user"[..], &users.key.user[..]), (&b"database"[..], &users.key.database[..])];
    let pairs: Vec<_> = pairs.into_iter().chain(base.iter()).collect();
    let Opened { mut stream, params, cancel } = log_in(environment, who, node, &pairs).await?;
    if settings.asks_search_path && base.get(b"search_path").is_none() {
        let (asked, path) = within(settings.connect, &node.name, search_path(stream, &node.name)).await?;
        users.set_search_path(path, era);
        stream = asked;
    }
    let params = users.set_reported(&base, params, era);
    let shown = Connection::new(node.id, users.key.clone(), cancel.pid());
    environment.listing.enter(&shown);
    Ok(Parts {
        stream,
        node: node.id,
        cancel,
        params,
        base,
        generation,
        era,
        expires: expiry(settings.lifetime),
        prepared: settings.prepared_statements,
        shown,
        outstanding: node.outstanding.clone(),
        // Now that it is open: a question that is asked from here on is answered by the same life of the server.
        opened: node.progress.opened(),
    })
}

/// The search_path that a new connection has.
async fn search_path(stream: Stream, node: &str) -> Result<(Stream, String), OpenError> {
    let mut talk = Talk { stream, inbox: BytesMut::new(), node };
    let mut out = BytesMut::new();
    build::query(&mut out, b"SELECT pg_catalog.current_setting('search_path')");
    talk.send(&out).await?;
    let mut path = String::new();
    loop {
        match talk.next().await? {
            // One column: its number and its length come before it.
            (b'D', frame) => {
                let value = frame.get(HEADER + 6..).unwrap_or_default();
                path = String::from_utf8_lossy(value).into_owned();
            }
            (b'Z', _) => return Ok((talk.stream, path)),
            (b'T' | b'C' | b'S', _) => {}
            _ => return Err(talk.protocol("unexpected answer to a question")),
        }
    }
}

/// A tenth of jitter keeps connections that were opened together from ending together.
fn expiry(lifetime: Option<Duration>) -> Instant {
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);
    let lifetime = lifetime.map_or(FOREVER, |most| most.mul_f64(rand::random_range(0.9..1.0)));
    Instant::now() + lifetime
}

/// A connection that has just logged in.
#[derive(Debug)]
pub(crate) struct Opened {
    pub stream: Stream,
    pub params: Params,
    pub cancel: CancelTarget,
}

/// Who logs in, and how that is proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub user: &'a [u8],
    pub credentials: &'a Credentials,
}

/// Connects and logs in with these start-up parameters, within `timeouts.connect`.
pub(crate) async fn log_in(
    environment: &Environment,
    who: Who<'_>,
    node: &Node,
    pairs: &[(&[u8], &[u8])],
) -> Result<Opened, OpenError> {
    let most = environment.settings.load().connect;
    within(most, &node.name, attempt(environment, who, node, pairs, most)).await
}

/// What comes of a part of the login, within `timeouts.connect`.
async fn within<T>(
    most: Duration,
    node: &str,
    part: impl Future<Output = Result<T, OpenError>>,
) -> Result<T, OpenError> {
    tokio::time::timeout(most, part).await.unwrap_or_else(|_| {
        Err(OpenError::Unreachable {
            node: node.to_owned(),
            why: format!("no answer within timeouts.connect ({most:?})"),
        })
    })
}

async fn attempt(
    environment: &Environment,
    who: Who<'_>,
    node: &Node,
    pairs: &[(&[u8], &[u8])],
    most: Duration,
) -> Result<Opened, OpenError> {
    // Only the address that the control plane uses: another one may be another server, of which nothing is known.
    let addresses = node.resolved.get(..1).unwrap_or_default();
    let target = ConnectTarget::Tcp { addresses, host: host_of(&node.address) };
    let tls = environment.tls.load_full();
    let stream = connect(target, &tls, most)
        .await
        .map_err(|error| OpenError::Unreachable { node: node.name.to_string(), why: error.to_string() })?;
    let mut talk = Talk { stream, inbox: BytesMut::new(), node: &node.name };
    let mut out = BytesMut::new();
    build::startup(&mut out, PROTOCOL_3_0, pairs.iter().copied());
    talk.send(&out).await?;
    talk.authenticate(environment, who).await?;
    talk.until_ready(node).await
}

/// The conversation of one login.
struct Talk<'a> {
    stream: Stream,
    inbox: BytesMut,
    node: &'a str,
}

impl Talk<'_> {
    fn protocol(&self, why: &'static str) -> OpenError {
        OpenError::Protocol { node: self.node.to_owned(), why }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.stream.write_all(bytes).await.map_err(|error| OpenError::unreachable(self.node, &error))
    }

    async fn password(&mut self, body: &[u8]) -> Result<(), OpenError> {
        let mut out = BytesMut::new();
        build::password(&mut out, body);
        self.send(&out).await
    }

    /// The next message but notices: its type, and the whole frame.
    async fn next(&mut self) -> Result<(u8, Bytes), OpenError> {
        loop {
            let header = Header::read(&self.inbox).map_err(|_| self.protocol("impossible message length"))?;
            if let Some(header) = header {
                if header.body > MAX_LOGIN_MESSAGE {
                    return Err(self.protocol("a message of the login is too long"));
                }
                if self.inbox.len() >= header.total() {
                    let frame = self.inbox.split_to(header.total()).freeze();
                    match header.tag {
                        b'N' => continue,
                        b'E' => return Err(OpenError::Refused { node: self.node.to_owned(), frame }),
                        tag => return Ok((tag, frame)),
                    }
                }
            }
            let mut chunk = [0; 4096];
            match self.stream.read_some(&mut chunk).await {
                Ok(0) => {
                    return Err(OpenError::unreachable(self.node, &std::io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(n) => self.inbox.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                Err(error) => return Err(OpenError::unreachable(self.node, &error)),
            }
        }
    }

    async fn authenticate(&mut self, environment: &Environment, who: Who<'_>) -> Result<(), OpenError> {
        let node = self.node.to_owned();
        let lacks = |why: String| OpenError::Credentials { node: node.clone(), why };
        let mut scram: Option<Client> = None;
        let mut proved = false;
        loop {
            let (tag, frame) = self.next().await?;
            let request =
                (tag == b'R').then(|| authentication(frame.get(HEADER..).unwrap_or_default())).flatten();
            match request.ok_or_else(|| self.protocol("expected an authentication request"))? {
                Authentication::Ok if scram.is_none() || proved => return Ok(()),
                Authentication::Ok => return Err(self.protocol("the server accepted a login that it did not check")),
                Authentication::Cleartext => match who.credentials {
                    Credentials::Password(password) => {
                        let body = cleartext_body(password).map_err(|error| lacks(error.to_string()))?;
                        self.password(&body).await?;
                    }
                    _ => return Err(lacks("it asks for the password itself; use scram-sha-256 in its pg_hba.conf, or give the password in auth.users".into())),
                },
                Authentication::Sasl(offered) => {
                    let credential = credential(who, environment)
                        .ok_or_else(|| lacks("it asks for SCRAM, but the client was let in without a password; set auth.method = \"scram-sha-256\", or give the password in auth.users".into()))?;
                    let binding = self.stream.tls_server_end_point().cloned();
                    let mut client = Client::new(credential, binding.as_deref());
                    let (mechanism, first) = client
                        .start(&mechanism_names(offered))
                        .map_err(|error| lacks(error.to_string()))?;
                    scram = Some(client);
                    let mut out = BytesMut::new();
                    build::sasl_initial(&mut out, mechanism, &first);
                    self.send(&out).await?;
                }
                Authentication::SaslContinue(data) => {
                    let client = scram.as_mut().ok_or_else(|| self.protocol("SASL challenge out of order"))?;
                    let proof = client.server_first(data).map_err(|error| lacks(error.to_string()))?;
                    self.password(&proof).await?;
                }
                Authentication::SaslFinal(data) => {
                    let client = scram.as_mut().ok_or_else(|| self.protocol("SASL outcome out of order"))?;
                    client.server_final(data).map_err(|error| lacks(error.to_string()))?;
                    proved = true;
                }
                Authentication::Md5 => return Err(lacks("md5 passwords are not supported: set the password again with password_encryption = 'scram-sha-256', and use scram-sha-256 in pg_hba.conf".into())),
                Authentication::Other(code) => return Err(lacks(format!("it asks for authentication method {code}, which is not supported; use scram-sha-256 in its pg_hba.conf"))),
            }
        }
    }

    /// Everything behind AuthenticationOk, up to ReadyForQuery.
    async fn until_ready(mut self, node: &Node) -> Result<Opened, OpenError> {
        let mut params = Params::default();
        let mut cancel = None;
        loop {
            let (tag, frame) = self.next().await?;
            let body = frame.slice(HEADER..);
            match tag {
                b'S' => {
                    let (name, value) =
                        parameter(&body).ok_or_else(|| self.protocol("malformed ParameterStatus"))?;
                    params.set(name, value);
                }
                b'K' => {
                    let (pid, key) =
                        key_data(&body).ok_or_else(|| self.protocol("malformed BackendKeyData"))?;
                    cancel = Some(CancelTarget::new(node, pid, key));
                }
                b'Z' if !self.inbox.has_remaining() => {
                    // Some poolers between give no key; then there is nothing to cancel with.
                    let cancel = cancel.unwrap_or_else(|| CancelTarget::new(node, 0, &[0; 4]));
                    return Ok(Opened { stream: self.stream, params, cancel });
                }
                _ => return Err(self.protocol("unexpected message after the login")),
            }
        }
    }
}

fn credential(who: Who<'_>, environment: &Environment) -> Option<Credential> {
    match who.credentials {
        Credentials::None => None,
        Credentials::Keys(keys) => Some(Credential::Keys(keys.clone())),
        Credentials::Password(password) => Some(Credential::Password {
            user: String::from_utf8_lossy(who.user).into_owned(),
            password: password.clone(),
            cache: environment.keys.0.clone(),
        }),
    }
}
