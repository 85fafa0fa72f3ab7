//! Names that lead to several servers: each address is a node of its own, with a name of its own (`db`, `db/2`, `db/3`).
//!
//! A name has as many nodes as it ever had addresses at the same time. An address that goes away leaves its node to the next
//! one that comes, so that names whose servers come and go do not use up the numbers of nodes. A name with addresses of both
//! families stands for one server, as most such names do: its addresses are tried in turn.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgsplit_route::NodeId;
use tokio::time::{sleep, timeout};

use crate::cluster::Shared;
use crate::connect::resolve;
use crate::settings::{NodeSettings, Settings};

/// A name is asked for again after this time: it may lead elsewhere now.
pub(crate) fn again(settings: &Settings) -> Duration {
    settings.interval * 10
}

/// Which address of its name a node is for. A node that is not here finds its own.
#[derive(Debug, Default)]
pub(crate) struct Assigned(Mutex<HashMap<NodeId, Option<SocketAddr>>>);

impl Assigned {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Option<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Some(None)`: its name has fewer addresses than nodes at the moment.
    pub(crate) fn get(&self, node: NodeId) -> Option<Option<SocketAddr>> {
        self.lock().get(&node).copied()
    }
}

/// Whether a node's name may lead to several servers.
pub(crate) fn is_name(node: &NodeSettings) -> bool {
    node.host.parse::<IpAddr>().is_err()
}

/// Asks for the name again and again, until cancelled.
pub(crate) async fn watch(shared: Arc<Shared>, first: NodeId) {
    loop {
        sleep(again(&shared.settings)).await;
        look_up(&shared, first).await;
    }
}

/// Asks for the name once, and gives each of its addresses a node.
pub(crate) async fn look_up(shared: &Arc<Shared>, first: NodeId) {
    let Some(settings) = shared.roster.get(first) else { return };
    let found = timeout(shared.settings.timeout, resolve(&shared.settings.resolver, &settings)).await;
    let Ok(Ok(found)) = found else { return };
    let nodes = shared.roster.of_name(first);
    if nodes.len() == 1 && !is_several(&found) {
        return;
    }
    let view = shared.view.load_full();
    let connected = |node: NodeId| view.node(node).and_then(|node| node.resolved.first().copied());
    let (kept, left) = share_out(&nodes, &found, |node| shared.assigned.get(node).unwrap_or(connected(node)));
    let mut free = nodes.iter().copied().filter(|node| !kept.contains_key(node));
    for (node, address) in &kept {
        assign(shared, *node, Some(*address));
    }
    for address in left {
        let node = free.next().or_else(|| shared.add_node(first, |node| assign(shared, node, Some(address))));
        match node {
            Some(node) => assign(shared, node, Some(address)),
            None => tracing::error!(
                target: "cluster", name = &*settings.name, %address,
                "there is no room for another node: restart pgsplit"
            ),
        }
    }
    free.for_each(|node| assign(shared, node, None));
}

fn is_several(found: &[SocketAddr]) -> bool {
    let four = found.iter().filter(|address| address.is_ipv4()).count();
    found.len() > 1 && (four == 0 || four == found.len())
}

/// Which nodes keep the address that they have, and the addresses that no node has.
fn share_out(
    nodes: &[NodeId],
    found: &[SocketAddr],
    has: impl Fn(NodeId) -> Option<SocketAddr>,
) -> (HashMap<NodeId, SocketAddr>, Vec<SocketAddr>) {
    let mut left = found.to_vec();
    left.sort_unstable();
    left.dedup();
    let mut kept = HashMap::new();
    for node in nodes {
        if let Some(address) = has(*node)
            && let Some(at) = left.iter().position(|known| *known == address)
        {
            kept.insert(*node, left.remove(at));
        }
    }
    (kept, left)
}

fn assign(shared: &Shared, node: NodeId, address: Option<SocketAddr>) {
    let before = shared.assigned.lock().insert(node, address);
    if before != Some(address) {
        if let (Some(settings), Some(_)) = (shared.roster.get(node), before) {
            let address = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
            tracing::info!(target: "cluster", node = &*settings.name, address, "the name leads elsewhere");
        }
        shared.kick(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 5432).into()
    }

    #[test]
    fn nodes_keep_their_addresses() {
        let nodes = [0, 3, 4].map(NodeId);
        let has = |node: NodeId| Some(at(u8::try_from(node.0).unwrap()));
        let (kept, left) = share_out(&nodes, &[at(4), at(9), at(0), at(9)], has);
        assert_eq!(kept, HashMap::from([(NodeId(0), at(0)), (NodeId(4), at(4))]));
        assert_eq!(left, [at(9)]);
    }

    #[test]
    fn both_families_are_one_server() {
        let six: SocketAddr = "[::1]:5432".parse().unwrap();
        assert!(!is_several(&[at(1)]) && !is_several(&[six, at(1)]) && !is_several(&[]));
        assert!(is_several(&[at(1), at(2)]) && is_several(&[six, "[::2]:5432".parse().unwrap()]));
    }
}
