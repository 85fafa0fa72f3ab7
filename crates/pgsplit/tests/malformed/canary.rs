//! A well-behaved client that works while others do not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Proxy};

/// A client on a thread of its own.
pub(crate) struct Canary {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Canary {
    pub(crate) fn start(proxy: &Proxy) -> Self {
        let mut client = proxy.client(&Account::APP, "app").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            client.send(&message::parse("kept", "SELECT $1::int + 1", &[]))?;
            client.send(&message::sync())?;
            client.read_until(b'Z')?;
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                sing(&mut client, rounds)?;
                rounds += 1;
            }
            Ok(rounds)
        });
        Self { stop, thread }
    }

    /// It has seen no error, and did not stand still.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = self.thread.join().unwrap().expect("the canary saw an error");
        assert!(rounds > 100, "the canary came around {rounds} times only");
    }
}

/// One round: a read, a transaction that writes, and a prepared statement, each with its right answer.
fn sing(client: &mut RawClient, round: u64) -> io::Result<()> {
    let expect = |rows: Vec<Vec<Option<String>>>, value: String| {
        if rows == [[Some(value.clone())]] {
            return Ok(());
        }
        Err(io::Error::other(format!("{rows:?} in place of {value}")))
    };
    expect(client.rows(&format!("SELECT {round}"))?, round.to_string())?;
    client.rows("BEGIN")?;
    client.rows("INSERT INTO t VALUES (-1, 'canary')")?;
    expect(client.rows("SELECT count(*) FROM t WHERE id = -1")?, "1".to_owned())?;
    client.rows("ROLLBACK")?;
    let value = round.to_string();
    client.send_all(&[
        message::bind("", "kept", &[Some(&value)]),
        message::execute("", 0),
        message::sync(),
    ])?;
    let tags: Vec<u8> = client.read_until(b'Z')?.iter().map(|message| message.tag).collect();
    if tags != b"2DCZ" {
        return Err(io::Error::other(format!("answered {tags:?}")));
    }
    Ok(())
}
