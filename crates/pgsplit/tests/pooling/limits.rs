//! Limits and the queue.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::{Message, RawClient, message};
use pgsplit_testkit::{Account, Cluster};

use crate::Scene;
use crate::tools::{
    ON_PRIMARY, client, code, connections, proxy, run, sample, status, terminate, until, until_waiting, value,
};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("a limit for each pool", each_pool),
        ("a limit for each node, and idle connections make room", each_node),
        ("a node's limit, given up by a busy pool", given_up),
        ("two pools that wait for one place", two_starved),
        ("first come, first served", in_turn),
        ("first come, first served, with different settings", in_turn_with_settings),
        ("waiting ends with 53300", wait_ends),
        ("the queue is bounded", queue_is_bounded),
        ("a cancel ends the wait", cancel_ends_wait),
        ("a transaction that finds no connection fails", begin_fails),
        ("BEGIN is lazy", lazy),
        ("what is known is prepared without a connection", prepared_meanwhile),
        ("many clients on few connections", many),
        ("new start-up parameters in a full pool", new_parameters),
    ]
}

fn each_pool(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 2\nreplica_connections = 1\nwait = '300ms'");
    let (mut a, mut b, mut c) = (client(&proxy), client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    run(&mut b, &["BEGIN", ON_PRIMARY]);
    assert_eq!(code(&c.query(ON_PRIMARY).unwrap()).as_deref(), Some("53300"));
    assert_eq!(connections(cluster.primary(), "app"), 2);
    // Another pool has a limit of its own.
    let mut other = proxy.client(&Account::APP, "other").unwrap();
    run(&mut other, &[ON_PRIMARY]);
    run(&mut c, &["SELECT 1"]);
    run(&mut a, &["COMMIT"]);
    run(&mut c, &[ON_PRIMARY]);
    assert_eq!(connections(cluster.primary(), "app"), 2);
    for replica in &cluster.nodes()[1..] {
        assert!(connections(replica, "app") <= 1);
    }
}

fn each_node(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nmax_connections = 2\nwait = '5s'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    run(&mut b, &["BEGIN", ON_PRIMARY]);
    run(&mut a, &["COMMIT"]);
    run(&mut b, &["COMMIT"]);
    assert_eq!(connections(cluster.primary(), "app"), 2);
    let began = Instant::now();
    let mut other = proxy.client(&Account::APP, "other").unwrap();
    run(&mut other, &["BEGIN", ON_PRIMARY]);
    assert!(began.elapsed() < Duration::from_secs(3), "an idle connection made room at once");
    assert_eq!((connections(cluster.primary(), "app"), connections(cluster.primary(), "other")), (1, 1));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    assert_eq!((connections(cluster.primary(), "app"), connections(cluster.primary(), "other")), (1, 1));
    run(&mut other, &["COMMIT"]);
    run(&mut a, &["COMMIT"]);
}

fn given_up(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nmax_connections = 1\nwait = '5s'");
    let mut other = proxy.client(&Account::APP, "other").unwrap();
    let mut a = client(&proxy);
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&mut other, &[ON_PRIMARY]));
        until_waiting(&proxy, 1.0);
        run(&mut a, &["COMMIT"]);
        waiting.join().unwrap();
    });
    run(&mut a, &[ON_PRIMARY]);
    // Under a load of both, neither is forgotten.
    std::thread::scope(|scope| {
        for client in [&mut a, &mut other] {
            scope.spawn(move || (0..50).for_each(|_| run(client, &[ON_PRIMARY])));
        }
    });
}

/// A pool whose client has given up must not swallow the place that another pool waits for.
fn two_starved(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nmax_connections = 1\nprimary_connections = 1\nwait = '3s'");
    let mut other = proxy.client(&Account::APP, "other").unwrap();
    let mut third = proxy.client(&Account::APP, "postgres").unwrap();
    let mut a = client(&proxy);
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    let began = Instant::now();
    // It gives up by itself before the next one's time is over.
    assert_eq!(code(&other.query(ON_PRIMARY).unwrap()).as_deref(), Some("53300"));
    assert!(began.elapsed() >= Duration::from_millis(2900));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| third.query(ON_PRIMARY).unwrap());
        until_waiting(&proxy, 1.0);
        run(&mut a, &["COMMIT"]);
        assert_eq!(code(&waiting.join().unwrap()), None);
    });
}

fn in_turn(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '20s'");
    turns(&proxy, &[]);
}

/// Whoever needs other settings must not be passed over, nor pass others.
fn in_turn_with_settings(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '20s'");
    turns(&proxy, &["SET app.one = '1'", "SET work_mem = '5MB'", "SET app.two = '2'"]);
}

