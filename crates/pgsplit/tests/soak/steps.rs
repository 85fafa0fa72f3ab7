//! What clients do, by chance: each step changes the session and the model alike.

use pgsplit_testkit::peer::message;

use crate::client::{Client, Next};
use crate::line::Outcome;
use crate::{identity, objects, others, prepared, rare, settings, transactions, writes};

type Step = fn(&mut Client<'_>) -> Outcome;

/// Steps with the weight of each; all look for themselves whether they may be taken, and do nothing otherwise.
const STEPS: &[(usize, Step)] = &[
    (8, settings::set),
    (4, settings::set_config),
    (3, settings::set_local),
    (3, settings::reset),
    (2, settings::hidden),
    (2, settings::failed_set),
    (3, identity::role),
    (1, identity::authorization),
    (1, identity::discard_all),
    (9, transactions::begin),
    (5, transactions::savepoint),
    (5, transactions::end),
    (2, transactions::fail),
    (3, transactions::cursor),
    (2, transactions::cancel),
    (8, writes::insert),
    (4, writes::copy_in),
    (2, writes::copy_out),
    (4, writes::several),
    (5, writes::pipeline),
    (2, writes::whole_transaction),
    (6, prepared::parse),
    (8, prepared::execute),
    (2, prepared::close),
    (3, prepared::by_sql),
    (4, objects::table),
    (3, objects::lock),
    (3, objects::listen),
    (3, objects::held_cursor),
    (2, objects::sequence),
    (2, objects::let_all_go),
    (1, others::two_phases),
    (1, others::large_object),
    (1, rare::ddl),
    (2, rare::long_batch),
    (2, rare::copy_in_batch),
    (2, rare::cancelled_copy),
    (1, rare::seed),
    (1, rare::load),
];

/// Takes one step.
pub(crate) fn any(client: &mut Client<'_>) -> Outcome<Next> {
    if client.random.below(150) == 0 {
        return Ok(vanish(client));
    }
    let total: usize = STEPS.iter().map(|(weight, _)| weight).sum();
    let mut at = client.random.below(total);
    for (weight, step) in STEPS {
        if at < *weight {
            step(client)?;
            break;
        }
        at -= weight;
    }
    Ok(Next::Step)
}

/// Leaves in the middle of something. What was sent whole may be carried out; what was not, must not.
pub(crate) fn vanish(client: &mut Client<'_>) -> Next {
    client.shared.count("disconnects");
    std::mem::take(&mut client.model.locks).into_iter().for_each(|lock| client.let_go(lock));
    if client.model.failed || client.random.chance(30) {
        // Without a word, or politely.
        if client.random.chance(50) && client.line.send("Terminate", &message::terminate()).is_ok() {
            client.line.read_to_end();
        }
        return Next::Gone;
    }
    // A connection that breaks meanwhile has gone as well.
    let _ = send_and_leave(client);
    Next::Gone
}

fn send_and_leave(client: &mut Client<'_>) -> Outcome {
    let key = client.ledger.key();
    let insert = writes::row(client, key);
    let idle = !client.model.in_transaction();
    match client.random.below(9) {
        0 if idle => {
            client.ledger.sending(vec![key]);
            client.line.send(&insert, &message::query(&insert))
        }
        1 if idle => {
            let keys = [key, client.ledger.key(), client.ledger.key()];
            let segments = keys.map(|key| {
                client.ledger.sending(vec![key]);
                writes::bound_insert(client, key)
            });
            client.line.send("a pipeline of 3 inserts", &segments.map(|one| one.concat()).concat())
        }
        2 if idle => {
            client.ledger.sending(vec![key]);
            let texts = ["BEGIN", &insert, "COMMIT"].map(message::query);
            client.line.send("a transaction, Terminate", &[texts.concat(), message::terminate()].concat())
        }
        3 => {
            let whole = message::query(&insert);
            let cut = 1 + client.random.below(whole.len() - 1);
            client.line.send("half an insert", &whole[..cut])
        }
        4 => {
            let rows = message::copy_data(format!("{}\t{key}\tnever\n", client.id).as_bytes());
            let messages = [message::query("COPY writes FROM STDIN"), rows];
            client.line.send("COPY without an end", &messages.concat())
        }
        5 if idle => {
            let texts = ["BEGIN", &insert, "CREATE TEMP TABLE tt (v int)"].map(message::query);
            client.line.send("a transaction without an end", &texts.concat())
        }
        6 => client
            .line
            .send("pg_sleep(20)", &message::query("SELECT pg_sleep(20), txid_current_if_assigned()")),
        7 => {
            let sql = "SELECT repeat('x', 1000) FROM generate_series(1, 5000)";
            client.line.send(sql, &message::query(sql))?;
            let count = 1 + client.random.below(100);
            client.line.read_some(count)
        }
        _ if client.take_permit() => {
            let texts = ["SELECT set_config('app.tenant', 'gone', false)", "SELECT pg_advisory_lock(44, 1)"];
            let all = [texts.map(message::query).concat(), message::query("LISTEN gone")].concat();
            client.line.send("state, and gone", &all)
        }
        _ => Ok(()),
    }
}
