//! What a client sees of its session, against what it knows.

use pgsplit_testkit::peer::message;

use crate::catalogue::SETTINGS;
use crate::client::{Client, equal, succeeded};
use crate::line::{Outcome, Reply, Trouble};
use crate::model::{Model, Prepared};
use crate::others;

/// Everything that any node can answer.
pub(crate) fn question() -> String {
    let settings =
        SETTINGS.iter().map(|known| format!("coalesce(current_setting('{}', true), '')", known.name));
    let fixed = [
        "current_user::text",
        "session_user::text",
        // What TimeZone makes of a moment, which schema is found, and which rows a policy shows.
        "extract(hour from timestamptz '2024-01-01 12:00+00')::int",
        "(SELECT v FROM whoami)",
        "(SELECT string_agg(owner, ',' ORDER BY owner) FROM mine)",
    ];
    let all: Vec<_> = fixed.iter().map(|one| (*one).to_owned()).chain(settings).collect();
    format!("SELECT {}", all.join(", "))
}

/// What the answer must be.
pub(crate) fn known(model: &Model) -> Vec<String> {
    let user = model.current_user();
    let behind_utc =
        model.value("TimeZone").strip_prefix("Etc/GMT+").and_then(|hours| hours.parse::<usize>().ok());
    let mine = if user == "postgres" { "app,postgres,r1,r2".into() } else { user.clone() };
    let hour = (12 - behind_utc.unwrap_or(0)).to_string();
    let fixed = [user, model.session_user(), hour, model.schema(), mine];
    fixed.into_iter().chain(SETTINGS.iter().map(|known| model.value(known.name))).collect()
}

/// Behind every step: status, settings, identity, what the client was told; at times what lives on a connection.
pub(crate) fn check(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return client.fails("SELECT 1", "25P02");
    }
    let reply = ask(client)?;
    let reply = succeeded("a look", reply)?;
    equal("status", char::from(reply.status), char::from(client.model.status()))?;
    let (seen, known) = (reply.row()?, known(&client.model));
    for (at, known) in known.iter().enumerate() {
        equal(&format!("column {at} of a look"), seen[at], known)?;
    }
    told(client)?;
    let often = if client.model.is_tied() { 40 } else { 5 };
    if client.random.chance(often) { objects(client) } else { Ok(()) }
}

fn ask(client: &mut Client<'_>) -> Outcome<Reply> {
    let question = question();
    match client.random.below(4) {
        0 => client.simple(&question),
        1 => client.bound(&question, &[]),
        2 => client.simple(&format!("{question}, txid_current_if_assigned()")),
        _ => {
            let mut messages = vec![message::bind("", "look", &[]), message::execute("", 0), message::sync()];
            if !client.model.prepared.contains_key("look") {
                messages.insert(0, message::parse("look", &question, &[]));
            }
            let reply = client.exchange("the prepared look", &messages.concat())?;
            client.model.prepared.insert("look".into(), Prepared::Looks);
            Ok(reply)
        }
    }
}

/// What ParameterStatus has said is in force.
fn told(client: &mut Client<'_>) -> Outcome {
    for name in ["application_name", "TimeZone", "IntervalStyle", "DateStyle"] {
        let told = client.line.told.get(name).cloned().unwrap_or_default();
        equal(&format!("{name} by ParameterStatus"), told, client.model.value(name))?;
    }
    let told = client.line.told.get("session_authorization").cloned().unwrap_or_default();
    equal("session_authorization by ParameterStatus", told, client.model.session_user())?;
    // Nobody hears what was said on a channel that is not listened to.
    for (channel, payload) in std::mem::take(&mut client.line.heard) {
        let own = client.model.listening().contains(&channel) || client.model.now.channels.contains(&channel);
        equal(&format!("a notification {channel} {payload:?} for a channel that is listened to"), own, true)?;
    }
    Ok(())
}

pub(crate) const OBJECTS: &str = "SELECT \
    (SELECT coalesce(string_agg(objid::text, ',' ORDER BY objid), '') FROM pg_locks \
     WHERE locktype = 'advisory' AND classid = 42 AND pid = pg_backend_pid()), \
    (SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_prepared_statements WHERE from_sql), \
    (SELECT count(*) FROM pg_cursors WHERE is_holdable), \
    (SELECT coalesce(string_agg(c, ',' ORDER BY c), '') FROM pg_listening_channels() c), \
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'), \
    txid_current_if_assigned() IS NULL";

/// What lives on a connection of the primary.
fn objects(client: &mut Client<'_>) -> Outcome {
    let reply = client.run(OBJECTS)?;
    let model = &client.model;
    let join = |all: Vec<String>| all.join(",");
    let known = [
        join(model.locks.iter().map(usize::to_string).collect()),
        join(model.by_sql.keys().cloned().collect()),
        u8::from(model.held_cursor.is_some()).to_string(),
        join(model.listening().iter().cloned().collect()),
        u8::from(model.now.table.is_some()).to_string(),
    ];
    let what = ["locks", "SQL-level statements", "cursors WITH HOLD", "channels", "temporary tables"];
    for ((what, seen), known) in what.into_iter().zip(reply.row()?).zip(known) {
        equal(what, seen, &known)?;
    }
    if let Some(rows) = client.model.now.table.as_ref().map(|table| table.rows) {
        let reply =
            client.run("SELECT count(*), coalesce(min(v), 0), coalesce(max(v), 0) FROM pg_temp.tt")?;
        let own = if rows == 0 { 0 } else { client.id };
        equal("rows of a temporary table", reply.row()?.join(" "), format!("{rows} {own} {own}"))?;
    }
    Ok(())
}

/// At the beginning of a session: what became of writes whose answers never came.
pub(crate) fn settle_doubts(client: &mut Client<'_>) -> Outcome {
    others::end_prepared(client)?;
    while let Some(keys) = client.ledger.doubtful.last() {
        let list: Vec<_> = keys.iter().map(u64::to_string).collect();
        let sql = format!(
            "SELECT count(*), txid_current_if_assigned() FROM writes WHERE client = {} AND step IN ({})",
            client.id,
            list.join(", ")
        );
        let reply = client.run(&sql)?;
        let seen = reply.row()?[0];
        if seen == list.len().to_string() {
            client.shared.count("doubtful writes that are there");
            client.ledger.settle(true);
        } else if seen == "0" {
            client.shared.count("doubtful writes that are not");
            client.ledger.settle(false);
        } else {
            return Err(Trouble::Wrong(format!("of the rows {list:?}, sent as one, {seen} are there")));
        }
    }
    Ok(())
}
