//! Loads pgbench's tables, directly into the primary.

use std::process::Stdio;

use anyhow::{Context, ensure};
use pgsplit_testkit::{Account, Cluster};
use tokio::process::Command;
use tokio::task::block_in_place;

use crate::output;

/// Makes the tables in the database `app`, and waits until the replicas have them. What pgbench says of its progress
/// goes to the terminal.
pub(super) async fn load(cluster: &Cluster, scale: u32) -> anyhow::Result<()> {
    output::print(&format!("Loading pgbench's tables, scale {scale} ...\n"))?;
    let program = cluster.postgres().program("pgbench");
    ensure!(
        program.is_file(),
        "{} is missing; it comes with PostgreSQL's server or contrib package (Debian, Ubuntu: postgresql; Fedora, \
         RHEL: postgresql-contrib)",
        program.display()
    );
    let mut command = Command::new(&program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    // All steps but the first, which drops what is not there and says so.
    command.args(["-i", "-q", "-I", "tgvp", "-s", &scale.to_string()]);
    command.arg(cluster.primary().connection_string(Account::APP.user(), "app"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let status = command.status().await.with_context(|| format!("{} cannot be run", program.display()))?;
    ensure!(status.success(), "pgbench failed ({status})");
    output::print("Waiting for the replicas ...\n")?;
    block_in_place(|| cluster.wait_caught_up())?;
    Ok(())
}
