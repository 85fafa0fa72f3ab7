//! Properties of the choice among replicas: whatever the state of the nodes, who is chosen qualifies, somebody is chosen
//! when somebody qualifies, and the shares are what weights, policies, zones and slow start promise.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use pgsplit_route::{
    Aim, Among, Balance, Excluded, Node, NodeId, NodeState, Policy, Role, View, Wanted, pick,
};

const ANY: Among = Among { aim: Aim::Replica, excluded: Excluded::NONE, max_lag: None };
const POLICIES: [Policy; 3] = [Policy::LeastOutstanding, Policy::Latency, Policy::RoundRobin];

struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, most: u32) -> u32 {
        self.next() % most
    }
}

/// A primary and replicas that are alike.
fn view(replicas: u16, policy: Policy) -> View {
    let role = |id| if id == 0 { Role::Primary } else { Role::Replica };
    let node = |id: u16| Node::new(id, &format!("db{id}"), "127.0.0.1:1").up(role(id));
    View {
        nodes: (0..=replicas).map(node).collect(),
        primary: Some(NodeId(0)),
        generation: 1,
        balance: Balance { policy, zone: "".into() },
        ..View::default()
    }
}

/// The shares of so many reads, of which so many are in flight at a time.
fn shares(view: &View, reads: u32, in_flight: usize) -> Vec<f64> {
    let (mut random, mut hits) = (Random(7), vec![0u32; view.nodes.len()]);
    let mut running = std::collections::VecDeque::new();
    for turn in 0..reads {
        let number = if view.balance.policy == Policy::RoundRobin { turn } else { random.next() };
        let node = pick(view, ANY, &Wanted::NOTHING, number).unwrap();
        hits[node.index()] += 1;
        view.nodes[node.index()].outstanding.fetch_add(1, Ordering::Relaxed);
        running.push_back(node);
        if running.len() > in_flight {
            let done = running.pop_front().unwrap();
            view.nodes[done.index()].outstanding.fetch_sub(1, Ordering::Relaxed);
        }
    }
    for node in running {
        view.nodes[node.index()].outstanding.fetch_sub(1, Ordering::Relaxed);
    }
    hits.into_iter().map(|hits| f64::from(hits) / f64::from(reads)).collect()
}

fn near(share: f64, expected: f64) -> bool {
    (share - expected).abs() < 0.05
}

#[test]
fn who_is_chosen_qualifies_and_somebody_is_when_somebody_does() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut view = view(1 + random.below(5) as u16, POLICIES[random.below(3) as usize]);
        view.balance.zone = ["", "a", "b"][random.below(3) as usize].into();
        for node in &mut view.nodes {
            node.zone = ["a", "b"][random.below(2) as usize].into();
            node.weight = random.below(4);
            node.share = random.below(Node::WHOLE + 1);
            node.silent = random.below(3) == 0;
            node.within_max_lag = random.below(4) > 0;
            node.state = [NodeState::Up, NodeState::Up, NodeState::Down][random.below(3) as usize];
            node.outstanding.store(random.below(40), Ordering::Relaxed);
            node.progress.set_pace(Duration::from_micros(u64::from(random.below(100_000))));
        }
        let mut excluded = Excluded::NONE;
        excluded.add(NodeId(random.below(6) as u16));
        let among = Among { excluded, ..ANY };
        let picked = pick(&view, among, &Wanted::NOTHING, random.next());
        let fitting: Vec<_> = view.nodes.iter().filter(|node| among.has(node)).collect();
        let Some(picked) = picked.and_then(|id| view.node(id)) else {
            // Those that let a probe wait are for when there is nothing else, not even a primary.
            let none = fitting.iter().all(|node| !node.answers() && view.writable().is_some());
            assert!(none, "{view:#?}");
            continue;
        };
        assert!(among.has(picked), "{view:#?}");
        assert!(picked.answers() || fitting.iter().all(|node| !node.answers()), "{view:#?}");
        let (zone, answering) = (&view.balance.zone, picked.answers());
        let at_home = |node: &&&Node| node.zone == *zone && node.answers() == answering;
        if !zone.is_empty() && picked.zone != *zone {
            let idle = fitting.iter().filter(at_home).any(|node| node.load() == 0);
            assert!(!idle || fitting.iter().filter(at_home).any(|node| node.load() > 8), "{view:#?}");
        }
    }
}

#[test]
fn shares_follow_weights_at_rest_and_under_load() {
    for policy in POLICIES {
        for in_flight in [0, 30] {
            let mut view = view(3, policy);
            view.nodes.iter().for_each(|node| node.progress.set_pace(Duration::from_millis(1)));
            let even = shares(&view, 30_000, in_flight);
            assert!(
                even[1..].iter().all(|share| near(*share, 1.0 / 3.0)),
                "{policy:?} {in_flight}: {even:?}"
            );
            if policy == Policy::Latency && in_flight == 0 {
                // Nobody waits anywhere: the heavier one would be done as soon.
                continue;
            }
            view.nodes[1].weight = 2;
            let uneven = shares(&view, 30_000, in_flight);
            assert!(near(uneven[1], 0.5) && near(uneven[2], 0.25), "{policy:?} {in_flight}: {uneven:?}");
        }
    }
}

#[test]
fn what_comes_back_is_given_a_part() {
    for in_flight in [0, 100] {
        let mut view = view(2, Policy::LeastOutstanding);
        view.nodes[1].share = Node::WHOLE / 10;
        let part = shares(&view, 20_000, in_flight);
        assert!(near(part[1], 1.0 / 11.0), "{in_flight}: {part:?}");
    }
}

#[test]
fn the_quicker_one_gets_more_until_it_is_as_slow() {
    let view = view(2, Policy::Latency);
    view.nodes[1].progress.set_pace(Duration::from_millis(1));
    view.nodes[2].progress.set_pace(Duration::from_millis(3));
    assert_eq!(shares(&view, 1_000, 0)[2], 0.0);
    let loaded = shares(&view, 20_000, 40);
    assert!(near(loaded[1], 0.75), "{loaded:?}");
}

#[test]
fn round_robin_goes_round() {
    let view = view(3, Policy::RoundRobin);
    let turns: Vec<_> = (0..6).map(|turn| pick(&view, ANY, &Wanted::NOTHING, turn).unwrap().0).collect();
    assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn the_own_zone_comes_first_and_spills_over() {
    let mut view = view(2, Policy::LeastOutstanding);
    view.balance.zone = "a".into();
    view.nodes[1].zone = "a".into();
    view.nodes[2].zone = "b".into();
    assert_eq!(shares(&view, 1_000, 0)[1], 1.0);
    let busy = shares(&view, 20_000, 60);
    assert!(busy[1] > 0.6 && busy[2] > 0.15, "{busy:?}");
    view.nodes[1].state = NodeState::Down;
    assert_eq!(shares(&view, 1_000, 0)[2], 1.0);
}

#[test]
fn of_equals_the_one_with_less_lag_is_preferred() {
    let mut view = view(2, Policy::LeastOutstanding);
    view.nodes[1].lag = Duration::from_secs(2);
    assert_eq!(shares(&view, 1_000, 0)[2], 1.0);
    view.nodes[2].outstanding.store(5, Ordering::Relaxed);
    assert_eq!(shares(&view, 1_000, 0)[1], 1.0, "load counts more");
}
