//! `pgsplit explain`: the way of one statement, without sending it anywhere.
//!
//! Offline nothing is known of the database, so nothing that reads a user's table is proved; what the answer would be
//! if those were ordinary tables is said besides. With `--live` the control plane of the configuration is started for
//! a moment, and its catalog and view decide as they do in the running proxy.

mod answer;
mod consider;
mod json;
mod live;
mod offline;
mod question;
mod text;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use pgsplit_cluster::Cluster;
use pgsplit_config::Config;
use pgsplit_route::Rules;

pub(crate) use self::consider::{Considered, Ground, Moment};
pub(crate) use self::live::look;
pub(crate) use self::offline::as_if_known;
pub(crate) use self::question::Question;
use crate::load::load;
use crate::{cli, output};

/// Longer texts are not statements that somebody asks about.
const LONGEST: u64 = 4 << 20;

/// Explains and prints.
pub(crate) fn explain(asked: &cli::Explain) -> anyhow::Result<ExitCode> {
    let sql = match asked.sql.as_str() {
        "-" => read_input()?,
        sql => sql.to_owned(),
    };
    let (config, question) = (config(asked)?, Question::new(asked, sql)?);
    let answer = match (&config, asked.live) {
        (Some(config), true) => live::explain(config, &question)?,
        (config, _) => offline::explain(config.as_ref(), &question),
    };
    output::print(&if asked.json { json::render(&answer) } else { text::render(&answer) })
}

fn read_input() -> anyhow::Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(LONGEST).read_to_string(&mut text).context("standard input")?;
    ensure!(u64::try_from(read).is_ok_and(|read| read < LONGEST), "the statement is longer than 4 MiB");
    Ok(text)
}

/// As the running proxy sees it, as text.
pub(crate) async fn running(
    cluster: &Cluster,
    config: &Config,
    rules: Arc<Rules>,
    moment: Moment,
    question: &Question,
) -> anyhow::Result<String> {
    Ok(text::render(&live::running(cluster, config, rules, moment, question).await?))
}

/// The file that was named, or the usual one if it is there.
fn config(asked: &cli::Explain) -> anyhow::Result<Option<Config>> {
    let usual = Path::new(cli::DEFAULT_FILE);
    match &asked.path {
        Some(path) => Ok(Some(load(path)?.0)),
        None if asked.live || usual.exists() => Ok(Some(load(usual)?.0)),
        None => Ok(None),
    }
}
