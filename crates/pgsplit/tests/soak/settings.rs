//! Settings, in all the ways to change them.

use crate::catalogue::{any, assignment, literal};
use crate::client::{Client, refused, succeeded};
use crate::line::Outcome;

pub(crate) fn set(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    let sql = match setting.name {
        "TimeZone" if client.random.chance(50) => format!("SET TIME ZONE {}", literal(&value)),
        _ => format!("SET {}", assignment(setting.name, &value)),
    };
    client.run(&sql)?;
    client.model.set(setting.name, value);
    Ok(())
}

/// As a function: with constants or bound parameters, for the session or for the transaction.
pub(crate) fn set_config(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    let local = client.random.chance(30);
    if client.random.chance(50) {
        let sql = format!("SELECT set_config('{}', {}, {local})", setting.name, literal(&value));
        client.run(&sql)?;
    } else {
        let local = if local { "true" } else { "false" };
        let sql = "SELECT set_config($1, $2, $3)";
        let reply = client.bound(sql, &[Some(setting.name), Some(&value), Some(local)])?;
        succeeded(sql, reply)?;
    }
    if local {
        client.model.set_local(setting.name, value)
    } else {
        client.model.set(setting.name, value)
    }
    Ok(())
}

/// Outside of a transaction it is without effect.
pub(crate) fn set_local(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    client.run(&format!("SET LOCAL {}", assignment(setting.name, &value)))?;
    client.model.set_local(setting.name, value);
    Ok(())
}

pub(crate) fn reset(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let name = any(&mut client.random).name;
    match client.random.below(5) {
        0 => {
            client.run("RESET ALL")?;
            client.model.reset_all();
        }
        1 => {
            client.run(&format!("SET {name} TO DEFAULT"))?;
            client.model.reset(name);
        }
        _ => {
            client.run(&format!("RESET {name}"))?;
            client.model.reset(name);
        }
    }
    Ok(())
}

/// By code that the text does not show.
pub(crate) fn hidden(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    let assigned = assignment(setting.name, &value);
    match (setting.name, client.random.below(3)) {
        ("work_mem", 0) => client.run(&format!("SELECT hides_work_mem({})", literal(&value)))?,
        ("app.tenant", 0) => client.run(&format!("SELECT hides_tenant({})", literal(&value)))?,
        (_, 1) => {
            client.run(&format!("DO $$ BEGIN SET LOCAL {assigned}; END $$"))?;
            client.model.set_local(setting.name, value);
            return Ok(());
        }
        _ => client.run(&format!("DO $$ BEGIN SET {assigned}; END $$"))?,
    };
    client.model.set(setting.name, value);
    Ok(())
}

/// In a message, or a value, that fails: nothing of it stays.
pub(crate) fn failed_set(client: &mut Client<'_>) -> Outcome {
    if client.model.failed {
        return Ok(());
    }
    let setting = any(&mut client.random);
    let value = setting.value(&mut client.random);
    let assigned = assignment(setting.name, &value);
    let ways = if client.take_permit() { 3 } else { 2 };
    let (sql, code) = match client.random.below(ways) {
        0 => ("SET work_mem = 'a lot'".to_owned(), "22023"),
        // The third ties the session.
        1 => (format!("SET {assigned}; SELECT 1 / 0"), "22012"),
        _ => (
            format!(
                "SELECT set_config('{}', {}, false), 1 / (now() IS NULL)::int",
                setting.name,
                literal(&value)
            ),
            "22012",
        ),
    };
    let reply = client.simple(&sql)?;
    client.model.error();
    refused(&sql, &reply, code)
}
