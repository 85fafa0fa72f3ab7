//! The canonical form of a text: what it is cached under, and what the parser gets to see.
//!
//! Tokens are joined by single blanks; comments are gone, words without quotes are in lower case, and every string is
//! `''` and every number `0`. Literals never reach the facts by this way, so texts that differ in them alone may share
//! facts. Because the parser reads this form and not the original, it cannot cut tokens otherwise than PostgreSQL does.

use std::hash::{BuildHasher, Hasher};

use super::lexer::{Kind, Lexer, Token};

/// What a canonical form is to its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nothing but blanks, comments and case can differ between texts of this form.
    Exact,
    /// Literals were folded.
    Folded,
    /// The text has a token without its end, and there is no form of it.
    Broken,
}

/// Writes the canonical form of a text into `out`, replacing what was there.
pub fn normalise(text: &[u8], out: &mut Vec<u8>) -> Form {
    normalise_part(text, out).0
}

/// The same for the beginning of a text; and whether what follows it begins outside of strings and comments.
pub(crate) fn normalise_part(text: &[u8], out: &mut Vec<u8>) -> (Form, bool) {
    out.clear();
    // Of every token a blank more, and tokens are mostly longer than one byte.
    out.reserve(text.len() + text.len() / 2 + 16);
    let mut form = Form::Exact;
    let mut lexer = Lexer::new(text);
    for token in lexer.by_ref() {
        match token.kind {
            Kind::Broken => return (Form::Broken, false),
            Kind::String | Kind::Number => form = Form::Folded,
            _ => {}
        }
        push(text, token, out);
    }
    // A statement is the same with and without the semicolon behind it.
    while let Some(rest) = out.strip_suffix(b" ;") {
        out.truncate(rest.len());
    }
    (form, !lexer.ends_in_comment())
}

/// The canonical form of some tokens of a text, as sqlparser is to read it: an operator that it does not know stands as
/// `||`. Which operators there are is told by the tokens, not by the syntax tree.
pub(crate) fn for_parser(text: &[u8], tokens: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in tokens {
        let known = || OPERATORS.split_ascii_whitespace().any(|known| known.as_bytes() == token.bytes(text));
        if token.kind == Kind::Operator && !known() {
            out.extend_from_slice(b" ||");
        } else {
            push(text, *token, &mut out);
        }
    }
    out
}

/// The operators that sqlparser knows.
const OPERATORS: &str = "+ - * / % ^ < > = <= >= <> != || | & # ~ ~* !~ !~* ~~ ~~* !~~ !~~* << >> && @> <@ -> ->> #> \
    #>> #- ? ?| ?& @? @@ <-> |/ ||/ ! !! @ =>";

fn push(text: &[u8], token: Token, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b' ');
    }
    match (token.kind, token.bytes(text)) {
        (Kind::String, _) => out.extend_from_slice(b"''"),
        (Kind::Number, _) => out.push(b'0'),
        (Kind::Word, word) => {
            let from = out.len();
            out.extend_from_slice(word);
            out.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
        }
        (_, [byte]) => out.push(*byte),
        (_, bytes) => out.extend_from_slice(bytes),
    }
}

/// A hash of a canonical form, the same in every process.
pub fn fingerprint(canonical: &[u8]) -> u64 {
    const SEED: u64 = 0x70_67_73_70_6c_69_74_01;
    let mut hasher = foldhash::quality::FixedState::with_seed(SEED).build_hasher();
    hasher.write(canonical);
    hasher.finish()
}
