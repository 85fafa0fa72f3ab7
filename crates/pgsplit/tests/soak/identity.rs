//! Who a session is, and DISCARD ALL.

use crate::catalogue::{IDENTITY, ROLE};
use crate::client::Client;
use crate::line::Outcome;

pub(crate) fn role(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    match client.random.below(4) {
        0 => {
            client.run("RESET ROLE")?;
            client.model.reset(ROLE);
        }
        1 => {
            let role = client.random.pick(&["r1", "r2"]);
            client.run(&format!("SET LOCAL ROLE {role}"))?;
            client.model.set_local(ROLE, role.into());
        }
        _ => {
            let role = client.random.pick(&["r1", "r2"]);
            client.run(&format!("SET ROLE {role}"))?;
            client.model.set(ROLE, role.into());
        }
    }
    Ok(())
}

/// Only superusers may, and only where no role is to be lost: what a rollback restores of one is the server's secret.
pub(crate) fn authorization(client: &mut Client<'_>) -> Outcome {
    let model = &client.model;
    if model.in_transaction() || model.login() != "postgres" || model.current_user() != model.session_user() {
        return Ok(());
    }
    if client.random.chance(50) {
        client.run("SET SESSION AUTHORIZATION app")?;
        client.model.set(IDENTITY, "app".into());
    } else {
        client.run("RESET SESSION AUTHORIZATION")?;
        client.model.reset(IDENTITY);
    }
    Ok(())
}

pub(crate) fn discard_all(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    if client.model.in_transaction() {
        return client.fails("DISCARD ALL", "25001");
    }
    let locks: Vec<_> = client.model.locks.iter().copied().collect();
    locks.into_iter().for_each(|lock| client.let_go(lock));
    client.run("DISCARD ALL")?;
    client.model.discard_all();
    client.line.heard.clear();
    if !client.model.for_good {
        client.return_permit();
    }
    Ok(())
}
