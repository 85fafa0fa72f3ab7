//! Our client against a real PostgreSQL over a Unix socket, and our verifiers inside it. Passes without doing
//! anything where no PostgreSQL is installed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pgsplit_auth::scram::{Client, Credential, Server};
use pgsplit_auth::{
    Error, InitialResponse, KeyCache, Keys, Secret, StoredPassword, Verifier, mechanism_names,
};

const ADMIN: &str = "admin's secret";

/// A server in a folder of its own; stopped and removed on drop.
struct Postgres {
    folder: tempfile::TempDir,
    binaries: PathBuf,
    /// PostgreSQL refuses to run as root.
    unprivileged: Option<(u32, u32)>,
}

impl Postgres {
    fn start() -> Option<Self> {
        let binaries = binaries()?;
        let folder = tempfile::tempdir().unwrap();
        let unprivileged = id("-u", None).filter(|own| *own == 0).map(|_| {
            (id("-u", Some("postgres")).unwrap_or_default(), id("-g", Some("postgres")).unwrap_or_default())
        });
        if let Some((user, group)) = unprivileged {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let postgres = Self { folder, binaries, unprivileged };
        std::fs::write(postgres.path("pw"), ADMIN).unwrap();
        let (data, pw) = (postgres.path("data"), postgres.path("pw"));
        let [data, pw] = [&data, &pw].map(|path| path.to_str().unwrap());
        postgres.run(
            "initdb",
            &["-D", data, "-U", "admin", "-A", "scram-sha-256", "--pwfile", pw, "-N", "-E", "UTF8"],
        );
        let options = format!("-k {} -c listen_addresses='' -c fsync=off", postgres.folder.path().display());
        let log = postgres.path("log");
        postgres.run(
            "pg_ctl",
            &["start", "-w", "-t", "60", "-D", data, "-l", log.to_str().unwrap(), "-o", &options],
        );
        Some(postgres)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.binaries.join(program));
        command
            .args(arguments)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("LC_ALL", "C");
        if let Some((user, group)) = self.unprivileged {
            command.uid(user).gid(group);
        }
        assert!(command.status().unwrap().success(), "{program} {arguments:?}");
    }

    fn login(&self, user: &str, credential: Credential) -> Result<Connection, Failure> {
        Connection::open(&self.path(".s.PGSQL.5432"), user, credential)
    }

