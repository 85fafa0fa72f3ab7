//! The end of a run: what is on the primary, asked past pgsplit, beside what the clients were told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use pgsplit_testkit::peer::RawClient;
use pgsplit_testkit::{Account, Cluster};

use crate::model::{CLIENTS, Model, TABLES, Told, parts, table};

/// Everything that was acknowledged is there, nothing twice, and nothing that was refused.
pub(crate) fn audit(model: &Model, cluster: &Cluster) {
    let mut client = RawClient::connect(("127.0.0.1", cluster.primary().port())).unwrap();
    client.login(Account::APP.user(), Account::APP.password(), "app", &[]).unwrap();
    cells(model, &mut client);
    ledger(model, &mut client);
}

fn numbers(client: &mut RawClient, text: &str) -> Vec<(i64, i64)> {
    let rows = client.rows(text).unwrap();
    let number = |text: &Option<String>| text.as_ref().unwrap().parse().unwrap();
    rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
}

fn cells(model: &Model, client: &mut RawClient) {
    for at in 0..TABLES {
        let mut there = BTreeMap::<usize, Vec<i64>>::new();
        for (id, version) in numbers(client, &format!("SELECT id, version FROM cells{at}")) {
            there.entry(id as usize).or_default().push(version);
        }
        for (cell, known) in model.cells.iter().enumerate().filter(|(cell, _)| table(*cell) == at) {
            let versions = there.remove(&cell).unwrap_or_default();
            let [attempted, acknowledged, seen] =
                [&known.attempted, &known.acknowledged, &known.seen].map(|version| version.load(SeqCst));
            let recent = model.recent(cell);
            let told = format!(
                "cell {cell} has {versions:?}: acknowledged {acknowledged}, seen {seen}; writes:{recent}\n     "
            );
            let Some(version) = versions.first().copied().filter(|_| versions.len() == parts(cell)) else {
                model.violation("lost", &told);
                continue;
            };
            if versions.iter().any(|other| *other != version) {
                model.violation("atomic", &told);
            }
            if version < acknowledged || version < seen {
                model.violation("lost", &told);
            }
            if version > attempted || known.is_refused(version) {
                model.violation("refused", &told);
            }
        }
    }
}

fn ledger(model: &Model, client: &mut RawClient) {
    for (number, account) in model.accounts.iter().enumerate() {
        let first = number as i64 * 1_000_000_000;
        let text = format!(
            "SELECT operation, count(*) FROM ledger WHERE operation BETWEEN {first} AND {} GROUP BY operation",
            first + 999_999_999
        );
        let mut there: BTreeMap<_, _> = numbers(client, &text).into_iter().collect();
        for (operation, told) in account.told.lock().unwrap().iter() {
            let count = there.remove(operation).unwrap_or(0);
            let text = format!("operation {operation} is there {count} times: {told:?}");
            match (told, count) {
                (Told::Acknowledged, 0) => model.violation("lost", &text),
                (Told::NotDone(_), 1) => model.violation("refused", &text),
                (_, 2..) => model.violation("twice", &text),
                (Told::Doubt(_), 1) => model.count("doubt", "done"),
                (Told::Doubt(_), _) => model.count("doubt", "not done"),
                _ => {}
            }
        }
        for (operation, _) in there {
            model.violation("attempted", &format!("nobody has written operation {operation}"));
        }
    }
    let all: i64 = numbers(client, "SELECT 0, count(*) FROM ledger")[0].1;
    assert!(CLIENTS > 0 && all > 0, "nothing was written");
}
