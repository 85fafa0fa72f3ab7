//! Hints in comments, and pgsplit's own settings.

use pgsplit_testkit::peer::{RawClient, message};
use pgsplit_testkit::{Account, Cluster};

use crate::{Scene, client, error, last, proxy, run, tags, value, went};

pub(crate) fn scenes() -> Vec<Scene> {
    vec![
        ("hints in comments", comments),
        ("pgsplit.target", target),
        ("settings of our own go through transactions", transactions),
        ("settings of our own in the extended protocol", extended),
        ("what is wrong with a setting is an error", errors),
        ("start-up parameters", startup),
        ("hints can be switched off", off),
        ("trace", trace),
    ]
}

const RULE: &str = "[[rules]]\nname = 'reports'\nmatch.hint = 'reports'\ntarget = 'primary'\n";

fn comments(cluster: &Cluster) {
    let node = cluster.replica(0).address();
    let proxy = proxy(cluster, &format!("{RULE}[routing]\nreads = 'primary'\n"));
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, "/* pgsplit: replica */ SELECT 1"), "replica hint");
    assert_eq!(went(&mut client, "SELECT 1 /*pgsplit:primary*/"), "primary hint");
    assert_eq!(went(&mut client, "SELECT 1 /* pgsplit: reports */"), "primary rule:reports");
    assert_eq!(went(&mut client, "SELECT '/* pgsplit: replica */'"), "primary read");
    assert_eq!(went(&mut client, "/* pgsplit: nonsense */ SELECT 1"), "primary read");
    run(&mut client, &format!("/* pgsplit: {node} */ SELECT 1"));
    assert_eq!(value(&mut client, "SHOW pgsplit.last"), format!("node={node} target=replica reason=hint"));
}

fn target(cluster: &Cluster) {
    let proxy = proxy(cluster, RULE);
    let mut client = client(&proxy);
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "auto");
    run(&mut client, "SET pgsplit.target = 'primary'");
    assert_eq!(went(&mut client, "SELECT 1"), "primary hint");
    assert_eq!(went(&mut client, "/* pgsplit: replica */ SELECT 1"), "replica hint");
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "primary");
    run(&mut client, "RESET pgsplit.target");
    assert_eq!(went(&mut client, "SELECT 1"), "replica read");
    run(&mut client, "SET pgsplit.target TO reports");
    assert_eq!(went(&mut client, "SELECT 1"), "primary rule:reports");
    run(&mut client, "DISCARD ALL");
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "auto");
    let answer = client.query("SET pgsplit.target = 'primary'; SHOW pgsplit.target; SELECT 1").unwrap();
    assert_eq!(tags(&answer), "CTDCTDCZ");
    assert_eq!(last(&mut client), "primary hint");
    // No server has heard of it.
    assert_eq!(
        value(&mut client, "SELECT coalesce(current_setting('pgsplit.target', true), 'unknown')"),
        "unknown"
    );
    run(&mut client, "SET pgsplit.consistency = 'strict'");
    assert_eq!(value(&mut client, "SHOW pgsplit.consistency"), "strict");
}

fn transactions(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut client = client(&proxy);
    let shown = |client: &mut RawClient| value(client, "SHOW pgsplit.target");
    for held in ["", "SELECT 1"] {
        run(&mut client, "BEGIN");
        run(&mut client, held);
        run(&mut client, "SET pgsplit.target = 'primary'");
        run(&mut client, "SAVEPOINT s");
        run(&mut client, "SET pgsplit.target = 'replica'");
        run(&mut client, "ROLLBACK TO s");
        assert_eq!(shown(&mut client), "primary");
        run(&mut client, "ROLLBACK");
        assert_eq!(shown(&mut client), "auto");
        run(&mut client, "BEGIN");
        run(&mut client, held);
        run(&mut client, "SET LOCAL pgsplit.target = 'primary'");
        assert_eq!(shown(&mut client), "primary");
        run(&mut client, "COMMIT");
        assert_eq!(shown(&mut client), "auto");
    }
    run(&mut client, "SET LOCAL pgsplit.target = 'primary'");
    assert_eq!(shown(&mut client), "auto");
    // A text is one transaction: what it set is gone when it fails.
    client.query("SET pgsplit.target = 'primary'; SELECT 1/0").unwrap();
    assert_eq!(shown(&mut client), "auto");
}

/// Parse, Bind, Describe and Execute of a text, without Sync.
fn steps(text: &str) -> Vec<Vec<u8>> {
    vec![
        message::parse("", text, &[]),
        message::bind("", "", &[]),
        message::describe(b'P', ""),
        message::execute("", 0),
    ]
}

fn answer(client: &mut RawClient, texts: &[&str]) -> String {
    let mut all: Vec<_> = texts.iter().flat_map(|text| steps(text)).collect();
    all.push(message::sync());
    client.send_all(&all).unwrap();
    tags(&client.read_until(b'Z').unwrap())
}

