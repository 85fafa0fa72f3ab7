//! The first packet of a connection, which has no type byte: protocol version and parameters, or a cancel request.
//! (`SSLRequest` and `GSSENCRequest` are answered before, by `pgsplit-net`.)

use thiserror::Error;

use crate::sqlstate::SqlState;

/// The code of a CancelRequest in place of a protocol version.
pub const CANCEL: i32 = 80_877_102;
/// Protocol 3.0.
pub const PROTOCOL_3_0: i32 = 196_608;
/// Protocol 3.2, the newest spoken (cancel keys of up to 256 bytes).
pub const PROTOCOL_3_2: i32 = 196_610;

/// Longer names of roles and databases are cut off silently (`NAMEDATALEN` less the terminator).
const LONGEST_NAME: usize = 63;

/// Name and value of a setting, as the client wrote them.
pub type Setting = (Vec<u8>, Vec<u8>);

/// Why a start-up packet is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartupError {
    /// Not laid out as the protocol says.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// Another major version.
    #[error("unsupported frontend protocol {0}.{1}: server supports 3.0 to 3.2")]
    Version(u16, u16),
    /// No `user`.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// `replication` is something else than a boolean or `database`.
    #[error("invalid value for parameter \"replication\": \"{0}\"")]
    Replication(String),
}

impl StartupError {
    /// The SQLSTATE that PostgreSQL gives in the same case.
    #[must_use]
    pub fn sqlstate(&self) -> SqlState {
        match self {
            Self::Layout => crate::sqlstate::PROTOCOL_VIOLATION,
            Self::Version(..) => crate::sqlstate::FEATURE_NOT_SUPPORTED,
            Self::NoUser => crate::sqlstate::INVALID_AUTHORIZATION,
            Self::Replication(_) => crate::sqlstate::INVALID_PARAMETER_VALUE,
        }
    }

    /// What PostgreSQL advises in the same case.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Replication(_) => Some("Valid values are: \"false\", 0, \"true\", 1, \"database\"."),
            _ => None,
        }
    }
}

/// What a client speaks on its connection: SQL, or the streaming replication protocol too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replication {
    /// SQL alone.
    #[default]
    No,
    /// Replication commands for the whole cluster; the connection has no database.
    Physical,
    /// Replication commands and SQL in a database, for logical decoding.
    Database,
}

impl Replication {
    /// The value of the parameter `replication`; a boolean is spelt as in `parse_bool` (bool.c).
    fn read(value: &[u8]) -> Result<Self, StartupError> {
        let lower = value.to_ascii_lowercase();
        let begins = |word: &str, least: usize| lower.len() >= least && word.as_bytes().starts_with(&lower);
        match &lower[..] {
            _ if value == b"database" => Ok(Self::Database),
            b"1" => Ok(Self::Physical),
            b"0" => Ok(Self::No),
            _ if begins("true", 1) || begins("yes", 1) || begins("on", 2) => Ok(Self::Physical),
            _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Ok(Self::No),
            _ => Err(StartupError::Replication(String::from_utf8_lossy(value).into_owned())),
        }
    }

    /// The value for a server.
    #[must_use]
    pub fn value(self) -> &'static [u8] {
        match self {
            Self::No => b"false",
            Self::Physical => b"true",
            Self::Database => b"database",
        }
    }
}

/// A StartupMessage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    /// Minor version that both sides speak from now on: 0 or 2.
    pub minor: u16,
    /// The client asked for a newer minor version, or for `_pq_.` options: answer NegotiateProtocolVersion.
    pub negotiate: bool,
    /// The `_pq_.` options asked for; none is known.
    pub unknown_options: Vec<Vec<u8>>,
    /// Role name, not empty.
    pub user: Vec<u8>,
    /// Database name, the user's name when the client named none.
    pub database: Vec<u8>,
    /// `options`, command-line style.
    pub options: Vec<u8>,
    /// Whether it is a replication connection.
    pub replication: Replication,
    /// All other parameters, in order: settings of the session.
    pub settings: Vec<Setting>,
}

impl Startup {
    /// Reads the packet without its length field.
    ///
    /// # Errors
    /// As PostgreSQL's `ProcessStartupPacket` (backend_startup.c, formerly postmaster.c).
    pub fn read(packet: &[u8]) -> Result<Self, StartupError> {
        let (version, pairs) = packet.split_first_chunk::<4>().ok_or(StartupError::Layout)?;
        let version = i32::from_be_bytes(*version);
        let [major, minor] = [version >> 16, version & 0xFFFF].map(|half| u16::try_from(half).unwrap_or(0));
        if major != 3 {
            return Err(StartupError::Version(major, minor));
        }
        let mut startup = Self {
            minor: if minor >= 2 { 2 } else { 0 },
            negotiate: minor == 1 || minor > 2,
            unknown_options: Vec::new(),
            user: Vec::new(),
            database: Vec::new(),
            options: Vec::new(),
            replication: Replication::No,
            settings: Vec::new(),
        };
        startup.read_pairs(pairs)?;
        if startup.user.is_empty() {
            return Err(StartupError::NoUser);
        }
        startup.user.truncate(LONGEST_NAME);
        startup.database.truncate(LONGEST_NAME);
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        Ok(startup)
    }

