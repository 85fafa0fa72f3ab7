//! SET, RESET and SHOW in all their forms, with values flattened as PostgreSQL's `flatten_set_variable_args` does.

use super::cursor::Cursor;
use super::parse::modes;
use super::{Command, Name, SetValue};
use crate::scan::Kind;

/// Settings whose list items PostgreSQL quotes as identifiers (`GUC_LIST_QUOTE`).
const QUOTED_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Keywords that are quoted when they are names: all but the unreserved ones.
static KEYWORDS: &str = include_str!("keywords.txt");

/// What follows SET.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Option<Command> {
    if cursor.eat("constraints") {
        return (!cursor.done()).then_some(Command::SetConstraints);
    }
    let local = scope(cursor);
    if cursor.eat("transaction") {
        if cursor.eat("snapshot") {
            cursor.string()?;
            return cursor.done().then_some(Command::SetTransactionSnapshot);
        }
        return (!cursor.done()).then(|| modes(cursor)).flatten().map(Command::SetTransaction);
    }
    if cursor.eat_all(&["session", "characteristics", "as", "transaction"]) {
        return (!cursor.done()).then(|| modes(cursor)).flatten().map(Command::SetSessionCharacteristics);
    }
    let (name, value) = match special(cursor) {
        Some(found) => found?,
        None => generic(cursor)?,
    };
    cursor.done().then_some(Command::Set { local, name, value })
}

/// SESSION or LOCAL, where they are not the beginning of something else.
fn scope(cursor: &mut Cursor<'_>) -> bool {
    let assigned = matches!(cursor.peek(1), Some((_, b"=" | b"."))) || cursor.is(1, "to");
    if assigned {
        return false;
    }
    let starts_name = cursor.is(1, "authorization") || cursor.is(1, "characteristics");
    if cursor.is(0, "session") && !starts_name {
        cursor.skip();
        return false;
    }
    cursor.eat("local")
}

/// The forms with words of their own. The outer `None`: it is none of them.
fn special(cursor: &mut Cursor<'_>) -> Option<Option<(Name, SetValue)>> {
    let assigned =
        matches!(cursor.peek(1), Some((_, b"=" | b"."))) || cursor.is(1, "to") || cursor.is(1, "from");
    if assigned {
        return None;
    }
    Some(if cursor.eat_all(&["time", "zone"]) {
        time_zone(cursor).map(|value| ("timezone".into(), value))
    } else if cursor.eat("names") {
        names(cursor).map(|value| ("client_encoding".into(), value))
    } else if cursor.eat("schema") {
        cursor.string().map(|schema| ("search_path".into(), SetValue::Value(quote_identifier(&schema))))
    } else if cursor.eat("role") {
        word_or_string(cursor).map(|role| ("role".into(), SetValue::Value(role)))
    } else if cursor.eat_all(&["session", "authorization"]) {
        let value = if cursor.eat("default") {
            Some(SetValue::Default)
        } else {
            word_or_string(cursor).map(SetValue::Value)
        };
        value.map(|value| ("session_authorization".into(), value))
    } else if cursor.eat_all(&["xml", "option"]) {
        let value = cursor.is(0, "document") || cursor.is(0, "content");
        value.then(|| word_or_string(cursor)).flatten().map(|v| ("xmloption".into(), SetValue::Value(v)))
    } else {
        return None;
    })
}

fn names(cursor: &mut Cursor<'_>) -> Option<SetValue> {
    if cursor.done() || cursor.eat("default") {
        return Some(SetValue::Default);
    }
    cursor.string().map(SetValue::Value)
}

fn time_zone(cursor: &mut Cursor<'_>) -> Option<SetValue> {
    if cursor.eat_any(&["default", "local"]) {
        return Some(SetValue::Default);
    }
    if cursor.eat("interval") {
        while !cursor.done() {
            cursor.skip();
        }
        return Some(SetValue::Opaque);
    }
    item(cursor).map(|item| SetValue::Value(item.text))
}