fn extended(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut client = client(&proxy);
    assert_eq!(answer(&mut client, &["SET pgsplit.target = 'primary'"]), "12nCZ");
    assert_eq!(answer(&mut client, &["SHOW pgsplit.target"]), "12TDCZ");
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "primary");
    assert_eq!(
        answer(&mut client, &["SET pgsplit.target = 'replica'", "SELECT 1", "SHOW pgsplit.target"]),
        "12nC12TDC12TDCZ"
    );
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "replica");
    for held in ["BEGIN", "BEGIN; SELECT 1"] {
        run(&mut client, held);
        assert_eq!(answer(&mut client, &["SET pgsplit.target = 'primary'"]), "12nCZ");
        assert_eq!(value(&mut client, "SHOW pgsplit.target"), "primary");
        run(&mut client, "ROLLBACK");
        assert_eq!(value(&mut client, "SHOW pgsplit.target"), "replica");
    }
    // What comes behind an error is not carried out.
    assert_eq!(answer(&mut client, &["SELECT 1/0", "SET pgsplit.target = 'primary'"]), "1EZ");
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "replica");
}

fn errors(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let mut client = client(&proxy);
    let invalid =
        Some(("22023".to_owned(), "invalid value for parameter \"pgsplit.target\": \"db9\"".to_owned()));
    let wrong = "SET pgsplit.target = 'db9'";
    assert_eq!(error(&client.query(wrong).unwrap()), invalid);
    assert_eq!(error(&client.query("SET pgsplit.targt = 'a'").unwrap()).unwrap().0, "42704");
    assert_eq!(error(&client.query("SHOW pgsplit.targt").unwrap()).unwrap().0, "42704");
    assert_eq!(error(&client.query("SET pgsplit.last = 'a'").unwrap()).unwrap().0, "55P02");
    assert_eq!(error(&client.query("SELECT 1; SET pgsplit.trace = on").unwrap()).unwrap().0, "0A000");
    assert_eq!(answer(&mut client, &[wrong]), "12nEZ");
    for held in ["BEGIN", "BEGIN; SELECT 1"] {
        run(&mut client, held);
        let answered = client.query(wrong).unwrap();
        assert_eq!(error(&answered), invalid);
        assert_eq!(answered.last().unwrap().text(), "E");
        assert_eq!(error(&client.query("SELECT 1").unwrap()).unwrap().0, "25P02");
        assert_eq!(error(&client.query("SHOW pgsplit.target").unwrap()).unwrap().0, "25P02");
        run(&mut client, "ROLLBACK");
        run(&mut client, held);
        assert_eq!(answer(&mut client, &[wrong, "SELECT 1"]), "12nEZ");
        assert_eq!(error(&client.query("SELECT 1").unwrap()).unwrap().0, "25P02");
        run(&mut client, "ROLLBACK");
    }
    run(&mut client, "BEGIN");
    client.query("SELECT 1/0").unwrap();
    assert_eq!(answer(&mut client, &["SHOW pgsplit.target"]), "12TEZ");
    run(&mut client, "ROLLBACK");
    assert_eq!(value(&mut client, "SELECT 1"), "1");
}

fn startup(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let login = |parameters: &[(&str, &str)]| {
        let mut client = RawClient::connect(proxy.address()).unwrap();
        let (user, password) = (Account::APP.user(), Account::APP.password());
        client.login(user, password, "app", parameters).map(|_| client)
    };
    let mut client = login(&[("options", "-c pgsplit.target=primary")]).unwrap();
    assert_eq!(went(&mut client, "SELECT 1"), "primary hint");
    run(&mut client, "SET pgsplit.target = auto");
    run(&mut client, "RESET ALL");
    assert_eq!(value(&mut client, "SHOW pgsplit.target"), "primary");
    let mut client = login(&[("pgsplit.target", "replica")]).unwrap();
    assert_eq!(went(&mut client, "SELECT 1"), "replica hint");
    let refused = login(&[("options", "-c pgsplit.target=db9")]).unwrap_err();
    assert!(refused.to_string().starts_with("22023"), "{refused}");
}

fn off(cluster: &Cluster) {
    let proxy = proxy(cluster, &format!("{RULE}[routing]\nhints = false\n"));
    let mut client = client(&proxy);
    assert_eq!(went(&mut client, "/* pgsplit: primary */ SELECT 1"), "replica read");
    assert_eq!(went(&mut client, "/* pgsplit: reports */ SELECT 1"), "replica read");
    run(&mut client, "SET pgsplit.target = 'primary'");
    assert_eq!(went(&mut client, "SELECT 1"), "replica read");
}

fn trace(cluster: &Cluster) {
    let proxy = proxy(cluster, "[[rules]]\nname = 'r'\nmatch.tables = 'Region'\ntarget = 'primary'\n");
    let mut client = client(&proxy);
    run(&mut client, "SET pgsplit.trace = on");
    let primary = cluster.primary().address();
    let answer_to = |client: &mut RawClient, text: &str| {
        let answer = client.query(text).unwrap();
        let notice = answer.iter().find(|message| message.tag == b'N').and_then(|notice| notice.field(b'M'));
        (tags(&answer), notice.unwrap_or_default())
    };
    let (tags_of, said) = answer_to(&mut client, r#"SELECT * FROM "Region""#);
    assert_eq!(tags_of, "TCNZ");
    assert_eq!(said, format!("pgsplit: node={primary} target=primary reason=rule:r rule=r"));
    let (tags_of, said) = answer_to(&mut client, "SELECT 1");
    assert_eq!(tags_of, "TDCNZ");
    assert!(said.contains("target=replica reason=read"), "{said}");
    assert_eq!(answer(&mut client, &["SELECT 1", "SELECT 2"]), "12TDC12TDCNZ");
    run(&mut client, "SET pgsplit.trace = off");
    assert_eq!(answer_to(&mut client, "SELECT 1").0, "TDCZ");
}
