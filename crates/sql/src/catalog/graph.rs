//! What depends on what in a catalog, and how badness spreads along it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::Oid;

/// A thing that can be bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// Calling a function.
    Function(Oid),
    /// What a function leaves behind in the session.
    State(Oid),
    /// Using an operator.
    Operator(Oid),
    /// Using a type.
    Type(Oid),
    /// Reading a relation.
    Read(Oid),
    /// Writing a relation, as to what is left in the session.
    Written(Oid),
    /// Writing a relation, as to what other relations are written.
    Further(Oid),
}

/// Dependencies between nodes, and the nodes that are bad by themselves.
#[derive(Debug, Default)]
pub(super) struct Graph {
    dependents: HashMap<Node, Vec<Node>, foldhash::fast::RandomState>,
    bad: HashSet<Node, foldhash::fast::RandomState>,
}

impl Graph {
    /// `node` is bad if `on` is.
    pub(super) fn depends(&mut self, node: Node, on: Node) {
        self.dependents.entry(on).or_default().push(node);
    }

    /// `node` is bad if a condition holds.
    pub(super) fn bad_if(&mut self, node: Node, condition: bool) {
        if condition {
            self.bad.insert(node);
        }
    }

    /// All nodes that are bad, by themselves, through `more`, or through what they depend on. Cycles that depend on
    /// nothing bad are good: functions that call one another are as harmless as what they do besides.
    pub(super) fn closure(
        &self,
        more: impl IntoIterator<Item = Node>,
    ) -> HashSet<Node, foldhash::fast::RandomState> {
        self.dependents(self.bad.iter().copied().chain(more))
    }

    /// Some nodes, and all that depends on them.
    pub(super) fn dependents(
        &self,
        of: impl IntoIterator<Item = Node>,
    ) -> HashSet<Node, foldhash::fast::RandomState> {
        reach(of, |node| self.dependents.get(&node).into_iter().flatten().copied())
    }
}

/// Everything that can be reached from some beginnings, these included.
pub(super) fn reach<T, I>(
    from: impl IntoIterator<Item = T>,
    next: impl Fn(T) -> I,
) -> HashSet<T, foldhash::fast::RandomState>
where
    T: Copy + Eq + Hash,
    I: IntoIterator<Item = T>,
{
    let mut waiting: Vec<T> = from.into_iter().collect();
    let mut seen = HashSet::default();
    while let Some(item) = waiting.pop() {
        if seen.insert(item) {
            waiting.extend(next(item));
        }
    }
    seen
}
