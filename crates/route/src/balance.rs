//! Choosing among the replicas that qualify: two at random, the one with fewer statements in flight for its weight.
//!
//! Two random choices keep the largest load near the mean without looking at every node and without the herding
//! of "always the least loaded" on a view that is a moment old (Mitzenmacher, "The Power of Two Choices", 2001).

use std::time::Duration;

use crate::rules::Aim;
use crate::view::{Node, NodeId, View};

/// A set of nodes that must not be chosen: those that have already failed this unit. Nodes beyond the 64th are
/// never in it; a retry that meets them again is still bounded by the number of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Excluded(u64);

impl Excluded {
    /// Adds a node.
    pub fn add(&mut self, node: NodeId) {
        self.0 |= 1u64.checked_shl(u32::from(node.0)).unwrap_or(0);
    }

    /// How many nodes are in the set.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether the node is in the set.
    #[must_use]
    pub fn has(self, node: NodeId) -> bool {
        self.0 & 1u64.checked_shl(u32::from(node.0)).unwrap_or(0) != 0
    }
}

/// Which replicas come into question.
#[derive(Debug, Clone, Copy)]
pub struct Among {
    /// What a hint or a rule asks for.
    pub aim: Aim,
    /// Not these.
    pub excluded: Excluded,
    /// Instead of `consistency.max_lag`.
    pub max_lag: Option<Duration>,
}

impl Among {
    fn has(&self, node: &Node) -> bool {
        let near = self.max_lag.map_or(node.within_max_lag, |most| node.lag <= most);
        let wanted = match self.aim {
            // A weight of 0 keeps a node out of the balancing, and not from those who name it.
            Aim::Nodes(nodes) => nodes.has(node.id),
            Aim::Replica => node.weight > 0,
            Aim::Primary => false,
        };
        node.is_replica() && near && wanted && !self.excluded.has(node.id)
    }
}

/// A replica for a read, or `None` when none qualifies. `random` is any number.
#[must_use]
pub fn pick(view: &View, among: Among, random: u32) -> Option<NodeId> {
    let qualifies = |node: &&Node| among.has(node);
    let count = view.nodes.iter().filter(qualifies).count();
    let nth = |n: usize| view.nodes.iter().filter(qualifies).nth(n);
    match count {
        0 => None,
        1 => nth(0).map(|node| node.id),
        _ => {
            let random = random as usize;
            let first = random % count;
            // Another one than the first: an offset of 1 to count - 1 around the ring.
            let second = (first + 1 + (random / count) % (count - 1)) % count;
            let (a, b) = (nth(first)?, nth(second)?);
            Some(if cost(b) < cost(a) { b.id } else { a.id })
        }
    }
}

/// Statements in flight once this one is added, per unit of weight, in 1/1024.
fn cost(node: &Node) -> u64 {
    (u64::from(node.load()) + 1) * 1024 / u64::from(node.weight.max(1))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::view::{NodeState, Role};

    /// A primary and so many replicas, all up.
    pub(crate) fn view(replicas: u16) -> View {
        let role = |id| if id == 0 { Role::Primary } else { Role::Replica };
        let node = |id: u16| Node::new(id, &format!("db{id}"), "127.0.0.1:1").up(role(id));
        View { nodes: (0..=replicas).map(node).collect(), primary: Some(NodeId(0)), generation: 1 }
    }

    fn any() -> Among {
        Among { aim: Aim::Replica, excluded: Excluded::default(), max_lag: None }
    }

    #[test]
    fn spreads_evenly_and_prefers_the_less_loaded() {
        let view = view(2);
        let mut hits = [0; 3];
        for random in 0..10_000u32 {
            hits[pick(&view, any(), random.wrapping_mul(2_654_435_761)).unwrap().index()] += 1;
        }
        assert_eq!(hits[0], 0);
        assert!((4_500..=5_500).contains(&hits[1]), "{hits:?}");
        view.nodes[1].outstanding.store(5, Ordering::Relaxed);
        for random in 0..100 {
            assert_eq!(pick(&view, any(), random), Some(NodeId(2)));
        }
    }

    #[test]
    fn leaves_out_what_does_not_qualify() {
        let mut view = view(3);
        view.nodes[1].within_max_lag = false;
        view.nodes[2].state = NodeState::Down;
        assert_eq!(pick(&view, any(), 3), Some(NodeId(3)));
        let mut excluded = Excluded::default();
        excluded.add(NodeId(3));
        assert_eq!(pick(&view, Among { excluded, ..any() }, 3), None);
        view.nodes[3].weight = 0;
        assert_eq!(pick(&view, any(), 3), None);
    }
}
