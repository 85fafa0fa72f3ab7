//! Rows, in all the ways to write them, and COPY.

use pgsplit_testkit::peer::message;

use crate::catalogue::{SETTINGS, Setting, any};
use crate::client::{Client, equal, refused, succeeded};
use crate::line::Outcome;

/// An INSERT of a row with this key.
pub(crate) fn row(client: &Client<'_>, key: u64) -> String {
    format!("INSERT INTO public.writes VALUES ({}, {key}, 'row')", client.id)
}

/// The same as a batch with its Sync.
pub(crate) fn bound_insert(client: &Client<'_>, key: u64) -> Vec<Vec<u8>> {
    let (id, key) = (client.id.to_string(), key.to_string());
    vec![
        message::parse("", "INSERT INTO public.writes VALUES ($1, $2, 'bound')", &[]),
        message::bind("", "", &[Some(&id), Some(&key)]),
        message::execute("", 0),
        message::sync(),
    ]
}

pub(crate) fn insert(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let key = client.ledger.key();
    client.writing(&[key]);
    let reply = if client.random.chance(50) {
        let sql = row(client, key);
        client.run(&sql)?
    } else {
        let batch = bound_insert(client, key).concat();
        let reply = client.exchange(&format!("a bound insert of {key}"), &batch)?;
        succeeded("an insert", reply)?
    };
    client.wrote(&[key]);
    equal("the tag of an insert", reply.tags, vec!["INSERT 0 1".to_owned()])
}

/// Several statements in one message: one transaction, unless one is open.
pub(crate) fn several(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let keys = [client.ledger.key(), client.ledger.key()];
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    let set = format!("SET {}", crate::catalogue::assignment(setting.name, &value));
    let [first, second] = keys.map(|key| row(client, key));
    let fails = client.random.chance(40);
    let last = if fails { "SELECT 1 / (now() IS NULL)::int" } else { "SELECT 1" };
    let sql = format!("{first}; {set}; {second}; {last}");
    if !fails {
        client.writing(&keys);
    }
    let reply = client.simple(&sql)?;
    if fails {
        client.model.error();
        return refused(&sql, &reply, "22012");
    }
    succeeded(&sql, reply)?;
    client.wrote(&keys);
    client.model.set(setting.name, value);
    Ok(())
}

pub(crate) fn copy_in(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let count = 1 + client.random.below(20);
    let keys: Vec<_> = (0..count).map(|_| client.ledger.key()).collect();
    let lines: Vec<_> = keys.iter().map(|key| format!("{}\t{key}\tcopied\n", client.id)).collect();
    let mut data: Vec<_> = lines.iter().map(|line| message::copy_data(line.as_bytes())).collect();
    let code = match client.random.below(6) {
        0 => {
            data.push(message::copy_fail("no more"));
            Some("57014")
        }
        1 => {
            data.extend([message::copy_data(b"no number\t1\tx\n"), message::copy_done()]);
            Some("22P02")
        }
        _ => {
            data.push(message::copy_done());
            client.writing(&keys);
            None
        }
    };
    let sql = "COPY public.writes FROM STDIN";
    let reply = if client.random.chance(50) {
        // Once the server has said that it takes data.
        let reply = client.simple(sql)?;
        equal("the answer to COPY", char::from(reply.status), 'G')?;
        client.exchange(&format!("data {keys:?}, {code:?}"), &data.concat())?
    } else {
        client.line.send(
            &format!("{sql} with its data {keys:?}, {code:?}"),
            &[message::query(sql), data.concat()].concat(),
        )?;
        let reply = client.answer()?;
        if reply.status == b'G' { client.answer()? } else { reply }
    };
    match code {
        Some(code) => {
            client.model.error();
            refused(sql, &reply, code)
        }
        None => {
            let reply = succeeded(sql, reply)?;
            client.wrote(&keys);
            equal("the tag of COPY", reply.tags, vec![format!("COPY {count}")])
        }
    }
}

pub(crate) fn copy_out(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let count = 1 + client.random.below(3000);
    let reply = client
        .run(&format!("COPY (SELECT g, repeat('x', 50) FROM generate_series(1, {count}) g) TO STDOUT"))?;
    equal("lines of COPY", (reply.copied, reply.tags), (count, vec![format!("COPY {count}")]))
}

/// One batch of a pipeline, up to its Sync.
#[derive(Default)]
struct Batch {
    messages: Vec<u8>,
    keys: Vec<u64>,
    set: Vec<(&'static Setting, String)>,
    rows: Vec<String>,
    fails: bool,
}

impl Batch {
    fn statement(&mut self, sql: &str, parameters: &[&str]) {
        let parameters: Vec<_> = parameters.iter().map(|value| Some(*value)).collect();
        self.messages.extend(message::parse("", sql, &[]));
        self.messages.extend(message::bind("", "", &parameters));
        self.messages.extend(message::execute("", 0));
    }

