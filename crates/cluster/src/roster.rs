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
    /// It is for another address of this node's name, and not in the configuration itself.
    of: Option<NodeId>,
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
        let entry = |node: &NodeSettings| Entry { settings: Arc::new(node.clone()), gone: false, of: None };
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

    /// The nodes of a name: the one that the configuration has, and those for its other addresses.
    pub(crate) fn of_name(&self, first: NodeId) -> Vec<NodeId> {
        let entries = self.lock();
        let all = (0..).map(NodeId).zip(&*entries);
        all.filter(|(id, entry)| !entry.gone && (*id == first || entry.of == Some(first)))
            .map(|(id, _)| id)
            .collect()
    }

    /// One more node of a name. `None`: there is no room, or the name is gone.
    pub(crate) fn add(&self, first: NodeId) -> Option<(NodeId, Arc<NodeSettings>)> {
        let mut entries = self.lock();
        let id = u16::try_from(entries.len()).ok().filter(|id| usize::from(*id) < MOST_NODES)?;
        let named = entries.get(first.index()).filter(|entry| !entry.gone)?;
        let number = entries.iter().filter(|entry| entry.of == Some(first)).count() + 2;
        let settings = Arc::new(numbered(&named.settings, number));
        entries.push(Entry { settings: Arc::clone(&settings), gone: false, of: Some(first) });
        Some((NodeId(id), settings))
    }

    /// These are the nodes from now on.
    pub(crate) fn set(&self, nodes: &[NodeSettings]) -> Result<Changes, Error> {
        let mut entries = self.lock();
        let mut next = entries.clone();
        let mut changes = Changes::default();
        let listed = |entry: &Entry| !entry.gone && entry.of.is_none();
        for (id, entry) in (0..).map(NodeId).zip(&mut next).filter(|(_, entry)| listed(entry)) {
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
            if next.iter().any(|entry| listed(entry) && is_same(node, &entry.settings)) {
                continue;
            }
            let id = u16::try_from(next.len()).ok().filter(|id| usize::from(*id) < MOST_NODES);
            let id = NodeId(id.ok_or(Error::TooMany)?);
            let settings = Arc::new(node.clone());
            next.push(Entry { settings: Arc::clone(&settings), gone: false, of: None });
            changes.new.push((id, settings));
        }
        follow(&mut next, &mut changes);
        *entries = next;
        Ok(changes)
    }
}

/// What holds for a name's first node holds for the others.
fn follow(entries: &mut [Entry], changes: &mut Changes) {
    let firsts: Vec<_> = entries.iter().map(|entry| (Arc::clone(&entry.settings), entry.gone)).collect();
    let mut numbers = vec![1; entries.len()];
    for (id, entry) in (0..).map(NodeId).zip(entries) {
        let Some(first) = entry.of else { continue };
        let (Some((settings, gone)), Some(number)) =
            (firsts.get(first.index()), numbers.get_mut(first.index()))
        else {
            continue;
        };
        *number += 1;
        let now = numbered(settings, *number);
        if *gone && !entry.gone {
            entry.gone = true;
            changes.gone.push(id);
        } else if !*gone && now != *entry.settings {
            entry.settings = Arc::new(now);
            changes.changed.push((id, Arc::clone(&entry.settings)));
        }
    }
}

/// The settings of a name's second, third … node.
fn numbered(first: &NodeSettings, number: usize) -> NodeSettings {
    NodeSettings { name: format!("{}/{number}", first.name).into(), ..first.clone() }
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
    fn nodes_of_a_name_follow_the_first() {
        let roster = Roster::new(&[node(1, 1), node(2, 1)]);
        let added = [roster.add(NodeId(0)), roster.add(NodeId(0))].map(|added| added.unwrap().0);
        assert_eq!((added, roster.of_name(NodeId(0))), ([2, 3].map(NodeId), [0, 2, 3].map(NodeId).to_vec()));
        assert_eq!(roster.set(&[node(1, 1), node(2, 1)]).unwrap(), Changes::default());
        let changes = roster.set(&[node(1, 7), node(2, 1)]).unwrap();
        let names: Vec<_> =
            changes.changed.iter().map(|(_, now)| (now.name.to_string(), now.weight)).collect();
        assert_eq!(names, [("db1".into(), 7), ("db1/2".into(), 7), ("db1/3".into(), 7)]);
        let changes = roster.set(&[node(2, 1)]).unwrap();
        assert_eq!((changes.gone, changes.new), ([0, 2, 3].map(NodeId).to_vec(), Vec::new()));
        assert!(roster.add(NodeId(0)).is_none());
    }

    #[test]
    fn when_there_is_no_room_nothing_changes() {
        let roster = Roster::new(&[node(1, 1)]);
        let many: Vec<_> = (2..=100).map(|port| node(port, 1)).collect();
        assert!(roster.set(&many).is_err());
        assert_eq!(roster.set(&[node(1, 1)]).unwrap(), Changes::default());
    }
}
