//! The `[[tests]]` of a configuration: statements with the decision that they must get. No server is asked; what a
//! statement names is taken for ordinary tables, and functions for what the configuration says of them.

use std::path::Path;

use anyhow::ensure;
use pgsplit_config::{Config, Problem, Target, Test};
use pgsplit_route::{NodeId, Target as Place, View};

use crate::explain::{Considered, Question, as_if_known};

/// What the tests came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Each expectation that does not hold: its key, and what is so instead.
    pub(crate) failures: Vec<(String, String)>,
    /// Rules that no test has met.
    pub(crate) untested: Vec<String>,
}

/// Runs all of them.
pub(crate) fn run(config: &Config) -> Outcome {
    let mut failures = Vec::new();
    let mut met: Vec<String> = Vec::new();
    for (i, test) in config.tests.iter().enumerate() {
        let (considered, ground) = as_if_known(config, &question(test));
        met.extend(considered.rule.iter().map(ToString::to_string));
        let key = format!("tests[{i}].expect");
        let went = went(&considered, &ground.view);
        if let Some(target) = &test.expect.target
            && !is_there(target, &considered, config, &ground.view)
        {
            failures.push((format!("{key}.target"), format!("expected {target}; it goes to {went}")));
        }
        if let Some(rule) = &test.expect.rule
            && considered.rule.as_deref() != Some(rule.as_str())
        {
            let found = considered.rule.as_deref().map_or("no rule matches", |_| "another rule matches");
            failures.push((
                format!("{key}.rule"),
                format!("expected the rule {rule}; {found}: it goes to {went}"),
            ));
        }
    }
    let untested = config.rules.iter().map(|rule| &rule.name).filter(|name| !met.contains(name));
    Outcome { failures, untested: untested.cloned().collect() }
}

fn question(test: &Test) -> Question {
    Question {
        user: test.user.clone(),
        database: test.database.clone(),
        application_name: test.application_name.clone(),
        client: test.client,
        ..Question::plain(&test.sql)
    }
}

fn is_there(expected: &Target, considered: &Considered, config: &Config, view: &View) -> bool {
    match (expected, considered.decision.target) {
        (Target::Primary, Place::Primary) | (Target::Replica, Place::Replica(_)) => true,
        (Target::Nodes(names), place) => {
            let rule = considered.rule.as_deref();
            let rule = config.rules.iter().find(|known| Some(known.name.as_str()) == rule);
            let same = rule.is_some_and(|rule| rule.target.as_ref() == Some(expected));
            same && considered.decision.reason.label() == "rule"
                || place_name(place, view).is_some_and(|at| *names == [at])
        }
        _ => false,
    }
}

fn place_name(place: Place, view: &View) -> Option<String> {
    let node: NodeId = match place {
        Place::Replica(node) => node,
        _ => view.primary?,
    };
    view.node(node).map(|node| node.name.to_string())
}

/// Where a statement goes and why, in words.
fn went(considered: &Considered, view: &View) -> String {
    let reason = &considered.decision.reason;
    match considered.decision.target {
        Place::Replica(node) if view.nodes.len() > 2 && considered.aim.is_some() => {
            let name = view.node(node).map_or("a replica", |node| &*node.name);
            format!("a replica such as {name} ({reason})")
        }
        Place::Replica(_) => format!("a replica ({reason})"),
        _ => format!("the primary ({reason})"),
    }
}

/// Refuses a configuration whose tests fail.
///
/// # Errors
/// Names each test that fails, with its place in the file.
pub(crate) fn must_hold(config: &Config, path: &Path) -> anyhow::Result<()> {
    let failures = problems(path, &run(config));
    ensure!(
        failures.is_empty(),
        "{}",
        failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}

/// The failures with their places in the file.
pub(crate) fn problems(path: &Path, outcome: &Outcome) -> Vec<Problem> {
    let problem = |(key, message): &(String, String)| Problem::at(path, key, message);
    outcome.failures.iter().map(problem).collect()
}
