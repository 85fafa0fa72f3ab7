//! Reloads that go back by themselves.

use std::fs;
use std::time::Duration;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster, Proxy, wait};
use rustix::process::Signal;

use crate::stage::{client, console, edit, error, pgsplit, proxy, setting};

fn wait_for(console: &mut RawClient, what: &str, value: &str) {
    wait::until(what, wait::LIMIT, || Ok((setting(console, "pool.wait") == value).then_some(()))).unwrap();
}

/// `file` is what the file says before, `from` what is in force.
fn reload(proxy: &Proxy, [file, from, to]: [&str; 3], time: &str) {
    edit(proxy, &format!("wait = '{file}'"), &format!("wait = '{to}'"));
    let (code, said) = pgsplit(proxy, "reload", &["--confirm", time]);
    let expected = format!(
        "reloaded; 1 key has changed\n  pool.wait: {from} -> {to}\n\
         goes back in {time} unless confirmed: pgsplit reload --confirmed\n"
    );
    assert_eq!((code, said), (Some(0), expected));
}

pub(crate) fn goes_back(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let (mut client, mut console) = (client(&proxy), console(&proxy));
    // Nobody confirms.
    reload(&proxy, ["4s", "4s", "3s"], "1s");
    assert!(console.rows("SHOW VERSION").unwrap()[0][6].is_some(), "the time is shown");
    wait_for(&mut console, "the reload to go back", "4s");
    let version = console.rows("SHOW VERSION").unwrap();
    assert_eq!(version[0][5].as_deref(), Some("went back: it was not confirmed in time"));
    assert_eq!(version[0][6], None);
    let (code, said) = pgsplit(&proxy, "reload", &["--confirmed"]);
    assert_eq!((code, said.as_str()), (Some(1), "pgsplit: no reload waits for a confirmation\n"));
    // Somebody does; meanwhile there is no other reload.
    reload(&proxy, ["3s", "4s", "2s"], "1h");
    let answer = console.query("RELOAD").unwrap();
    assert!(error(&answer, b'D').unwrap().contains("waits for its confirmation"), "{answer:?}");
    let (code, said) = pgsplit(&proxy, "reload", &["--confirmed"]);
    assert_eq!((code, said.as_str()), (Some(0), "confirmed: what was reloaded stays in force\n"));
    assert_eq!(setting(&mut console, "pool.wait"), "2s");
    // Errors jump.
    (0..50).for_each(|_| drop(client.rows("SELECT 1 FROM kept").unwrap()));
    reload(&proxy, ["2s", "2s", "1s"], "1h");
    (0..40).for_each(|_| drop(client.query("SELECT missing FROM kept").unwrap()));
    wait_for(&mut console, "the reload to go back at once", "2s");
    let refused = console.rows("SHOW VERSION").unwrap()[0][5].clone().unwrap();
    assert!(refused.contains("statements and logins have failed since the reload"), "{refused}");
}

/// What else asks for a reload meanwhile is told so, in the log and by the counter; a file that is watched is read afterwards.
pub(crate) fn keeps_others_waiting(cluster: &Cluster) {
    let proxy = proxy(cluster, "watch = true\n[pool]\nwait = '4s'\n");
    let mut console = console(&proxy);
    let file = fs::read_to_string(proxy.config()).unwrap();
    let write = |time: &str| fs::write(proxy.config(), file.replace("wait = '4s'", time)).unwrap();
    let refusals = || {
        let refused =
            proxy.log().lines().filter(|line| line.contains("not reloaded: the last reload waits")).count();
        let counted = proxy.metrics().unwrap().sum("pgsplit_config_reloads_total", &[("result", "refused")]);
        (refused, counted)
    };
    let refused = |times: u32| {
        wait::until("the refusal", wait::LIMIT, || {
            Ok((refusals() == (times as usize, f64::from(times))).then_some(()))
        })
        .unwrap();
    };
    // What is read for the trial is not read again because it has changed.
    write("wait = '3s'");
    let (code, said) = pgsplit(&proxy, "reload", &["--confirm", "1h"]);
    assert_eq!(code, Some(0), "{said}");
    std::thread::park_timeout(Duration::from_millis(1500));
    assert_eq!(refusals(), (0, 0.0));
    proxy.signal(Signal::HUP);
    refused(1);
    write("wait = '20s'");
    refused(2);
    std::thread::park_timeout(Duration::from_millis(1500));
    assert_eq!(refusals(), (2, 2.0), "it is said once");
    assert_eq!(setting(&mut console, "pool.wait"), "3s");
    let (code, said) = pgsplit(&proxy, "reload", &["--confirmed"]);
    assert_eq!(code, Some(0), "{said}");
    wait_for(&mut console, "the file to be read after all", "20s");
}

/// What lets nobody in any more is noticed, though no statement fails.
pub(crate) fn ends_when_logins_fail(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let (mut client, mut console) = (client(&proxy), console(&proxy));
    (0..20).for_each(|_| drop(client.rows("SELECT 1 FROM kept").unwrap()));
    reload(&proxy, ["4s", "4s", "3s"], "1h");
    for _ in 0..30 {
        let mut stranger = RawClient::connect(proxy.address()).unwrap();
        assert!(stranger.login(Account::APP.user(), "wrong", "app", &[]).is_err());
    }
    wait_for(&mut console, "the reload to go back", "4s");
}
