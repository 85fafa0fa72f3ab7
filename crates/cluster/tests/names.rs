//! A name that leads to several servers, which come and go.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in its helpers too")]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::{Watched, node};
use pgsplit_cluster::{NodeSettings, Resolver};
use pgsplit_route::{Aim, NodeState, Role, View};

/// The nodes that are reached, by name, each with its address and what it is.
fn up(view: &View) -> Vec<(String, u16, Role)> {
    let up = view.nodes.iter().filter(|node| node.state == NodeState::Up);
    let port = |addresses: &[SocketAddr]| addresses.first().map_or(0, SocketAddr::port);
    up.map(|node| (node.name.to_string(), port(&node.resolved), node.role)).collect()
}

/// The nodes that a hint of this word asks for.
fn meant(view: &View, word: &str) -> Vec<String> {
    let Some(Aim::Nodes(nodes)) = Aim::of_word(word, view) else { return Vec::new() };
    view.nodes.iter().filter(|node| nodes.has(node)).map(|node| node.name.to_string()).collect()
}

#[test]
fn every_address_of_a_name_is_a_node() {
    let known: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
    let asked = known.clone();
    let watched = Watched::with("names", 2, None, |settings| {
        let ports: Vec<_> = settings.nodes.iter().map(|node| node.port).collect();
        *known.lock().unwrap() = ports.iter().map(|port| ([127, 0, 0, 1], *port).into()).collect();
        settings.nodes = vec![NodeSettings { host: "db.internal".into(), ..node("db", 5432) }];
        settings.resolver = Resolver::new(move |host, port| {
            assert_eq!((host, port), ("db.internal", 5432));
            asked.lock().unwrap().clone()
        });
    });
    let all = known.lock().unwrap().clone();
    watched.until("all servers are found", |view| view.primary.is_some() && up(view).len() == 3);
    let found = up(&watched.view());
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["db", "db/2", "db/3"]);
    assert_eq!(found.iter().filter(|(.., role)| *role == Role::Replica).count(), 2);
    assert_eq!(meant(&watched.view(), "db"), ["db", "db/2", "db/3"], "a rule's target, or a hint");
    assert_eq!(meant(&watched.view(), "db/2"), ["db/2"]);
    let primary = watched.view().primary.unwrap();

    // A replica's address goes away: the others stay what they were.
    known.lock().unwrap().retain(|address| *address != all[2]);
    watched.until("one is gone", |view| up(view).len() == 2);
    let left = up(&watched.view());
    assert!(left.iter().all(|one| found.contains(one)), "{left:?} of {found:?}");
    assert_eq!(watched.view().primary, Some(primary));

    // It comes back, and has the node that was left.
    *known.lock().unwrap() = all.iter().rev().copied().collect();
    watched.until("it is back", |view| up(view).len() == 3);
    assert_eq!(up(&watched.view()), found);
    assert_eq!(watched.view().nodes.len(), 3, "no number was used up");
    assert_eq!(watched.view().generation, 1, "the primary was left alone");

    // One address alone, and not that of the first node.
    let port = watched.servers.primary().port();
    known.lock().unwrap().retain(|address| address.port() == port);
    watched.until("the primary alone", |view| up(view).len() == 1);
    assert_eq!(up(&watched.view())[0].2, Role::Primary);
}
