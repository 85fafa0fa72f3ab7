//! Tokens, as PostgreSQL's `scan.l` cuts them.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in double quotes.
    Quoted,
    /// An identifier of the form `U&"…"`, whose meaning depends on a UESCAPE that may follow.
    UnicodeQuoted,
    /// A string constant of any form; the parts of a continued one are one token.
    String,
    /// A number.
    Number,
    /// A parameter, `$1`.
    Param,
    /// An operator.
    Operator,
    /// One of `( ) [ ] , ; . :` or `::`, `:=`, `..`.
    Punct,
    /// A byte that begins no token.
    Other,
    /// A string, quoted identifier or comment without its end; it reaches to the end of the text.
    Broken,
}

/// A token and where it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// The offset of its first byte.
    pub start: usize,
    /// The offset behind its last byte.
    pub end: usize,
}

impl Token {
    /// Its bytes.
    pub fn bytes<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Yields the tokens of a text; blanks and comments are passed over.
#[derive(Debug, Clone)]
pub struct Lexer<'t> {
    text: &'t [u8],
    pos: usize,
    /// The text ends within a comment that a newline would end.
    open: bool,
}

const BLANK: u8 = 1;
const IDENT_START: u8 = 2;
const IDENT: u8 = 4;
const DIGIT: u8 = 8;
const OPERATOR: u8 = 16;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => BLANK,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => IDENT_START | IDENT,
            b'0'..=b'9' => DIGIT | IDENT,
            b'$' => IDENT,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' => OPERATOR,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn is(byte: u8, class: u8) -> bool {
    CLASS[byte as usize] & class != 0
}

impl<'t> Lexer<'t> {
    /// A lexer at the beginning of a text.
    pub fn new(text: &'t [u8]) -> Lexer<'t> {
        Lexer { text, pos: 0, open: false }
    }

    /// Whether the text, once all of it is behind, has ended within a `--` comment: what is appended to it belongs to
    /// that comment.
    pub fn ends_in_comment(&self) -> bool {
        self.open
    }

    #[inline]
    fn at(&self, pos: usize) -> u8 {
        self.text.get(pos).copied().unwrap_or(0)
    }

    /// The end of a run of bytes of a class.
    #[inline]
    fn run(&self, pos: usize, class: u8) -> usize {
        let rest = self.text.get(pos..).unwrap_or_default();
        pos + rest.iter().position(|byte| !is(*byte, class)).unwrap_or(rest.len())
    }

    /// Passes over blanks and comments. False when a comment has no end.
    fn skip_blanks(&mut self, mut comment: impl FnMut(Range<usize>)) -> bool {
        loop {
            while is(self.at(self.pos), BLANK) {
                self.pos += 1;
            }
            let start = self.pos;
            match self.at(start) {
                b'-' if self.at(start + 1) == b'-' => {
                    self.pos = self.line_end(start);
                    self.open = self.pos >= self.text.len();
                    comment(start..self.pos);
                }
                b'/' if self.at(start + 1) == b'*' => match self.comment_end(start + 2) {
                    Some(end) => {
                        self.pos = end;
                        comment(start..end);
                    }
                    None => return false,
                },
                _ => return true,
            }
        }
    }

    fn line_end(&self, pos: usize) -> usize {
        let rest = self.text.get(pos..).unwrap_or_default();
        rest.iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(self.text.len(), |n| pos + n)
    }

    fn comment_end(&self, mut pos: usize) -> Option<usize> {
        let mut depth = 1;
        while pos + 1 < self.text.len() {
            match (self.at(pos), self.at(pos + 1)) {
                (b'/', b'*') => (depth, pos) = (depth + 1, pos + 2),
                (b'*', b'/') => (depth, pos) = (depth - 1, pos + 2),
                _ => pos += 1,
            }
            if depth == 0 {
                return Some(pos);
            }
        }
        None
    }

    /// The end of a quoted part whose content begins at `pos`: behind its closing quote.
    fn quoted_end(&self, mut pos: usize, quote: u8, backslash: bool) -> Option<usize> {
        while pos < self.text.len() {
            let byte = self.at(pos);
            if byte == quote {
                if self.at(pos + 1) != quote || pos + 1 >= self.text.len() {
                    return Some(pos + 1);
                }
                pos += 1;
            } else if byte == b'\\' && backslash {
                pos += 1;
            }
            pos += 1;
        }
        None
    }

    /// A string whose content begins at `pos`, with the parts that continue it on further lines.
    fn string(&self, pos: usize, backslash: bool) -> (Kind, usize) {
        let Some(mut end) = self.quoted_end(pos, b'\'', backslash) else {
            return (Kind::Broken, self.text.len());
        };
        while let Some(next) = self.continuation(end) {
            match self.quoted_end(next, b'\'', backslash) {
                Some(behind) => end = behind,
                None => return (Kind::Broken, self.text.len()),
            }
        }
        (Kind::String, end)
    }

    /// Where the next part's content begins, if blanks with a newline and then a quote follow. A `--` comment may
    /// stand between; PostgreSQL wants the newline, not where it is.
    fn continuation(&self, mut pos: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            let byte = *self.text.get(pos)?;
            if is(byte, BLANK) {
                newline |= matches!(byte, b'\n' | b'\r');
                pos += 1;
            } else if byte == b'-' && self.at(pos + 1) == b'-' {
                pos = self.line_end(pos);
            } else {
                return (byte == b'\'' && newline).then_some(pos + 1);
            }
        }
    }

