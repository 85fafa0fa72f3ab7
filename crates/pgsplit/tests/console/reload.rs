//! Reloads: what they change, what they leave alone, and what they say.

use std::fs;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Cluster, wait};
use rustix::process::Signal;

use crate::stage::{client, console, edit, error, pgsplit, proxy, setting};

pub(crate) fn takes_effect(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let (mut client, mut console) = (client(&proxy), console(&proxy));
    client.rows("SELECT 1 FROM kept").unwrap();
    assert_eq!(setting(&mut console, "pool.wait"), "4s");
    edit(&proxy, "wait = '4s'", "wait = '3s'\nlogins = 7");
    let rows = console.rows("RELOAD").unwrap();
    let text = |rows: &[Vec<Option<String>>]| {
        let line = |row: &Vec<Option<String>>| row.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        rows.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(text(&rows), ["pool.wait 4s 3s now", "pool.logins 32 7 after a restart"]);
    assert_eq!(setting(&mut console, "pool.wait"), "3s");
    assert_eq!(setting(&mut console, "pool.logins"), "32", "in force is what the process began with");
    // Where reads go, for a session that is there already.
    let (code, said) = pgsplit(&proxy, "reload", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said, "reloaded; 1 key has changed\n  after a restart: pool.logins: 32 -> 7\n");
    let more = fs::read_to_string(proxy.config()).unwrap() + "[routing]\nreads = 'primary'\n";
    fs::write(proxy.config(), more).unwrap();
    proxy.signal(Signal::HUP);
    wait::until("the reload by signal", wait::LIMIT, || {
        Ok((setting(&mut console, "routing.reads") == "primary").then_some(()))
    })
    .unwrap();
    let before = proxy.metrics().unwrap();
    client.rows("SELECT 1 FROM kept").unwrap();
    let decisions = proxy.metrics().unwrap().decisions_since(&before);
    assert!(matches!(decisions.as_slice(), [(target, _, 1)] if target == "primary"), "{decisions:?}");
    // What a function is taken for.
    edit(&proxy, "reads = 'primary'", "functions_read_only = ['scored']\nfunctions_stateless = ['scored']");
    console.rows("RELOAD").unwrap();
    let before = proxy.metrics().unwrap();
    client.rows("SELECT scored()").unwrap();
    assert_eq!(proxy.metrics().unwrap().decisions_since(&before), [("replica".into(), "read".into(), 1)]);
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_config_reloads_total", &[("result", "accepted")]), 4.0);
    assert_eq!(metrics.sum("pgsplit_config_last_reload_successful", &[]), 1.0);
}

pub(crate) fn errors_change_nothing(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let mut console = console(&proxy);
    let hash = console.rows("SHOW VERSION").unwrap()[0][3].clone();
    edit(&proxy, "wait = '4s'", "wait = '3s'\nwaite = '1s'");
    let answer = console.query("RELOAD").unwrap();
    let told = |field: u8| error(&answer, field).unwrap();
    assert_eq!(told(b'M'), "not reloaded: the old configuration stays in force");
    assert!(told(b'D').contains("pool.waite: unknown key `waite`; did you mean `wait`?"), "{}", told(b'D'));
    let (code, said) = pgsplit(&proxy, "reload", &[]);
    assert!(code == Some(1) && said.contains("did you mean `wait`?"), "{said}");
    assert_eq!(setting(&mut console, "pool.wait"), "4s");
    let version = console.rows("SHOW VERSION").unwrap();
    assert_eq!(version[0][3], hash);
    assert!(version[0][5].as_ref().unwrap().contains("waite"), "{version:?}");
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_config_last_reload_successful", &[]), 0.0);
    // A level that is none, files that are missing: found before anything is changed.
    edit(&proxy, "waite = '1s'", "\n[tls]\nca = 'none.crt'\nserver = 'verify-ca'\n");
    let answer = console.query("RELOAD").unwrap();
    assert!(error(&answer, b'D').unwrap().contains("none.crt"), "{answer:?}");
    assert_eq!(setting(&mut console, "pool.wait"), "4s");
}

pub(crate) fn tests_must_hold(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nwait = '4s'\n");
    let mut console = console(&proxy);
    let text = fs::read_to_string(proxy.config()).unwrap().replace("wait = '4s'", "wait = '3s'");
    let expecting = |target: &str| {
        let test = format!("[[tests]]\nsql = 'SELECT 1 FROM kept'\nexpect = {{ target = '{target}' }}\n");
        fs::write(proxy.config(), format!("{text}{test}")).unwrap();
    };
    expecting("primary");
    let answer = console.query("RELOAD").unwrap();
    let told = error(&answer, b'D').unwrap();
    assert!(told.contains("tests[0].expect.target: expected primary; it goes to a replica"), "{told}");
    assert_eq!(setting(&mut console, "pool.wait"), "4s");
    proxy.signal(Signal::HUP);
    wait::until("the refusal by signal", wait::LIMIT, || {
        let refused = proxy.metrics().unwrap().sum("pgsplit_config_reloads_total", &[("result", "refused")]);
        Ok((refused == 2.0).then_some(()))
    })
    .unwrap();
    assert_eq!(setting(&mut console, "pool.wait"), "4s");
    expecting("replica");
    console.rows("RELOAD").unwrap();
    assert_eq!(setting(&mut console, "pool.wait"), "3s");
}

pub(crate) fn follows_the_file(cluster: &Cluster) {
    let proxy = proxy(cluster, "watch = true\n[pool]\nwait = '4s'\n");
    let mut console = console(&proxy);
    edit(&proxy, "wait = '4s'", "wait = '2s'");
    wait::until("the changed file to be read", wait::LIMIT, || {
        Ok((setting(&mut console, "pool.wait") == "2s").then_some(()))
    })
    .unwrap();
}

pub(crate) fn diff_tells_what_moves(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut client = client(&proxy);
    for _ in 0..30 {
        client.rows("SELECT name FROM kept").unwrap();
        client.rows("SELECT scored()").unwrap();
    }
    (0..40).for_each(|_| drop(client.rows("UPDATE kept SET name = 'one' WHERE id = 7").unwrap()));
    let new = proxy.config().with_file_name("new.toml");
    let compare = |more: &str| {
        fs::write(&new, fs::read_to_string(proxy.config()).unwrap() + more).unwrap();
        pgsplit(&proxy, "diff", &[&new.display().to_string()])
    };
    let nothing = (Some(0), "no statement seen so far would go elsewhere\n".to_owned());
    assert_eq!(compare("[pool]\nwait = '1s'\n"), nothing);
    let (code, said) = compare("[routing]\nreads = 'primary'\n");
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "\
1 statement would go elsewhere, 30.0 % of all calls
        30 calls  30.0 %  replica (read) -> primary (routing.reads)
    select name from kept
none of them is a write that would go to a replica
"
        )
    );
    let (code, said) = compare("[routing]\nfunctions_read_only = ['scored']\n");
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "\
1 statement would go elsewhere, 30.0 % of all calls
        30 calls  30.0 %  primary (function:scored) -> replica (read)
    select scored ( )
