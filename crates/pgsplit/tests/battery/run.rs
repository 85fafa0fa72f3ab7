//! Runs a case on a connection, and a case against the direct connection.

use std::io;

use pgsplit_testkit::peer::{Message, RawClient, message};

use crate::case::{Case, Protocol, Step};
use crate::transcript;
use crate::world::{Side, World};

/// Runs a case on both sides. `Some` is a report of what is wrong with it.
pub(crate) fn judge(world: &mut World, case: &Case, protocol: Protocol) -> Option<String> {
    let mut wrong = Vec::new();
    let (direct, _) = lines(world, case, protocol, Side::Direct);
    let (proxied, found) = lines(world, case, protocol, Side::Proxied);
    for ((step, expected), found) in case.0.iter().zip(&found) {
        let expected = protocol.part(expected);
        if expected != found {
            wrong.push(format!("  went to [{found}] instead of [{expected}]: {:.300}", step.text()));
        }
    }
    wrong.extend(transcript::difference(&direct, &proxied));
    wrong.extend(world.new_refusals());
    wrong.extend(world.left_behind());
    wrong.extend(world.difference_of_data());
    (!wrong.is_empty()).then(|| format!("{protocol:?}: {:.300}\n{}", case.name(), wrong.join("\n")))
}

/// The transcript of a case on a connection of its own, and the decisions on each step.
fn lines(world: &mut World, case: &Case, protocol: Protocol, side: Side) -> (Vec<String>, Vec<String>) {
    let mut client = world.client(side);
    let (mut lines, mut decisions) = (Vec::new(), Vec::new());
    for (step, _) in &case.0 {
        let before = world.samples(side);
        lines.push(format!("> {}", step.text()));
        let (answer, end) = exchange(&mut client, step, protocol);
        lines.extend(answer.iter().map(|message| transcript::line(message, world.fresh_from())));
        decisions.push(world.decisions_since(&before, side));
        world.catch_up(side);
        if let Err(error) = end {
            lines.push(format!("! {:?}", error.kind()));
            break;
        }
    }
    let _ = client.send(&message::terminate());
    (lines, decisions)
}

/// Sends a step, and reads as many ReadyForQuery as it is owed.
fn exchange(client: &mut RawClient, step: &Step, protocol: Protocol) -> (Vec<Message>, io::Result<()>) {
    let mut answer = Vec::new();
    let end = converse(client, step, protocol, &mut answer);
    (answer, end)
}

fn converse(
    client: &mut RawClient,
    step: &Step,
    protocol: Protocol,
    answer: &mut Vec<Message>,
) -> io::Result<()> {
    client.send_all(&request(step, protocol))?;
    loop {
        let message = client.read_message()?;
        let tag = message.tag;
        answer.push(message);
        match tag {
            b'G' => client.send_all(&copied(step, protocol))?,
            b'Z' => return Ok(()),
            _ => {}
        }
    }
}

fn request(step: &Step, protocol: Protocol) -> Vec<Vec<u8>> {
    let execute = |statement: &str, parameters: &[Option<&str>]| {
        [message::bind("", statement, parameters), message::describe(b'P', ""), message::execute("", 0)]
    };
    let mut messages = match step {
        Step::Sql(sql) | Step::CopyIn(sql, _) | Step::CopyFail(sql, _) => match protocol {
            Protocol::Simple => return vec![message::query(sql)],
            Protocol::Extended => [vec![message::parse("", sql, &[])], execute("", &[]).into()].concat(),
        },
        Step::Parse(name, sql) => vec![message::parse(name, sql, &[]), message::describe(b'S', name)],
        Step::Run(name, parameters) => execute(name, parameters).into(),
        Step::Close(name) => vec![message::close(b'S', name)],
        Step::Pipeline(texts) => {
            let one = |sql: &&str| [vec![message::parse("", sql, &[])], execute("", &[]).into()].concat();
            texts.iter().flat_map(one).collect()
        }
        Step::Runs(names) => names.iter().flat_map(|name| execute(name, &[])).collect(),
    };
    messages.push(message::sync());
    messages
}

/// What answers CopyInResponse. The Sync behind the Execute was read as part of the copy, so another one is due.
fn copied(step: &Step, protocol: Protocol) -> Vec<Vec<u8>> {
    let (data, end) = match step {
        Step::CopyIn(_, data) => (*data, message::copy_done()),
        Step::CopyFail(_, data) => (*data, message::copy_fail("broken off")),
        _ => ("", message::copy_fail("no data")),
    };
    let mut messages: Vec<_> =
        data.split_inclusive('\n').map(|line| message::copy_data(line.as_bytes())).collect();
    messages.push(end);
    if protocol == Protocol::Extended {
        messages.push(message::sync());
    }
    messages
}
