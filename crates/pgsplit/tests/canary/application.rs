//! The application: what `benches/marketplace` does, in small. Each client is one user with one connection, and reads
//! what it has written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Cluster, Proxy};

pub(crate) const CLIENTS: usize = 20;

const SCHEMA: &str = r#"
CREATE TABLE "Session" (id text PRIMARY KEY, "userId" text);
CREATE TABLE "Project" (id int PRIMARY KEY, title text, status text);
CREATE TABLE "Notification" (id serial PRIMARY KEY, "userId" text, title text, "isRead" bool DEFAULT false);
CREATE INDEX ON "Notification" ("userId", id);
INSERT INTO "Session" SELECT 's' || n, 'u' || n FROM generate_series(0, 99) n;
INSERT INTO "Project" SELECT n, 'project ' || n, 'OPEN' FROM generate_series(1, 200) n;
INSERT INTO "Notification" ("userId", title) SELECT 'u' || n % 20, 'old' FROM generate_series(0, 399) n;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app"#;

const SESSION: &str =
    r#"SELECT "userId" FROM "Session" WHERE id = $1 /*method='GET',route='%2Fapi%2Fnotifications'*/"#;
const LIST: &str = r#"SELECT id, title FROM "Notification" WHERE "userId" = $1 ORDER BY id DESC LIMIT 20 /*method='GET',route='%2Fapi%2Fnotifications',traceparent='TRACE'*/"#;
const UNREAD: &str = r#"SELECT count(*) FROM "Notification" WHERE "userId" = $1 AND NOT "isRead" /*method='GET',route='%2Fapi%2Fnotifications'*/"#;
const PROJECTS: &str = r#"SELECT id, title FROM "Project" WHERE status = $1 ORDER BY id DESC LIMIT 20 /*method='GET',route='%2Fapi%2Fprojects'*/"#;
const NOTIFY: &str = r#"INSERT INTO "Notification" ("userId", title) VALUES ($1, 'new') RETURNING id /*method='POST',route='%2Fapi%2Fprojects%2F%3Aid%2Fbids'*/"#;

pub(crate) fn prepare(cluster: &Cluster) {
    cluster.primary().sql("app", SCHEMA).unwrap();
    cluster.wait_caught_up().unwrap();
}

/// All clients.
pub(crate) struct Application {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<u64, String>>>,
}

impl Application {
    pub(crate) fn start(proxy: &Proxy) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |n: usize| {
            // One after the other, so that their numbers are in a row.
            let client = proxy.client(&Account::APP, "app").unwrap();
            let stop = stop.clone();
            std::thread::spawn(move || serve(client, n, &stop))
        };
        Self { clients: (0..CLIENTS).map(client).collect(), stop }
    }

    /// Ends it; how many requests it has served. A single one that went wrong is an error.
    pub(crate) fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).map(|client| client.join().unwrap().unwrap()).sum()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Requests until it is over. After one that writes, the list shows what was written.
fn serve(mut client: RawClient, n: usize, stop: &AtomicBool) -> Result<u64, String> {
    let (user, session) = (format!("u{n}"), format!("s{n}"));
    let mut newest = None;
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        let who = run(&mut client, SESSION, &session)?;
        if who != [Some(user.clone())] {
            return Err(format!("{session} is {who:?}"));
        }
        if served % 8 == n as u64 % 8 {
            newest = run(&mut client, NOTIFY, &user)?.first().cloned().flatten();
        }
        let trace = LIST.replace("TRACE", &format!("00-{n:032x}-{served:016x}-01"));
        let first = run(&mut client, &trace, &user)?.first().cloned().flatten();
        if newest.is_some() && first != newest {
            return Err(format!("{user} has written {newest:?} and reads {first:?}"));
        }
        run(&mut client, UNREAD, &user)?;
        run(&mut client, PROJECTS, "OPEN")?;
        served += 1;
    }
    Ok(served)
}

/// As Prisma sends it: unnamed, in one packet. The first row.
fn run(client: &mut RawClient, text: &str, parameter: &str) -> Result<Vec<Option<String>>, String> {
    let all = [
        message::parse("", text, &[]),
        message::bind("", "", &[Some(parameter)]),
        message::describe(b'P', ""),
        message::execute("", 0),
        message::sync(),
    ];
    let say = |error: std::io::Error| format!("{text}: {error}");
    client.send_all(&all).map_err(say)?;
    let answer = client.read_until(b'Z').map_err(say)?;
    if let Some(error) = answer.iter().find(|message| message.tag == b'E') {
        return Err(format!("{text}: {}", error.text()));
    }
    let row = answer.iter().find(|message| message.tag == b'D');
    row.map_or(Ok(Vec::new()), |row| row.columns().map_err(say))
}
