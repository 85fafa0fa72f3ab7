//! Looks whether the primary is busy, and sends reads to the replicas while it is (`routing.reads = "spill"`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pgsplit_route::{GLANCES, Glance, Spill};
use pgsplit_session::Shared;

/// How often it is looked whether a reload has asked for it.
const OTHERWISE: Duration = Duration::from_secs(1);
/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(50);

/// Looks until it is dropped.
pub(crate) async fn look_after(shared: &Shared) {
    let mut spill = Spill::default();
    let mut before = reads(shared);
    loop {
        let limits = shared.settings.load().spill;
        let pause = limits.map_or(OTHERWISE, |limits| (limits.window / GLANCES).max(SHORTEST));
        tokio::time::sleep(pause).await;
        let Some(limits) = limits else {
            spill = Spill::default();
            shared.spill(false);
            continue;
        };
        let now = reads(shared);
        let [reads, slow] = [0, 1].map(|at: usize| {
            let count = |of: &[u64; 2]| of.get(at).copied().unwrap_or_default();
            count(&now).saturating_sub(count(&before))
        });
        before = now;
        let primary = shared.view.load().primary;
        let (load, together) = primary.map_or((0.0, 0.0), |node| shared.pools.usage(node));
        let spilled = spill.look(Instant::now(), Glance { reads, slow, load, together }, &limits);
        if shared.spill(spilled) {
            let load = format!("{:.0} %", 100.0 * load);
            if spilled {
                tracing::warn!(reads, slow, load, "the primary is busy: reads go to replicas");
            } else {
                tracing::info!(load, "the primary is not busy any more: reads come back to it");
            }
        }
    }
}

fn reads(shared: &Shared) -> [u64; 2] {
    shared.metrics.primary_reads.each_ref().map(|count| count.load(Ordering::Relaxed))
}
