//! Tells the log and the counters what has changed: each change once, and not per statement.

use std::sync::Arc;

use pgsplit_route::{NodeId, NodeState, Role};

use crate::cluster::Shared;
use crate::event::Event;

impl Shared {
    pub(crate) fn tell(&self, event: Event) {
        let named = self.roster.names();
        let name = |id: NodeId| named.get(id.index()).map_or("?", |name| &**name);
        match event {
            Event::State { node, from, to } => {
                self.metrics.with(node, |metrics| metrics.state_changes.add_one());
                match (from, to) {
                    (_, NodeState::Up) => tracing::info!(target: "cluster", node = name(node), "up"),
                    (_, NodeState::Gone) => {
                        tracing::info!(target: "cluster", node = name(node), "taken away")
                    }
                    _ => tracing::warn!(target: "cluster", node = name(node), "down"),
                }
            }
            Event::Silent { node } => {
                tracing::warn!(target: "cluster", node = name(node), "no answer to a probe in time");
            }
            Event::Role { node, from, to, why } => {
                self.metrics.with(node, |metrics| metrics.role_changes.add_one());
                let (from, role, why) = (from.name(), to.name(), why.map_or("", |why| why.text()));
                if to == Role::Rejected {
                    tracing::warn!(target: "cluster", node = name(node), from, role, why, "role changed");
                } else {
                    tracing::info!(target: "cluster", node = name(node), from, role, "role changed");
                }
            }
            Event::Primary { node, generation, timeline } => {
                let node = node.map_or("none", name);
                tracing::info!(target: "cluster", node, generation, timeline, "new primary");
            }
            Event::Disputed { timeline, nodes } => {
                let nodes: Vec<_> = nodes.into_iter().map(name).collect();
                tracing::error!(target: "cluster", timeline, ?nodes, "several nodes claim to be primary: none is used");
            }
            Event::Timeline(remembered) => {
                let file = Arc::clone(&self.state_file);
                self.tasks.spawn_blocking_on(move || file.save(remembered), &self.runtime);
            }
            Event::NotMonitor { node } => tracing::warn!(
                target: "cluster", node = name(node),
                "the login cannot see replicas' timelines; as a superuser run: GRANT pg_monitor TO {}",
                crate::sql::identifier(&self.settings.login.user)
            ),
        }
    }
}
