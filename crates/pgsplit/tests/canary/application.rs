//! The application: `benches/marketplace`, the scaling plan's load, round after round until the story is over.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use pgsplit_testkit::{Account, Cluster, Proxy};

pub(crate) const CLIENTS: usize = 20;
/// What one round may take, in seconds: it loads for a few, and pgbench has limits of its own.
const LIMIT: &str = "180";

/// All clients.
pub(crate) struct Application {
    stop: Arc<AtomicBool>,
    rounds: Option<JoinHandle<Result<u64, String>>>,
}

impl Application {
    /// Makes the tables and the data through pgsplit, and lets the load begin.
    pub(crate) fn start(cluster: &Cluster, proxy: &Proxy) -> Self {
        let port = proxy.port();
        round(port, &["--load", "-T", "1"]).unwrap();
        cluster.wait_caught_up().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ends = stop.clone();
        let rounds = std::thread::spawn(move || {
            let mut played = 0;
            while !ends.load(Ordering::Relaxed) {
                round(port, &["-T", "5"])?;
                played += 1;
            }
            Ok(played)
        });
        Self { stop, rounds: Some(rounds) }
    }

    /// Ends it; how many rounds there were. A single statement that has failed is an error.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.rounds.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(rounds) = self.rounds.take() {
            let _ = rounds.join();
        }
    }
}

fn round(port: u16, more: &[&str]) -> Result<(), String> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "python3", "-B", "benches/marketplace/run"]);
    command
        .args(["-s", "1", "--each", "0", "-c", &CLIENTS.to_string(), "--port", &port.to_string()])
        .args(more);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let output = command.env("PGPASSWORD", Account::APP.password()).output().unwrap();
    let said = || String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(said()) }
}
