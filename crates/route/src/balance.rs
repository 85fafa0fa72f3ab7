//! Choosing among the replicas that qualify: two at random by their weights, the one with fewer statements in flight; or as
//! the policy has it. The own zone comes first, and what has only just come back gets a part of its weight.
//!
//! Two random choices keep the largest load near the mean without looking at every node and without the herding
//! of "always the least loaded" on a view that is a moment old (Mitzenmacher, "The Power of Two Choices", 2001).

use std::sync::Arc;
use std::time::Duration;

use crate::rules::Aim;
use crate::seen::Wanted;
use crate::view::{Node, NodeId, View};

/// A set of nodes that must not be chosen: those that have already failed this unit. Nodes beyond the 64th are
/// never in it; a retry that meets them again is still bounded by the number of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Excluded(u64);

impl Excluded {
    /// No node.
    pub const NONE: Self = Self(0);

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
    /// Whether it does, whatever the read must see.
    #[must_use]
    pub fn has(&self, node: &Node) -> bool {
        let near = self.max_lag.map_or(node.within_max_lag, |most| node.lag <= most);
        let wanted = match self.aim {
            // A weight of 0 keeps a node out of the balancing, and not from those who name it.
            Aim::Nodes(nodes) => nodes.has(node),
            Aim::Replica => node.weight > 0,
            Aim::Primary => false,
        };
        node.is_replica() && near && wanted && !self.excluded.has(node.id)
    }
}

/// How one of them is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Of two at random, the one with fewer statements in flight.
    #[default]
    LeastOutstanding,
    /// Of two at random, the one that would be done sooner: the time that it takes to answer a short question, times
    /// the statements in flight.
    Latency,
    /// Each in turn.
    RoundRobin,
}

/// How reads are shared out among replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balance {
    /// How one of them is chosen.
    pub policy: Policy,
    /// Nodes of this zone come first; empty: all alike.
    pub zone: Arc<str>,
}

/// A replica for a read that wants this, or `None` when none qualifies. `random` is any number; with
/// [`Policy::RoundRobin`] the number of the turn.
#[must_use]
pub fn pick(view: &View, among: Among, wanted: &Wanted, random: u32) -> Option<NodeId> {
    let fits = |node: &Node| among.has(node) && wanted.is_met_by(node);
    // One that lets its probe wait is asked when there is no other, nor a primary.
    let awake = view.writable().is_some() || view.nodes.iter().any(|node| node.answers() && fits(node));
    let fits = |node: &Node| (node.answers() || !awake) && fits(node);
    let Balance { policy, zone } = &view.balance;
    if zone.is_empty() {
        return choose(view, *policy, fits, random).map(|node| node.id);
    }
    let near = choose(view, *policy, |node| node.zone == *zone && fits(node), random);
    let far = || choose(view, *policy, |node| node.zone != *zone && fits(node), random);
    let Some(near) = near else { return far().map(|node| node.id) };
    // Spilling over is for the busy, so nobody looks far as long as there is little to do here.
    if near.load() <= SLACK {
        return Some(near.id);
    }
    let spills = |far: &&Node| load(near) > 2 * load(far) + u64::from(SLACK) * u64::from(Node::WHOLE);
    Some(far().filter(spills).unwrap_or(near).id)
}

/// Statements in flight per unit of weight that a node of the own zone may have before others are looked at.
const SLACK: u32 = 8;
/// Replicas whose lags differ by less are alike, in milliseconds.
const LAG: u32 = 100;

