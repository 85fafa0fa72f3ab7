//! `pgsplit reload` and `pgsplit diff`: what the admin console of the running proxy does, from the command line.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use pgsplit_cluster::{ControlTls, ServerTls};
use pgsplit_config::{Config, Listen};
use pgsplit_net::{ClientTls, ConnectLevel};
use tokio_postgres::{Client, Row};

use crate::load::load;
use crate::run::runtime;
use crate::{cli, listen, output};

/// Longest wait for the console to take the connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(60);
const WIDTH: usize = 80;

/// `pgsplit reload`.
pub(crate) fn reload(asked: &cli::Reload) -> anyhow::Result<ExitCode> {
    let config = load_for(&asked.file, &asked.console)?;
    if asked.confirmed {
        rows(&config, "RELOAD CONFIRMED")?;
        return output::print("confirmed: what was reloaded stays in force\n");
    }
    let command = match &asked.confirm {
        Some(time) => format!("RELOAD CONFIRM {}", quoted(time)),
        None => "RELOAD".to_owned(),
    };
    let rows = rows(&config, &command)?;
    let changes = rows.iter().map(Changed::read).collect::<Result<Vec<_>, _>>()?;
    output::print(&changed(&changes, asked.confirm.as_deref()))
}

/// `pgsplit diff`.
pub(crate) fn diff(asked: &cli::Diff) -> anyhow::Result<ExitCode> {
    let config = load_for(&asked.file, &asked.console)?;
    let text = fs::read_to_string(&asked.new).with_context(|| asked.new.display().to_string())?;
    let rows = rows(&config, &format!("DIFF {}", quoted(&text)))?;
    let lines = rows.iter().map(Moved::read).collect::<Result<Vec<_>, _>>()?;
    output::print(&moved(&lines))
}

/// The configuration, with the console where the running proxy has it.
fn load_for(file: &cli::ConfigFile, console: &cli::Console) -> anyhow::Result<Config> {
    let mut config = load(&file.path)?.0;
    if console.admin.is_some() {
        config.admin.clone_from(&console.admin);
    }
    Ok(config)
}

/// The rows that the running proxy answers a command with.
fn rows(config: &Config, command: &str) -> anyhow::Result<Vec<Row>> {
    runtime()?.block_on(async {
        let client = connect(config).await?;
        let answer = tokio::time::timeout(ANSWER, client.query(command, &[])).await;
        answer.context("the console does not answer")?.map_err(said)
    })
}

async fn connect(config: &Config) -> anyhow::Result<Client> {
    let Some(admin) = &config.admin else {
        bail!("admin is \"off\" in the configuration: say where it is with --admin, or send SIGHUP")
    };
    let mut options = tokio_postgres::Config::new();
    match admin {
        Listen::Tcp(address) => {
            let any = matches!(address.host.as_str(), "*" | "0.0.0.0" | "::");
            options.host(if any { "127.0.0.1" } else { &address.host }).port(address.port);
        }
        Listen::Unix { directory } => {
            options.host_path(directory).port(listen::ADMIN_PORT);
        }
    }
    options.user(env::var("PGUSER").unwrap_or_else(|_| config.auth.user.clone()));
    let own = config.auth.password.as_ref().map(|secret| secret.expose().to_owned());
    if let Some(password) = env::var("PGPASSWORD").ok().or(own) {
        options.password(password);
    }
    options.dbname(pgsplit_admin::console::DATABASE).application_name("pgsplit").connect_timeout(CONNECT);
    // Whom one speaks to is the configuration's affair, and mostly this machine: what is asked for is only that
    // nobody reads along.
    let tls = ClientTls::load(ConnectLevel::Prefer, None, None, None)?;
    let (tls, mode) = ControlTls::new(&tls.config().map_or(ServerTls::Disable, ServerTls::Prefer));
    let connected = tokio::time::timeout(CONNECT, options.ssl_mode(mode).connect(tls)).await;
    let reached = connected.context("the console does not answer")?.map_err(said);
    let (client, connection) =
        reached.with_context(|| format!("no console at {admin}; is pgsplit running?"))?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the console said, in its own words.
fn said(error: tokio_postgres::Error) -> anyhow::Error {
    let Some(told) = error.as_db_error() else { return anyhow!(error) };
    let mut text = told.message().to_owned();
    for more in [told.detail(), told.hint()].into_iter().flatten() {
        let _ = write!(text, "\n{more}");
    }
    anyhow!(text)
}

/// A string constant.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A key that has changed.
struct Changed {
    key: String,
    old: Option<String>,
    new: Option<String>,
    in_force: String,
}

impl Changed {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let text = |name: &str| row.try_get::<_, Option<String>>(name);
        Ok(Self {
            key: row.try_get("key")?,
            old: text("old")?,
            new: text("new")?,
            in_force: row.try_get("in_force")?,
        })
    }
}

fn changed(changes: &[Changed], confirm: Option<&str>) -> String {
    let mut text = match changes {
        [] => "reloaded; nothing has changed\n".to_owned(),
        [_] => "reloaded; 1 key has changed\n".to_owned(),
        _ => format!("reloaded; {} keys have changed\n", changes.len()),
    };
    for change in changes {
        let show = |value: &Option<String>| match value.as_deref() {
            None => "(none)".to_owned(),
            Some("") => "\"\"".to_owned(),
            Some(value) => value.to_owned(),
        };
        let line = format!("{}: {} -> {}", change.key, show(&change.old), show(&change.new));
        let late = if change.in_force == "now" { "" } else { "after a restart: " };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}", shortened(&format!("{late}{line}"), WIDTH - 2));
    }
    if let Some(time) = confirm {
        let _ = writeln!(text, "goes back in {time} unless confirmed: pgsplit reload --confirmed");
    }
    text
}