fn turns(proxy: &pgsplit_testkit::Proxy, settings: &[&str]) {
    const CLIENTS: u32 = 12;
    let mut holder = client(proxy);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(proxy)).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        if let Some(setting) = settings.get(at % (settings.len() + 1)) {
            run(client, &[setting]);
        }
    }
    run(&mut holder, &["BEGIN", ON_PRIMARY]);
    let served = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (at, mut client) in clients.into_iter().enumerate() {
            let served = &served;
            scope.spawn(move || {
                let turn: u32 = value(&mut client, "SELECT nextval('turns')").parse().unwrap();
                served.lock().unwrap().push((at, turn));
            });
            until_waiting(proxy, at as f64 + 1.0);
        }
        run(&mut holder, &["COMMIT"]);
    });
    let mut served = served.into_inner().unwrap();
    served.sort_by_key(|(_, turn)| *turn);
    let order: Vec<_> = served.iter().map(|(at, _)| *at).collect();
    assert_eq!(order, (0..CLIENTS as usize).collect::<Vec<_>>());
}

fn wait_ends(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '700ms'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    let began = Instant::now();
    let answer = b.query(ON_PRIMARY).unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(3), "{took:?}");
    let error = &answer[0];
    assert_eq!((error.field(b'C').as_deref(), error.field(b'S').as_deref()), (Some("53300"), Some("ERROR")));
    assert!(error.field(b'H').unwrap().contains("pool."), "{error:?}");
    assert_eq!(status(&answer), b'I');
    assert_eq!(sample(&proxy, "pgsplit_client_wait_timeouts_total", &[]), 1.0);
    assert!(sample(&proxy, "pgsplit_client_wait_seconds_count", &[]) >= 1.0);
    // In the extended protocol too, and what follows up to Sync is skipped.
    use pgsplit_testkit::peer::message::{bind, execute, parse, sync};
    b.send_all(&[parse("", ON_PRIMARY, &[]), bind("", "", &[]), execute("", 0), sync()]).unwrap();
    let answer = b.read_until(b'Z').unwrap();
    assert_eq!((code(&answer).as_deref(), answer.len()), (Some("53300"), 2), "{answer:?}");
    run(&mut a, &["COMMIT"]);
    run(&mut b, &[ON_PRIMARY]);
}

fn queue_is_bounded(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '10s'\nwaiting = 1");
    let (mut a, mut b, mut c) = (client(&proxy), client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&mut b, &[ON_PRIMARY]));
        until_waiting(&proxy, 1.0);
        let began = Instant::now();
        assert_eq!(code(&c.query(ON_PRIMARY).unwrap()).as_deref(), Some("53300"));
        assert!(began.elapsed() < Duration::from_secs(2), "at once");
        run(&mut a, &["COMMIT"]);
        waiting.join().unwrap();
    });
    run(&mut c, &[ON_PRIMARY]);
}

fn cancel_ends_wait(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '10s'");
    let mut a = client(&proxy);
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    let mut b = pgsplit_testkit::peer::RawClient::connect(proxy.address()).unwrap();
    let said = b.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
    let key = said.iter().find(|message| message.tag == b'K').unwrap().body.clone();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let answer = b.query(ON_PRIMARY).unwrap();
            (code(&answer), b)
        });
        until_waiting(&proxy, 1.0);
        let mut cancel = pgsplit_testkit::peer::RawClient::connect(proxy.address()).unwrap();
        let (pid, secret) = key.split_at(4);
        let pid = u32::from_be_bytes(pid.try_into().unwrap());
        cancel.send(&pgsplit_testkit::peer::message::cancel(pid, secret)).unwrap();
        let (code, mut b) = waiting.join().unwrap();
        assert_eq!(code.as_deref(), Some("57014"));
        run(&mut a, &["COMMIT"]);
        run(&mut b, &[ON_PRIMARY]);
    });
}

fn begin_fails(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '300ms'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    assert_eq!(status(&b.query("BEGIN").unwrap()), b'T');
    let answer = b.query(ON_PRIMARY).unwrap();
    assert_eq!((code(&answer).as_deref(), status(&answer)), (Some("53300"), b'E'));
    let answer = b.query("SELECT 1").unwrap();
    assert_eq!((code(&answer).as_deref(), status(&answer)), (Some("25P02"), b'E'));
    let answer = b.query("COMMIT").unwrap();
    assert_eq!((answer[0].text().as_str(), status(&answer)), ("ROLLBACK", b'I'));
    b.query("BEGIN").unwrap();
    assert_eq!(status(&b.query(ON_PRIMARY).unwrap()), b'E');
    assert_eq!(status(&b.query("ROLLBACK").unwrap()), b'I');
    run(&mut a, &["COMMIT"]);
    run(&mut b, &["BEGIN", ON_PRIMARY, "COMMIT"]);
}

