//! The threads that sessions run on, each with a runtime of its own.
//!
//! A session stays on the thread that it was given to, and so do the server connections that its statements use, as
//! far as the pools have any there. A client's bytes, the server's answer and the wake-ups between them then never
//! leave the thread, and one wait of its driver serves all its sessions: a runtime that shares its tasks among threads
//! wakes a sleeping one for nearly every packet, which costs more than the packet. The control plane runs elsewhere.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// What a thread still runs when it is told to end is dropped after this.
const GIVE_UP: Duration = Duration::from_secs(1);

/// Threads for sessions. They end when this is dropped, and what still runs on them is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    end: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Sessions that run here.
    load: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// One session's share of a worker's load.
struct Share(Arc<AtomicUsize>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts so many threads; 0 is one per core.
    pub(crate) fn start(count: usize) -> anyhow::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let count = if count == 0 { cores() } else { count };
        let end = CancellationToken::new();
        let workers = (0..count).map(|number| Worker::start(number, end.clone()));
        Ok(Self { workers: workers.collect::<anyhow::Result<_>>()?, end: end.clone() })
    }

    /// Runs a session on the thread that has the fewest.
    pub(crate) fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        let load = |worker: &&Worker| worker.load.load(Ordering::Relaxed);
        let Some(worker) = self.workers.iter().min_by_key(load) else { return };
        worker.load.fetch_add(1, Ordering::Relaxed);
        let share = Share(worker.load.clone());
        // An async block would have room for the session twice.
        worker.runtime.spawn(session.map(move |()| drop(share)));
    }
}

impl Worker {
    fn start(number: usize, end: CancellationToken) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("a thread for sessions cannot be started")?;
        let handle = runtime.handle().clone();
        let work = move || {
            runtime.block_on(end.cancelled());
            runtime.shutdown_timeout(GIVE_UP);
        };
        let thread = thread::Builder::new().name(format!("pgsplit-{number}")).spawn(work);
        let thread = thread.context("a thread for sessions cannot be started")?;
        Ok(Self { runtime: handle, load: Arc::default(), thread: Some(thread) })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end.cancel();
        for worker in &mut self.workers {
            // A thread that has panicked has ended, too.
            let _ = worker.thread.take().map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn sessions_are_spread_evenly_and_end_with_the_workers() {
        let workers = Workers::start(2).unwrap();
        let (send, receive) = mpsc::channel();
        for _ in 0..6 {
            let send = send.clone();
            workers.spawn(async move {
                send.send(thread::current().name().map(str::to_owned)).unwrap();
                std::future::pending::<()>().await;
            });
        }
        let mut names: Vec<_> = receive.iter().take(6).flatten().collect();
        names.sort();
        assert_eq!(
            names.iter().map(|name| &**name).collect::<Vec<_>>(),
            ["pgsplit-0", "pgsplit-0", "pgsplit-0", "pgsplit-1", "pgsplit-1", "pgsplit-1"]
        );
        drop(send);
        drop(workers);
        assert!(receive.recv().is_err(), "the sessions are gone");
    }
}
