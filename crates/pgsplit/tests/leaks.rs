//! No state of one client's session is ever seen by another client on the same server connection, and none is lost.
//!
//! Two clients share one connection to each node, so that whatever one leaves behind the other would find. Every script
//! is also played on direct connections to the primary, and both must read the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its helpers"
)]

#[path = "leaks/gone.rs"]
mod gone;
#[path = "leaks/hidden.rs"]
mod hidden;
#[path = "leaks/identity.rs"]
mod identity;
#[path = "leaks/objects.rs"]
mod objects;
#[path = "leaks/prepared.rs"]
mod prepared;
#[path = "leaks/quiet.rs"]
mod quiet;
#[path = "leaks/settings.rs"]
mod settings;
#[path = "leaks/stage.rs"]
mod stage;

use std::panic::{AssertUnwindSafe, catch_unwind};

use stage::{Case, Stage};

/// Cases that are known to fail, each with the reason; they are played, and must go on failing until the entry is
/// taken out.
const KNOWN: &[(&str, &str)] = &[(
    "start-up parameters and RESET with a read",
    "the server's own start-up value is in force for the rest of a message behind a RESET in it",
)];

type Scene = (&'static str, fn(&Stage));

/// All of it, on one cluster. `LEAKS` in the environment picks the cases whose name contains it.
#[test]
fn nothing_leaks_and_nothing_is_lost() {
    let only = std::env::var("LEAKS").unwrap_or_default();
    let stage = Stage::start();
    stage.cluster.primary().sql("app", settings::ROLES).unwrap();
    let mut report = Report::default();
    let cases: Vec<Case> = [
        settings::cases(),
        identity::cases(),
        prepared::cases(),
        objects::cases(),
        hidden::cases(),
        quiet::cases(),
        objects::sequences(),
        hidden::sequences(),
    ]
    .into_iter()
    .flatten()
    .collect();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        let outcome = stage.play(case);
        // What a failed case leaves behind must not fail the next one.
        if outcome.is_err() {
            let _ = stage.clean(stage.proxy(case.connections));
        }
        report.add(case.name, outcome);
    }
    let scenes: Vec<Scene> = [objects::scenes(), gone::scenes(), quiet::scenes()].concat();
    for (name, scene) in scenes.into_iter().filter(|(name, _)| name.contains(&only)) {
        let played = catch_unwind(AssertUnwindSafe(|| scene(&stage)));
        report.add(name, played.map_err(|panic| said(&panic)));
    }
    report.judge();
}

fn said(panic: &Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[derive(Default)]
struct Report {
    played: usize,
    failures: Vec<String>,
}

impl Report {
    #[allow(clippy::print_stderr, reason = "shown with --nocapture, and when the test fails")]
    fn add(&mut self, name: &str, outcome: Result<(), String>) {
        self.played += 1;
        match &outcome {
            Ok(()) => eprintln!("ok     {name}"),
            Err(why) => eprintln!("FAILED {name}\n{why}"),
        }
        let known = KNOWN.iter().any(|(known, _)| *known == name);
        match outcome {
            Err(why) if !known => self.failures.push(format!("{name}\n{why}")),
            Ok(()) if known => self.failures.push(format!("{name}\n  is listed as failing, but passes")),
            _ => {}
        }
    }

    fn judge(self) {
        assert!(self.played > 0, "no case has this name");
        let Self { played, failures } = self;
        assert!(failures.is_empty(), "{} of {played} cases failed:\n{}", failures.len(), failures.join("\n"));
    }
}
