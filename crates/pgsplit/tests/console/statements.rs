//! What SHOW STATEMENTS and SHOW TABLES tell.

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Cluster, wait};

use crate::stage::{cell, client, console, proxy};

/// Waits for a column of the statement with this text: statements are noted right behind their answers.
fn told(console: &mut RawClient, statement: &str, at: usize, value: &str) {
    let what = format!("column {at} of {statement} to be {value}");
    wait::until(&what, wait::LIMIT, || {
        let rows = console.rows("SHOW STATEMENTS").unwrap();
        let row = rows.iter().find(|row| row[14].as_deref() == Some(statement));
        Ok((row.and_then(|row| row[at].as_deref()) == Some(value)).then_some(()))
    })
    .unwrap();
}

pub(crate) fn are_counted(cluster: &Cluster) {
    let proxy = proxy(cluster, "");
    let (mut client, mut console) = (client(&proxy), console(&proxy));
    for n in 0..40 {
        let text = format!("SELECT name FROM kept WHERE id = {n} /*traceparent='00-{n}-01'*/");
        client.rows(&text).unwrap();
    }
    let read = "select name from kept where id = 0";
    told(&mut console, read, 0, "40");
    let rows = console.rows("SHOW STATEMENTS").unwrap();
    assert_eq!(rows.len(), 1, "values and trace ids make no statements: {rows:#?}");
    let first = |at: usize| rows[0][at].clone().unwrap_or_default();
    assert_eq!(
        (first(0), first(1), first(2), first(3)),
        ("40".into(), "0".into(), "40".into(), "read".into())
    );
    assert_eq!((first(4), first(5), first(14)), ("0".into(), "1".into(), read.into()));
    assert!(first(9).parse::<f64>().unwrap() > 0.0 && rows[0][7].is_none(), "times by side: {rows:?}");
    (0..3).for_each(|_| drop(client.rows("SELECT 1 FROM kept /*method='GET',route='%2Fkept'*/").unwrap()));
    wait::until("the route", wait::LIMIT, || {
        let rows = console.rows("SHOW ROUTES").unwrap();
        let told: Vec<_> = rows.iter().flat_map(|row| row[..4].iter().flatten().cloned()).collect();
        Ok((told == ["GET /kept", "3", "0", "3"]).then_some(()))
    })
    .unwrap();
    // Prepared, in a transaction, failed, and pinned.
    client.rows("BEGIN").unwrap();
    client.rows("SELECT name FROM kept WHERE id = 1").unwrap();
    client.rows("UPDATE kept SET name = 'two' WHERE id = 1").unwrap();
    client.rows("ROLLBACK").unwrap();
    let parse = b"P\0\0\0\x2b\0SELECT id FROM kept WHERE name = $1\0\0\0";
    client.send_all(&[parse.to_vec(), b"B\0\0\0\x11\0\0\0\0\0\x01\0\0\0\x01x\0\0".to_vec()]).unwrap();
    client.send_all(&[b"E\0\0\0\x09\0\0\0\0\0".to_vec(), b"S\0\0\0\x04".to_vec()]).unwrap();
    client.read_until(b'Z').unwrap();
    client.query("SELECT nothing FROM kept").unwrap();
    client.rows("SELECT 1 FROM public.kept").unwrap();
    client.rows("LISTEN news").unwrap();
    told(&mut console, read, 1, "1");
    told(&mut console, "update kept set name = '' where id = 0", 5, "1");
    told(&mut console, "select id from kept where name = $1", 0, "1");
    told(&mut console, "select nothing from kept", 4, "1");
    told(&mut console, "listen news", 6, "1");
    let pins = console.rows("SHOW PINS").unwrap();
    assert_eq!(cell(&pins, (0, "listen"), 1).as_deref(), Some("1"));
    let clients = console.rows("SHOW CLIENTS").unwrap();
    assert_eq!(clients[0][6].as_deref(), Some("listen"));
    let tables = console.rows("SHOW TABLES").unwrap();
    // With its schema and without, it is one table.
    assert_eq!(cell(&tables, (1, "kept"), 2).as_deref(), Some("47"), "{tables:?}");
    assert_eq!(cell(&tables, (1, "kept"), 3).as_deref(), Some("1"));
    let metrics = proxy.metrics().unwrap();
    assert!(metrics.sum("pgsplit_statements_failed_total", &[]) >= 1.0);
}
