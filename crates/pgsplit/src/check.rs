//! `pgsplit check`: everything that can be found out without a server.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use pgsplit_config::{Config, Problem};

use crate::explain::look;
use crate::{cli, expectations, names, output, rights, validate};

/// Prints what is wrong and a summary. The exit code is 0, or 1 when there are errors.
pub(crate) fn check(asked: &cli::Check) -> anyhow::Result<ExitCode> {
    let path: &Path = &asked.file.path;
    let (mut text, mut notes) = (String::new(), Vec::new());
    let (errors, warnings) = match Config::load(path) {
        Ok((config, warnings)) => {
            let shown = path.display();
            let mut warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
            let errors = validate::problems(&config).into_iter();
            let mut errors: Vec<_> = errors.map(|error| format!("{shown}: {error:#}")).collect();
            let tested = expectations::run(&config);
            errors.extend(expectations::problems(path, &tested).iter().map(ToString::to_string));
            if !tested.untested.is_empty() {
                notes.push(format!("{shown}: no test meets {}", listed(&tested.untested)));
            }
            if asked.live && errors.is_empty() {
                let live = live(&config, path, &asked.database);
                errors.extend(live.0);
                warnings.extend(live.1);
            }
            (errors, warnings)
        }
        Err(error) => (error.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::new()),
    };
    let labelled = [("error", &errors), ("warning", &warnings)];
    for (label, problem) in labelled.iter().flat_map(|(label, all)| all.iter().map(move |one| (label, one))) {
        writeln!(text, "{label}: {problem}")?;
    }
    for note in &notes {
        writeln!(text, "note: {note}")?;
    }
    let verdict = if errors.is_empty() { "good" } else { "refused" };
    let counts = [counted(errors.len(), "error"), counted(warnings.len(), "warning")];
    writeln!(text, "{}: {verdict} ({})", path.display(), counts.join(", "))?;
    output::print(&output::wrapped(&text))?;
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Errors and warnings that only the servers can tell.
fn live(config: &Config, path: &Path, database: &str) -> (Vec<String>, Vec<String>) {
    let failed = |error: anyhow::Error| vec![format!("{}: {error:#}", path.display())];
    let lacks = match rights::missing(config) {
        Ok(lacks) => lacks,
        Err(error) => return (failed(error), Vec::new()),
    };
    let mut errors = Vec::new();
    if !lacks.is_empty() {
        let message = format!(
            "`{}` lacks rights that it needs; as a superuser, on the primary:\n{}",
            config.auth.user,
            lacks.join("\n")
        );
        errors.push(Problem::at(path, "auth.user", &message).to_string());
    }
    match look(config, database, |_, catalog| names::unknown(config, catalog)) {
        Ok(unknown) => {
            let warning = |(key, message): &(String, String)| Problem::at(path, key, message).to_string();
            (errors, unknown.iter().map(warning).collect())
        }
        // Mostly for want of what it lacks.
        Err(_) if !errors.is_empty() => (errors, Vec::new()),
        Err(error) => (failed(error), Vec::new()),
    }
}

fn listed(rules: &[String]) -> String {
    let word = if rules.len() == 1 { "the rule" } else { "the rules" };
    format!("{word} {}", rules.join(", "))
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
