//! From the model to the validated [`Config`]: contradictions and impossible values.
//!
//! Each file here checks a few tables. Checks report through [`Report`] by key and go on, so that one run
//! shows all that is wrong.

mod commands;
mod lint;
mod login;
mod network;
mod nodes;
mod pattern;
mod quantities;
mod rules;

pub use commands::COMMANDS;

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::document::Document;
use crate::model::File;
use crate::problem::{Problem, Warning};

/// Collects what the checks find.
struct Report<'d> {
    document: &'d Document<'d>,
    base_dir: &'d Path,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Report<'_> {
    /// An error at a key.
    fn error(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(key, message));
    }

    /// A warning at a key.
    fn warn(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(self.document.problem(key, message));
    }

    /// An error at a key, unless `holds`.
    fn require(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.error(key, message);
        }
    }

    /// A path of the file, from the file's folder.
    fn resolve(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }
}

/// Checks the model and completes it.
pub(crate) fn validate(
    file: File,
    document: &Document<'_>,
    base_dir: &Path,
) -> Result<(Config, Vec<Warning>), Vec<Problem>> {
    let mut report = Report { document, base_dir, problems: Vec::new(), warnings: Vec::new() };
    network::check(&file, &mut report);
    quantities::check(&file, &mut report);
    let nodes = nodes::check(file.nodes, &mut report);
    let rules = rules::check(file.rules, &nodes, &mut report);
    lint::check(&rules, file.routing.hints, &mut report);
    rules::check_tests(&file.tests, &rules, &nodes, &mut report);
    let config = Config {
        auth: login::auth(file.auth, &mut report),
        tls: login::tls(file.tls, &mut report),
        listen: file.listen,
        admin: file.admin.0,
        http: file.http.0,
        admin_users: file.admin_users,
        watch: file.watch,
        workers: file.workers,
        reuse_port: file.reuse_port,
        peers: file.peers,
        state_file: report.resolve(&file.state_file),
        topology: file.topology,
        nodes,
        pool: file.pool,
        timeouts: file.timeouts,
        routing: file.routing,
        consistency: file.consistency,
        balance: file.balance,
        health: file.health,
        rules,
        tests: file.tests,
        log: file.log,
    };
    login::check(&config, &mut report);
    if report.problems.is_empty() { Ok((config, report.warnings)) } else { Err(report.problems) }
}
