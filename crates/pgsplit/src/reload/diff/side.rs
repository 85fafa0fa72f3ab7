//! What one configuration makes of a statement and its circumstances.

use std::sync::Arc;

use pgsplit_config::Config;
use pgsplit_route::rules::{SearchPath, Share, Speaker, Words};
use pgsplit_route::{Aim, Node, NodeId, Reason, Role, Rules, Target, View};
use pgsplit_session::statistics::{Caller, Statement};
use pgsplit_sql::tags::Tags;
use pgsplit_sql::{Catalog, Facts};

use crate::explain::{Ground, Moment};

/// Where a statement goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) target: String,
    pub(super) reason: String,
    pub(super) is_primary: bool,
}

/// Parts of all sessions, as rules count them.
const PARTS: u64 = 10_000;

pub(super) struct Side {
    pub(super) ground: Ground,
}

impl Side {
    pub(super) fn new(config: &Config, view: &View, moment: Moment) -> Self {
        let names: Vec<&str> = view.nodes.iter().map(|node| &*node.name).collect();
        let rules = Arc::new(Rules::new(&config.rules, &names, None));
        Self { ground: Ground::now(config, rules, Arc::new(at_rest(view)), moment) }
    }

    /// Where a statement goes that stands alone, and why.
    pub(super) fn way(&self, facts: &Facts, catalog: &Catalog, caller: &Known<'_>, place: u64) -> Way {
        let speaker = Speaker { share: Some(Share::At(place)), ..caller.speaker };
        let (decision, rule) = self.ground.decide(facts, catalog, &speaker, caller.words, &caller.path);
        let [primary, replica] = Target::NAMES;
        let (target, reason) = match (decision.target, &decision.reason) {
            (Target::Replica(_), _) if self.ground.shadow => (primary.to_owned(), "shadow".to_owned()),
            (Target::Replica(_), reason) => match rule.and_then(|rule| rule.aim) {
                Some(Aim::Nodes(nodes)) => {
                    let named = self.ground.view.nodes.iter().filter(|node| nodes.has(node));
                    let names: Vec<&str> = named.map(|node| &*node.name).collect();
                    (names.join(", "), reason.to_string())
                }
                _ => (replica.to_owned(), reason.to_string()),
            },
            (_, Reason::Read) => (primary.to_owned(), "routing.reads".to_owned()),
            (_, reason) => (primary.to_owned(), reason.to_string()),
        };
        let is_primary = self.ground.shadow || !matches!(decision.target, Target::Replica(_));
        Way { target, reason, is_primary }
    }
}

/// A view in which every node is up and nobody lags: what is compared is configurations, not the moment.
fn at_rest(view: &View) -> View {
    let primary = view.primary.unwrap_or(NodeId(0));
    let node = |node: &Node| {
        let role = if node.id == primary { Role::Primary } else { Role::Replica };
        Node { weight: node.weight, ..Node::new(node.id.0, &node.name, &node.address).up(role) }
    };
    View { nodes: view.nodes.iter().map(node).collect(), primary: Some(primary), ..View::default() }
}

/// Places among all sessions for each of which no rule changes its mind, and how much of the whole each stands for.
pub(super) fn places(sides: [&Side; 2]) -> Vec<(u64, f64)> {
    let mut bounds: Vec<u64> = sides.iter().flat_map(|side| side.ground.rules.shares()).collect();
    bounds.extend([0, PARTS]);
    bounds.sort_unstable();
    bounds.dedup();
    let widths = bounds.windows(2).filter_map(|pair| match pair {
        [from, to] => Some((*from, (to - from) as f64 / PARTS as f64)),
        _ => None,
    });
    widths.collect()
}

/// A caller as rules are asked about it.
pub(super) struct Known<'c> {
    speaker: Speaker<'c>,
    words: Words<'c>,
    path: SearchPath,
}

/// The callers of a statement, and the share of each in those calls that rules decide.
pub(super) fn callers<'s>(one: &'s Statement, ground: &Ground) -> Vec<(Known<'s>, f64)> {
    let hinted = |caller: &Caller| ground.aim(caller.hint.as_deref()).is_some();
    let all = one.callers.shares().filter(|(caller, _)| !hinted(caller));
    let mut known: Vec<_> = all.map(|(caller, share)| (known(caller, &one.database), share)).collect();
    let whole: f64 = known.iter().map(|(_, share)| share).sum();
    known.iter_mut().for_each(|(_, share)| *share /= whole);
    known
}

fn known<'c>(caller: &'c Caller, database: &'c str) -> Known<'c> {
    Known {
        speaker: Speaker {
            user: &caller.user,
            database,
            application_name: &caller.application_name,
            client: caller.client,
            share: None,
        },
        words: Words { hint: caller.hint.as_deref(), tags: Tags::parse(&caller.tags) },
        path: SearchPath::new(caller.search_path.as_deref(), &caller.user),
    }
}
