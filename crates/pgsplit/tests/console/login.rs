//! Who comes in.

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy};

use crate::stage::{console, edit, pgsplit, proxy};

fn attempt(proxy: &Proxy, user: &str, password: &str, database: &str) -> Result<(), String> {
    let mut client = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    client.login(user, password, database, &[]).map(drop).map_err(|error| error.to_string())
}

pub(crate) fn only_listed_users_come_in(cluster: &Cluster) {
    let proxy = proxy(cluster, "admin_users = ['app']\n");
    let (own, app, other) = (Account::PGSPLIT, Account::APP, Account::POSTGRES);
    attempt(&proxy, own.user(), own.password(), "pgsplit").unwrap();
    attempt(&proxy, app.user(), app.password(), "pgsplit").unwrap();
    let wrong = attempt(&proxy, app.user(), "wrong", "pgsplit").unwrap_err();
    assert!(wrong.contains("password authentication failed for user \"app\""), "{wrong}");
    let unknown = attempt(&proxy, "nobody", "x", "pgsplit").unwrap_err();
    assert!(unknown.contains("password authentication failed for user \"nobody\""), "{unknown}");
    let listed = attempt(&proxy, other.user(), other.password(), "pgsplit").unwrap_err();
    assert!(listed.contains("role \"postgres\" may not use the console"), "{listed}");
    let guess = attempt(&proxy, other.user(), "guess", "pgsplit").unwrap_err();
    assert!(guess.contains("password authentication failed"), "a list is told to nobody: {guess}");
    let database = attempt(&proxy, app.user(), app.password(), "app").unwrap_err();
    assert!(database.contains("database \"app\" does not exist"), "{database}");
    // Taken off the list, by a reload.
    edit(&proxy, "admin_users = ['app']", "admin_users = ['ann']");
    let (code, text) = pgsplit(&proxy, "reload", &[]);
    assert_eq!((code, text.as_str()), (Some(0), "reloaded; 1 key has changed\n  admin_users: app -> ann\n"));
    attempt(&proxy, app.user(), app.password(), "pgsplit").unwrap_err();
    // Its clients are none of the proxy's.
    assert_eq!(console(&proxy).rows("SHOW CLIENTS").unwrap(), Vec::<Vec<Option<String>>>::new());
}
