//! Where a hint or a rule wants a statement to go.

use pgsplit_config::Target;

use crate::view::{Node, View};

/// The primary, the replicas, or some nodes by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The primary.
    Primary,
    /// A replica, by the balancing policy.
    Replica,
    /// One of these, whichever role it has.
    Nodes(NodeSet),
}

/// Some of the first 64 nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeSet(u64);

impl NodeSet {
    /// Whether a node is in it. The name of several servers means all of them.
    #[must_use]
    pub fn has(self, node: &Node) -> bool {
        self.0 & (bit(node.id.index()) | bit(node.named.index())) != 0
    }
}

fn bit(node: usize) -> u64 {
    u32::try_from(node).ok().and_then(|node| 1u64.checked_shl(node)).unwrap_or(0)
}

impl Aim {
    pub(crate) fn new(target: &Target, nodes: &[&str]) -> Self {
        match target {
            Target::Primary => Self::Primary,
            Target::Replica => Self::Replica,
            Target::Nodes(names) => {
                let named = |name: &&str| names.iter().any(|wanted| wanted == name);
                let places = nodes.iter().enumerate().filter(|(_, name)| named(name));
                Self::Nodes(NodeSet(places.fold(0, |set, (at, _)| set | bit(at))))
            }
        }
    }

    /// What the word of a hint asks for; `None` when it is the word of a rule, or none at all.
    #[must_use]
    pub fn of_word(word: &str, view: &View) -> Option<Self> {
        match word {
            _ if word.eq_ignore_ascii_case("primary") => Some(Self::Primary),
            _ if word.eq_ignore_ascii_case("replica") => Some(Self::Replica),
            _ => {
                let at = view.nodes.iter().position(|node| *node.name == *word && node.is_listed())?;
                Some(Self::Nodes(NodeSet(bit(at))))
            }
        }
    }
}
