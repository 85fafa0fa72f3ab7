//! What the scenes have in common.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use pgsplit_testkit::peer::{Message, RawClient};
use pgsplit_testkit::{Account, Cluster, Proxy, unwrapped};

pub(crate) const EVENTUAL: &str = "consistency.level = 'eventual'\n";

pub(crate) fn prepare(cluster: &Cluster) {
    let primary = cluster.primary();
    let tables = "CREATE TABLE kept (id int, name text); INSERT INTO kept VALUES (1, 'one'); \
        CREATE FUNCTION scored() RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; \
        GRANT ALL ON kept TO app";
    primary.sql("app", tables).unwrap();
    cluster.wait_caught_up().unwrap();
}

/// A proxy with these settings in front of the whole cluster.
pub(crate) fn proxy(cluster: &Cluster, settings: &str) -> Proxy {
    let settings = format!("{EVENTUAL}{settings}");
    Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, &settings).unwrap()
}

/// A connection to the console.
pub(crate) fn console(proxy: &Proxy) -> RawClient {
    let mut client = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    let own = Account::PGSPLIT;
    client.login(own.user(), own.password(), "pgsplit", &[]).unwrap();
    client
}

/// A client of the database `app`.
pub(crate) fn client(proxy: &Proxy) -> RawClient {
    proxy.client(&Account::APP, "app").unwrap()
}

/// A field of the answer's error.
pub(crate) fn error(answer: &[Message], field: u8) -> Option<String> {
    answer.iter().find(|message| message.tag == b'E').and_then(|error| error.field(field))
}

/// The value of one column in the rows of a command, by another column's value.
pub(crate) fn cell(rows: &[Vec<Option<String>>], key: (usize, &str), at: usize) -> Option<String> {
    let found = rows.iter().find(|row| row[key.0].as_deref() == Some(key.1));
    found.unwrap_or_else(|| panic!("no {key:?} in {rows:#?}"))[at].clone()
}

/// A setting in force.
pub(crate) fn setting(console: &mut RawClient, key: &str) -> String {
    cell(&console.rows("SHOW CONFIG").unwrap(), (0, key), 1).unwrap_or_default()
}

/// Replaces a piece of the configuration file.
pub(crate) fn edit(proxy: &Proxy, from: &str, to: &str) {
    let text = fs::read_to_string(proxy.config()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(proxy.config(), text.replace(from, to)).unwrap();
}

/// `pgsplit` with the proxy's configuration file.
pub(crate) fn pgsplit(proxy: &Proxy, command: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pgsplit"));
    program.arg(command).arg("-c").arg(proxy.config()).args(arguments);
    program.env_remove("PGUSER").env_remove("PGPASSWORD").env_remove("RUST_LOG").stdin(Stdio::null());
    said(&program.output().unwrap())
}

/// Exit code, and both outputs.
pub(crate) fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let [out, err] = text;
    (output.status.code(), out + &unwrapped(&err))
}
