//! Which database nobody else may be connected to, for a statement to succeed.

use super::Name;
use super::cursor::Cursor;
use crate::scan;

/// The database that a text drops, renames, moves or takes as the template of a new one: the server waits a while for others to
/// leave it, and fails when they do not (`CountOtherDBBackends` in procarray.c). Of several statements the first counts:
/// most of them must stand alone in their message anyway.
#[must_use]
pub fn vacated(text: &[u8]) -> Option<Name> {
    let tokens = scan::tokens(text);
    let statements = scan::statements(text, &tokens);
    statements.into_iter().find_map(|range| of_statement(Cursor::new(text, tokens.get(range)?)))
}

fn of_statement(mut cursor: Cursor<'_>) -> Option<Name> {
    if cursor.eat_all(&["drop", "database"]) {
        cursor.eat_all(&["if", "exists"]);
        return cursor.name();
    }
    if cursor.eat_all(&["alter", "database"]) {
        let name = cursor.name();
        return name.filter(|_| cursor.is(0, "rename") || cursor.eat_all(&["set", "tablespace"]));
    }
    if !cursor.eat_all(&["create", "database"]) {
        return None;
    }
    cursor.name()?;
    while !cursor.done() {
        if cursor.eat("template") {
            cursor.eat_mark("=");
            return match cursor.string() {
                Some(name) => Some(name.as_str().into()),
                None if cursor.is(0, "default") => Some("template1".into()),
                None => cursor.name(),
            };
        }
        cursor.skip();
    }
    Some("template1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_name() {
        let rows = [
            ("DROP DATABASE a", Some("a")),
            ("drop database if exists \"My\" with (force)", Some("My")),
            ("select 1; alter database b rename to c", Some("b")),
            ("create database x", Some("template1")),
            ("create database x owner y template = z", Some("z")),
            ("create database x with template 'z'", Some("z")),
            ("create database x template default", Some("template1")),
            ("alter database b set tablespace c", Some("b")),
            ("alter database b set work_mem = 1", None),
            ("drop table database", None),
            ("comment on database a is 'x'", None),
        ];
        for (text, name) in rows {
            assert_eq!(vacated(text.as_bytes()).as_deref(), name, "{text}");
        }
    }
}