    fn any(client: &mut Client<'_>) -> Self {
        let mut batch = Self::default();
        for _ in 0..1 + client.random.below(3) {
            match client.random.below(8) {
                0..=2 => {
                    let value = client.random.below(1000);
                    batch.statement("SELECT $1::int + 1", &[&value.to_string()]);
                    batch.rows.push((value + 1).to_string());
                }
                3 | 4 => {
                    let key = client.ledger.key();
                    batch.keys.push(key);
                    let (id, key) = (client.id.to_string(), key.to_string());
                    batch.statement("INSERT INTO public.writes VALUES ($1, $2, 'pipeline')", &[&id, &key]);
                }
                5 => {
                    let setting = any(&mut client.random);
                    let value = setting.value(&mut client.random);
                    batch.statement("SELECT set_config($1, $2, false)", &[setting.name, &value]);
                    batch.rows.push(value.clone());
                    batch.set.push((setting, value));
                }
                6 => {
                    let at = client.random.below(SETTINGS.len());
                    let name = SETTINGS[at].name;
                    let before = batch.set.iter().rev().find(|(setting, _)| setting.name == name);
                    let value = before.map(|(_, value)| value.clone());
                    // What earlier batches of the pipeline have set is not known yet.
                    if let Some(value) = value {
                        batch.statement("SELECT current_setting($1)", &[name]);
                        batch.rows.push(value);
                    }
                }
                _ if !client.model.in_transaction() => {
                    batch.statement("SELECT 1 / $1::int", &["0"]);
                    batch.fails = true;
                }
                _ => {}
            }
        }
        batch.messages.extend(message::sync());
        batch
    }
}

/// Batches in flight at once; one that fails takes back what it did, and nothing of the others.
pub(crate) fn pipeline(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let batches: Vec<_> = (0..1 + client.random.below(6)).map(|_| Batch::any(client)).collect();
    let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch.messages.clone()).collect();
    let what: Vec<_> = batches
        .iter()
        .map(|batch| {
            let set: Vec<_> =
                batch.set.iter().map(|(setting, value)| format!("{}={value}", setting.name)).collect();
            format!("[rows {:?} keys {:?} set {set:?} fails {}]", batch.rows, batch.keys, batch.fails)
        })
        .collect();
    for batch in batches.iter().filter(|_| !client.model.in_transaction()) {
        client.ledger.sending(if batch.fails { Vec::new() } else { batch.keys.clone() });
    }
    client.line.send(&format!("a pipeline {}", what.join(" ")), &bytes)?;
    for batch in batches {
        let reply = client.answer()?;
        if batch.fails {
            client.ledger.failed();
            refused("a batch", &reply, "22012")?;
            continue;
        }
        let reply = succeeded("a batch", reply)?;
        client.wrote(&batch.keys);
        let seen: Vec<_> =
            reply.rows.iter().flatten().map(|column| column.clone().unwrap_or_default()).collect();
        equal("rows of a batch", seen, batch.rows)?;
        for (setting, value) in batch.set {
            client.model.set(setting.name, value);
        }
    }
    Ok(())
}

/// BEGIN, work and COMMIT, in one write: as simple queries, as batches, or all before one Sync.
pub(crate) fn whole_transaction(client: &mut Client<'_>) -> Outcome {
    if client.model.in_transaction() {
        return Ok(());
    }
    let keys = [client.ledger.key(), client.ledger.key()];
    let [first, second] = keys.map(|key| row(client, key));
    let commits = client.random.chance(70);
    let last = if commits { "COMMIT" } else { "ROLLBACK" };
    let texts = ["BEGIN", &first, "SELECT 1", &second, last];
    if commits {
        client.ledger.sending(keys.to_vec());
    }
    let (what, bytes, answers) = match client.random.below(4) {
        0 => ("simple queries", texts.map(message::query).concat(), 5),
        1 => ("one simple query", message::query(&texts.join("; ")), 1),
        way => {
            let statement = |sql: &str| {
                let messages =
                    [message::parse("", sql, &[]), message::bind("", "", &[]), message::execute("", 0)];
                let sync = if way == 2 { message::sync() } else { Vec::new() };
                [messages.concat(), sync].concat()
            };
            let last = if way == 2 { Vec::new() } else { message::sync() };
            ("batches", [texts.map(statement).concat(), last].concat(), if way == 2 { 5 } else { 1 })
        }
    };
    client.line.send(&format!("a transaction with rows {keys:?}, {last}, as {what}"), &bytes)?;
    let mut rows = Vec::new();
    for _ in 0..answers {
        let reply = client.answer()?;
        rows.extend(succeeded("part of a transaction", reply)?.rows);
    }
    if commits {
        client.ledger.acknowledged();
    }
    equal("rows of a transaction", rows, vec![vec![Some("1".to_owned())]])
}
