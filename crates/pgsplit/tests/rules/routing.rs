//! Where rules send statements, and what is counted.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Cluster, Proxy, Signal, wait};

use crate::{Scene, client, error, last, proxy, run, value, went};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("tables, routes and nodes", tables_routes_and_nodes),
        ("a write is never sent to a replica", writes),
        ("a statement that was prepared keeps its tags", prepared),
        ("what is executed behind a Flush", flushed),
        ("traced statements share what a server has prepared", traced),
        ("a rule's timeout", timeout),
        ("shadow, of a rule and of everything", shadow),
        ("shadow reads that would be stale", shadow_stale),
        ("statements that get no connection", failures),
        ("a canary takes statements, or sessions", canary),
        ("a rule's consistency and lag", levels),
        ("functions by configuration", functions),
        ("names are resolved by the session's search_path", names),
        ("names are resolved by the role's search_path", names_of_role),
        ("read-only transactions on a replica", read_only_transactions),
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

/// As asyncpg does it: the statement is parsed and described, and executed once its description is known.
fn flushed(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'a'\nmatch.route = '/a'\ntarget = 'primary'\n");
    let mut client = client(&proxy);
    for (text, expected, count) in
        [("SELECT 1 /*route='/a'*/", "primary rule:a", 1.0), ("SELECT 3", "replica read", 1.0)]
    {
        client
            .send_all(&[message::parse("", text, &[]), message::describe(b'S', ""), message::flush()])
            .unwrap();
        client.read_until(b'T').unwrap();
        let rest = [message::bind("", "", &[]), message::execute("", 0), message::sync()];
        client.send_all(&rest).unwrap();
        client.read_until(b'Z').unwrap();
        assert_eq!(last(&mut client), expected);
        assert_eq!(hits(&proxy, "a", "primary"), count);
    }
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

/// The figure that says what a rule, or pgsplit itself, would cost: reads that would have missed a write.
fn shadow_stale(cluster: &Cluster) {
    let rule = "[[rules]]\nname = 'bids'\nmatch.tables = 'Bid'\ntarget = 'replica'\nmode = 'shadow'\n";
    let settings = [format!("{rule}[routing]\nreads = 'primary'\n"), "routing.mode = 'shadow'\n".to_owned()];
    let binary = Path::new(env!("CARGO_BIN_EXE_pgsplit"));
    let [of_rule, of_all] = settings.map(|settings| Proxy::start(binary, cluster, &settings).unwrap());
    let stale = || {
        let [one, all] = [&of_rule, &of_all].map(|proxy| proxy.metrics().unwrap());
        let counted = one.sum("pgsplit_rule_shadow_stale_total", &[("rule", "bids")]);
        (counted, all.sum("pgsplit_shadow_stale_reads_total", &[]))
    };
    let mut clients = [&of_rule, &of_all].map(client);
    let mut read = || clients.iter_mut().for_each(|client| run(client, r#"SELECT * FROM "Bid""#));
    read();
    assert_eq!(stale(), (0.0, 0.0), "nothing was written");
    let paused = Paused::new(cluster);
    for proxy in [&of_rule, &of_all] {
        run(&mut client(proxy), r#"INSERT INTO "Bid" VALUES (5)"#);
    }
    read();
    assert_eq!(stale(), (1.0, 1.0));
    clients.iter_mut().for_each(|client| run(client, r#"SELECT * FROM "Region""#));
    assert_eq!(stale(), (1.0, 1.0), "what it reads was not written");
    drop(paused);
    run(&mut client(&of_all), r#"DELETE FROM "Bid""#);
}

/// A statement that gets no connection is one that the rule has met.
fn failures(cluster: &Cluster) {
    let proxy = proxy(cluster, &format!("{SESSION}[pool]\nprimary_connections = 1\nwait = '200ms'\n"));
    let (mut holder, mut other) = (client(&proxy), client(&proxy));
    run(&mut holder, "BEGIN");
    run(&mut holder, r#"SELECT * FROM "Session""#);
    let before = hits(&proxy, "auth", "primary");
    let answer = other.query(r#"SELECT * FROM "Session""#).unwrap();
    assert_eq!(error(&answer).unwrap().0, "53300");
    let metrics = proxy.metrics().unwrap();
    assert_eq!(metrics.sum("pgsplit_rule_errors_total", &[("rule", "auth")]), 1.0);
    assert_eq!(hits(&proxy, "auth", "primary") - before, 1.0);
}

fn canary(cluster: &Cluster) {
    let rule = |name: &str, of: &str, share: &str| {
        format!("[[rules]]\nname = '{name}'\nmatch.tables = '{of}'\ntarget = 'replica'\npercent = {share}\n")
    };
    let proxy = proxy(
        cluster,
        &format!(
            "{}sticky = 'session'\n{}[routing]\nreads = 'primary'\n",
            rule("sessions", "Bid", "20"),
            rule("statements", "Region", "50")
        ),
    );
    let mut clients: Vec<_> = (0..20).map(|_| client(&proxy)).collect();
    let mut went_to_replica = |text: &str| -> Vec<bool> {
        clients.iter_mut().map(|client| went(client, text).starts_with("replica ")).collect()
    };
    let taken = went_to_replica(r#"SELECT * FROM "Bid""#);
    assert!((3..=5).contains(&taken.iter().filter(|taken| **taken).count()), "{taken:?}");
    assert_eq!(went_to_replica(r#"SELECT * FROM "Bid""#), taken, "always the same sessions");
    assert_eq!(went_to_replica(r#"SELECT id FROM "Bid" WHERE id = 1"#), taken, "with all statements");
    let statements = |n: usize| format!(r#"SELECT id AS c{n} FROM "Region""#);
    let mut all = Vec::new();
    for n in 0..20 {
        let taken = went_to_replica(&statements(n));
        assert!(taken.iter().all(|other| *other == taken[0]), "of all sessions or of none");
        all.push(taken[0]);
    }
    assert!((3..=17).contains(&all.iter().filter(|taken| **taken).count()), "{all:?}");
}

/// Replays go on when it goes, whatever a test has found.
struct Paused<'c>(&'c Cluster);

impl<'c> Paused<'c> {
    fn new(cluster: &'c Cluster) -> Self {
        (0..2).for_each(|n| drop(cluster.replica(n).sql("app", "SELECT pg_wal_replay_pause()").unwrap()));
        Self(cluster)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        (0..2).for_each(|n| drop(self.0.replica(n).sql("app", "SELECT pg_wal_replay_resume()")));
    }
}

fn levels(cluster: &Cluster) {
    let rules = "[[rules]]\nname = 'any'\nmatch.tables = 'Region'\ntarget = 'replica'\nconsistency = 'eventual'\n\
                 [[rules]]\nname = 'near'\nmatch.tags.near = '1'\ntarget = 'replica'\nconsistency = 'eventual'\nmax_lag = '1s'\n\
                 [consistency]\nmax_lag = '10m'\n";
    let proxy = Proxy::start(Path::new(env!("CARGO_BIN_EXE_pgsplit")), cluster, rules).unwrap();
    let mut client = client(&proxy);
    let paused = Paused::new(cluster);
    run(&mut client, r#"INSERT INTO "Region" VALUES (77); INSERT INTO "Bid" VALUES (77)"#);
    assert_eq!(went(&mut client, r#"SELECT * FROM "Region""#), "replica rule:any");
    assert_eq!(went(&mut client, r#"SELECT * FROM "Bid""#), "primary consistency");
    let mut console = RawClient::connect(("127.0.0.1", proxy.admin_port())).unwrap();
    let own = Account::PGSPLIT;
    console.login(own.user(), own.password(), "pgsplit", &[]).unwrap();
    let mut explained = |table: &str| -> String {
        let rows = console.rows(&format!("EXPLAIN ROUTE DATABASE app SELECT * FROM \"{table}\"")).unwrap();
        let lines: Vec<_> = rows.into_iter().flatten().flatten().collect();
        lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let bid = explained("Bid");
    assert!(bid.contains("consistency causal (consistency.level)"), "{bid}");
    assert_eq!(bid.matches("lacks a write to what is read").count(), 2, "{bid}");
    let region = explained("Region");
    assert!(region.contains("consistency eventual (rule any)") && !region.contains("lacks"), "{region}");
    assert_eq!(explained("Session").matches("has every write to what is read").count(), 2);
    let near = r#"SELECT * FROM "Bid" /*near='1'*/"#;
    let limit = Duration::from_secs(30);
    wait::until("the lag to be too much for one rule", limit, || {
        Ok::<_, pgsplit_testkit::Error>((went(&mut client, near) == "primary no-replica").then_some(()))
    })
    .unwrap();
    assert_eq!(went(&mut client, r#"SELECT * FROM "Region""#), "replica rule:any");
    drop(paused);
    wait::until("the replicas to catch up", limit, || {
        Ok::<_, pgsplit_testkit::Error>((went(&mut client, near) == "replica rule:near").then_some(()))
    })
    .unwrap();
    wait::until("what was written", limit, || {
        let there = went(&mut client, r#"SELECT * FROM "Bid""#) == "replica read";
        Ok::<_, pgsplit_testkit::Error>(there.then_some(()))
    })
    .unwrap();
    wait::until("both to be told so", limit, || {
        let told = explained("Bid").matches("has every write to what is read").count();
        Ok::<_, pgsplit_testkit::Error>((told == 2).then_some(()))
    })
    .unwrap();
    run(&mut client, r#"DELETE FROM "Region"; DELETE FROM "Bid""#);
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

/// Nobody but the server knows what a role's or a database's sessions begin with.
fn names_of_role(cluster: &Cluster) {
    let alter = |text: &str| cluster.primary().sql("app", text).unwrap();
    alter("CREATE ROLE b; GRANT b TO app; GRANT USAGE ON SCHEMA b TO b; GRANT SELECT ON b.twin TO b");
    alter("ALTER ROLE app IN DATABASE app SET search_path = b, a");
    let rule = "[[rules]]\nname = 'b'\nmatch.tables = 'b.twin'\ntarget = 'primary'\n";
    let (early, late) = (proxy(cluster, rule), proxy(cluster, ""));
    assert_eq!(went(&mut client(&early), "SELECT * FROM twin"), "primary rule:b");
    // A connection that was opened before anybody wanted to know is not used any more.
    let mut before = client(&late);
    assert_eq!(went(&mut before, "SELECT * FROM twin"), "replica read");
    reloaded(&late, |text| text + rule);
    assert_eq!(went(&mut client(&late), "SELECT * FROM twin"), "primary rule:b");

    alter("ALTER ROLE app IN DATABASE app RESET search_path");
    cluster.wait_caught_up().unwrap();
    let proxy = proxy(cluster, rule);
    let mut client = client(&proxy);
    run(&mut client, "SET search_path = \"$user\", a");
    assert_eq!(went(&mut client, "SELECT * FROM twin"), "replica read");
    run(&mut client, "SET ROLE b");
    assert_eq!(went(&mut client, "SELECT * FROM twin"), "primary rule:b");
}

/// A transaction that is declared READ ONLY runs on one replica from its first statement to its last, if that is a read.
fn read_only_transactions(cluster: &Cluster) {
    let proxy = proxy(cluster, "consistency.wait = '10s'\nrouting.read_only_transactions = 'replica'\n");
    let mut one = client(&proxy);
    let on_replica = |client: &mut pgsplit_testkit::peer::RawClient| {
        value(client, "SELECT count(*) FROM \"Bid\"");
        let replica = value(client, "SELECT pg_is_in_recovery()") == "t";
        let isolation = value(client, "SHOW transaction_isolation");
        run(client, "COMMIT");
        (replica, isolation)
    };
    for (begin, replica) in [
        ("BEGIN READ ONLY", true),
        ("START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", true),
        ("BEGIN; SET TRANSACTION READ ONLY", true),
        ("BEGIN", false),
        ("BEGIN READ WRITE", false),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", false),
        ("BEGIN READ ONLY; SET TRANSACTION READ WRITE", false),
    ] {
        begin.split("; ").for_each(|text| run(&mut one, text));
        let (ran, isolation) = on_replica(&mut one);
        assert_eq!(ran, replica, "{begin}");
        assert_eq!(isolation == "repeatable read", begin.contains("REPEATABLE"), "{begin}");
        assert_eq!(went(&mut one, "INSERT INTO \"Bid\" VALUES (1)"), "primary write");
    }
    // Whose first statement is no read stays on the primary, and what may not be written may not be written there either.
    run(&mut one, "BEGIN READ ONLY");
    assert_eq!(value(&mut one, "SELECT pg_is_in_recovery()"), "f");
    run(&mut one, "ROLLBACK");
    run(&mut one, "BEGIN READ ONLY");
    run(&mut one, "SELECT 1");
    let refused = one.query("INSERT INTO \"Bid\" VALUES (1)").unwrap();
    let (code, text) = error(&refused).unwrap();
    assert_eq!((&*code, &*text), ("25006", "cannot execute INSERT in a read-only transaction"));
    run(&mut one, "ROLLBACK");
    // What was written before is seen, by whomever.
    let mut other = client(&proxy);
    for round in 8..28 {
        run(&mut other, "INSERT INTO \"Bid\" VALUES (1)");
        run(&mut one, "BEGIN READ ONLY /* pgsplit: causal */");
        assert_eq!(value(&mut one, "SELECT count(*) FROM \"Bid\" /* pgsplit: causal */"), round.to_string());
        run(&mut one, "COMMIT");
    }
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

/// Changes the configuration for the first time, and waits until that is in force.
fn reloaded(proxy: &Proxy, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(proxy.config()).unwrap();
    fs::write(proxy.config(), change(text)).unwrap();
    proxy.signal(Signal::HUP);
    wait::until("the new rules are in force", Duration::from_secs(15), || {
        Ok::<_, pgsplit_testkit::Error>(proxy.log().contains(": reloaded").then_some(()))
    })
    .unwrap();
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
    reloaded(&proxy, |text| text.replace("'Session'", "'Region'"));
    assert_eq!(again(&mut client), "replica read");
    assert_eq!(went(&mut client, r#"SELECT * FROM "Region""#), "primary rule:auth");
    assert_eq!(hits(&proxy, "auth", "primary"), 2.0);
}
