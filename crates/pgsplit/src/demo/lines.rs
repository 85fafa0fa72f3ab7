//! The lines to try.

use std::env;

use pgsplit_testkit::{Account, Cluster};

use crate::proxy::Proxy;

/// Lines to copy, each complete with its password.
pub(super) fn to_try(proxy: &Proxy, cluster: &Cluster, port: u16) -> String {
    let (user, password) = (Account::APP.user(), Account::APP.password());
    let [psql, pgbench] = ["psql", "pgbench"].map(|name| program(cluster, name));
    let port = proxy.port().unwrap_or(port);
    let bench = format!("PGPASSWORD={password} {pgbench} -h 127.0.0.1 -p {port} -U {user} -n -c 32 -T 10");
    let metrics = proxy.http().map(|http| format!("  curl -s http://{http}/metrics\n")).unwrap_or_default();
    format!(
        "\npgsplit listens on 127.0.0.1:{port}, a primary and {replicas} replicas behind it. In another terminal:\n\n  \
           {psql} 'postgresql://{user}:{password}@127.0.0.1:{port}/app'\n  \
           {bench} -S -M simple app\n  \
           {bench} -S -M extended app\n  \
           {bench} -S -M prepared app\n  \
           {bench} app\n\
         {metrics}\n\
         Statements a second and in total, by where they went. Ctrl-C ends it.\n",
        replicas = cluster.nodes().len() - 1,
    )
}

/// The program's name where the shell finds it, else its whole path.
fn program(cluster: &Cluster, name: &str) -> String {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|directory| directory.join(name).is_file()) {
        name.to_owned()
    } else {
        cluster.postgres().program(name).display().to_string()
    }
}
