//! `watch = true`: the file is read again when it changes. It is asked for its time and size once a second, because that
//! works on every file system and through the symbolic links that orchestrators swap.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::Operator;

const EVERY: Duration = Duration::from_millis(500);

/// What tells a changed file from the one before.
pub(super) type Stamp = Option<(SystemTime, u64)>;

pub(super) fn stamp(path: &Path) -> Stamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

impl Operator {
    /// Watches the file until the future is dropped, while the configuration asks for it.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut last = stamp(&self.path);
        // What a reload on trial has kept from being read.
        let mut refused = None;
        loop {
            tokio::time::sleep(EVERY).await;
            let now = stamp(&self.path);
            // Somebody may be writing it still: it must be the same twice.
            let settled = now.is_some() && now == std::mem::replace(&mut last, now);
            let read = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if !settled || now == read || !self.in_force.load().config.watch {
                continue;
            }
            // It is read when the trial has ended, and said once.
            if now == refused && self.is_on_trial().await {
                continue;
            }
            tracing::info!("{} has changed", self.path.display());
            refused = now;
            // What is wrong with it is in the log.
            let _ = self.reload(None).await;
        }
    }
}
