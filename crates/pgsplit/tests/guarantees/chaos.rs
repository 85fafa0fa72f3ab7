//! Faults, of every node on its own: replicas that lag, stand still, are frozen or killed, and a primary that is restarted.

use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use pgsplit_testkit::{Node, StopMode};

use crate::model::Model;
use crate::random::Random;

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Replay stands still.
    Pause,
    /// Every commit is replayed some milliseconds late.
    Delay,
    /// Nothing answers, and connections stay.
    Freeze,
    /// All its processes are gone at once.
    Kill,
    /// A fast stop, and a start.
    Restart,
    /// The same without a checkpoint: what was being committed may be there or not.
    Immediate,
    /// The clients' connections are ended by the server.
    Terminate,
}

/// What happens to replicas when everything may.
pub(crate) const REPLICA: &[Fault] =
    &[Fault::Pause, Fault::Pause, Fault::Delay, Fault::Delay, Fault::Delay, Fault::Freeze, Fault::Kill];
/// What happens to the primary.
pub(crate) const PRIMARY: &[Fault] =
    &[Fault::Restart, Fault::Immediate, Fault::Terminate, Fault::Terminate, Fault::Terminate];

/// A primary that stops waits for replicas to take what it has, and would wait for a frozen one.
static STANDING: RwLock<()> = RwLock::new(());

/// Troubles one node until the end, and leaves it well.
pub(crate) fn trouble(model: &Model, node: &Node, faults: &[Fault], mut random: Random) {
    let is_primary = faults.iter().any(|fault| PRIMARY.contains(fault));
    loop {
        // Much of the time they are well, or nothing would run on them.
        let quiet = if is_primary { 2_000 + random.below(5_000) } else { 50 + random.below(700) };
        wait(model, quiet);
        if model.is_over() {
            return;
        }
        let fault = random.pick(faults);
        let name = format!("{fault:?}");
        model.note(&format!("{name} {}", node.name()));
        strike(model, node, fault, &mut random);
        model.note(&format!("{name} {} is over", node.name()));
        model.count("fault", &name);
    }
}

fn strike(model: &Model, node: &Node, fault: Fault, random: &mut Random) {
    match fault {
        Fault::Pause => {
            node.pause_replay().unwrap();
            let most = if random.chance(15) { 3_000 } else { 400 };
            wait(model, 50 + random.below(most));
            node.resume_replay().unwrap();
        }
        Fault::Delay => {
            set_delay(node, &format!("{}ms", 1 + random.below(25)));
            wait(model, 100 + random.below(700));
            set_delay(node, "0");
        }
        Fault::Freeze => {
            let _standing = STANDING.read().unwrap_or_else(PoisonError::into_inner);
            node.freeze().unwrap();
            wait(model, 100 + random.below(2_400));
            node.thaw().unwrap();
        }
        Fault::Kill => {
            node.kill9().unwrap();
            wait(model, random.below(1_000));
            node.start().unwrap();
        }
        Fault::Restart | Fault::Immediate => {
            let _standing = STANDING.write().unwrap_or_else(PoisonError::into_inner);
            let mode = if fault == Fault::Restart { StopMode::Fast } else { StopMode::Immediate };
            node.stop(mode).unwrap();
            node.start().unwrap();
        }
        Fault::Terminate => {
            let half = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE usename = 'app' AND random() < 0.5";
            node.sql("postgres", half).unwrap();
        }
    }
}

fn set_delay(node: &Node, delay: &str) {
    node.sql("postgres", &format!("ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")).unwrap();
    node.sql("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// Some time, in which the end is noticed.
fn wait(model: &Model, milliseconds: usize) {
    let until = Instant::now() + Duration::from_millis(milliseconds as u64);
    while Instant::now() < until && !model.is_over() {
        thread::park_timeout(Duration::from_millis(10));
    }
}
