//! What pgsplit's own login must be allowed to do, and the SQL that allows it.

use std::time::Duration;

use anyhow::Context;
use pgsplit_cluster::ControlTls;
use pgsplit_config::{AuthMethod, Config, Node};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::run::runtime;
use crate::wiring::Tls;

/// Longest wait for a server, and for each of its answers.
const LIMIT: Duration = Duration::from_secs(5);
/// Where the control plane asks, as `pgsplit_cluster` does it.
const DATABASES: [&str; 2] = ["postgres", "template1"];
const MONITORS: &str = "SELECT pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE')";
/// Databases that somebody may be served, but this login not.
const CLOSED: &str = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate \
    AND NOT pg_catalog.has_database_privilege(datname, 'CONNECT') ORDER BY 1";

/// The statements that give the login what it lacks, for a superuser to run on the primary. None when no server can be
/// asked: that is told elsewhere.
///
/// # Errors
/// A server that does not answer what every login may ask.
pub(crate) fn missing(config: &Config) -> anyhow::Result<Vec<String>> {
    let user = identifier(&config.auth.user);
    runtime()?.block_on(async {
        let mut refused = None;
        for (node, database) in
            config.nodes.iter().flat_map(|node| DATABASES.map(|database| (node, database)))
        {
            match connect(config, node, database).await? {
                Some(Ok(client)) => {
                    let asked = tokio::time::timeout(2 * LIMIT, ask(config, &client, &user, database)).await;
                    return asked.with_context(|| format!("{} does not answer", node.name))?;
                }
                Some(Err(error)) => refused = refused.or_else(|| of_refusal(&error, &user, database)),
                None => {}
            }
        }
        Ok(refused.into_iter().collect())
    })
}

/// `None` when there was no answer in time.
async fn connect(
    config: &Config,
    node: &Node,
    database: &str,
) -> anyhow::Result<Option<Result<Client, Error>>> {
    let (tls, mode) = ControlTls::new(&Tls::load(config)?.control());
    let mut options = tokio_postgres::Config::new();
    options.host(&node.address.host).port(node.address.port).connect_timeout(LIMIT).ssl_mode(mode);
    options.user(&config.auth.user).dbname(database).application_name("pgsplit");
    if let Some(password) = &config.auth.password {
        options.password(password.expose());
    }
    let Ok(connected) = tokio::time::timeout(LIMIT, options.connect(tls)).await else { return Ok(None) };
    Ok(Some(connected.map(|(client, connection)| {
        tokio::spawn(connection);
        client
    })))
}

/// What lets a login in that was refused for want of a right.
fn of_refusal(error: &Error, user: &str, database: &str) -> Option<String> {
    let said = error.as_db_error()?;
    if *said.code() == SqlState::INSUFFICIENT_PRIVILEGE {
        return Some(format!("GRANT CONNECT ON DATABASE {} TO {user};", identifier(database)));
    }
    let no_login = *said.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        && said.routine() == Some("InitializeSessionUserId")
        && !said.message().contains("does not exist");
    no_login.then(|| format!("ALTER ROLE {user} LOGIN;"))
}

async fn ask(config: &Config, client: &Client, user: &str, database: &str) -> anyhow::Result<Vec<String>> {
    let mut lacks = Vec::new();
    if !client.query_one(MONITORS, &[]).await?.try_get::<_, bool>(0)? {
        lacks.push(format!("GRANT pg_monitor TO {user};"));
    }
    if let Some(query) =
        config.auth.query.as_deref().filter(|_| config.auth.method == AuthMethod::ScramSha256)
        && let Err(error) = client.query(query, &[&config.auth.user]).await
        && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    {
        let said = error.as_db_error().map_or("", |said| said.message());
        lacks.push(of_query(query, user, database, said));
    }
    for row in client.query(CLOSED, &[]).await? {
        let name: String = row.try_get(0)?;
        lacks.push(format!("GRANT CONNECT ON DATABASE {} TO {user};", identifier(&name)));
    }
    Ok(lacks)
}

/// The right that the look-up of verifiers needs. What a query of somebody's own needs only its author knows.
fn of_query(query: &str, user: &str, database: &str, said: &str) -> String {
    if query.contains("pg_authid") {
        // A right on a catalog that all databases share holds in the one where it was given.
        return format!("GRANT SELECT ON pg_catalog.pg_authid TO {user}; -- in {database}");
    }
    format!("-- what auth.query needs, for {user} in {database}: {said}")
}

/// A name as SQL has it, in quotes where it needs them.
fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rights() {
        assert_eq!(identifier("pgsplit"), "pgsplit");
        assert_eq!(identifier("Pg \"x\""), "\"Pg \"\"x\"\"\"");
        let said = "permission denied for function verifier";
        let own = of_query("SELECT * FROM verifier($1)", "pgsplit", "postgres", said);
        assert_eq!(own, format!("-- what auth.query needs, for pgsplit in postgres: {said}"));
    }
}
