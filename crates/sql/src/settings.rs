//! Calls of `set_config` whose arguments are known: `SELECT set_config('a', 'b', false), set_config($1, $2, true)`.
//!
//! Only where PostgreSQL is certain to run each call once: as items of a SELECT list with nothing else in the statement.

use crate::command::{Cursor, Name};
use crate::facts::{Argument, SettingCall};
use crate::scan::{Kind, Token};

/// The calls of a statement, or `None` when it has any other form.
pub(crate) fn calls(text: &[u8], tokens: &[Token]) -> Option<Vec<SettingCall>> {
    let mut cursor = Cursor::new(text, tokens);
    cursor.eat("select").then_some(())?;
    let mut found = Vec::new();
    loop {
        found.push(call(&mut cursor)?);
        label(&mut cursor)?;
        if !cursor.eat_mark(",") {
            return cursor.done().then_some(found);
        }
    }
}

fn call(cursor: &mut Cursor<'_>) -> Option<SettingCall> {
    if cursor.eat("pg_catalog") {
        cursor.eat_mark(".").then_some(())?;
    }
    (cursor.eat("set_config") && cursor.eat_mark("(")).then_some(())?;
    let mut name = argument(cursor)?;
    cursor.eat_mark(",").then_some(())?;
    let value = argument(cursor)?;
    cursor.eat_mark(",").then_some(())?;
    let local = argument(cursor)?;
    cursor.eat_mark(")").then_some(())?;
    if let Argument::Const(name) = &mut name {
        name.make_ascii_lowercase();
    }
    Some(SettingCall { name, value, local })
}

fn argument(cursor: &mut Cursor<'_>) -> Option<Argument> {
    let argument = match cursor.peek(0)? {
        (Kind::String, _) => return Some(Argument::Const(cursor.string()?.into())).filter(|_| cast(cursor)),
        (Kind::Param, param) => Argument::Param(std::str::from_utf8(param.get(1..)?).ok()?.parse().ok()?),
        (Kind::Word, _) if cursor.is(0, "null") => Argument::Null,
        (Kind::Word, _) if cursor.is(0, "true") => Argument::Const("true".into()),
        (Kind::Word, _) if cursor.is(0, "false") => Argument::Const("false".into()),
        _ => return None,
    };
    cursor.skip();
    cast(cursor).then_some(argument)
}

/// Passes over casts that change nothing.
fn cast(cursor: &mut Cursor<'_>) -> bool {
    while cursor.eat_mark("::") {
        if !cursor.eat_any(&["text", "bool", "boolean"]) {
            return false;
        }
    }
    true
}

/// Passes over a column label.
fn label(cursor: &mut Cursor<'_>) -> Option<Option<Name>> {
    if cursor.eat("as") {
        return cursor.name().map(Some);
    }
    // A word that could begin a clause is not taken for a label; only a name in quotes is.
    Some(if matches!(cursor.peek(0), Some((Kind::Quoted, _))) { cursor.name() } else { None })
}
