//! The `pgsplit` program: its command line, and the wiring of all other crates.
//!
//! Here the configuration becomes each crate's settings, the control plane becomes what sessions ask, listeners
//! become sessions, and signals become reloads and stops. No statement is read and no byte of a client is handled
//! here; that is `pgsplit-session` and everything behind it.

mod check;
mod cli;
mod client;
mod control;
mod demo;
mod expectations;
mod explain;
mod limits;
mod listen;
mod load;
mod logging;
mod names;
mod output;
mod proxy;
mod reload;
mod rights;
mod run;
mod signals;
mod spill;
mod systemd;
mod unsupported;
mod validate;
mod wiring;
mod workers;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// What editors check a configuration by; a test keeps it equal to the model.
const SCHEMA: &str = include_str!("../../../config/pgsplit.schema.json");

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(file) => run::run(&file.path),
        Command::Check(asked) => check::check(&asked),
        Command::Explain(asked) => explain::explain(&asked),
        Command::Reload(asked) => client::reload(&asked),
        Command::Diff(asked) => client::diff(&asked),
        Command::Demo(asked) => demo::demo(&asked),
        Command::Config(asked) if asked.schema => output::print(SCHEMA),
        Command::Config(_) => output::print(&pgsplit_config::Config::defaults_toml()),
    };
    outcome.unwrap_or_else(|error| {
        output::complain(&format!("pgsplit: {error:#}\n"));
        ExitCode::FAILURE
    })
}
