//! Where rules send statements, and what is counted.

use std::fs;
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::message;
use pgsplit_testkit::{Cluster, Proxy, Signal, wait};

use crate::{Scene, client, error, last, proxy, run, value, went};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("tables, routes and nodes", tables_routes_and_nodes),
        ("a write is never sent to a replica", writes),
        ("a statement that was prepared keeps its tags", prepared),
        ("traced statements share what a server has prepared", traced),
        ("a rule's timeout", timeout),
        ("shadow, of a rule and of everything", shadow),
        ("functions by configuration", functions),
        ("names are resolved by the session's search_path", names),
        ("who speaks", who),
        ("rules are reloaded and go on counting", reload),
    ]
}

const SESSION: &str = "[[rules]]\nname = 'auth'\nmatch.tables = 'Session'\ntarget = 'primary'\n";

fn hits(proxy: &Proxy, rule: &str, target: &str) -> f64 {
    proxy.metrics().unwrap().sum("pgsplit_rule_hits_total", &[("rule", rule), ("target", target)])
}

fn tables_routes_and_nodes(cluster: &Cluster) {
    let node = cluster.replica(1).address();
    let proxy = proxy(
        cluster,
        &format!(
            "{SESSION}[[rules]]\nname = 'market'\nmatch.route = ['GET /api/projects', '/api/reviews/:id']\ntarget = 'replica'\n\
             [[rules]]\nname = 'reports'\nmatch.tags.app = 'bi'\ntarget = '{node}'\n\
             [routing]\nreads = 'primary'\n"
        ),
    );
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, r#"SELECT * FROM "Session""#), "primary rule:auth");
    assert_eq!(went(&mut client, r#"SELECT * FROM "Region""#), "primary read");
    let route = r#"SELECT * FROM "Region" /*method='GET',route='%2Fapi%2Fprojects',traceparent='00-1'*/"#;
    assert_eq!(went(&mut client, route), "replica rule:market");
    assert_eq!(
        went(&mut client, r#"SELECT * FROM "Region" /*route='/api/reviews/7'*/;"#),
        "replica rule:market"
    );
    assert_eq!(
        went(&mut client, r#"SELECT * FROM "Region" /*method='POST',route='/api/projects'*/"#),
        "primary read"
    );
    assert_eq!(
        went(&mut client, r#"SELECT * FROM "Session" /*route='/api/reviews/7'*/"#),
        "primary rule:auth"
    );
    run(&mut client, r#"SELECT * FROM "Region" /*app='bi'*/"#);
    let last = value(&mut client, "SHOW pgsplit.last");
    assert_eq!(last, format!("node={node} target=replica reason=rule:reports rule=reports"));
    assert_eq!((hits(&proxy, "auth", "primary"), hits(&proxy, "auth", "replica")), (2.0, 0.0));
    assert_eq!((hits(&proxy, "market", "replica"), hits(&proxy, "reports", "replica")), (2.0, 1.0));
}

fn writes(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'all'\nmatch.user = '*'\ntarget = 'replica'\n");
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, r#"INSERT INTO "Bid" VALUES (1)"#), "primary write");
    assert_eq!(went(&mut client, r#"SELECT * FROM "Bid" FOR UPDATE"#), "primary locking");
    assert_eq!(
        went(&mut client, r#"WITH d AS (DELETE FROM "Bid" RETURNING 1) SELECT * FROM d"#),
        "primary write"
    );
    assert_eq!(went(&mut client, r#"SELECT 1; INSERT INTO "Bid" VALUES (1)"#), "primary mixed");
    assert_eq!(
        went(&mut client, "/* pgsplit: replica */ SELECT txid_current()"),
        "primary function:txid_current"
    );
    run(&mut client, "BEGIN");
    assert_eq!(went(&mut client, "SELECT 1"), "primary transaction");
    run(&mut client, "ROLLBACK");
    assert_eq!(went(&mut client, "SELECT 1"), "replica rule:all");
    let metrics = proxy.metrics().unwrap();
    let kept = |reason| metrics.sum("pgsplit_rule_kept_total", &[("rule", "all"), ("reason", reason)]);
    assert_eq!((kept("write"), kept("locking"), kept("transaction")), (2.0, 1.0, 2.0));
    client.query("SELECT 1/0").unwrap();
    wait::until("the error is counted", Duration::from_secs(15), || {
        let errors = proxy.metrics().map(|m| m.sum("pgsplit_rule_errors_total", &[("rule", "all")]));
        Ok::<_, pgsplit_testkit::Error>((errors.unwrap_or_default() == 1.0).then_some(()))
    })
    .unwrap();
}

fn prepared(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'a'\nmatch.route = '/a'\ntarget = 'primary'\n");
    let mut client = client(&proxy);
    let again = || [message::bind("", "s", &[]), message::execute("", 0), message::sync()];
    client.send_all(&[message::parse("s", "SELECT 1 /*route='/a'*/", &[]), message::sync()]).unwrap();
    client.read_until(b'Z').unwrap();
    for _ in 0..2 {
        client.send_all(&again()).unwrap();
        client.read_until(b'Z').unwrap();
        assert_eq!(last(&mut client), "primary rule:a");
    }
    // One statement of a pipeline that must be on the primary takes the others with it.
    let mut both =
        vec![message::parse("", "SELECT 2", &[]), message::bind("", "", &[]), message::execute("", 0)];
    both.extend(again());
    client.send_all(&both).unwrap();
    client.read_until(b'Z').unwrap();
    assert_eq!(last(&mut client), "primary rule:a");
    assert_eq!(went(&mut client, "SELECT 1"), "replica read");
}

fn traced(cluster: &Cluster) {
    let proxy = proxy(cluster, SESSION);
    let mut client = client(&proxy);
    run(&mut client, "BEGIN");
    for n in 0..20 {
        let (name, text) = (format!("s{n}"), format!("SELECT $1::int + 1 /*traceparent='00-{n}-01'*/"));
        let all = [
            message::parse(&name, &text, &[]),
            message::bind("", &name, &[Some("41")]),
            message::execute("", 0),
            message::sync(),
        ];
        client.send_all(&all).unwrap();
        let answer = client.read_until(b'Z').unwrap();
        let row = answer.iter().find(|message| message.tag == b'D').unwrap();
        assert_eq!(row.columns().unwrap(), [Some("42".to_owned())]);
    }
    let known =
        "SELECT count(*), min(statement) FROM pg_prepared_statements WHERE statement LIKE '%$1::int + 1%'";
    let rows = client.rows(known).unwrap();
    assert_eq!(rows[0], [Some("1".to_owned()), Some("SELECT $1::int + 1".to_owned())]);
}

fn timeout(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'slow'\nmatch.tags.app = 'bi'\ntimeout = '200ms'\n");
    let mut client = client(&proxy);
    let since = Instant::now();
    let answer = client.query("SELECT pg_sleep(20) /*app='bi'*/").unwrap();
    assert_eq!(error(&answer).unwrap().0, "57014");
    assert!(since.elapsed() < Duration::from_secs(10));
    assert!(error(&client.query("SELECT pg_sleep(0.4)").unwrap()).is_none());
    run(&mut client, "BEGIN");
    assert_eq!(error(&client.query("SELECT pg_sleep(20) /*app='bi'*/").unwrap()).unwrap().0, "57014");
    assert_eq!(value(&mut client, "ROLLBACK; SELECT 1"), "1");
}

fn shadow(cluster: &Cluster) {
    let rule = "[[rules]]\nname = 'bids'\nmatch.tables = 'Bid'\ntarget = 'replica'\nmode = 'shadow'\n";
    let one = proxy(cluster, &format!("{rule}[routing]\nreads = 'primary'\n"));
    let mut reader = client(&one);
    assert_eq!(went(&mut reader, r#"SELECT * FROM "Bid""#), "primary read");
    run(&mut reader, r#"INSERT INTO "Bid" VALUES (1)"#);
    let metrics = one.metrics().unwrap();
    let would = |target| metrics.sum("pgsplit_rule_shadow_total", &[("rule", "bids"), ("target", target)]);
    assert_eq!((would("replica"), would("primary"), hits(&one, "bids", "primary")), (1.0, 1.0, 0.0));
    let all = proxy(cluster, &format!("{SESSION}[routing]\nmode = 'shadow'\n"));
    let mut reader = client(&all);
    assert_eq!(went(&mut reader, "SELECT 1"), "primary read");
    assert_eq!(went(&mut reader, r#"SELECT * FROM "Session""#), "primary rule:auth");
    let metrics = all.metrics().unwrap();
    let would = |target| metrics.sum("pgsplit_routing_shadow_decisions_total", &[("target", target)]);
    assert_eq!((would("replica"), would("primary")), (1.0, 1.0));
}

fn functions(cluster: &Cluster) {
    let plainly = proxy(cluster, "");
    let mut reader = client(&plainly);
    assert_eq!(went(&mut reader, "SELECT score(1)"), "primary function:score");
    assert_eq!(went(&mut reader, "SELECT plain(1)"), "replica read");
    for (read_only, write) in [("score", "plain"), ("public.score", "public.plain")] {
        let proxy = proxy(
            cluster,
            &format!("[routing]\nfunctions_read_only = ['{read_only}']\nfunctions_write = ['{write}']\n"),
        );
        let mut client = client(&proxy);
        assert_eq!(went(&mut client, "SELECT public.score(1)"), "replica read");
        assert_eq!(went(&mut client, "SELECT public.plain(1)"), "primary function:plain");
        // There is no other of that name.
        assert_eq!(went(&mut client, "SELECT score(1)"), "replica read");
        assert_eq!(went(&mut client, "SELECT plain(1)"), "primary function:plain");
    }
}

fn names(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'b'\nmatch.tables = 'b.twin'\ntarget = 'primary'\n");
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, "SELECT * FROM b.twin"), "primary rule:b");
    assert_eq!(went(&mut client, "SELECT * FROM a.twin"), "replica read");
    run(&mut client, "SET search_path = b, a");
    assert_eq!(went(&mut client, "SELECT * FROM twin"), "primary rule:b");
    run(&mut client, "SET search_path = a, b");
    assert_eq!(went(&mut client, "SELECT * FROM twin"), "replica read");
}

fn who(cluster: &Cluster) {
    let proxy = proxy(
        cluster,
        "[[rules]]\nname = 'app'\nmatch.user = 'app'\nmatch.database = 'app'\nmatch.client = '127.0.0.0/8'\n\
         match.application_name = 'Meta*'\ntarget = 'primary'\n",
    );
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, "SELECT 1"), "replica read");
    run(&mut client, "SET application_name = 'Metabase'");
    assert_eq!(went(&mut client, "SELECT 1"), "primary rule:app");
    run(&mut client, "RESET application_name");
    assert_eq!(went(&mut client, "SELECT 1"), "replica read");
}

fn reload(cluster: &Cluster) {
    let proxy = proxy(cluster, SESSION);
    let mut client = client(&proxy);
    let all = [message::parse("s", r#"SELECT * FROM "Session""#, &[]), message::sync()];
    client.send_all(&all).unwrap();
    client.read_until(b'Z').unwrap();
    let again = |client: &mut pgsplit_testkit::peer::RawClient| {
        client.send_all(&[message::bind("", "s", &[]), message::execute("", 0), message::sync()]).unwrap();
        client.read_until(b'Z').unwrap();
        last(client)
    };
    assert_eq!(again(&mut client), "primary rule:auth");
    let text = fs::read_to_string(proxy.config()).unwrap();
    fs::write(proxy.config(), text.replace("'Session'", "'Region'")).unwrap();
    proxy.signal(Signal::HUP);
    wait::until("the new rules are in force", Duration::from_secs(15), || {
        let reloaded = proxy.log().contains(": reloaded");
        Ok::<_, pgsplit_testkit::Error>(reloaded.then_some(()))
    })
    .unwrap();
    assert_eq!(again(&mut client), "replica read");
    assert_eq!(went(&mut client, r#"SELECT * FROM "Region""#), "primary rule:auth");
    assert_eq!(hits(&proxy, "auth", "primary"), 2.0);
}
