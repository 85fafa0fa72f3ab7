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
    /// Commits wait for a replica that does not exist, and those that wait are ended: they are done, and nobody is told.
    Stall,
    /// The same, and the primary is restarted without a checkpoint.
    Crash,
}

/// What happens to replicas when everything may.
pub(crate) const REPLICA: &[Fault] =
    &[Fault::Pause, Fault::Pause, Fault::Delay, Fault::Delay, Fault::Delay, Fault::Freeze, Fault::Kill];
/// What happens to the primary.
pub(crate) const PRIMARY: &[Fault] =
    &[Fault::Restart, Fault::Immediate, Fault::Crash, Fault::Terminate, Fault::Terminate, Fault::Stall];

/// A primary that stops waits for replicas to take what it has, and would wait for a frozen one.
static STANDING: RwLock<()> = RwLock::new(());

/// Troubles one node until the end, and leaves it well.
pub(crate) fn trouble(model: &Model, node: &Node, faults: &[Fault], mut random: Random) {
    let is_primary = node.name() == "primary";
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
            set(node, "recovery_min_apply_delay", &format!("{}ms", 1 + random.below(25)));
            wait(model, 100 + random.below(700));
            set(node, "recovery_min_apply_delay", "0");
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
            restart(node, if fault == Fault::Restart { StopMode::Fast } else { StopMode::Immediate });
        }
        Fault::Terminate => {
            let half = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE usename = 'app' AND random() < 0.5";
            node.sql("postgres", half).unwrap();
        }
        Fault::Stall | Fault::Crash => {
            set(node, "synchronous_standby_names", "nobody");
            wait(model, 50 + random.below(400));
            if fault == Fault::Crash {
                restart(node, StopMode::Immediate);
            } else {
                let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                               WHERE usename = 'app' AND wait_event = 'SyncRep'";
                node.sql("postgres", waiting).unwrap();
            }
            set(node, "synchronous_standby_names", "");
        }
    }
}

fn restart(node: &Node, mode: StopMode) {
    let _standing = STANDING.write().unwrap_or_else(PoisonError::into_inner);
    node.stop(mode).unwrap();
    node.start().unwrap();
}

fn set(node: &Node, name: &str, value: &str) {
    node.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'")).unwrap();
    node.sql("postgres", "SELECT pg_reload_conf()").unwrap();
}

/// Some time, in which the end is noticed.
fn wait(model: &Model, milliseconds: usize) {
    let until = Instant::now() + Duration::from_millis(milliseconds as u64);
    while Instant::now() < until && !model.is_over() {
        thread::park_timeout(Duration::from_millis(10));
    }
}
