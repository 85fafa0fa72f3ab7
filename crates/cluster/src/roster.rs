//! The nodes by number, as the configuration has them now. A number is given once: what a reload takes away keeps its own, so
//! that nobody who still has it meets another server.

use std::sync::{Arc, Mutex, PoisonError};

use pgsplit_route::{MOST_NODES, NodeId};

use crate::error::Error;
use crate::settings::NodeSettings;

/// See the module.
#[derive(Debug)]
pub(crate) struct Roster(Mutex<Vec<Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    settings: Arc<NodeSettings>,
    gone: bool,
}

/// What a reload changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<NodeId>,
    pub(crate) changed: Vec<(NodeId, Arc<NodeSettings>)>,
    pub(crate) new: Vec<(NodeId, Arc<NodeSettings>)>,
}

impl Roster {
    pub(crate) fn new(nodes: &[NodeSettings]) -> Self {
        let entry = |node: &NodeSettings| Entry { settings: Arc::new(node.clone()), gone: false };
        Self(Mutex::new(nodes.iter().map(entry).collect()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the configuration says of a node; of one that was taken away, what it said last.
    pub(crate) fn get(&self, node: NodeId) -> Option<Arc<NodeSettings>> {
        self.lock().get(node.index()).map(|entry| Arc::clone(&entry.settings))
    }

    /// All names, by number.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.lock().iter().map(|entry| Arc::clone(&entry.settings.name)).collect()
    }

    /// These are the nodes from now on.
    pub(crate) fn set(&self, nodes: &[NodeSettings]) -> Result<Changes, Error> {
        let mut entries = self.lock();
        let mut next = entries.clone();
        let mut changes = Changes::default();
        for (id, entry) in (0..).map(NodeId).zip(&mut next).filter(|(_, entry)| !entry.gone) {
            match nodes.iter().find(|node| is_same(node, &entry.settings)) {
                None => {
                    entry.gone = true;
                    changes.gone.push(id);
                }
                Some(now) if *now != *entry.settings => {
                    entry.settings = Arc::new(now.clone());
                    changes.changed.push((id, Arc::clone(&entry.settings)));
                }
                Some(_) => {}
            }
        }
        for node in nodes {
            if next.iter().any(|entry| !entry.gone && is_same(node, &entry.settings)) {
                continue;
            }
            let id = u16::try_from(next.len()).ok().filter(|id| usize::from(*id) < MOST_NODES);
            let id = NodeId(id.ok_or(Error::TooMany)?);
            let settings = Arc::new(node.clone());
            next.push(Entry { settings: Arc::clone(&settings), gone: false });
            changes.new.push((id, settings));
        }
        *entries = next;
        Ok(changes)
    }
}

fn is_same(one: &NodeSettings, other: &NodeSettings) -> bool {
    (&one.host, one.port) == (&other.host, other.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::AllowedRole;

    fn node(port: u16, weight: u32) -> NodeSettings {
        NodeSettings {
            host: "db".into(),
            port,
            name: format!("db{port}").into(),
            zone: "".into(),
            weight,
            role: AllowedRole::Auto,
        }
    }

    #[test]
    fn a_number_is_given_once() {
        let roster = Roster::new(&[node(1, 1), node(2, 1)]);
        assert_eq!(roster.set(&[node(2, 1), node(1, 1)]).unwrap(), Changes::default());
        let changes = roster.set(&[node(2, 5), node(3, 1)]).unwrap();
        assert_eq!(changes.gone, [NodeId(0)]);
        assert_eq!(changes.changed, [(NodeId(1), Arc::new(node(2, 5)))]);
        assert_eq!(changes.new, [(NodeId(2), Arc::new(node(3, 1)))]);
        let changes = roster.set(&[node(1, 1), node(2, 5), node(3, 1)]).unwrap();
        assert_eq!(changes.new, [(NodeId(3), Arc::new(node(1, 1)))], "it is a new one");
        assert_eq!(roster.names().len(), 4);
    }

    #[test]
    fn when_there_is_no_room_nothing_changes() {
        let roster = Roster::new(&[node(1, 1)]);
        let many: Vec<_> = (2..=100).map(|port| node(port, 1)).collect();
        assert!(roster.set(&many).is_err());
        assert_eq!(roster.set(&[node(1, 1)]).unwrap(), Changes::default());
    }
}
