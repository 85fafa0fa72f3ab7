//! What few clients do, and what other poolers trip over: DDL, long pipelines, COPY by the extended protocol, a COPY that
//! is cancelled, the random sequence's seed, LOAD.

use std::time::Duration;

use pgsplit_testkit::peer::message;

use crate::client::{Client, equal, refused, succeeded};
use crate::line::{Outcome, Trouble};
use crate::shared::pause;

/// A table that is made, filled, read back, changed and dropped: each statement meets the catalog as the last one left it.
pub(crate) fn ddl(client: &mut Client<'_>) -> Outcome {
    // A catalog that always changes is no catalog, and the read waits for it each time.
    if client.model.in_transaction() || !client.random.chance(10) {
        return Ok(());
    }
    let table = format!("public.made_{}_{}", client.id, client.random.below(1 << 30));
    client.run(&format!("CREATE TABLE {table} (v int)"))?;
    client.run(&format!("INSERT INTO {table} SELECT generate_series(1, 7)"))?;
    let read = client.run(&format!("SELECT count(*) FROM {table}"))?;
    equal("rows of one's own table", read.value()?, "7")?;
    client.run(&format!("ALTER TABLE {table} ADD w text DEFAULT 'new'"))?;
    let read = client.run(&format!("SELECT v, w FROM {table} WHERE v = 3"))?;
    equal("a row of the changed table", read.row()?, vec!["3", "new"])?;
    client.run(&format!("DROP TABLE {table}"))?;
    client.shared.count("tables made");
    client.fails(&format!("SELECT * FROM {table}"), "42P01")
}

/// A batch far longer than any buffer, of rows that are read and perhaps one that fails.
pub(crate) fn long_batch(client: &mut Client<'_>) -> Outcome {
    if client.model.failed || !client.random.chance(30) {
        return Ok(());
    }
    let count = 10 + client.random.below(20);
    let fails = client.random.chance(40).then(|| client.random.below(count));
    let key = client.ledger.key();
    let text = "x".repeat(30_000);
    let mut bytes = Vec::new();
    let mut statement = |sql: &str, parameters: &[Option<&str>]| {
        bytes.extend(message::parse("", sql, &[]));
        bytes.extend(message::bind("", "", parameters));
        bytes.extend(message::execute("", 0));
    };
    let (id, key_text) = (client.id.to_string(), key.to_string());
    statement("INSERT INTO public.writes SELECT $1::int, $2::bigint, 'long'", &[Some(&id), Some(&key_text)]);
    for at in 0..count {
        let divisor = if fails == Some(at) { "0" } else { "1" };
        statement("SELECT length($1::text) / $2::int", &[Some(&text), Some(divisor)]);
    }
    bytes.extend(message::sync());
    if fails.is_none() {
        client.writing(&[key]);
    }
    let reply = client.exchange(&format!("a batch of {count} long rows, fails {fails:?}"), &bytes)?;
    client.shared.count("long batches");
    if fails.is_some() {
        client.model.error();
        return refused("a long batch", &reply, "22012");
    }
    let reply = succeeded("a long batch", reply)?;
    client.wrote(&[key]);
    let rows = vec![vec![Some("30000".to_owned())]; count];
    equal("rows of a long batch", reply.rows, rows)
}

/// COPY … FROM STDIN between two reads of a pipeline: the data stands behind its Execute, and one Sync behind all.
pub(crate) fn copy_in_batch(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let keys = [client.ledger.key(), client.ledger.key()];
    let good = client.random.chance(70);
    let run = |sql: &str| {
        [message::parse("", sql, &[]), message::bind("", "", &[]), message::execute("", 0)].concat()
    };
    let line = |key: u64| message::copy_data(format!("{}\t{key}\tbatch\n", client.id).as_bytes());
    let end = if good { message::copy_done() } else { message::copy_fail("no more") };
    let data = [line(keys[0]), line(keys[1]), end].concat();
    if good {
        client.writing(&keys);
    }
    let sql = "COPY public.writes FROM STDIN";
    client.line.send(
        &format!("{sql} in a batch with {keys:?}, good {good}"),
        &[run("SELECT 1"), run(sql)].concat(),
    )?;
    client.line.send("its data", &[data, message::sync()].concat())?;
    let mut reply = client.answer()?;
    let first = reply.rows.len();
    if reply.status == b'G' {
        reply = client.answer()?;
    }
    if !good {
        client.model.error();
        return refused(sql, &reply, "57014");
    }
    let reply = succeeded(sql, reply)?;
    client.wrote(&keys);
    equal("rows before a COPY", first, 1)?;
    equal("the tag of a COPY", reply.tags, vec!["COPY 2".to_owned()])
}

/// A COPY that is cancelled at any of its stages, in either direction.
pub(crate) fn cancelled_copy(client: &mut Client<'_>) -> Outcome {
    if client.model.failed || !client.random.chance(50) {
        return Ok(());
    }
    let pause_some = |client: &mut Client<'_>| pause(Duration::from_millis(client.random.below(20) as u64));
    if client.random.chance(50) {
        let sql = "COPY (SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g) TO STDOUT";
        client.line.send(sql, &message::query(sql))?;
        pause_some(client);
        client.line.cancel()?;
        let reply = client.answer()?;
        return match reply.code() {
            None => equal("lines of COPY", reply.copied, 20_000),
            Some("57014") => {
                client.shared.count("copies cancelled");
                client.model.error();
                Ok(())
            }
            _ => Err(Trouble::Wrong(format!("a cancelled COPY: {reply:?}"))),
        };
    }
    let sql = "COPY public.writes FROM STDIN";
    let reply = client.simple(sql)?;
    equal("the answer to COPY", char::from(reply.status), 'G')?;
    client.line.send("a row", &message::copy_data(format!("{}\t1\tnever\n", client.id).as_bytes()))?;
    pause_some(client);
    client.line.cancel()?;
    // A server that waits for copy data takes a cancel with the next message.
    client.line.send("CopyFail", &message::copy_fail("no more"))?;
    let reply = client.answer()?;
    client.model.error();
    client.shared.count("copies cancelled");
    refused(sql, &reply, "57014")
}

/// The same seed gives the same numbers, whatever others draw meanwhile.
pub(crate) fn seed(client: &mut Client<'_>) -> Outcome {
    if client.model.failed || !client.random.chance(20) || !client.take_permit() {
        return Ok(());
    }
    let seed = format!("SELECT setseed(0.{:03})", client.random.below(1000));
    client.model.for_good = true;
    let mut drawn = Vec::new();
    for _ in 0..2 {
        client.run(&seed)?;
        drawn.push(client.run("SELECT random()")?.value()?.to_owned());
    }
    client.shared.count("seeds");
    equal("the number behind a seed", &drawn[0], &drawn[1])
}

/// A library that is loaded stays: its setting is known to this session from then on.
pub(crate) fn load(client: &mut Client<'_>) -> Outcome {
    if client.model.failed
        || client.model.current_user() != "postgres"
        || !client.random.chance(20)
        || !client.take_permit()
    {
        return Ok(());
    }
    client.run("LOAD 'auto_explain'")?;
    client.model.for_good = true;
    let reply = client.run("SELECT current_setting('auto_explain.log_min_duration')")?;
    equal("a loaded library's setting", reply.value()?, "-1")
}
