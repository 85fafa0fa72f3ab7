//! Transactions, savepoints, errors, cursors and portals, cancels.

use std::time::Duration;

use pgsplit_testkit::peer::message;

use crate::client::{Client, equal, succeeded};
use crate::line::{Outcome, Trouble};
use crate::shared::pause;

pub(crate) fn begin(client: &mut Client<'_>) -> Outcome {
    if client.model.in_transaction() {
        return Ok(());
    }
    let words =
        ["BEGIN", "begin", "START TRANSACTION", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ WRITE"];
    let sql = client.random.pick(&words);
    client.run(sql)?;
    client.model.begin();
    if client.random.chance(20) {
        client.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
    }
    Ok(())
}

pub(crate) fn savepoint(client: &mut Client<'_>) -> Outcome {
    if !client.model.in_transaction() {
        return Ok(());
    }
    let innermost = client.model.last_savepoint();
    match (innermost, client.random.below(3)) {
        (Some(name), 0) => {
            client.run(&format!("ROLLBACK TO SAVEPOINT {name}"))?;
            client.model.roll_back_to();
        }
        _ if client.model.failed => {}
        (Some(name), 1) => {
            client.run(&format!("RELEASE {name}"))?;
            client.model.release();
        }
        _ => {
            let name = client.random.pick(&["a", "b", "c"]);
            client.run(&format!("SAVEPOINT {name}"))?;
            client.model.savepoint(name);
        }
    }
    Ok(())
}

/// COMMIT or ROLLBACK.
pub(crate) fn end(client: &mut Client<'_>) -> Outcome {
    if !client.model.in_transaction() {
        return Ok(());
    }
    if client.random.chance(30) {
        let sql = client.random.pick(&["ROLLBACK", "ABORT"]);
        client.run(sql)?;
        client.model.roll_back();
        return Ok(());
    }
    let failed = client.model.failed;
    if !failed {
        client.ledger.sending(client.model.now.written.clone());
    }
    let sql = client.random.pick(&["COMMIT", "END"]);
    let reply = client.run(sql)?;
    equal("the tag of COMMIT", reply.tags, vec![if failed { "ROLLBACK" } else { "COMMIT" }.to_owned()])?;
    if failed {
        client.model.roll_back();
    } else {
        client.ledger.acknowledged();
        client.model.commit();
    }
    Ok(())
}

/// Errors of all kinds, on any node.
pub(crate) fn fail(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let all = [
        ("SELECT 1 / 0", "22012"),
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT nothing()", "42883"),
        ("INSERT INTO writes VALUES ('x')", "22P02"),
        ("RELEASE nothing", if client.model.in_transaction() { "3B001" } else { "25P01" }),
        ("EXECUTE nothing", "26000"),
        ("SELECT 'x'::int", "22P02"),
    ];
    let (sql, code) = client.random.pick(&all);
    client.fails(sql, code)
}

/// A portal, or a cursor by SQL, that is read in pieces.
pub(crate) fn cursor(client: &mut Client<'_>) -> Outcome {
    if client.model.failed || !client.model.in_transaction() {
        return Ok(());
    }
    let Some((name, next)) = client.model.cursor else {
        let name = client.random.below(1 << 30);
        if client.random.chance(50) {
            client.run(&format!(
                "DECLARE c{name} CURSOR FOR SELECT generate_series({name}, {name} + 100000)"
            ))?;
        } else {
            let messages = [
                message::parse("", "SELECT generate_series($1::int, $1::int + 100000)", &[]),
                message::bind(&format!("c{name}"), "", &[Some(&name.to_string())]),
                message::sync(),
            ];
            let reply = client.exchange("a portal", &messages.concat())?;
            succeeded("a portal", reply)?;
        }
        client.model.cursor = Some((name, name));
        return Ok(());
    };
    let rows = 1 + client.random.below(3);
    let reply = if client.random.chance(50) {
        client.run(&format!("FETCH {rows} FROM c{name}"))?
    } else {
        let portal = format!("c{name}");
        let messages = [message::execute(&portal, u32::try_from(rows).unwrap()), message::sync()];
        let reply = client.exchange(&format!("Execute {portal} for {rows} rows"), &messages.concat())?;
        succeeded(&portal, reply)?
    };
    let known: Vec<_> = (next..next + rows).map(|value| vec![Some(value.to_string())]).collect();
    equal("rows of a cursor", reply.rows, known)?;
    client.model.cursor = Some((name, next + rows));
    Ok(())
}

/// Cancels what runs: it ends so or otherwise, and whatever comes next is not concerned.
pub(crate) fn cancel(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let key = client.ledger.key();
    let id = client.id;
    let writes = client.random.chance(50);
    let sql = if writes {
        format!("INSERT INTO writes SELECT {id}, {key}, 'slow' FROM pg_sleep(0.5)")
    } else {
        let primary = if client.random.chance(50) { ", txid_current_if_assigned()" } else { "" };
        format!("SELECT 1{primary} FROM pg_sleep(0.5)")
    };
    if writes {
        client.writing(&[key]);
    }
    client.line.send(&sql, &message::query(&sql))?;
    // So that it meets the statement at any of its stages.
    pause(Duration::from_millis(client.random.below(40) as u64));
    client.line.cancel()?;
    let reply = client.answer()?;
    match reply.code() {
        None if writes => client.wrote(&[key]),
        None => {}
        Some("57014") => {
            client.shared.count("cancelled");
            if writes && !client.model.in_transaction() {
                client.ledger.failed();
            }
            client.model.error();
        }
        _ => return Err(Trouble::Wrong(format!("a cancelled statement: {reply:?}"))),
    }
    Ok(())
}
