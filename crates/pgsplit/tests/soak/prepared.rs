//! Prepared statements of the protocol and of SQL: few names and texts, so that clients share them and meet others'.

use std::time::Duration;

use pgsplit_testkit::peer::message;

use crate::client::{Client, equal, refused, succeeded};
use crate::line::Outcome;
use crate::model::Prepared;
use crate::shared::pause;

const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];

fn text(prepared: Prepared) -> String {
    match prepared {
        Prepared::Adds(number) => {
            format!("SELECT $1::int + {number}, coalesce(current_setting('work_mem', true), '')")
        }
        Prepared::Path(number) => format!("SELECT v || '{number}' FROM whoami WHERE $1::int > 0"),
        Prepared::Inserts => "INSERT INTO public.writes SELECT $1::int, $2::bigint, 'prepared'".into(),
        Prepared::Looks => unreachable!("prepared by the look alone"),
    }
}

/// Under a name that is free, or that is taken.
pub(crate) fn parse(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let name = client.random.pick(&NAMES);
    let number = client.random.below(60);
    let prepared = match client.random.below(4) {
        0 => Prepared::Path(number),
        1 => Prepared::Inserts,
        _ => Prepared::Adds(number),
    };
    let messages =
        [message::parse(name, &text(prepared), &[]), message::describe(b'S', name), message::sync()];
    let reply = client.exchange(&format!("Parse {name}: {prepared:?}"), &messages.concat())?;
    if client.model.prepared.contains_key(name) {
        client.model.error();
        return refused("a name that is taken", &reply, "42P05");
    }
    succeeded("Parse", reply)?;
    client.model.prepared.insert(name.into(), prepared);
    Ok(())
}

/// Any name, known or not.
pub(crate) fn execute(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let name = client.random.pick(&NAMES);
    let value = client.random.below(1000);
    let known = client.model.prepared.get(name).copied();
    let key = if known == Some(Prepared::Inserts) { client.ledger.key() } else { 0 };
    let (id, value_text, key_text) = (client.id.to_string(), value.to_string(), key.to_string());
    let parameters: Vec<_> = match known {
        Some(Prepared::Inserts) => vec![Some(id.as_str()), Some(key_text.as_str())],
        _ => vec![Some(value_text.as_str())],
    };
    if key > 0 {
        client.writing(&[key]);
    }
    let mut messages = vec![message::bind("", name, &parameters), message::execute("", 0), message::sync()];
    if client.random.chance(30) {
        messages.insert(1, message::describe(b'P', ""));
    }
    if client.random.chance(20) {
        // In two writes, the first of which wants to be answered.
        let first =
            [messages.drain(..messages.len() - 1).collect::<Vec<_>>().concat(), message::flush()].concat();
        client.line.send("with a Flush", &first)?;
        pause(Duration::from_millis(client.random.below(3) as u64));
    }
    let reply =
        client.exchange(&format!("Bind {name}: {known:?} with {parameters:?}"), &messages.concat())?;
    let Some(known) = known else {
        client.model.error();
        return refused("a name that is not known", &reply, "26000");
    };
    let reply = succeeded("Bind and Execute", reply)?;
    match known {
        Prepared::Adds(number) => equal(
            "its row",
            reply.row()?,
            vec![&*(number + value).to_string(), &client.model.value("work_mem")],
        ),
        Prepared::Path(_) if value == 0 => equal("its rows", reply.rows.len(), 0),
        Prepared::Path(number) => {
            equal("its row", reply.value()?, &*format!("{}{number}", client.model.schema()))
        }
        Prepared::Inserts => {
            client.wrote(&[key]);
            equal("its tag", reply.tags, vec!["INSERT 0 1".to_owned()])
        }
        Prepared::Looks => Ok(()),
    }
}

/// By Close, which knows no unknown names, or by DEALLOCATE.
pub(crate) fn close(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let name = client.random.pick(&NAMES);
    match client.random.below(6) {
        0 => {
            client.run("DEALLOCATE ALL")?;
            client.model.prepared.clear();
            client.model.by_sql.clear();
            return Ok(());
        }
        1 if client.model.prepared.contains_key(name) => drop(client.run(&format!("DEALLOCATE {name}"))?),
        1 => return client.fails(&format!("DEALLOCATE {name}"), "26000"),
        _ => {
            let messages = [message::close(b'S', name), message::sync()];
            let reply = client.exchange(&format!("Close {name}"), &messages.concat())?;
            succeeded("Close", reply)?;
        }
    }
    client.model.prepared.remove(name);
    Ok(())
}

/// PREPARE, EXECUTE, DEALLOCATE.
pub(crate) fn by_sql(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let name = client.random.pick(&["q0", "q1"]);
    match client.model.by_sql.get(name).copied() {
        None => {
            if !client.take_permit() {
                return client.fails(&format!("EXECUTE {name}(1)"), "26000");
            }
            let number = client.random.below(1000);
            client.run(&format!("PREPARE {name}(int) AS SELECT $1 + {number}"))?;
            client.model.by_sql.insert(name.into(), number);
        }
        Some(_) if client.random.chance(30) => {
            client.run(&format!("DEALLOCATE {name}"))?;
            client.model.by_sql.remove(name);
        }
        Some(number) => {
            let reply = client.run(&format!("EXECUTE {name}(1)"))?;
            equal("the row of EXECUTE", reply.value()?, &*(number + 1).to_string())?;
        }
    }
    Ok(())
}
