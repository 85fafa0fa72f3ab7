//! What several tests need: a time limit, a connection over a real socket, packets, and a small public key
//! infrastructure.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its own part of this")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgsplit_net::{
    AcceptError, AcceptLevel, ClientTls, ConnectLevel, ListenAddr, Listener, Opening, ServerTls, Stream,
    negotiate,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
pub const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
pub const STARTUP_BODY: &[u8] = b"\0\x03\0\0user\0alice\0database\0shop\0\0";

/// No test may take longer.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("the test hangs")
}

/// A packet of the start-up phase: its length, then `body`.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes(), body].concat()
}

pub fn startup() -> Vec<u8> {
    packet(STARTUP_BODY)
}

pub fn listen() -> Listener {
    Listener::bind(&ListenAddr::Tcp("127.0.0.1:0".parse().unwrap()), false).unwrap()
}

pub fn address(listener: &Listener) -> SocketAddr {
    match listener.local_addr() {
        ListenAddr::Tcp(address) => *address,
        ListenAddr::Unix { .. } => panic!("not TCP"),
    }
}

/// A client's raw socket and the accepted stream.
pub async fn pair() -> (TcpStream, Stream) {
    let mut listener = listen();
    let client = TcpStream::connect(address(&listener)).await.unwrap();
    (client, listener.accept().await.unwrap())
}

/// The client's socket, and the negotiation that runs beside it.
pub struct Door {
    pub client: TcpStream,
    pub opening: tokio::task::JoinHandle<Result<Opening, AcceptError>>,
}

impl Door {
    pub async fn open(tls: &ServerTls) -> Door {
        let (client, stream) = pair().await;
        let tls = tls.clone();
        Door { client, opening: tokio::spawn(async move { negotiate(stream, &tls).await }) }
    }

    pub async fn answer(&mut self) -> u8 {
        self.client.read_u8().await.unwrap()
    }

    pub async fn outcome(self) -> Result<Opening, AcceptError> {
        self.opening.await.unwrap()
    }

    /// The SQLSTATE and the message that the client is refused with.
    pub async fn refusal(self) -> (&'static str, String) {
        match self.opening.await.unwrap() {
            Err(AcceptError::Refused(refusal)) => (refusal.sqlstate, refusal.message),
            other => panic!("not refused: {other:?}"),
        }
    }
}

pub fn started(outcome: Result<Opening, AcceptError>) -> (Stream, Vec<u8>, bool) {
    match outcome {
        Ok(Opening::Startup { stream, bytes, direct_tls }) => (stream, bytes, direct_tls),
        other => panic!("no start-up: {other:?}"),
    }
}

/// A certificate and its key in files.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A CA with certificates for a server and a client, all in a directory of its own.
pub struct Pki {
    pub dir: TempDir,
    pub ca: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Pki {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        let ca = dir.path().join("ca.crt");
        std::fs::write(&ca, issuer.pem()).unwrap();
        Pki { dir, ca, issuer }
    }

    /// A certificate for a name, changed as wanted before it is signed.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.dir.path().join(format!("{name}.{end}"));
        std::fs::write(file("crt"), signed.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        Identity { certificate: file("crt"), key: file("key") }
    }

    /// Serves as `localhost`; clients' certificates are asked for if `verify` is set.
    pub fn server(&self, level: AcceptLevel, verify: bool) -> ServerTls {
        let own = self.issue("localhost", |_| {});
        let ca = verify.then_some(self.ca.as_path());
        ServerTls::load(level, Some(&own.certificate), Some(&own.key), ca).unwrap()
    }

    pub fn client(&self, level: ConnectLevel, own: Option<&Identity>) -> ClientTls {
        let certificate = own.map(|own| own.certificate.as_path());
        ClientTls::load(level, Some(&self.ca), certificate, own.map(|own| own.key.as_path())).unwrap()
    }
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}
