//! `pgsplit check`: everything that can be found out without a server.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use pgsplit_config::Config;

use crate::{output, unsupported, validate};

/// Prints what is wrong and a summary. The exit code is 0, or 1 when there are errors.
pub(crate) fn check(path: &Path) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let (errors, warnings) = match Config::load(path) {
        Ok((config, warnings)) => {
            let shown = path.display();
            let mut warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
            let without_effect = unsupported::without_effect(&config);
            warnings.extend(without_effect.into_iter().map(|warning| format!("{shown}: {warning}")));
            let errors = validate::problems(&config).into_iter();
            (errors.map(|error| format!("{shown}: {error:#}")).collect(), warnings)
        }
        Err(error) => (error.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::new()),
    };
    let labelled = [("error", &errors), ("warning", &warnings)];
    for (label, problem) in labelled.iter().flat_map(|(label, all)| all.iter().map(move |one| (label, one))) {
        writeln!(text, "{label}: {problem}")?;
    }
    let verdict = if errors.is_empty() { "good" } else { "refused" };
    let counts = [counted(errors.len(), "error"), counted(warnings.len(), "warning")];
    writeln!(text, "{}: {verdict} ({})", path.display(), counts.join(", "))?;
    output::print(&text)?;
    Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
