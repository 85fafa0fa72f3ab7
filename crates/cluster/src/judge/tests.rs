use super::*;

const CLUSTER: u64 = 1;
const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const C: NodeId = NodeId(2);

fn settings(roles: &[AllowedRole]) -> Settings {
    let node = |(index, role): (usize, &AllowedRole)| NodeSettings {
        host: "::1".into(),
        port: 5432,
        name: format!("n{index}").into(),
        zone: "".into(),
        weight: 1,
        role: *role,
    };
    let login = crate::settings::Login { user: "u".into(), password: None };
    Settings::new(roles.iter().enumerate().map(node).collect(), login)
}

fn answer(in_recovery: bool, timeline: u32, position: u64) -> Answer {
    Answer {
        in_recovery,
        system: CLUSTER,
        started: 1,
        position: Some(Lsn(position)),
        timeline: Some(timeline),
        control_timeline: 1,
        replay_age: None,
        version: 150_000,
        connection_limit: 97,
        monitor: true,
    }
}

fn primary(timeline: u32) -> Answer {
    answer(false, timeline, 1000)
}

fn replica(timeline: u32) -> Answer {
    answer(true, timeline, 1000)
}

/// A judge with three nodes that counts the events it was given.
struct Case {
    judge: Judge,
    now: Instant,
    events: Vec<Event>,
}

impl Case {
    fn new(roles: &[AllowedRole]) -> Self {
        Self {
            judge: Judge::new(&settings(roles), None, &Positions::new()),
            now: Instant::now(),
            events: Vec::new(),
        }
    }

    /// A is the primary of timeline 1, the others are its replicas.
    fn settled() -> Self {
        let mut case = Self::new(&[AllowedRole::Auto; 3]);
        case.answers([(A, primary(1)), (B, replica(1)), (C, replica(1))]);
        case.expect([Role::Primary, Role::Replica, Role::Replica], Some(A), 1);
        case
    }

    fn answers<const N: usize>(&mut self, answers: [(NodeId, Answer); N]) {
        for (node, answer) in answers {
            let events = self.judge.answered(node, answer, Arc::new([]), self.now);
            self.events.extend(events);
        }
    }

    fn fails(&mut self, node: NodeId, times: usize) {
        for _ in 0..times {
            let events = self.judge.failed(node, false);
            self.events.extend(events);
        }
    }

    #[track_caller]
    fn expect(&self, roles: [Role; 3], primary: Option<NodeId>, generation: u64) {
        let view = self.judge.view();
        let seen: Vec<_> = view.nodes.iter().map(|node| node.role).collect();
        assert_eq!((seen, view.primary, view.generation), (roles.to_vec(), primary, generation));
    }
}

#[test]
fn nothing_is_judged_before_all_were_asked() {
    let mut case = Case::new(&[AllowedRole::Auto; 3]);
    case.answers([(A, primary(1)), (B, replica(2))]);
    case.expect([Role::Unknown; 3], None, 0);
    assert!(!case.judge.is_ready());
    case.answers([(C, primary(2))]);
    case.expect([Role::Rejected, Role::Replica, Role::Primary], Some(C), 1);
    assert!(case.judge.is_ready());
}

#[test]
fn a_newer_timeline_fences_the_old_primary() {
    let mut case = Case::settled();
    case.answers([(B, primary(2))]);
    case.expect([Role::Rejected, Role::Primary, Role::Rejected], Some(B), 2);
    case.answers([(C, replica(2)), (A, primary(1))]);
    case.expect([Role::Rejected, Role::Primary, Role::Replica], Some(B), 2);
    let remembered = Remembered { system: CLUSTER, timeline: 2 };
    assert!(case.events.contains(&Event::Timeline(remembered)));
    case.answers([(A, replica(2))]);
    case.expect([Role::Replica, Role::Primary, Role::Replica], Some(B), 2);
}

#[test]
fn a_replica_that_streams_a_newer_timeline_fences_too() {
    let mut case = Case::settled();
    case.answers([(C, replica(2))]);
    case.expect([Role::Rejected, Role::Rejected, Role::Replica], None, 2);
    case.answers([(B, primary(2))]);
    case.expect([Role::Rejected, Role::Primary, Role::Replica], Some(B), 3);
}

#[test]
fn of_two_claims_to_one_timeline_neither_counts_and_it_is_said_once() {
    let mut case = Case::settled();
    for _ in 0..3 {
        case.answers([(B, primary(1)), (A, primary(1))]);
        case.expect([Role::Rejected, Role::Rejected, Role::Replica], None, 2);
    }
    assert_eq!(case.events.iter().filter(|event| matches!(event, Event::Disputed { .. })).count(), 1);
    case.fails(B, 3);
    case.expect([Role::Primary, Role::Rejected, Role::Replica], Some(A), 3);
}

#[test]
fn a_dead_primary_stays_the_primary_of_its_generation() {
    let mut case = Case::settled();
    case.fails(A, 2);
    case.expect([Role::Primary, Role::Replica, Role::Replica], Some(A), 1);
    case.fails(A, 1);
    case.expect([Role::Primary, Role::Replica, Role::Replica], None, 1);
    case.answers([(A, primary(1))]);
    case.expect([Role::Primary, Role::Replica, Role::Replica], Some(A), 1);
    case.answers([(A, Answer { started: 2, ..primary(1) })]);
    case.expect([Role::Primary, Role::Replica, Role::Replica], Some(A), 2);
}

