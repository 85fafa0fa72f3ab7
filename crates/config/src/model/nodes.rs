//! `nodes = [...]` and its long form `[[nodes]]`.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, de};

use crate::address::Address;

/// A node as written: its address alone, or a table.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: Address,
    pub(crate) name: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) weight: u32,
    pub(crate) role: NodeRole,
}

/// What a node is allowed to be; which one is the primary is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Whatever it says it is.
    #[default]
    Auto,
    /// Used only while it is the primary.
    Primary,
    /// Used only while it is a replica.
    Replica,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    address: Address,
    name: Option<String>,
    zone: Option<String>,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    role: NodeRole,
}

fn one() -> u32 {
    1
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"10.0.0.1:5432\" or a [[nodes]] table")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        let address = text.parse().map_err(E::custom)?;
        Ok(Node { address, name: None, zone: None, weight: 1, role: NodeRole::Auto })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Node, A::Error> {
        let Table { address, name, zone, weight, role } =
            Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Node { address, name, zone, weight, role })
    }
}
