//! The admin console of a running proxy: `psql`, a driver, reloads, and somebody who means no good.
//!
//! One cluster for all; every scene has a proxy of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics, also in its helper functions")]

#[path = "console/commands.rs"]
mod commands;
#[path = "console/hostile.rs"]
mod hostile;
#[path = "console/load.rs"]
mod load;
#[path = "console/login.rs"]
mod login;
#[path = "console/nodes.rs"]
mod nodes;
#[path = "console/reload.rs"]
mod reload;
#[path = "console/stage.rs"]
mod stage;
#[path = "console/statements.rs"]
mod statements;
#[path = "console/tables.rs"]
mod tables;
#[path = "console/trial.rs"]
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pgsplit_testkit::Cluster;

/// A scene and its name.
type Scene = (&'static str, fn(&Cluster));

const SCENES: [Scene; 17] = [
    ("only listed users come in", login::only_listed_users_come_in),
    ("psql", commands::in_psql),
    ("tables in psql", tables::in_psql),
    ("a driver", commands::in_a_driver),
    ("hostile bytes", hostile::bytes_harm_nobody),
    ("statements are counted", statements::are_counted),
    ("a reload takes effect", reload::takes_effect),
    ("errors change nothing", reload::errors_change_nothing),
    ("a file that is watched", reload::follows_the_file),
    ("a console that is to move", reload::finds_a_console_that_is_to_move),
    ("diff", reload::diff_tells_what_moves),
    ("a reload on trial", trial::goes_back),
    ("others wait for a trial", trial::keeps_others_waiting),
    ("a trial ends when logins fail", trial::ends_when_logins_fail),
    ("tests of a configuration", reload::tests_must_hold),
    ("reloads under load", load::disturbs_nobody),
    ("nodes come and go", nodes::come_and_go),
];

/// All of it, on one cluster. `CONSOLE` in the environment picks the scenes whose name contains it.
#[test]
#[allow(clippy::print_stderr, reason = "shown with --nocapture, and when the test fails")]
fn the_console_does_what_it_says() {
    let only = std::env::var("CONSOLE").unwrap_or_default();
    let cluster = Cluster::builder().name("console").replicas(1).start().unwrap();
    stage::prepare(&cluster);
    let mut failed = Vec::new();
    for (name, scene) in SCENES.iter().filter(|(name, _)| name.contains(&only)) {
        eprintln!("scene: {name}");
        if catch_unwind(AssertUnwindSafe(|| scene(&cluster))).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
