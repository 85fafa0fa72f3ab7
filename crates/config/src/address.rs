//! Where to listen, and where a server is.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// PostgreSQL's port, for a node that names none.
const POSTGRES_PORT: u16 = 5432;

/// An address that could not be read; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// A host (name or IP address, without brackets) and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// DNS name, IPv4 or IPv6 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, `[v6]:port`, or a bare host when there is a port to assume.
    fn parse(text: &str, assumed_port: Option<u16>) -> Result<Self, AddressError> {
        let fail = |why: &str| AddressError(format!("`{text}` is not an address: {why}"));
        let (host, port) = split_host(text).map_err(fail)?;
        let port = match (port, assumed_port) {
            (Some(port), _) => port.parse().map_err(|_| fail("the port must be a number up to 65535"))?,
            (None, Some(port)) => port,
            (None, None) => return Err(fail("expected host:port")),
        };
        let valid = |c: char| c.is_ascii_alphanumeric() || "-_.:%*".contains(c);
        if host.is_empty() || !host.chars().all(valid) {
            return Err(fail("expected a host name or an IP address before the port"));
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Whether the host is this machine's loopback by its text; names other than `localhost` are not looked up.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// The host without brackets and the text of the port, if there is one.
fn split_host(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("expected `:port` after the bracket"),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address needs brackets, as in [::1]:5432"),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// A server's address; without a port it is 5432.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text, Some(POSTGRES_PORT))?;
        if address.port == 0 || address.host == "*" {
            return Err(AddressError(format!("`{text}` is not the address of a server")));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where to accept connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// `host:port`; `*` is every address, and port 0 is any free port.
    Tcp(Address),
    /// `unix:/directory`: the socket is `.s.PGSQL.<port>` in it, as PostgreSQL's clients expect, with the
    /// port of the first TCP address beside it, or 6432.
    Unix {
        /// The directory.
        directory: PathBuf,
    },
}

impl Listen {
    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl FromStr for Listen {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(directory) = text.strip_prefix("unix:") else {
            return Address::parse(text, None).map(Self::Tcp);
        };
        if !directory.starts_with('/') {
            return Err(AddressError(format!(
                "`{text}` must name a directory by its whole path: unix:/run/pgsplit"
            )));
        }
        Ok(Self::Unix { directory: PathBuf::from(directory) })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { directory } => write!(f, "unix:{}", directory.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor("an address such as \"10.0.0.1:5432\"", PhantomData))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor("an address such as \"0.0.0.0:6432\"", PhantomData))
    }
}

/// Parses inside the visitor, and not after `String::deserialize`, so that the error has the value's place.
struct TextVisitor<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = AddressError>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        for (text, shown) in [
            ("10.0.0.1:5432", "10.0.0.1:5432"),
            ("db1.internal", "db1.internal:5432"),
            ("[::1]:6000", "[::1]:6000"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:5432"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for (text, local) in
            [("0.0.0.0:6432", false), ("*:6432", false), ("127.0.0.1:0", true), ("unix:/run/pgsplit", true)]
        {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_local()), (text, local));
        }
    }

    #[test]
    fn bad_addresses() {
        for (text, message) in [
            ("", "`` is not an address: expected a host name or an IP address before the port"),
            (":5432", "`:5432` is not an address: expected a host name or an IP address before the port"),
            ("db1:54321234", "`db1:54321234` is not an address: the port must be a number up to 65535"),
            ("::1", "`::1` is not an address: an IPv6 address needs brackets, as in [::1]:5432"),
            ("[::1", "`[::1` is not an address: the bracket of the IPv6 address is not closed"),
            ("db 1", "`db 1` is not an address: expected a host name or an IP address before the port"),
            ("db1:0", "`db1:0` is not the address of a server"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err().to_string(), message);
        }
        for (text, message) in [
            ("0.0.0.0", "`0.0.0.0` is not an address: expected host:port"),
            ("unix:run", "`unix:run` must name a directory by its whole path: unix:/run/pgsplit"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap_err().to_string(), message);
        }
    }
}