1 counts as a read only because functions_read_only has:
    scored
none of the others is a write that would go to a replica
"
        )
    );
    rules_move(&mut client, &compare);
    let (code, said) = compare("[routing]\nreads = 'everywhere'\n");
    assert!(code == Some(1) && said.contains("routing.reads"), "{said}");
}

/// Rules are asked about each caller, whatever they ask for.
fn rules_move(client: &mut RawClient, compare: &dyn Fn(&str) -> (Option<i32>, String)) {
    for _ in 0..4 {
        client.rows("SELECT id FROM kept /*method='GET',route='%2Fa',traceparent='00-1'*/").unwrap();
        client.rows("SELECT id FROM kept /*method='GET',route='%2Fb'*/").unwrap();
    }
    let rule = |matching: &str| format!("[[rules]]\nname = 'new'\n{matching}\ntarget = 'primary'\n");
    let moved = |matching: &str| {
        let (code, said) = compare(&rule(matching));
        assert_eq!(code, Some(0), "{said}");
        let calls = |line: &str| {
            let (calls, rest) = line.trim_start().split_once(" calls ")?;
            assert!(rest.ends_with("replica (read) -> primary (rule:new)"), "{line}");
            calls.parse::<u64>().ok()
        };
        said.lines().filter_map(calls).collect::<Vec<_>>()
    };
    assert_eq!(moved("match.route = 'GET /a'"), [4]);
    assert_eq!(moved("match.route = 'GET /*'"), [8]);
    assert_eq!(moved("match.tables = 'kept'"), [30, 8]);
    assert_eq!(moved("match.tables = 'kept'\nmatch.user = 'app'\nmatch.client = '127.0.0.1'"), [30, 8]);
    assert_eq!(moved("match.tables = 'kept'\npercent = 50\nsticky = 'session'"), [15, 4]);
    for other in
        ["match.user = 'bob'", "match.application_name = 'x'", "match.route = 'PUT /a'", "match.hint = 'h'"]
    {
        assert_eq!(moved(other), [0; 0], "{other}");
    }
    assert_eq!(moved("match.user = 'app'\nmode = 'shadow'"), [0; 0]);
    // Whatever a rule says, a write stays where it is.
    let (_, said) = compare("[[rules]]\nname = 'all'\nmatch.user = '*'\ntarget = 'replica'\n");
    assert_eq!(said, "no statement seen so far would go elsewhere\n");
}

/// The file names another place for the console than the running proxy has.
pub(crate) fn finds_a_console_that_is_to_move(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let (here, there) = (proxy.admin_port(), 1);
    edit(&proxy, &format!("admin = \"127.0.0.1:{here}\""), &format!("admin = \"127.0.0.1:{there}\""));
    let (code, said) = pgsplit(&proxy, "reload", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("no console at 127.0.0.1:{there}")), "{said}");
    let here = format!("127.0.0.1:{here}");
    let (code, said) = pgsplit(&proxy, "reload", &["--admin", &here]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("admin") && said.contains("restart"), "{said}");
    let file = proxy.config();
    let (code, said) = pgsplit(&proxy, "diff", &[file.to_str().unwrap(), "--admin", &here]);
    assert_eq!(code, Some(0), "{said}");
}