/// `name {TO | =} value, …`, `name FROM CURRENT`.
fn generic(cursor: &mut Cursor<'_>) -> Option<(Name, SetValue)> {
    let name = setting_name(cursor)?;
    if cursor.eat_all(&["from", "current"]) {
        return Some((name, SetValue::FromCurrent));
    }
    (cursor.eat("to") || cursor.eat_mark("=")).then_some(())?;
    if cursor.eat("default") {
        return Some((name, SetValue::Default));
    }
    let quotes = QUOTED_LISTS.contains(&&*name);
    let mut flat = String::new();
    let mut opaque = false;
    loop {
        match item(cursor) {
            Some(item) if item.quotable && quotes => flat.push_str(&quote_identifier(&item.text)),
            Some(item) => flat.push_str(&item.text),
            // A string of a form whose value is not worked out; the server knows it.
            None if matches!(cursor.peek(0), Some((Kind::String | Kind::UnicodeQuoted, _))) => {
                cursor.skip();
                opaque = true;
            }
            None => return None,
        }
        if !cursor.eat_mark(",") {
            break;
        }
        flat.push_str(", ");
    }
    Some((name, if opaque { SetValue::Opaque } else { SetValue::Value(flat) }))
}

/// One item of a value.
struct Item {
    text: String,
    /// A word or string, which a list of names quotes; not a number.
    quotable: bool,
}

fn item(cursor: &mut Cursor<'_>) -> Option<Item> {
    let mut ahead = *cursor;
    let negative = ahead.eat_mark("-");
    let signed = negative || ahead.eat_mark("+");
    if let Some((Kind::Number, digits)) = ahead.peek(0) {
        ahead.skip();
        *cursor = ahead;
        let text = number(std::str::from_utf8(digits).ok()?)?;
        return Some(Item { text: if negative { format!("-{text}") } else { text }, quotable: false });
    }
    if signed {
        return None;
    }
    word_or_string(cursor).map(|text| Item { text, quotable: true })
}

/// A number as PostgreSQL prints it back: 32-bit integers without leading zeroes, others as written.
fn number(digits: &str) -> Option<String> {
    match digits.parse::<i32>() {
        Ok(value) => Some(value.to_string()),
        // Other radixes and underscores are read by newer servers only.
        Err(_)
            if digits
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) =>
        {
            Some(digits.to_owned())
        }
        Err(_) => None,
    }
}

fn word_or_string(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.string().or_else(|| cursor.name().map(String::from))
}

/// A setting's name, dots included. Names of settings are not case-sensitive, quoted or not.
fn setting_name(cursor: &mut Cursor<'_>) -> Option<Name> {
    let mut name = String::from(cursor.name()?);
    while cursor.eat_mark(".") {
        name.push('.');
        name.push_str(&cursor.name()?);
    }
    name.make_ascii_lowercase();
    Some(name.into_boxed_str())
}

/// The name behind RESET, or all.
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Option<Command> {
    if cursor.is(0, "all") && cursor.peek(1).is_none() {
        cursor.skip();
        return Some(Command::ResetAll);
    }
    Some(Command::Reset(shown(cursor)?))
}

/// The name behind SHOW or RESET.
pub(super) fn shown(cursor: &mut Cursor<'_>) -> Option<Name> {
    let special = [
        (&["time", "zone"][..], "timezone"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
        (&["session", "authorization"], "session_authorization"),
    ];
    match special.into_iter().find(|(words, _)| cursor.eat_all(words)) {
        Some((_, name)) => Some(name.into()),
        None => setting_name(cursor),
    }
}

/// A name in double quotes, if it needs them (`quote_identifier`).
pub(crate) fn quote_identifier(name: &str) -> String {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let plain = first && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !KEYWORDS.split_ascii_whitespace().any(|keyword| keyword == name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
