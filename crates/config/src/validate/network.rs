//! The top of the file: where to listen, peers, threads.

use super::Report;
use crate::address::Listen;
use crate::model::File;

/// More threads than this are a mistake.
const MOST_WORKERS: usize = 1024;

pub(super) fn check(file: &File, report: &mut Report<'_>) {
    report.require(
        !file.listen.is_empty(),
        "listen",
        "at least one address is needed, such as \"0.0.0.0:6432\"",
    );
    report.require(file.workers <= MOST_WORKERS, "workers", "at most 1024; 0 is one per core");
    if file.reuse_port && file.peers.is_empty() {
        report.error("reuse_port", "needs `peers`: the admin addresses of the processes that share the port");
    }
    let empty = "a name must not be empty";
    report.require(file.admin_users.iter().all(|user| !user.is_empty()), "admin_users", empty);
    report.require(file.topology.patroni.iter().all(|url| !url.is_empty()), "topology.patroni", empty);
    let plain = file.topology.patroni.iter().all(|url| !url.starts_with("https:"));
    report.require(
        plain,
        "topology.patroni",
        "is asked without TLS: an address such as \"http://10.0.0.1:8008\"",
    );
    check_distinct(file, report);
}

/// Two listeners on one address would fail at start, with a message that does not name the key.
fn check_distinct(file: &File, report: &mut Report<'_>) {
    let mut seen: Vec<(String, &Listen)> = Vec::new();
    let listen = file.listen.iter().enumerate().map(|(i, listen)| (format!("listen[{i}]"), listen));
    let admin = file.admin.0.iter().map(|listen| ("admin".to_owned(), listen));
    let http = file.http.0.iter().map(|listen| ("http".to_owned(), listen));
    for (key, listen) in listen.chain(admin).chain(http) {
        let any_port = matches!(listen, Listen::Tcp(address) if address.port == 0);
        match seen.iter().find(|(_, other)| *other == listen) {
            Some((other, _)) if !any_port => {
                report.error(&key, format!("`{listen}` is also the address of `{other}`"))
            }
            _ => seen.push((key, listen)),
        }
    }
}
