//! Comments before and behind a text, which carry tags and hints, and the text between them, which is what it means.
//!
//! Most texts have none or one of them, and often a different one each time (a trace id). So they are cut off from both
//! ends without reading what is between; whether what was cut off behind is a comment at all, and not the end of a
//! string or of a `--` comment, is known only when the text between has been read to its end.

use memchr::{memchr_iter, memrchr_iter};

use super::lexer::{Kind, Lexer};

/// A text and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around<'t> {
    /// Comments and blanks before the text.
    pub before: &'t [u8],
    /// The text itself.
    pub text: &'t [u8],
    /// Comments, blanks and semicolons behind it.
    pub behind: &'t [u8],
}

/// Comments that are cut off at either end.
const MOST: usize = 8;
/// The longest comment that is cut off, in bytes.
const LONGEST: usize = 8 * 1024;

impl<'t> Around<'t> {
    /// A text without anything around it.
    pub fn nothing(text: &'t [u8]) -> Around<'t> {
        Around { before: &[], text, behind: &[] }
    }

    /// Cuts comments of the form `/* … */` off both ends. What is `behind` is to be believed only if the text between
    /// ends outside of strings and comments.
    pub fn cut(whole: &'t [u8]) -> Around<'t> {
        let (mut text, mut end) = (whole.trim_ascii_start(), whole.len());
        for _ in 0..MOST {
            match leading(text) {
                Some(comment) => text = text.get(comment..).unwrap_or_default().trim_ascii_start(),
                None => break,
            }
        }
        let start = whole.len() - text.len();
        for _ in 0..MOST {
            match trailing(whole.get(start..end).unwrap_or_default()) {
                Some(kept) => end = start + kept,
                None => break,
            }
        }
        let part = |range| whole.get(range).unwrap_or_default();
        let mut text: &[u8] = part(start..end);
        // A newline may end a comment of its line, so it stays.
        while let [kept @ .., b' ' | b'\t'] = text {
            text = kept;
        }
        Around { before: part(0..start), text, behind: part(start + text.len()..whole.len()) }
    }

    /// The same when the text between does not end outside of strings and comments: nothing is behind it.
    pub fn without_behind(self, whole: &'t [u8]) -> Around<'t> {
        let text = whole.get(self.before.len()..).unwrap_or_default();
        Around { before: self.before, text, behind: &[] }
    }
}

/// As [`Around::cut`], with certainty.
pub fn around(whole: &[u8]) -> Around<'_> {
    let cut = Around::cut(whole);
    if cut.behind.is_empty() || ends_plainly(cut.text) { cut } else { cut.without_behind(whole) }
}

fn ends_plainly(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    let whole = lexer.by_ref().all(|token| token.kind != Kind::Broken);
    whole && !lexer.ends_in_comment()
}

/// The length of the comment that a text begins with, if it has no other comment inside.
fn leading(text: &[u8]) -> Option<usize> {
    let body = text.strip_prefix(b"/*")?;
    let body = body.get(..body.len().min(LONGEST)).unwrap_or_default();
    let end = find(body, b"*/")?;
    let inside = body.get(..end).unwrap_or_default();
    (find(inside, b"/*").is_none() && !inside.ends_with(b"/")).then_some(end + 4)
}

/// How much of a text is left without the comment at its end, and without what may stand behind that.
fn trailing(text: &[u8]) -> Option<usize> {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let end = text.len() - text.iter().rev().take_while(|byte| blank(byte)).count();
    let body = text.get(..end)?.strip_suffix(b"*/")?;
    let from = body.len().saturating_sub(LONGEST);
    let near = body.get(from..)?;
    let start = memrchr_iter(b'/', near).find(|at| near.get(at + 1) == Some(&b'*'))? + from;
    let inside = body.get(start + 2..)?;
    // Where a comment ends before, this is the end of a comment around both.
    (find(inside, b"*/").is_none() && !inside.ends_with(b"/")).then_some(start)
}

fn find(text: &[u8], mark: &[u8; 2]) -> Option<usize> {
    memchr_iter(mark[0], text).find(|at| text.get(at + 1) == Some(&mark[1]))
}

/// The bodies of the comments in what was cut off.
pub fn comments(cut_off: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = cut_off;
    let next = move || {
        let start = find(rest, b"/*")?;
        let body = rest.get(start + 2..)?;
        let end = find(body, b"*/")?;
        rest = body.get(end + 2..)?;
        body.get(..end)
    };
    std::iter::from_fn(next).take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(whole: &str) -> (&str, &str, &str) {
        let part = |bytes| std::str::from_utf8(bytes).unwrap();
        let around = around(whole.as_bytes());
        (part(around.before), part(around.text), part(around.behind))
    }

    #[test]
    fn comments_at_the_ends_are_cut_off() {
        for (whole, before, text, behind) in [
            ("select 1", "", "select 1", ""),
            ("select 1 /*a*/", "", "select 1", " /*a*/"),
            ("select 1;  /*a*/", "", "select 1;", "  /*a*/"),
            ("select 1 /*a*/ ;\n", "", "select 1", " /*a*/ ;\n"),
            ("/*a*/ select 1", "/*a*/ ", "select 1", ""),
            (" /*a*/\n/*b*/select 1 /*c*/ /*d*/", " /*a*/\n/*b*/", "select 1", " /*c*/ /*d*/"),
            ("select /*a*/ 1", "", "select /*a*/ 1", ""),
            ("select '/*a*/'", "", "select '/*a*/'", ""),
            ("select '' || ' /*a*/", "", "select '' || ' /*a*/", ""),
            ("select $$ /*a*/ $$", "", "select $$ /*a*/ $$", ""),
            ("select 1 -- /*a*/", "", "select 1 -- /*a*/", ""),
            ("select 1 -- x\n/*a*/", "", "select 1 -- x\n", "/*a*/"),
            ("select 1 /* a /* b */ */", "", "select 1 /* a /* b */ */", ""),
            ("/* a /* b */ */ select 1", "", "/* a /* b */ */ select 1", ""),
            ("select 1 /*/*/", "", "select 1 /*/*/", ""),
            ("/*/*/ select 1", "", "/*/*/ select 1", ""),
            ("/*a*/", "/*a*/", "", ""),
            ("select 2 */*a*/ 3", "", "select 2 */*a*/ 3", ""),
            ("", "", "", ""),
        ] {
            assert_eq!(cut(whole), (before, text, behind), "{whole}");
        }
    }

    #[test]
    fn bodies_in_order() {
        let found: Vec<_> = comments(b" /*a*/ /**/;/*b c*/ ").collect();
        assert_eq!(found, [&b"a"[..], b"", b"b c"]);
    }
}
