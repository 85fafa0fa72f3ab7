//! `nodes`: at least one, each of them once.

use super::Report;
use crate::config::Node;
use crate::model::{self, NodeRole};

const MOST_WEIGHT: u32 = 1000;

pub(super) fn check(nodes: Vec<model::Node>, report: &mut Report<'_>) -> Vec<Node> {
    if nodes.is_empty() {
        report.error("nodes", "at least one node is needed: nodes = [\"10.0.0.1:5432\"]");
    }
    let mut complete: Vec<Node> = Vec::with_capacity(nodes.len());
    for (i, node) in nodes.into_iter().enumerate() {
        let node = named(node);
        let key = format!("nodes[{i}]");
        if node.name.is_empty() || ["primary", "replica", "auto"].contains(&node.name.as_str()) {
            report.error(&format!("{key}.name"), format!("a node cannot be called `{}`", node.name));
        }
        report.require(node.weight <= MOST_WEIGHT, &format!("{key}.weight"), "must be at most 1000");
        if let Some(other) = complete.iter().find(|other| other.address == node.address) {
            report.error(&key, format!("`{}` is already the node `{}`", node.address, other.name));
        } else if complete.iter().any(|other| other.name == node.name) {
            report.error(&format!("{key}.name"), format!("another node is called `{}` already", node.name));
        }
        complete.push(node);
    }
    if !complete.is_empty() && complete.iter().all(|node| node.role == NodeRole::Replica) {
        report.error("nodes", "all nodes have the role `replica`: none could be the primary");
    }
    complete
}

fn named(node: model::Node) -> Node {
    let model::Node { address, name, zone, weight, role } = node;
    Node { name: name.unwrap_or_else(|| address.to_string()), address, zone, weight, role }
}
