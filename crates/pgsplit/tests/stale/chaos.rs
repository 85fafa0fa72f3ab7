//! Replicas that lag: replay is paused, resumed and delayed at random.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pgsplit_testkit::{Cluster, Node};

/// Makes the replicas of a cluster lag.
pub(crate) struct Chaos<'c> {
    replicas: Vec<&'c Node>,
    random: u64,
}

impl<'c> Chaos<'c> {
    pub(crate) fn new(cluster: &'c Cluster, seed: u64) -> Self {
        let seed = std::env::var("STALE_SEED").ok().map_or(seed, |text| text.parse().unwrap());
        println!("STALE_SEED={seed}");
        Self { replicas: cluster.nodes().iter().skip(1).collect(), random: seed | 1 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Until the end; then the replicas follow again.
    pub(crate) fn reign(mut self, end: &AtomicBool) {
        while !end.load(Ordering::Relaxed) {
            let at = usize::try_from(self.random(self.replicas.len() as u64)).unwrap();
            let node = self.replicas[at];
            let pause = Duration::from_millis(self.random(200));
            match self.random(6) {
                0 => {
                    node.pause_replay().unwrap();
                    wait(pause, end);
                    node.resume_replay().unwrap();
                }
                1 => {
                    let delay = 1 + self.random(20);
                    set_delay(node, &format!("{delay}ms"));
                    wait(pause, end);
                    set_delay(node, "0");
                }
                // Most of the time they are as fast as they can be, or nothing would run on them.
                _ => wait(pause, end),
            }
        }
    }
}

fn set_delay(node: &Node, delay: &str) {
    node.sql("postgres", &format!("ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")).unwrap();
    node.sql("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// Some time, in which the end is noticed.
fn wait(pause: Duration, end: &AtomicBool) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !end.load(Ordering::Relaxed) {
        thread::park_timeout(Duration::from_millis(10));
    }
}
