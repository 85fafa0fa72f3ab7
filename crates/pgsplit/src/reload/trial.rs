//! A reload on trial: it goes back by itself unless somebody confirms it, and at once when errors jump.
//!
//! Errors jump when, since the reload, at least [`FAILED`] statements or logins have failed and the share of failed ones is more
//! than twice what it was in the minute before, plus five in a hundred.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{InForce, Operator};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// Fewer failures prove nothing.
const FAILED: u64 = 20;

/// Statements so far and those that failed, with logins that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

impl Counts {
    fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }

    fn share(self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.failed as f64 / self.calls as f64 }
    }
}

/// Whether errors have jumped.
fn jumped(before: Counts, since: Counts) -> bool {
    since.failed >= FAILED && since.share() > 2.0 * before.share() + 0.05
}

/// Counts of the last minute, one every few seconds.
#[derive(Debug, Default)]
pub(crate) struct Minute(VecDeque<Counts>);

impl Minute {
    /// Samples that are kept, each [`Minute::EVERY`] after the one before.
    const SAMPLES: usize = 12;
    pub(crate) const EVERY: Duration = Duration::from_secs(5);

    pub(crate) fn add(&mut self, counts: Counts) {
        if self.0.len() == Self::SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(counts);
    }

    fn until(&self, now: Counts) -> Counts {
        now.since(self.0.front().copied().unwrap_or_default())
    }
}

/// A reload that waits for its confirmation.
#[derive(Debug)]
pub(super) struct Trial(CancellationToken);

impl Trial {
    pub(super) fn begin(operator: &Arc<Operator>, before: Arc<InForce>, most: Duration) -> Self {
        let ended = CancellationToken::new();
        let until = SystemTime::now().checked_add(most).unwrap_or_else(SystemTime::now);
        *operator.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        tracing::warn!("the configuration goes back in {most:?} unless it is confirmed");
        let (watched, token, proxy) = (operator.clone(), ended.clone(), operator.proxy.clone());
        proxy.spawn(async move { watch(watched, before, Instant::now() + most, token).await });
        Self(ended)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_cancelled()
    }

    /// Ends it; false when it has ended before.
    pub(super) fn confirm(&self) -> bool {
        let open = self.is_open();
        self.0.cancel();
        open
    }
}

async fn watch(operator: Arc<Operator>, before: Arc<InForce>, until: Instant, ended: CancellationToken) {
    let began = operator.proxy.counts();
    let usual = operator.proxy.minute(|minute| minute.until(began));
    let why = loop {
        let next = (Instant::now() + EVERY).min(until);
        if ended.run_until_cancelled(tokio::time::sleep_until(next)).await.is_none() {
            *operator.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return;
        }
        let since = operator.proxy.counts().since(began);
        if jumped(usual, since) {
            break format!(
                "{} of {} statements and logins have failed since the reload ({:.1} % before)",
                since.failed,
                since.calls,
                usual.share() * 100.0
            );
        }
        if Instant::now() >= until {
            break "it was not confirmed in time".to_owned();
        }
    };
    // Behind this lock: a confirmation that comes now finds nothing to confirm.
    let _turn = operator.trial.lock().await;
    *operator.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    if ended.is_cancelled() {
        return;
    }
    ended.cancel();
    match operator.apply(&before.config) {
        Ok(()) => {
            tracing::error!("the configuration went back to the one before: {why}");
            operator.proxy.reloaded(Some(false), before.hash);
            let why = format!("went back: {why}");
            *operator.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
            let back = InForce { config: before.config.clone(), hash: before.hash, at: SystemTime::now() };
            operator.in_force.store(Arc::new(back));
        }
        Err(error) => tracing::error!("the configuration cannot go back to the one before: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_jump_when_many_fail_and_more_than_before() {
        let counts = |failed, calls| Counts { calls, failed };
        assert!(jumped(counts(0, 1000), counts(20, 100)));
        assert!(!jumped(counts(0, 1000), counts(19, 20)), "too few to tell");
        assert!(!jumped(counts(0, 1000), counts(50, 1000)), "five in a hundred are not many");
        assert!(!jumped(counts(300, 1000), counts(60, 100)), "a third failed before");
        assert!(jumped(counts(300, 1000), counts(70, 100)));
    }

    #[test]
    fn a_minute_is_kept() {
        let mut minute = Minute::default();
        assert_eq!(minute.until(Counts { calls: 5, failed: 1 }), Counts { calls: 5, failed: 1 });
        (0..20).for_each(|n| minute.add(Counts { calls: n * 10, failed: n }));
        assert_eq!(minute.until(Counts { calls: 200, failed: 20 }), Counts { calls: 120, failed: 12 });
    }
}
