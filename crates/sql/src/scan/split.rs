//! Cutting a text at the semicolons between its statements.

use std::ops::Range;

use super::lexer::{Kind, Lexer, Token};

/// All tokens of a text.
pub fn tokens(text: &[u8]) -> Vec<Token> {
    Lexer::new(text).collect()
}

/// The statements of a text as ranges of its tokens, without their semicolons and without empty ones.
///
/// A semicolon within parentheses separates nothing (the actions of CREATE RULE), nor does one in the body of a
/// function in the standard's form, `BEGIN ATOMIC … END`.
pub fn statements(text: &[u8], tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut parens, mut body) = (0, 0usize, Body::default());
    for (i, token) in tokens.iter().enumerate() {
        let bytes = token.bytes(text);
        match (token.kind, bytes) {
            (Kind::Punct, b"(") => parens += 1,
            (Kind::Punct, b")") => parens = parens.saturating_sub(1),
            (Kind::Punct, b";") if parens == 0 && body.depth == 0 => {
                if i > start {
                    found.push(start..i);
                }
                start = i + 1;
                body = Body::default();
            }
            (Kind::Word, word) => body.word(i - start, word),
            _ => body.after_begin = false,
        }
    }
    if start < tokens.len() {
        found.push(start..tokens.len());
    }
    found
}

/// Whether the scan stands in the body of a function in the standard's form.
#[derive(Default)]
struct Body {
    creates_routine: bool,
    after_begin: bool,
    depth: usize,
}

impl Body {
    fn word(&mut self, index: usize, word: &[u8]) {
        let is = |keyword: &[u8]| word.eq_ignore_ascii_case(keyword);
        // CREATE [OR REPLACE] FUNCTION, so one of the first four words.
        if index < 4 && (is(b"function") || is(b"procedure")) {
            self.creates_routine = true;
        }
        if !self.creates_routine {
            return;
        }
        let after_begin = std::mem::replace(&mut self.after_begin, is(b"begin"));
        if is(b"atomic") && after_begin || is(b"case") && self.depth > 0 {
            self.depth += 1;
        } else if is(b"end") {
            self.depth = self.depth.saturating_sub(1);
        }
    }
}