/// A statement that would go elsewhere.
struct Moved {
    calls: i64,
    share: f64,
    from: String,
    to: String,
    statement: String,
    /// Why it may go to a replica, if it would.
    proof: Option<String>,
}

impl Moved {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let side = |target: &str, reason: &str| -> Result<String, tokio_postgres::Error> {
            Ok(format!("{} ({})", row.try_get::<_, &str>(target)?, row.try_get::<_, &str>(reason)?))
        };
        Ok(Self {
            calls: row.try_get("calls")?,
            share: row.try_get("share")?,
            from: side("old_target", "old_reason")?,
            to: side("new_target", "new_reason")?,
            statement: row.try_get("statement")?,
            proof: row.try_get("proof")?,
        })
    }
}

fn moved(lines: &[Moved]) -> String {
    let share: f64 = lines.iter().map(|line| line.share).sum::<f64>() * 100.0;
    let mut text = match lines {
        [] => return "no statement seen so far would go elsewhere\n".to_owned(),
        [_] => format!("1 statement would go elsewhere, {share:.1} % of all calls\n"),
        _ => format!("{} statements would go elsewhere, {share:.1} % of all calls\n", lines.len()),
    };
    for line in lines {
        let Moved { calls, share, from, to, statement, .. } = line;
        let begin = format!("{calls:>10} calls {:>5.1} %  {from}", share * 100.0);
        let whole = format!("{begin} -> {to}");
        // Where both do not fit on a line, each has its own.
        let way = match whole.chars().count() > WIDTH {
            true => {
                format!("{}\n{}", shortened(&begin, WIDTH), shortened(&format!("{:22}-> {to}", ""), WIDTH))
            }
            false => whole,
        };
        let _ = writeln!(text, "{way}\n    {}", shortened(statement, WIDTH - 4));
    }
    text.push_str(&proved(lines));
    text
}

/// What is known of those that would go to a replica.
fn proved(lines: &[Moved]) -> String {
    let mut trusted = BTreeMap::<&str, usize>::new();
    let mut writes = 0;
    for proof in lines.iter().filter_map(|line| line.proof.as_deref()) {
        match proof.split_once(':') {
            Some((_, function)) => *trusted.entry(function).or_default() += 1,
            None if proof == "read" => {}
            None => writes += 1,
        }
    }
    let mut text = String::new();
    for (function, count) in &trusted {
        let count = if *count == 1 { "1 counts".to_owned() } else { format!("{count} count") };
        let _ = writeln!(text, "{count} as a read only because functions_read_only has:");
        let _ = writeln!(text, "    {}", shortened(function, WIDTH - 4));
    }
    let _ = match (writes, trusted.is_empty()) {
        (0, true) => writeln!(text, "none of them is a write that would go to a replica"),
        (0, false) => writeln!(text, "none of the others is a write that would go to a replica"),
        (1, _) => writeln!(text, "1 of them is not proved to be a read and would go to a replica"),
        _ => writeln!(text, "{writes} of them are not proved to be reads and would go to a replica"),
    };
    text
}

fn shortened(line: &str, most: usize) -> String {
    if line.chars().count() <= most {
        return line.to_owned();
    }
    line.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reload_prints() {
        let change = |key: &str, old: Option<&str>, new: Option<&str>, in_force: &str| Changed {
            key: key.into(),
            old: old.map(Into::into),
            new: new.map(Into::into),
            in_force: in_force.into(),
        };
        assert_eq!(changed(&[], None), "reloaded; nothing has changed\n");
        let long = "x, ".repeat(40);
        let changes = [
            change("pool.wait", Some("5s"), Some("1s"), "now"),
            change("listen", Some("127.0.0.1:6432"), Some("0.0.0.0:6432"), "after a restart"),
            change("admin_users", Some(""), Some(&long), "now"),
            change("rules.r", Some("target primary"), None, "now"),
        ];
        let text = changed(&changes, Some("5m"));
        assert_eq!(
            text,
            "\
reloaded; 4 keys have changed
  pool.wait: 5s -> 1s
  after a restart: listen: 127.0.0.1:6432 -> 0.0.0.0:6432
  admin_users: \"\" -> x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x,...
  rules.r: target primary -> (none)
goes back in 5m unless confirmed: pgsplit reload --confirmed
"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn what_diff_prints() {
        assert_eq!(moved(&[]), "no statement seen so far would go elsewhere\n");
        let line = Moved {
            calls: 1234,
            share: 0.125,
            from: "primary (function:project_score)".into(),
            to: "replica (read)".into(),
            statement: "select project_score ( $1 )".into(),
            proof: Some("trusted:project_score".into()),
        };
        let long = Moved {
            calls: 5,
            share: 0.01,
            from: "primary (rule:a-rule-with-a-long-name)".into(),
            to: "replica (rule:another-rule-with-a-long-name)".into(),
            statement: "select 0".into(),
            proof: Some("read".into()),
        };
        assert_eq!(
            moved(&[long]),
            "\
1 statement would go elsewhere, 1.0 % of all calls
         5 calls   1.0 %  primary (rule:a-rule-with-a-long-name)
                      -> replica (rule:another-rule-with-a-long-name)
    select 0
none of them is a write that would go to a replica
"
        );
        assert_eq!(
            moved(&[line]),
            "\
1 statement would go elsewhere, 12.5 % of all calls
      1234 calls  12.5 %  primary (function:project_score) -> replica (read)
    select project_score ( $1 )
1 counts as a read only because functions_read_only has:
    project_score
none of the others is a write that would go to a replica
"
        );
    }
}
