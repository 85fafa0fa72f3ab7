//! What the larger tables look like in psql's expanded form, and that they fit a terminal.

use std::time::Duration;

use pgsplit_testkit::{Cluster, Error, wait};

use crate::commands::{psql, snapshot, steady};
use crate::stage::{client, proxy};

/// A function that is taken for a read and is none; a replica refuses it.
const SETUP: &str = "CREATE FUNCTION refused() RETURNS int LANGUAGE plpgsql AS \
    'BEGIN INSERT INTO kept VALUES (9); RETURN 1; END'";
const SETTINGS: &str = "routing.functions_read_only = 'refused'\nrouting.functions_stateless = 'refused'\n\
    [[rules]]\nname = 'names'\nwhy = 'Names are asked for at once.'\nmatch.tables = 'kept'\n\
    match.user = 'app'\ntarget = 'replica'\n";

/// Fractions are whole numbers now and then, and positions have letters.
fn rounded(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("position | ") {
        Some(_) => "position | LSN".to_owned(),
        None => line.replace("N.N.N.N", "HOST").replace("N.N", "N").replace("HOST", "N.N.N.N"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The record of an expanded table that has this in it.
fn record<'t>(text: &'t str, with: &str) -> &'t str {
    let mut records = text.split("-[ RECORD").filter(|record| record.contains(with));
    records.next().unwrap_or_else(|| panic!("no {with} in {text}"))
}

pub(crate) fn in_psql(cluster: &Cluster) {
    cluster.primary().sql("app", SETUP).unwrap();
    cluster.wait_caught_up().unwrap();
    let proxy = proxy(cluster, SETTINGS);
    let (mut one, mut other) = (client(&proxy), client(&proxy));
    let shown = |table: &str| {
        let text = psql(cluster, &proxy, &["-x", "-c", &format!("SHOW {table}")]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{table}: {text}");
        text
    };
    other.rows("SELECT name FROM kept WHERE id = 1 /*method='GET',route='%2Fnames'*/").unwrap();
    other.rows("SELECT refused()").unwrap();
    one.rows("BEGIN").unwrap();
    one.rows("UPDATE kept SET name = 'one' WHERE id = 7").unwrap();
    // Figures are noted behind the answer.
    wait::until("all to be counted", Duration::from_secs(20), || {
        let counted = ["STATEMENTS", "TABLES"].map(shown);
        let all = counted[0].matches("last_call").count() == 3 && counted[1].contains("writes        | 1");
        Ok::<_, Error>(all.then_some(()))
    })
    .unwrap();
    for table in ["NODES", "TABLES", "ROUTES", "REFUSALS"] {
        snapshot(&table.to_lowercase(), &rounded(&steady(&shown(table), &proxy, cluster)));
    }
    let statements = shown("STATEMENTS");
    snapshot("statements", &rounded(&steady(record(&statements, "select name"), &proxy, cluster)));
    let servers = shown("SERVERS");
    snapshot("servers", &rounded(&steady(record(&servers, "busy"), &proxy, cluster)));
    let sql = "EXPLAIN ROUTE DATABASE app USER app SELECT name FROM kept WHERE id = 1";
    let explained = psql(cluster, &proxy, &["-At", "-c", sql]);
    assert!(explained.lines().all(|line| line.chars().count() <= 80), "{explained}");
    // The lag of a moment is no part of it.
    let explained: String =
        explained.lines().filter(|line| !line.contains(", lag ")).collect::<Vec<_>>().join("\n");
    snapshot("explain", &steady(&explained, &proxy, cluster));
    let nobody = psql(cluster, &proxy, &["-At", "-c", &sql.replace("USER app ", "")]);
    assert!(nobody.contains("names: no, match.user"), "{nobody}");
    one.rows("ROLLBACK").unwrap();
    cluster.primary().sql("app", "DELETE FROM kept WHERE id = 9").unwrap();
    cluster.primary().sql("app", "DROP FUNCTION refused()").unwrap();
}
