//! What lives on a connection: temporary tables, advisory locks, LISTEN, cursors WITH HOLD, sequences.

use std::sync::atomic::Ordering;

use crate::client::{Client, equal};
use crate::line::{Outcome, Trouble};
use crate::model::Table;
use crate::shared::CONTESTED;

pub(crate) fn table(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let Some(table) = client.model.now.table.clone() else {
        if !client.take_permit() {
            return Ok(());
        }
        let sql = "CREATE TEMP TABLE tt (v int); GRANT ALL ON tt TO PUBLIC";
        let reply = client.simple(sql)?;
        crate::client::succeeded(sql, reply)?;
        client.model.now.table = Some(Table { owner: client.model.current_user(), rows: 0 });
        return Ok(());
    };
    let owned = table.owner == client.model.current_user();
    if owned && client.random.chance(20) {
        client.run("DROP TABLE pg_temp.tt")?;
        client.model.now.table = None;
    } else {
        client.run(&format!("INSERT INTO pg_temp.tt VALUES ({})", client.id))?;
        client.model.now.table = Some(Table { rows: table.rows + 1, ..table });
    }
    Ok(())
}

/// One's own lock, which is always free, or one that all compete for, which only one may have.
pub(crate) fn lock(client: &mut Client<'_>) -> Outcome {
    if client.model.failed || !client.take_permit() {
        return Ok(());
    }
    let own = client.own_lock;
    let key = if client.random.chance(50) { own } else { client.random.below(CONTESTED) };
    if client.model.locks.contains(&key) {
        client.let_go(key);
        let reply = client.run(&format!("SELECT pg_advisory_unlock(42, {key})"))?;
        client.model.locks.remove(&key);
        return equal("an unlock", reply.value()?, "t");
    }
    let reply = client.run(&format!("SELECT pg_try_advisory_lock(42, {key})"))?;
    match reply.value()? {
        "t" => {
            let taken =
                client.shared.contested.get(key).map(|holder| holder.swap(client.id + 1, Ordering::SeqCst));
            client.model.locks.insert(key);
            // A server that went away has let go of it before its holder knows.
            let other = taken.filter(|_| !client.is_stormy());
            equal("the other holder of a lock", other.unwrap_or(0), 0)
        }
        "f" if key < CONTESTED => Ok(()),
        other => Err(Trouble::Wrong(format!("one's own lock: {other}"))),
    }
}

/// A channel of one's own, or one that many listen to.
pub(crate) fn listen(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let own = format!("channel{}", client.id);
    if client.random.chance(20) {
        let other = client.random.below(client.shared.clients);
        client.run(&format!("NOTIFY channel{other}, 'from {}'", client.id))?;
        client.run("NOTIFY news, 'to all'")?;
        return Ok(());
    }
    if client.model.listening().contains(&own) && !client.model.in_transaction() && client.random.chance(60) {
        let payload = format!("note {}", client.random.below(1000));
        client.run(&format!("SELECT pg_notify('{own}', '{payload}')"))?;
        // What one has sent oneself is there before ReadyForQuery.
        let heard = client.line.heard.iter().any(|(channel, text)| *channel == own && *text == payload);
        return equal("one's own notification is heard", heard, true);
    }
    let channel = if client.random.chance(50) { own } else { "news".into() };
    if client.model.now.channels.contains(&channel) {
        client.run(&format!("UNLISTEN {channel}"))?;
        client.model.now.channels.remove(&channel);
        client.line.heard.retain(|(heard, _)| *heard != channel);
    } else if client.take_permit() {
        client.run(&format!("LISTEN {channel}"))?;
        client.model.now.channels.insert(channel);
    }
    Ok(())
}

pub(crate) fn held_cursor(client: &mut Client<'_>) -> Outcome {
    // Inside of a transaction it would depend on its end.
    if client.model.in_transaction() {
        return Ok(());
    }
    let Some(next) = client.model.held_cursor else {
        if !client.take_permit() {
            return Ok(());
        }
        let from = 1000 * client.id;
        client.run(&format!(
            "DECLARE held CURSOR WITH HOLD FOR SELECT generate_series({from}, {from} + 999)"
        ))?;
        client.model.held_cursor = Some(from);
        return Ok(());
    };
    if client.random.chance(20) || next % 1000 > 990 {
        client.run("CLOSE held")?;
        client.model.held_cursor = None;
    } else {
        let reply = client.run("FETCH NEXT FROM held")?;
        equal("the row of a held cursor", reply.value()?, &*next.to_string())?;
        client.model.held_cursor = Some(next + 1);
    }
    Ok(())
}

/// A value of a sequence that all draw from, and what one's own session has drawn last.
pub(crate) fn sequence(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    match client.model.sequence.clone() {
        Some(drawn) if client.random.chance(60) => {
            let reply = client.run("SELECT lastval(), currval('public.turns')")?;
            equal("lastval and currval", reply.row()?, vec![drawn.as_str(), drawn.as_str()])
        }
        None if client.random.chance(30) => client.fails("SELECT lastval()", "55000"),
        _ if client.take_permit() => {
            let reply = client.run("SELECT nextval('public.turns')")?;
            client.model.sequence = Some(reply.value()?.to_owned());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Ends everything that ties the session, one by one.
pub(crate) fn let_all_go(client: &mut Client<'_>) -> Outcome {
    if client.model.in_transaction() || !client.model.is_tied() {
        return Ok(());
    }
    let locks: Vec<_> = client.model.locks.iter().copied().collect();
    locks.into_iter().for_each(|lock| client.let_go(lock));
    client.run("SELECT pg_advisory_unlock_all()")?;
    client.model.locks.clear();
    client.run("UNLISTEN *")?;
    client.model.now.channels.clear();
    client.line.heard.clear();
    client.run("CLOSE ALL")?;
    client.model.held_cursor = None;
    client.run("DISCARD SEQUENCES")?;
    client.model.sequence = None;
    client.run("DISCARD TEMP")?;
    client.model.now.table = None;
    Ok(())
}
