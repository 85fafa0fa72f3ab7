//! A pgsplit process in front of a cluster, for tests and benchmarks: started from a binary that the caller names,
//! with a configuration of its own on free ports, and stopped with its owner.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::peer::RawClient;
use crate::{Account, Cluster, Error, port, process, wait};

/// A running pgsplit.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    port: u16,
    http: u16,
    admin: u16,
    directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts `binary run` in front of the cluster and waits until it is ready and sees every node. `extra` is TOML that
    /// follows the generated keys: it may open tables such as `[pool]`, and must not name `listen`, `nodes` or `[auth]`.
    pub fn start(binary: &Path, cluster: &Cluster, extra: &str) -> Result<Self, Error> {
        Self::start_with_auth(binary, cluster, extra, "")
    }

    /// As [`Proxy::start`], with further keys of `[auth]`.
    pub fn start_with_auth(binary: &Path, cluster: &Cluster, extra: &str, auth: &str) -> Result<Self, Error> {
        let directory = tempfile::Builder::new()
            .prefix("pgsplit-proxy-")
            .tempdir()
            .map_err(Error::io("make a directory in", std::env::temp_dir()))?;
        let (port, http, admin) = (port::free()?, port::free()?, port::free()?);
        let config = directory.path().join("pgsplit.toml");
        let text = configuration(cluster, [port, http, admin], directory.path(), extra) + auth + "\n";
        fs::write(&config, text).map_err(Error::io("write", &config))?;
        let log = directory.path().join("log");
        let output = fs::File::create(&log).map_err(Error::io("write", &log))?;
        let errors = output.try_clone().map_err(Error::io("write", &log))?;
        let child = Command::new(binary)
            .args(["run", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("start", binary))?;
        let mut proxy = Self { child, port, http, admin, directory };
        proxy.wait_until_ready(cluster.nodes().len())?;
        Ok(proxy)
    }

    fn wait_until_ready(&mut self, nodes: usize) -> Result<(), Error> {
        let ended = |proxy: &mut Self| matches!(proxy.child.try_wait(), Ok(Some(_)));
        let ready = wait::until("pgsplit is ready and sees every node", wait::LIMIT, || {
            if ended(self) {
                return Err(Error::Start { node: "pgsplit".into(), log: self.log() });
            }
            let up = self.metrics().map(|metrics| metrics.sum("pgsplit_node_up", &[])).unwrap_or_default();
            Ok((up as usize >= nodes).then_some(()))
        });
        ready.map_err(|error| match error {
            Error::TimeOut { .. } => Error::Start { node: "pgsplit".into(), log: self.log() },
            error => error,
        })
    }

    /// The port for clients, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where clients connect.
    pub fn address(&self) -> (Ipv4Addr, u16) {
        (Ipv4Addr::LOCALHOST, self.port)
    }

    /// The port of metrics.
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// The port of the admin console.
    pub fn admin_port(&self) -> u16 {
        self.admin
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("pgsplit.toml")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A URI for libpq and drivers.
    pub fn connection_string(&self, account: &Account, database: &str) -> String {
        format!("postgresql://{}:{}@127.0.0.1:{}/{database}", account.user(), account.password(), self.port)
    }

    /// A client that is logged in.
    pub fn client(&self, account: &Account, database: &str) -> std::io::Result<RawClient> {
        let mut client = RawClient::connect(self.address())?;
        client.login(account.user(), account.password(), database, &[])?;
        Ok(client)
    }

    /// Its counters now.
    pub fn metrics(&self) -> std::io::Result<Samples> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Samples::read(&text))
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.child.id(), signal);
    }

    /// Waits for the process to end and returns its exit code.
    pub fn wait_for_end(&mut self) -> Result<Option<i32>, Error> {
        wait::until("pgsplit ends", wait::LIMIT, || {
            Ok(self.child.try_wait().ok().flatten().map(|status| status.code()))
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(20);
            let tail: Vec<_> = log.lines().skip(from).collect();
            #[allow(
                clippy::print_stderr,
                reason = "whoever reads of a failed test wants the proxy's last words"
            )]
            {
                eprintln!("the end of pgsplit's log:\n{}", tail.join("\n"));
            }
        }
    }
}

fn configuration(cluster: &Cluster, [port, http, admin]: [u16; 3], directory: &Path, extra: &str) -> String {
    let nodes: Vec<_> = cluster.nodes().iter().map(|node| format!("\"127.0.0.1:{}\"", node.port())).collect();
    format!(
        "listen = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:{http}\"\nadmin = \"127.0.0.1:{admin}\"\nnodes = [{}]\n\
         state_file = \"{}\"\n{extra}\n\n[auth]\nuser = \"{}\"\npassword = \"{}\"\n",
        nodes.join(", "),
        directory.join("state").display(),
        Account::PGSPLIT.user(),
        Account::PGSPLIT.password(),
    )
}

/// Samples of metrics in Prometheus' text form.
#[derive(Debug, Clone, Default)]
pub struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Reads the text; lines that are not samples are passed over.
    pub fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum over all series of this name that carry these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |series: &str| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name
                && labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")))
        };
        self.0.iter().filter(|(series, _)| matches(series)).map(|(_, value)| value).sum()
    }

    /// The sums of a name's series by the value of one label, those that are not zero.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        let start = format!("{label}=\"");
        for (series, value) in self.0.iter().filter(|(_, value)| **value != 0.0) {
            let rest = series.strip_prefix(name).and_then(|rest| rest.strip_prefix('{'));
            if let Some((_, rest)) = rest.and_then(|rest| rest.split_once(&start)) {
                *sums.entry(rest.split('"').next().unwrap_or_default().to_owned()).or_default() += value;
            }
        }
        sums
    }

    /// Decisions by target and reason that were made since `before`, those that are not zero.
    pub fn decisions_since(&self, before: &Self) -> Vec<(String, String, u64)> {
        let label = |series: &str, name: &str| {
            let (_, rest) = series.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        let decisions =
            self.0.iter().filter(|(series, _)| series.starts_with("pgsplit_routing_decisions_total{"));
        decisions
            .filter_map(|(series, value)| {
                let new = value - before.0.get(series).copied().unwrap_or_default();
                let (target, reason) = (label(series, "target")?, label(series, "reason")?);
                (new > 0.0).then_some((target, reason, new as u64))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_label() {
        let text = "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nb 5\n";
        let samples = Samples::read(text);
        assert_eq!(samples.sum("a", &[("x", "1")]), 7.0);
        assert_eq!(samples.sum("a", &[("y", "3")]), 4.0);
        assert_eq!(samples.sum("b", &[]), 5.0);
        assert_eq!(samples.by_label("a", "y"), [("2".into(), 3.0), ("3".into(), 4.0)].into());
    }

    #[test]
    fn decisions_are_told_apart() {
        let series =
            |n: u32| format!("pgsplit_routing_decisions_total{{target=\"replica\",reason=\"read\"}} {n}");
        let (before, after) = (Samples::read(&series(1)), Samples::read(&series(4)));
        assert_eq!(after.decisions_since(&before), [("replica".into(), "read".into(), 3)]);
    }
}