    fn admin(&self) -> Connection {
        self.login("admin", password(ADMIN)).unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.path("data");
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", data.to_str().unwrap_or_default()]);
    }
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(Result::ok).map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

fn id(what: &str, user: Option<&str>) -> Option<u32> {
    let output = Command::new("id").arg(what).args(user).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn password(password: impl AsRef<[u8]>) -> Credential {
    let cache = Arc::new(KeyCache::new(8));
    Credential::Password { user: "any".to_owned(), password: Secret::new(password), cache }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Sqlstate(String),
    Ours(Error),
}

/// Just enough of the protocol to log in and to run a query.
struct Connection(UnixStream);

impl Connection {
    fn open(socket: &Path, user: &str, credential: Credential) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connection = Self(stream);
        let parameters = format!("user\0{user}\0database\0postgres\0\0");
        let body = [&0x0003_0000_u32.to_be_bytes(), parameters.as_bytes()].concat();
        connection.0.write_all(&[&(body.len() as u32 + 4).to_be_bytes(), &body[..]].concat()).unwrap();
        connection.authenticate(&mut Client::new(credential, None))?;
        connection.until_ready()?;
        Ok(connection)
    }

    fn authenticate(&mut self, client: &mut Client) -> Result<(), Failure> {
        loop {
            let (tag, body) = self.receive();
            if tag == b'E' {
                return Err(Failure::Sqlstate(sqlstate(&body)));
            }
            assert_eq!(tag, b'R');
            let (code, data) = body.split_at(4);
            match code {
                [0, 0, 0, 10] => {
                    let (mechanism, first) = client.start(&mechanism_names(data)).map_err(Failure::Ours)?;
                    self.send(b'p', &InitialResponse::body(mechanism, &first));
                }
                [0, 0, 0, 11] => {
                    let answer = client.server_first(data).map_err(Failure::Ours)?;
                    self.send(b'p', &answer);
                }
                [0, 0, 0, 12] => client.server_final(data).map_err(Failure::Ours)?,
                [0, 0, 0, 0] => {
                    assert!(client.is_verified());
                    return Ok(());
                }
                other => panic!("authentication request {other:?}"),
            }
        }
    }

    /// The first column of the last row.
    fn query(&mut self, text: &str) -> Result<String, Failure> {
        self.send(b'Q', &[text.as_bytes(), &[0]].concat());
        self.until_ready()
    }

    fn until_ready(&mut self) -> Result<String, Failure> {
        let mut result = Ok(String::new());
        loop {
            match self.receive() {
                (b'Z', _) => return result,
                (b'E', body) => result = Err(Failure::Sqlstate(sqlstate(&body))),
                (b'D', body) => result = Ok(String::from_utf8_lossy(&body[6..]).into_owned()),
                _ => {}
            }
        }
    }

    fn send(&mut self, tag: u8, body: &[u8]) {
        self.0.write_all(&[&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 5];
        self.0.read_exact(&mut header).unwrap();
        let [tag, length @ ..] = header;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        self.0.read_exact(&mut body).unwrap();
        (tag, body)
    }
}

fn sqlstate(body: &[u8]) -> String {
    let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
    String::from_utf8_lossy(code.unwrap_or_default()).into_owned()
}

/// The keys that a client's own login at our server gives away.
fn keys_of_a_login(verifier: Verifier, given: &str) -> Result<Keys, Error> {
    let mut server = Server::new(verifier, None);
    let mut client = Client::new(password(given), None);
    let (mechanism, first) = client.start(server.mechanisms())?;
    let challenge = server.client_first(mechanism, &first)?;
    server.client_final(&client.server_first(&challenge)?).map(|(_, keys)| keys)
}

#[test]
fn a_real_server() {
    let Some(postgres) = Postgres::start() else { return };
    let mut admin = postgres.admin();
    let mut create = |name: &str, stored: &str| {
        admin.query(&format!("CREATE ROLE {name} LOGIN PASSWORD '{stored}'")).map(|_| ()).unwrap();
        let stored =
            admin.query(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'")).unwrap();
        StoredPassword::parse(&stored).unwrap()
    };

    // Passwords that PostgreSQL hashes: ours must be the same.
    let passwords = [
        "pencil",
        "with blanks",
        "I\u{AD}X",
        "\u{AD}",
        "\u{2168}\u{A0}x",
        "p\u{e4}ss",
        "\u{7}",
        "\u{627}1",
        "x\u{E000}",
    ];
    for (i, text) in passwords.iter().enumerate() {
        let name = format!("hashed{i}");
        let StoredPassword::Scram(verifier) = create(&name, text) else { panic!("{name} has no verifier") };
        assert!(postgres.login(&name, password(text)).is_ok(), "{text:?}");
        let wrong = postgres.login(&name, password("another")).err();
        assert_eq!(wrong, Some(Failure::Sqlstate("28P01".to_owned())));

        // The verifier from the catalog, a client's login at our server, and with its keys on to PostgreSQL.
        let keys = keys_of_a_login(verifier, text).unwrap();
        assert!(postgres.login(&name, Credential::Keys(keys)).is_ok(), "{text:?}");
    }

    // A verifier of our own, stored by PostgreSQL as it is.
    let ours = Verifier::from_password(&Secret::new("pencil")).unwrap();
    let text = String::from_utf8(ours.to_text().expose().to_vec()).unwrap();
    assert_eq!(create("ours", &text), StoredPassword::Scram(ours.clone()));
    assert!(postgres.login("ours", password("pencil")).is_ok());

    // Keys are of no use for another role of the same password, and a wrong key is refused by the server.
    let keys = keys_of_a_login(ours, "pencil").unwrap();
    let elsewhere = postgres.login("hashed0", Credential::Keys(keys.clone())).err();
    assert_eq!(elsewhere, Some(Failure::Ours(Error::DifferentVerifier)));
    let forged = Keys { client_key: [7; 32], ..keys };
    let refused = postgres.login("ours", Credential::Keys(forged)).err();
    assert_eq!(refused, Some(Failure::Sqlstate("28P01".to_owned())));
}
