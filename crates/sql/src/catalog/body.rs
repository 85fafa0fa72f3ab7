//! The code in a statement's own text: of DO, and of what CREATE FUNCTION and CREATE PROCEDURE make.

use super::dynamic::View;
use crate::command::{Cursor, string_value};
use crate::scan::{self, Kind};

/// The code that a statement runs or makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// It is neither DO nor CREATE FUNCTION or PROCEDURE.
    #[default]
    None,
    /// Nothing is known of it.
    Unread,
    /// In PL/pgSQL or SQL.
    Text(String),
}

/// See [`Body`].
pub(crate) fn body(text: &[u8]) -> Body {
    let tokens = scan::tokens(text);
    let mut cursor = Cursor::new(text, &tokens);
    let runs = cursor.eat("do");
    if !runs {
        let creates = cursor.eat("create") && (!cursor.eat("or") || cursor.eat("replace"));
        if !creates || !(cursor.eat("function") || cursor.eat("procedure")) {
            return Body::None;
        }
    }
    let view = View { text, tokens: &tokens };
    let places = 0..tokens.len();
    let language = places.clone().find(|at| view.word_is(*at, &["language"]));
    let language = language.map(|at| match view.kind(at + 1) {
        Some(Kind::String) => {
            string_value(view.bytes(at + 1)).unwrap_or_default().to_ascii_lowercase().into()
        }
        _ => view.name(at + 1).unwrap_or_else(|| "".into()),
    });
    match language.as_deref() {
        Some("plpgsql" | "sql") => (),
        None if runs => (),
        // SQL that is no string: all of it is looked at.
        None if places.clone().any(|at| view.word_is(at, &["atomic", "return"])) => (),
        _ => return Body::Unread,
    }
    let begins = |at: &usize| runs || *at > 0 && view.word_is(*at - 1, &["as"]);
    match places.clone().find(|at| view.kind(*at) == Some(Kind::String) && begins(at)) {
        Some(at) => string_value(view.bytes(at)).map_or(Body::Unread, Body::Text),
        None if runs => Body::Unread,
        None => String::from_utf8(text.to_vec()).map_or(Body::Unread, Body::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_statement_is_found() {
        let text = |text: &str| Body::Text(text.into());
        assert_eq!(body(b"DO $$ BEGIN NULL; END $$"), text(" BEGIN NULL; END "));
        assert_eq!(body(b"DO LANGUAGE plperl $$ x $$"), Body::Unread);
        assert_eq!(body(b"CREATE TABLE t (a text DEFAULT 'x')"), Body::None);
        let made = "CREATE OR REPLACE FUNCTION f(a text DEFAULT 'x') RETURNS int LANGUAGE";
        assert_eq!(body(format!("{made} plpgsql AS 'BEGIN END'").as_bytes()), text("BEGIN END"));
        assert_eq!(body(format!("{made} 'SQL' AS $$SELECT 1$$").as_bytes()), text("SELECT 1"));
        assert_eq!(body(format!("{made} plpython3u AS $$ x $$").as_bytes()), Body::Unread);
        assert_eq!(body(format!("{made} c AS 'lib', 'f'").as_bytes()), Body::Unread);
        let atomic = "CREATE PROCEDURE p() BEGIN ATOMIC SELECT f(); END";
        assert_eq!(body(atomic.as_bytes()), text(atomic));
    }
}