/// One of those that qualify, by the policy.
fn choose(view: &View, policy: Policy, fits: impl Fn(&Node) -> bool, random: u32) -> Option<&Node> {
    let all = || view.nodes.iter().filter(|node| fits(node));
    let total: u64 = all().map(share).sum();
    let turn = match policy {
        Policy::RoundRobin if all().all(|node| Some(share(node)) == all().next().map(share)) => {
            // Of equals each has its turn; otherwise the turns are spread as evenly as they come.
            u64::from(random) * all().next().map_or(1, share)
        }
        Policy::RoundRobin => (u64::from(random.wrapping_mul(SPREAD)) * total) >> 32,
        _ => u64::from(random),
    };
    let first = nth(all(), turn.checked_rem(total)?)?;
    if policy == Policy::RoundRobin {
        return Some(first);
    }
    let others = || all().filter(|node| node.id != first.id);
    let rest = total - share(first);
    let Some(at) = u64::from(random.wrapping_mul(SPREAD).rotate_left(16)).checked_rem(rest) else {
        return Some(first);
    };
    let second = nth(others(), at)?;
    // Of equals the one that can satisfy more reads, and else the first, which was drawn by its weight.
    let order = cost(second, policy).cmp(&cost(first, policy)).then_with(|| lag(second).cmp(&lag(first)));
    Some(if order.is_lt() { second } else { first })
}

/// 2^32 divided by the golden ratio: multiples of it are spread evenly.
const SPREAD: u32 = 2_654_435_769;

/// The node at this place, when each takes up as much room as its share.
fn nth<'n>(mut nodes: impl Iterator<Item = &'n Node>, at: u64) -> Option<&'n Node> {
    let mut end = 0;
    nodes.find(|node| {
        end += share(node);
        at < end
    })
}

/// What a node is given of the reads, relative to others.
fn share(node: &Node) -> u64 {
    // Who is asked for by name is given something in spite of a weight of 0.
    u64::from(node.weight.max(1)) * u64::from(node.share.max(1))
}

/// Statements in flight per unit of weight.
fn load(node: &Node) -> u64 {
    u64::from(node.load()) * u64::from(Node::WHOLE) * u64::from(Node::WHOLE) / share(node)
}

/// Its lag in units of [`LAG`].
fn lag(node: &Node) -> u64 {
    node.lag
        .as_secs()
        .saturating_mul(u64::from(1000 / LAG))
        .saturating_add(u64::from(node.lag.subsec_millis() / LAG))
}

fn cost(node: &Node, policy: Policy) -> u64 {
    let pace = node.progress.pace().max(1);
    match policy {
        Policy::Latency => {
            pace.saturating_mul(u64::from(node.load()) + 1).saturating_mul(u64::from(Node::WHOLE))
                / share(node)
        }
        _ => load(node),
    }
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
        View {
            nodes: (0..=replicas).map(node).collect(),
            primary: Some(NodeId(0)),
            generation: 1,
            ..View::default()
        }
    }

    fn any() -> Among {
        Among { aim: Aim::Replica, excluded: Excluded::default(), max_lag: None }
    }

    #[test]
    fn spreads_evenly_and_prefers_the_less_loaded() {
        let view = view(2);
        let mut hits = [0; 3];
        for random in 0..10_000u32 {
            hits[pick(&view, any(), &Wanted::NOTHING, random.wrapping_mul(2_654_435_761))
                .unwrap()
                .index()] += 1;
        }
        assert_eq!(hits[0], 0);
        assert!((4_500..=5_500).contains(&hits[1]), "{hits:?}");
        view.nodes[1].outstanding.store(5, Ordering::Relaxed);
        for random in 0..100 {
            assert_eq!(pick(&view, any(), &Wanted::NOTHING, random), Some(NodeId(2)));
        }
    }

    #[test]
    fn leaves_out_what_does_not_qualify() {
        let mut view = view(3);
        view.nodes[1].within_max_lag = false;
        view.nodes[2].state = NodeState::Down;
        assert_eq!(pick(&view, any(), &Wanted::NOTHING, 3), Some(NodeId(3)));
        let mut excluded = Excluded::default();
        excluded.add(NodeId(3));
        assert_eq!(pick(&view, Among { excluded, ..any() }, &Wanted::NOTHING, 3), None);
        view.nodes[3].weight = 0;
        assert_eq!(pick(&view, any(), &Wanted::NOTHING, 3), None);
    }
}
