//! Free loopback ports. They come from below the range that the system hands out to outgoing
//! connections, so that a server that restarts finds its port still free.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::Error;

const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// How many ports this process has tried; each is offered once, so that two clusters never race for it.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 on which nobody listens now. Another process may still be quicker, so whoever
/// cannot listen on it asks for the next one.
pub(crate) fn free() -> Result<u16, Error> {
    // Processes started one after the other begin far apart.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let Ok(port) = u16::try_from(FIRST + offset) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::Io { what: "find a free port".into(), source: std::io::ErrorKind::AddrInUse.into() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn ports_differ() {
        let ports: std::collections::BTreeSet<_> = (0..20).map(|_| super::free().unwrap()).collect();
        assert_eq!(ports.len(), 20);
    }
}