    fn quoted(&self, pos: usize, kind: Kind) -> (Kind, usize) {
        self.quoted_end(pos, b'"', false).map_or((Kind::Broken, self.text.len()), |end| (kind, end))
    }

    /// What begins with a letter: a word, unless the letter prefixes a string.
    fn word(&self, start: usize) -> (Kind, usize) {
        let end = self.run(start + 1, IDENT);
        // A prefix is one letter, and what follows it is part of no word.
        if end > start + 1 {
            return (Kind::Word, end);
        }
        match (self.at(start), self.at(start + 1), self.at(start + 2)) {
            (b'e' | b'E', b'\'', _) => self.string(start + 2, true),
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', _) => self.string(start + 2, false),
            (b'u' | b'U', b'&', b'\'') => self.string(start + 3, false),
            (b'u' | b'U', b'&', b'"') => self.quoted(start + 3, Kind::UnicodeQuoted),
            _ => (Kind::Word, end),
        }
    }

    /// What begins with a dollar: a parameter or a dollar-quoted string.
    fn dollar(&self, start: usize) -> (Kind, usize) {
        let digits = self.run(start + 1, DIGIT);
        if digits > start + 1 {
            return (Kind::Param, digits);
        }
        let mut tag = start + 1;
        if is(self.at(tag), IDENT_START) {
            while self.at(tag) != b'$' && is(self.at(tag), IDENT) {
                tag += 1;
            }
        }
        if self.at(tag) != b'$' {
            return (Kind::Other, start + 1);
        }
        let mark = self.text.get(start..=tag).unwrap_or_default();
        let mut pos = tag + 1;
        while let Some(rest) = self.text.get(pos..) {
            let Some(found) = rest.iter().position(|b| *b == b'$') else { break };
            if rest.get(found..).is_some_and(|rest| rest.starts_with(mark)) {
                return (Kind::String, pos + found + mark.len());
            }
            pos += found + 1;
        }
        (Kind::Broken, self.text.len())
    }

    fn number(&self, start: usize) -> (Kind, usize) {
        let digits = |pos| {
            let mut end = self.run(pos, DIGIT);
            while self.at(end) == b'_' && is(self.at(end + 1), DIGIT) {
                end = self.run(end + 1, DIGIT);
            }
            end
        };
        let radix = matches!(self.at(start + 1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B');
        if self.at(start) == b'0' && radix && self.at(start + 2).is_ascii_hexdigit() {
            return (Kind::Number, self.run(start + 2, IDENT));
        }
        let mut end = digits(start);
        if self.at(end) == b'.' && self.at(end + 1) != b'.' {
            end = digits(end + 1);
        }
        if matches!(self.at(end), b'e' | b'E') {
            let sign = usize::from(matches!(self.at(end + 1), b'+' | b'-'));
            if is(self.at(end + 1 + sign), DIGIT) {
                end = digits(end + 1 + sign);
            }
        }
        (Kind::Number, end)
    }

    /// The longest operator, cut before a comment, and without a trailing `+` or `-` that belongs to what follows.
    fn operator(&self, start: usize) -> (Kind, usize) {
        // PostgreSQL refuses operators of 64 bytes; without a limit a long row of signs would be looked at over and over.
        let limit = self.text.len().min(start + 128);
        let mut end = start + 1;
        while end < limit && is(self.at(end), OPERATOR) {
            if matches!((self.at(end), self.at(end + 1)), (b'-', b'-') | (b'/', b'*')) {
                break;
            }
            end += 1;
        }
        let keeps_sign =
            |b: &u8| matches!(b, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%');
        if end > start + 1 && !self.text.get(start..end).unwrap_or_default().iter().any(keeps_sign) {
            while end > start + 1 && matches!(self.at(end - 1), b'+' | b'-') {
                end -= 1;
            }
        }
        (Kind::Operator, end)
    }

    fn punct(&self, start: usize) -> (Kind, usize) {
        match (self.at(start), self.at(start + 1)) {
            (b'.', b'.') | (b':', b':' | b'=') => (Kind::Punct, start + 2),
            (b'.', next) if is(next, DIGIT) => {
                let (kind, end) = self.number(start + 1);
                (kind, end)
            }
            (b'(' | b')' | b'[' | b']' | b',' | b';' | b'.' | b':', _) => (Kind::Punct, start + 1),
            _ => (Kind::Other, start + 1),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    #[inline]
    fn next(&mut self) -> Option<Token> {
        let whole = self.skip_blanks(|_| ());
        let start = self.pos;
        if start >= self.text.len() {
            return None;
        }
        let byte = self.at(start);
        let (kind, end) = match byte {
            _ if !whole => (Kind::Broken, self.text.len()),
            _ if is(byte, IDENT_START) => self.word(start),
            _ if is(byte, DIGIT) => self.number(start),
            _ if is(byte, OPERATOR) => self.operator(start),
            b'\'' => self.string(start + 1, false),
            b'"' => self.quoted(start + 1, Kind::Quoted),
            b'$' => self.dollar(start),
            _ => self.punct(start),
        };
        self.pos = end;
        Some(Token { kind, start, end })
    }
}
