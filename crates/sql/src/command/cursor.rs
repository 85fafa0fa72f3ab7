//! Walking over the tokens of one statement.

use super::Name;
use crate::scan::{Kind, Token};

/// The length that PostgreSQL cuts names to, in bytes (`NAMEDATALEN - 1`).
const NAME_BYTES: usize = 63;

/// A position among the tokens of one statement. Methods that expect something move only when it is there.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'t> {
    text: &'t [u8],
    tokens: &'t [Token],
    pos: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t [u8], tokens: &'t [Token]) -> Cursor<'t> {
        Cursor { text, tokens, pos: 0 }
    }

    /// The token `ahead` of the next one, and its bytes.
    pub(crate) fn peek(&self, ahead: usize) -> Option<(Kind, &'t [u8])> {
        self.tokens.get(self.pos + ahead).map(|token| (token.kind, token.bytes(self.text)))
    }

    /// Whether all tokens are behind.
    pub(crate) fn done(&self) -> bool {
        self.pos >= self.tokens.len()
    }

    pub(crate) fn skip(&mut self) {
        self.pos += 1;
    }

    /// The tokens from here on.
    pub(crate) fn rest(&self) -> &'t [Token] {
        self.tokens.get(self.pos..).unwrap_or_default()
    }

    /// Whether the token `ahead` is this keyword.
    pub(crate) fn is(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.peek(ahead), Some((Kind::Word, word)) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// Passes over a keyword.
    pub(crate) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.is(0, keyword);
        self.pos += usize::from(found);
        found
    }

    /// Passes over several keywords, all or none.
    pub(crate) fn eat_all(&mut self, keywords: &[&str]) -> bool {
        let found = keywords.iter().enumerate().all(|(i, keyword)| self.is(i, keyword));
        self.pos += if found { keywords.len() } else { 0 };
        found
    }

    /// Passes over one of several keywords.
    pub(crate) fn eat_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.eat(keyword))
    }

    /// Passes over punctuation or an operator.
    pub(crate) fn eat_mark(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(0), Some((Kind::Punct | Kind::Operator, b)) if b == mark.as_bytes());
        self.pos += usize::from(found);
        found
    }

    /// An identifier, folded.
    pub(crate) fn name(&mut self) -> Option<Name> {
        let name = identifier(self.peek(0)?)?;
        self.skip();
        Some(name)
    }

    /// A string constant's value.
    pub(crate) fn string(&mut self) -> Option<String> {
        let (Kind::String, bytes) = self.peek(0)? else { return None };
        let value = string_value(bytes)?;
        self.skip();
        Some(value)
    }

    /// Passes over parentheses and what is in them, if they come next.
    pub(crate) fn skip_parens(&mut self) -> bool {
        if !matches!(self.peek(0), Some((Kind::Punct, b"("))) {
            return true;
        }
        let (from, mut depth) = (self.pos, 0usize);
        while let Some((kind, bytes)) = self.peek(0) {
            self.skip();
            match (kind, bytes) {
                (Kind::Punct, b"(") => depth += 1,
                (Kind::Punct, b")") => depth -= 1,
                _ => (),
            }
            if depth == 0 {
                return true;
            }
        }
        self.pos = from;
        false
    }
}

/// The folded name in a token, if it is one.
pub(crate) fn identifier(token: (Kind, &[u8])) -> Option<Name> {
    let name = match token {
        (Kind::Word, word) => std::str::from_utf8(word).ok()?.to_ascii_lowercase(),
        (Kind::Quoted, quoted) => {
            let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            std::str::from_utf8(inner).ok()?.replace("\"\"", "\"")
        }
        _ => return None,
    };
    Some(truncated(name))
}

/// A name cut to the length that PostgreSQL keeps.
pub(crate) fn truncated(mut name: String) -> Name {
    if name.len() > NAME_BYTES {
        let end = (0..=NAME_BYTES).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        name.truncate(end);
    }
    name.into_boxed_str()
}

/// The value of a string constant in one part: plain, dollar-quoted, or with the simple escapes. `None` for other
/// forms, whose value is not worth the trouble.
pub(crate) fn string_value(token: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(token).ok()?;
    if let Some(inner) = text.strip_prefix('\'') {
        return plain(inner.strip_suffix('\'')?);
    }
    if let Some(inner) = text.strip_prefix("e'").or_else(|| text.strip_prefix("E'")) {
        return escaped(inner.strip_suffix('\'')?);
    }
    let tagged = text.strip_prefix('$')?;
    let mark = tagged.find('$')? + 2;
    text.get(mark..text.len().checked_sub(mark)?).map(str::to_owned)
}

/// The content of a plain constant. A single quote in it means that it is continued on another line.
fn plain(inner: &str) -> Option<String> {
    let value = inner.replace("''", "\u{0}");
    if value.contains('\'') || inner.contains('\u{0}') {
        return None;
    }
    Some(value.replace('\u{0}', "'"))
}

fn escaped(inner: &str) -> Option<String> {
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\'' if chars.next() == Some('\'') => '\'',
            '\'' => return None,
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'x' | 'u' | 'U' | '0'..='7' => return None,
                other => other,
            },
            other => other,
        });
    }
    Some(value)
}
