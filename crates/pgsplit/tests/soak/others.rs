//! Two-phase commit and large objects.

use crate::client::{Client, equal};
use crate::line::Outcome;

/// A transaction that is prepared, and then committed or not.
pub(crate) fn two_phases(client: &mut Client<'_>) -> Outcome {
    // Whoever has prepared it must end it.
    if client.model.in_transaction() || client.model.current_user() != client.model.login() {
        return Ok(());
    }
    let key = client.ledger.key();
    let name = format!("soak {} {key}", client.id);
    client.run("BEGIN")?;
    client.model.begin();
    let insert = crate::writes::row(client, key);
    client.run(&insert)?;
    client.ledger.prepared = Some(name.clone());
    client.run(&format!("PREPARE TRANSACTION '{name}'"))?;
    client.model.roll_back();
    if client.random.chance(70) {
        client.ledger.sending(vec![key]);
        client.run(&format!("COMMIT PREPARED '{name}'"))?;
        client.ledger.acknowledged();
    } else {
        client.run(&format!("ROLLBACK PREPARED '{name}'"))?;
    }
    client.ledger.prepared = None;
    Ok(())
}

/// A prepared transaction of a former session that nobody has ended.
pub(crate) fn end_prepared(client: &mut Client<'_>) -> Outcome {
    let Some(name) = client.ledger.prepared.clone() else { return Ok(()) };
    let reply = client.run(&format!("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{name}'"))?;
    if reply.value()? == "1" {
        client.run(&format!("ROLLBACK PREPARED '{name}'"))?;
    }
    client.ledger.prepared = None;
    Ok(())
}

/// A large object of a transaction, read through a descriptor.
pub(crate) fn large_object(client: &mut Client<'_>) -> Outcome {
    if client.model.in_transaction() {
        return Ok(());
    }
    client.run("BEGIN")?;
    client.model.begin();
    let text = format!("of {}", client.id);
    let made = client.run(&format!("SELECT lo_from_bytea(0, '{text}')"))?.value()?.to_owned();
    let descriptor = client.run(&format!("SELECT lo_open({made}, 262144)"))?.value()?.to_owned();
    let read = client.run(&format!("SELECT convert_from(loread({descriptor}, 100), 'UTF8')"))?;
    equal("a large object", read.value()?, &*text)?;
    client.run("ROLLBACK")?;
    client.model.roll_back();
    Ok(())
}