fn prepared_meanwhile(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nwait = '300ms'");
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    let text = "INSERT INTO counted VALUES (cast($1 as int))";
    let prepare = |name, text| [message::parse(name, text, &[]), message::sync()];
    let tags = |answer: &[Message]| answer.iter().map(|message| message.tag).collect::<Vec<_>>();
    a.send_all(&prepare("known", text)).unwrap();
    assert_eq!(tags(&a.read_until(b'Z').unwrap()), b"1Z");
    run(&mut a, &["BEGIN", ON_PRIMARY]);
    // The only connection is held: what was parsed before needs none, anything else waits for one.
    b.send_all(&prepare("mine", text)).unwrap();
    assert_eq!(tags(&b.read_until(b'Z').unwrap()), b"1Z");
    b.send_all(&prepare("other", "INSERT INTO counted VALUES (1 + cast($1 as int))")).unwrap();
    assert_eq!(code(&b.read_until(b'Z').unwrap()).as_deref(), Some("53300"));
    // A name that is taken, a name that is closed, and use of what was prepared: as ever.
    run(&mut a, &["ROLLBACK"]);
    b.send_all(&prepare("mine", text)).unwrap();
    assert_eq!(code(&b.read_until(b'Z').unwrap()).as_deref(), Some("42P05"));
    b.send_all(&[message::bind("", "mine", &[Some("77")]), message::execute("", 0), message::sync()])
        .unwrap();
    assert_eq!(tags(&b.read_until(b'Z').unwrap()), b"2CZ");
    assert_eq!(value(&mut b, "DELETE FROM counted WHERE v = 77 RETURNING v"), "77");
}

fn lazy(cluster: &Cluster) {
    terminate(cluster.primary());
    let proxy = proxy(cluster, "");
    let mut a = client(&proxy);
    until("the login's connection is there", || connections(cluster.primary(), "app") == 1);
    terminate(cluster.primary());
    for (begin, end) in [
        ("BEGIN", "COMMIT"),
        ("START TRANSACTION READ ONLY", "ROLLBACK"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "END"),
    ] {
        assert_eq!(status(&a.query(begin).unwrap()), b'T');
        assert_eq!(connections(cluster.primary(), "app"), 0, "{begin} costs no server");
        assert_eq!(status(&a.query(end).unwrap()), b'I');
    }
    assert!(sample(&proxy, "pgsplit_local_answers_total", &[]) >= 6.0);
    run(&mut a, &["BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION READ ONLY"]);
    assert_eq!(connections(cluster.primary(), "app"), 0);
    assert_eq!(value(&mut a, "SHOW transaction_isolation"), "repeatable read");
    assert_eq!(value(&mut a, "SHOW transaction_read_only"), "on");
    assert_eq!(connections(cluster.primary(), "app"), 1);
    run(&mut a, &["COMMIT"]);
}

fn many(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 3\nreplica_connections = 3\nwait = '30s'");
    cluster.primary().sql("app", "TRUNCATE counted").unwrap();
    std::thread::scope(|scope| {
        for at in 0..30 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = client(proxy);
                for n in 0..10 {
                    match (at + n) % 3 {
                        0 => run(&mut client, &["INSERT INTO counted VALUES (1)"]),
                        1 => run(&mut client, &["BEGIN", "INSERT INTO counted VALUES (1)", "COMMIT"]),
                        _ => run(
                            &mut client,
                            &[
                                "SELECT count(*) FROM counted",
                                "SET work_mem = '5MB'",
                                "INSERT INTO counted VALUES (1)",
                            ],
                        ),
                    }
                }
            });
        }
    });
    assert_eq!(cluster.primary().sql("app", "SELECT count(*) FROM counted").unwrap(), "300");
    assert!(connections(cluster.primary(), "app") <= 3);
    assert_eq!(sample(&proxy, "pgsplit_server_connections", &[("state", "busy")]), 0.0);
}

/// A login with parameters that no server has seen needs a connection of its own: it waits for a place, and nobody is
/// quicker once it has one.
fn new_parameters(cluster: &Cluster) {
    let proxy = proxy(cluster, "[pool]\nprimary_connections = 1\nreplica_connections = 1\nwait = '30s'");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let (proxy, stop) = (&proxy, &stop);
            scope.spawn(move || {
                let mut client = client(proxy);
                while !stop.load(Ordering::Relaxed) {
                    run(&mut client, &["SELECT 1", "SELECT 1", ON_PRIMARY]);
                }
            });
        }
        let logins: Vec<_> = (0..6)
            .map(|at| {
                let proxy = &proxy;
                scope.spawn(move || {
                    (0..8).try_for_each(|round| {
                        let work_mem = format!("{}kB", 1001 + 100 * at + 2 * round);
                        let options = format!("-c work_mem={work_mem}");
                        let mut client = RawClient::connect(proxy.address())?;
                        let (user, password) = (Account::APP.user(), Account::APP.password());
                        client.login(user, password, "app", &[("options", &options)])?;
                        assert_eq!(value(&mut client, "SHOW work_mem"), work_mem);
                        Ok::<_, std::io::Error>(())
                    })
                })
            })
            .collect();
        let logged_in: Vec<_> = logins.into_iter().map(|login| login.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(logged_in.iter().all(|login| matches!(login, Ok(Ok(())))), "{logged_in:?}");
    });
}
