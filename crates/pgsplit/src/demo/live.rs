//! What goes where, once a second on one line.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::output;
use crate::proxy::Proxy;

const EVERY: Duration = Duration::from_secs(1);

/// Shows it until the future is dropped.
pub(super) async fn watch(proxy: &Proxy) -> anyhow::Result<()> {
    let rewrites = std::io::stdout().is_terminal();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut at) = (proxy.statements(), Instant::now());
    loop {
        tick.tick().await;
        let (now, counted) = (Instant::now(), proxy.statements());
        let line = line(proxy.clients(), &before, &counted, now - at);
        output::print(&if rewrites { format!("\r{line}\x1b[K") } else { format!("{line}\n") })?;
        (before, at) = (counted, now);
    }
}

/// Statements so far, by where they went.
type Statements = [(Arc<str>, u64)];

fn line(clients: usize, before: &Statements, now: &Statements, passed: Duration) -> String {
    let mut line = format!("clients {clients}");
    for (i, (name, total)) in now.iter().enumerate() {
        let earlier = before.get(i).map_or(0, |(_, earlier)| *earlier);
        let rate = per_second(total.saturating_sub(earlier), passed);
        // Writing to a string cannot fail.
        let _ = write!(line, "  {name} {rate}/s {total}");
    }
    line
}

fn per_second(count: u64, passed: Duration) -> String {
    let seconds = passed.as_secs_f64();
    if seconds > 0.0 { format!("{:.0}", count as f64 / seconds) } else { "0".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_totals() {
        let counts = |db1, db2| [("db1".into(), db1), ("db2".into(), db2)];
        let text = line(3, &counts(10, 0), &counts(30, 500), Duration::from_secs(2));
        assert_eq!(text, "clients 3  db1 10/s 30  db2 250/s 500");
        assert_eq!(line(0, &counts(1, 1), &counts(1, 1), Duration::ZERO), "clients 0  db1 0/s 1  db2 0/s 1");
    }
}