#[test]
fn a_primary_may_move_without_a_new_timeline_when_the_old_one_is_gone() {
    let mut case = Case::settled();
    case.fails(A, 3);
    case.answers([(B, primary(1))]);
    case.expect([Role::Rejected, Role::Primary, Role::Replica], Some(B), 2);
}

#[test]
fn a_reported_failure_ejects_at_once_and_an_answer_readmits() {
    let mut case = Case::settled();
    let events = case.judge.ejected(B);
    assert_eq!(events, [Event::State { node: B, from: NodeState::Up, to: NodeState::Down }]);
    assert!(case.judge.ejected(B).is_empty());
    case.answers([(B, replica(1))]);
    assert!(case.judge.view().nodes[1].takes_reads());
}

#[test]
fn strangers_are_rejected_whatever_they_claim() {
    let stranger = |answer: Answer| Answer { system: 9, ..answer };
    let mut case = Case::new(&[AllowedRole::Auto; 3]);
    case.answers([(A, stranger(primary(7))), (B, primary(1)), (C, replica(1))]);
    case.expect([Role::Rejected, Role::Primary, Role::Replica], Some(B), 1);
    // Even numbers: a primary's identifier counts more.
    let mut case = Case::new(&[AllowedRole::Auto; 2]);
    case.answers([(A, stranger(replica(1))), (B, primary(1))]);
    assert_eq!(case.judge.view().primary, Some(B));
}

#[test]
fn configured_roles_restrict() {
    use AllowedRole::{Auto, Primary, Replica};
    let mut case = Case::new(&[Auto, Replica, Primary]);
    case.answers([(A, primary(1)), (B, primary(2)), (C, replica(1))]);
    case.expect([Role::Primary, Role::Rejected, Role::Rejected], Some(A), 1);
}

#[test]
fn what_was_remembered_outranks_what_is_found() {
    let remembered = Remembered { system: CLUSTER, timeline: 3 };
    let mut judge = Judge::new(&settings(&[AllowedRole::Auto]), Some(remembered), &Positions::new());
    judge.answered(A, primary(2), Arc::new([]), Instant::now());
    assert_eq!((judge.view().nodes[0].role, judge.view().primary), (Role::Rejected, None));
    judge.answered(A, primary(3), Arc::new([]), Instant::now());
    assert_eq!(judge.view().primary, Some(A));
}

#[test]
fn a_replica_without_a_stream_keeps_the_timeline_that_it_showed_in_this_life() {
    let mut case = Case::settled();
    case.answers([(B, primary(2)), (C, replica(2))]);
    let silent = Answer { timeline: None, ..replica(2) };
    case.answers([(C, silent.clone())]);
    assert_eq!(case.judge.view().nodes[2].role, Role::Replica);
    case.answers([(C, Answer { started: 2, ..silent.clone() })]);
    assert_eq!(case.judge.view().nodes[2].role, Role::Rejected, "may have diverged");
    case.answers([(C, Answer { started: 2, control_timeline: 2, ..silent })]);
    assert_eq!(case.judge.view().nodes[2].role, Role::Replica);
}

#[test]
fn a_replica_behind_everything_remembered_is_not_current_unless_it_says_so() {
    let mut case = Case::settled();
    let behind =
        |age: Option<u64>| Answer { replay_age: age.map(Duration::from_millis), ..answer(true, 1, 900) };
    for (age, within) in [(None, false), (Some(60_000), false), (Some(5), true)] {
        case.answers([(B, behind(age))]);
        let node = &case.judge.view().nodes[1];
        assert_eq!((node.within_max_lag, node.lag_bytes), (within, 100), "{age:?}");
    }
}

#[test]
fn lag_does_not_grow_while_there_is_no_primary() {
    let mut case = Case::settled();
    case.now += Duration::from_secs(1);
    case.answers([(A, answer(false, 1, 1100)), (B, answer(true, 1, 1050))]);
    case.fails(A, 3);
    case.now += Duration::from_secs(3600);
    case.answers([(B, answer(true, 1, 1050))]);
    let node = &case.judge.view().nodes[1];
    assert_eq!((node.lag, node.lag_bytes, node.takes_reads()), (Duration::from_secs(1), 50, true));
}

#[test]
fn one_that_lets_a_probe_wait_is_silent_until_it_answers() {
    let mut case = Case::settled();
    let events = case.judge.failed(B, true);
    assert_eq!(events, [Event::Silent { node: B }]);
    assert!(events[0].is_alarming());
    let view = case.judge.view();
    let node = view.node(B).unwrap();
    assert!(node.silent && !node.answers() && node.takes_reads(), "not judged yet");
    assert!(case.judge.failed(B, true).is_empty(), "said once");
    let events = case.judge.failed(B, true);
    assert!(matches!(events[..], [Event::State { to: NodeState::Down, .. }]), "{events:?}");
    case.judge.answered(B, replica(1), Arc::new([]), case.now);
    assert!(case.judge.view().node(B).unwrap().answers());

    case.judge.failed(A, true);
    let view = case.judge.view();
    assert_eq!((view.primary, view.writable()), (Some(A), None), "nothing new is sent to it");
}

#[test]
fn what_comes_back_gets_its_share_slowly() {
    let mut case = Case::settled();
    let share = |case: &Case| case.judge.view().node(B).unwrap().share;
    assert_eq!(share(&case), Node::WHOLE, "at the start there is nothing to come back from");
    case.judge.ejected(B);
    for (after, expected) in [(0, 102), (15, 512), (30, 1024)] {
        let now = case.now + Duration::from_secs(after);
        case.judge.answered(B, replica(1), Arc::new([]), now);
        assert_eq!(share(&case), expected, "after {after} s");
    }
}