    fn read_pairs(&mut self, pairs: &[u8]) -> Result<(), StartupError> {
        let body = pairs.strip_suffix(&[0]).ok_or(StartupError::Layout)?;
        let mut parts = body.split(|&b| b == 0);
        loop {
            let name = parts.next().ok_or(StartupError::Layout)?;
            if name.is_empty() {
                break;
            }
            let value = parts.next().ok_or(StartupError::Layout)?.to_vec();
            match name {
                b"user" => self.user = value,
                b"database" => self.database = value,
                b"options" => self.options = value,
                b"replication" => self.replication = Replication::read(&value)?,
                _ if name.starts_with(b"_pq_.") => {
                    self.negotiate = true;
                    self.unknown_options.push(name.to_vec());
                }
                _ => self.settings.push((name.to_vec(), value)),
            }
        }
        if parts.next().is_some() {
            return Err(StartupError::Layout);
        }
        Ok(())
    }

    /// The settings that `options` asks for (`-c name=value`, `--name=value`), in order, or the part that is not
    /// such a setting. A backslash escapes the next character, as in PostgreSQL's `pg_split_opts`.
    ///
    /// # Errors
    /// What PostgreSQL says of the first word that is not such a setting (`process_postgres_switches` in postgres.c).
    pub fn option_settings(&self) -> Result<Vec<Setting>, String> {
        let strange = |word: &[u8]| {
            format!("invalid command-line argument for server process: {}", String::from_utf8_lossy(word))
        };
        let mut words = split_words(&self.options).into_iter();
        let mut settings = Vec::new();
        while let Some(word) = words.next() {
            let (switch, assignment) = if word == b"-c" {
                ("-c ", words.next().ok_or_else(|| strange(&word))?)
            } else if let Some(rest) = word.strip_prefix(b"-c") {
                ("-c ", rest.to_vec())
            } else if let Some(rest) = word.strip_prefix(b"--") {
                ("--", rest.to_vec())
            } else {
                return Err(strange(&word));
            };
            let Some(at) = assignment.iter().position(|&b| b == b'=') else {
                return Err(format!("{switch}{} requires a value", String::from_utf8_lossy(&assignment)));
            };
            let (name, value) = assignment.split_at(at);
            let name = name.iter().map(|&b| if b == b'-' { b'_' } else { b }).collect();
            settings.push((name, value.get(1..).unwrap_or_default().to_vec()));
        }
        Ok(settings)
    }
}

fn split_words(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = options.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => words.extend(word.take()),
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            _ => word.get_or_insert_default().push(b),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_packets() {
        let startup = Startup::read(b"\0\x03\0\0user\0u\0application_name\0\0\0").unwrap();
        assert_eq!((startup.user.as_slice(), startup.database.as_slice()), (&b"u"[..], &b"u"[..]));
        assert_eq!(startup.settings, [(b"application_name".to_vec(), b"".to_vec())]);
        assert!(!startup.negotiate);
        let newer = Startup::read(b"\0\x03\x27\x0fuser\0u\0_pq_.x\0y\0\0").unwrap();
        assert_eq!((newer.minor, newer.negotiate, newer.unknown_options.len()), (2, true, 1));
        assert_eq!(Startup::read(b"\0\x02\0\0"), Err(StartupError::Version(2, 0)));
        assert_eq!(Startup::read(b"\0\x03\0\0user\0u"), Err(StartupError::Layout));
        assert_eq!(Startup::read(b"\0\x03\0\0user\0u\0"), Err(StartupError::Layout));
        assert_eq!(Startup::read(b"\0\x03\0\0\0"), Err(StartupError::NoUser));
        assert_eq!(Startup::read(b""), Err(StartupError::Layout));
    }

    #[test]
    fn reads_replication() {
        let read = |value: &str| {
            let packet = [b"\0\x03\0\0user\0u\0replication\0", value.as_bytes(), b"\0\0"].concat();
            Startup::read(&packet).map(|startup| startup.replication)
        };
        for value in ["true", "TR", "on", "1", "yes", "y"] {
            assert_eq!(read(value), Ok(Replication::Physical), "{value}");
        }
        for value in ["false", "of", "0", "n"] {
            assert_eq!(read(value), Ok(Replication::No), "{value}");
        }
        assert_eq!(read("database"), Ok(Replication::Database));
        for value in ["o", "", "DATABASE", "trues", "2"] {
            assert_eq!(read(value), Err(StartupError::Replication(value.to_owned())));
        }
    }

    #[test]
    fn reads_options() {
        let mut startup = Startup::read(b"\0\x03\0\0user\0u\0\0").unwrap();
        startup.options = br"-c a=b\ c --search-path=x,y  -cd=e".to_vec();
        let settings = startup.option_settings().unwrap();
        let text: Vec<_> = settings
            .iter()
            .map(|(n, v)| format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
            .collect();
        assert_eq!(text, ["a=b c", "search_path=x,y", "d=e"]);
        startup.options = b"-B 5".to_vec();
        let strange = startup.option_settings().unwrap_err();
        assert_eq!(strange, "invalid command-line argument for server process: -B");
        startup.options = b"-c work_mem".to_vec();
        assert_eq!(startup.option_settings().unwrap_err(), "-c work_mem requires a value");
    }
}
