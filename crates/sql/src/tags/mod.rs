//! Tags and hints in the comments around a text.
//!
//! Tags are sqlcommenter's: pairs `key='value'` with commas between, URL-encoded, in the last comment behind the text
//! or, failing that, in one before it. Rails' older form `key:value` and Prisma 6's `key=value` are read as well. A
//! comment is a tag comment only if all of it is made of pairs. A hint is `/* pgsplit: word */`.

mod known;

use std::borrow::Cow;

use memchr::memchr2;

use crate::scan::{Around, comments};

/// The tag of a trace id (W3C Trace Context), which is another one with each call.
pub const TRACE: &str = "traceparent";

/// Tags that are read of one comment.
const MOST: usize = 64;

/// Tags whose places are kept, so that they are read once.
const KEPT: usize = 8;

/// A comment that is made of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags<'t> {
    body: &'t [u8],
    places: [Place; KEPT],
    count: usize,
    /// See [`Tags::number`].
    number: u64,
}

/// Where a name begins and ends, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    name: [u16; 2],
    value: [u16; 2],
}

/// One tag as it is written: see [`decoded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTag<'t> {
    /// Its name, URL-encoded.
    pub name: &'t [u8],
    /// Its value, URL-encoded, quotes with a backslash before them.
    pub value: &'t [u8],
}

impl<'t> Tags<'t> {
    /// The tags in a comment's body, if it is made of tags.
    pub fn parse(body: &'t [u8]) -> Option<Tags<'t>> {
        let (mut rest, mut count) = (body, 0);
        let mut places = [Place::default(); KEPT];
        while let Some((tag, behind)) = next(rest)? {
            if let Some(place) = places.get_mut(count) {
                *place = Place { name: place_of(tag.name, body)?, value: place_of(tag.value, body)? };
            }
            (rest, count) = (behind, count + 1);
            if count > MOST {
                return None;
            }
        }
        (count > 0).then_some(Tags { body, places, count, number: 0 })
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = RawTag<'t>> {
        let (body, kept) = (self.body, self.places.get(..self.count.min(KEPT)).unwrap_or_default());
        let part =
            move |[start, end]: [u16; 2]| body.get(usize::from(start)..usize::from(end)).unwrap_or_default();
        // There are hardly ever more, and then all are read again.
        let further = if self.count > KEPT { body } else { &[] };
        let kept = kept.iter().map(move |place| RawTag { name: part(place.name), value: part(place.value) });
        kept.chain(all(further).skip(KEPT))
    }

    /// The value of a tag, decoded.
    pub fn get(&self, name: &str) -> Option<Cow<'t, str>> {
        self.iter().find(|tag| decoded(tag.name) == name).map(|tag| decoded(tag.value))
    }

    /// A number that this thread gives to all comments that differ in the value of `traceparent` only, once it has met such
    /// twice: what was worked out from other tags can be kept by it.
    pub fn number(&self) -> Option<u64> {
        (self.number > 0).then_some(self.number)
    }

    /// The body of the comment.
    pub fn body(&self) -> &'t [u8] {
        self.body
    }
}

fn all(body: &[u8]) -> impl Iterator<Item = RawTag<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (tag, behind) = next(rest)??;
        rest = behind;
        Some(tag)
    })
}

/// Where a part of a body is in it.
fn place_of(part: &[u8], body: &[u8]) -> Option<[u16; 2]> {
    let start = part.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    Some([u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?])
}

/// The next pair and what is behind it; `Some(None)` at the end, `None` where something else stands.
fn next(rest: &[u8]) -> Option<Option<(RawTag<'_>, &[u8])>> {
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Some(None);
    }
    let length = rest.iter().position(|byte| !is_key(*byte))?;
    let (name, rest) = rest.split_at(length);
    let (mark, rest) = rest.split_first()?;
    if name.is_empty() {
        return None;
    }
    let (value, rest) = match (mark, rest) {
        (b'=', [b'\'', rest @ ..]) => quoted(rest)?,
        (b'=' | b':', _) => {
            let end = rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
            rest.split_at_checked(end).filter(|(value, _)| !value.is_empty())?
        }
        _ => return None,
    };
    let tag = RawTag { name, value };
    match rest.trim_ascii_start() {
        [] => Some(Some((tag, &[]))),
        // A comma must have a pair behind it.
        [b',', rest @ ..] if !rest.trim_ascii_start().is_empty() => Some(Some((tag, rest))),
        _ => None,
    }
}

/// A value up to its closing quote, and what is behind that.
fn quoted(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        let mark = at + memchr2(b'\'', b'\\', rest.get(at..)?)?;
        if rest.get(mark) == Some(&b'\'') {
            return Some((rest.get(..mark)?, rest.get(mark + 1..)?));
        }
        at = mark + 2;
    }
}

/// What may stand in a name.
const KEY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let other = matches!(byte as u8, b'_' | b'-' | b'.' | b'%' | b'~' | b'!' | b'*' | b'(' | b')');
        table[byte] = (byte as u8).is_ascii_alphanumeric() || other;
        byte += 1;
    }
    table
};

fn is_key(byte: u8) -> bool {
    KEY[usize::from(byte)]
}

/// What may stand in a value without quotes.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != b',' && byte != b'\''
}

/// A name or value as it was meant: `%XX` and `\'` are decoded, and `+` stays what it is.
pub fn decoded(raw: &[u8]) -> Cow<'_, str> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'\\')) {
        return String::from_utf8_lossy(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [high, low, behind @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = behind;
                }
                _ => out.push(b'%'),
            },
            (b'\\', [escaped, behind @ ..]) => {
                out.push(*escaped);
                rest = behind;
            }
            _ => out.push(*first),
        }
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The word of a hint, if the body of a comment is one.
fn hint(body: &[u8]) -> Option<&str> {
    let body = body.trim_ascii();
    let (name, word) = body.split_at_checked(HINT.len())?;
    if !name.eq_ignore_ascii_case(HINT) {
        return None;
    }
    std::str::from_utf8(word.trim_ascii()).ok().filter(|word| !word.is_empty())
}

/// The length of a comment without a body.
const SHORTEST: usize = 4;

const HINT: &[u8] = b"pgsplit:";

impl<'t> Around<'t> {
    /// The tags of the text.
    pub fn tags(&self) -> Option<Tags<'t>> {
        self.said().1
    }

    /// The word of the text's hint; of several the last.
    pub fn hint(&self) -> Option<&'t str> {
        self.said().0
    }

    /// The word of the hint, and the tags. Every statement is asked for both, and most have neither.
    pub fn said(&self) -> (Option<&'t str>, Option<Tags<'t>>) {
        if self.before.len().max(self.behind.len()) < SHORTEST {
            return (None, None);
        }
        if self.before.len() < SHORTEST { known::said(self.behind, || self.read()) } else { self.read() }
    }

    fn read(&self) -> (Option<&'t str>, Option<Tags<'t>>) {
        let (mut word, mut last) = (None, None);
        for body in comments(self.behind) {
            match hint(body) {
                Some(found) => word = Some(found),
                None => last = Some(body),
            }
        }
        let tags = last.and_then(Tags::parse).or_else(|| comments(self.before).find_map(Tags::parse));
        (word.or_else(|| comments(self.before).filter_map(hint).last()), tags)
    }

    /// The text by which a statement is shared: without the tags and hints behind it, and with blanks in place of those
    /// before it, so that the places in PostgreSQL's messages stay right. Other comments stay: some extensions read them.
    pub fn stripped(&self) -> Vec<u8> {
        let is_ours = |body: &[u8]| hint(body).is_some() || Tags::parse(body).is_some();
        let mut out = Vec::with_capacity(self.before.len() + self.text.len() + self.behind.len());
        if comments(self.before).all(is_ours) {
            let characters = self.before.iter().filter(|byte| (**byte as i8) >= -0x40).count();
            out.resize(characters, b' ');
        } else {
            out.extend_from_slice(self.before);
        }
        out.extend_from_slice(self.text);
        if !comments(self.behind).all(is_ours) {
            out.extend_from_slice(self.behind);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::around;

    fn tags(text: &str) -> Vec<(String, String)> {
        let pair = |tag: RawTag<'_>| (decoded(tag.name).into_owned(), decoded(tag.value).into_owned());
        around(text.as_bytes()).tags().map(|tags| tags.iter().map(pair).collect()).unwrap_or_default()
    }

    fn one(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn each_clients_dialect_is_read() {
        let route = || one("route", "/api/projects");
        for (text, expected) in [
            // Prisma 7: encodeURIComponent, after a semicolon too.
            (
                "SELECT 1 OFFSET $4 /*controller='x',method='GET',route='%2Fapi%2Fprojects'*/",
                vec![one("controller", "x"), one("method", "GET"), route()],
            ),
            ("SELECT 1;  /*route='%2Fapi%2Fprojects'*/", vec![route()]),
            (
                "SELECT 1 /*prismaQuery='Project.findMany%3AeyJ3'*/",
                vec![one("prismaQuery", "Project.findMany:eyJ3")],
            ),
            // Prisma 6 tracing: no quotes.
            ("SELECT 1 /* traceparent=00-1-2-01 */", vec![one("traceparent", "00-1-2-01")]),
            // Django: before the semicolon, the route is a regular expression and `/` stays.
            (
                "SELECT 1 /*controller='index',framework='django%3A2.2.1',route='%5Epolls/%24'*/;",
                vec![one("controller", "index"), one("framework", "django:2.2.1"), one("route", "^polls/$")],
            ),
            // Rails: appended, prepended, and as it was before 7.1.
            (
                "SELECT 1 /*action='index',application='App'*/",
                vec![one("action", "index"), one("application", "App")],
            ),
            ("/*action='index'*/ SELECT 1", vec![one("action", "index")]),
            (
                "SELECT 1 /*application:App,controller:projects*/",
                vec![one("application", "App"), one("controller", "projects")],
            ),
            // Knex, Sequelize.
            ("select 1 /*route='%2Fapi%2Fprojects%2F%3Aid'*/", vec![one("route", "/api/projects/:id")]),
            // Go: a blank is `+`, and stays that.
            ("select 1 /*controller='a+b'*/", vec![one("controller", "a+b")]),
            // A quote in a value.
            (r"select 1 /*name='DROP\'s',route='%2Fx'*/", vec![one("name", "DROP's"), one("route", "/x")]),
            ("select 1 /*a='%'*/", vec![one("a", "%")]),
            ("select 1 /*a=''*/", vec![one("a", "")]),
        ] {
            assert_eq!(tags(text), expected, "{text}");
        }
    }

    #[test]
    fn other_comments_are_no_tags() {
        for text in [
            "SELECT /* root select */ 1",
            "/* select generatedAlias0 from Project as generatedAlias0 */ SELECT 1",
            "SELECT 1 /* a, b */",
            "SELECT 1 /* note: nothing */",
            "SELECT 1 /*route='x' and more*/",
            "SELECT 1 /*route='x',*/",
            "SELECT 1 /*route='x*/",
            "SELECT ' /*route=''x''*/'",
            "SELECT $$ /*route='x'*/",
            "SELECT /*route='x'*/ 1",
            "SELECT 1 -- /*route='x'*/",
            "SELECT 1 /*+ SeqScan(t) */",
            "SELECT 1 /**/",
            "SELECT 1 /* pgsplit: primary */",
        ] {
            assert_eq!(tags(text), [], "{text}");
        }
        let many = |n| format!("select 1 /*{}*/", vec!["a='b'"; n].join(","));
        assert_eq!((tags(&many(64)).len(), tags(&many(65)).len()), (64, 0));
    }

    #[test]
    fn the_last_comment_behind_the_text_counts_and_then_one_before_it() {
        assert_eq!(tags("/*a='1'*/ select 1 /*b='2'*/ /*c='3'*/"), [one("c", "3")]);
        assert_eq!(tags("/*a='1'*/ select 1 /* pgsplit: primary */"), [one("a", "1")]);
        assert_eq!(tags("select 1 /*a='1'*/ /* pgsplit: primary */"), [one("a", "1")]);
    }

    #[test]
    fn hints() {
        let hint = |text: &'static str| around(text.as_bytes()).hint();
        assert_eq!(hint("/* pgsplit: primary */ select 1"), Some("primary"));
        assert_eq!(hint("select 1 /*pgsplit:replica*/ /*route='x'*/"), Some("replica"));
        assert_eq!(hint("/* pgsplit: a */ select 1 /* PGSPLIT: 10.0.0.1:5432 */"), Some("10.0.0.1:5432"));
        assert_eq!(hint("select /* pgsplit: primary */ 1"), None);
        assert_eq!(hint("select '/* pgsplit: primary */'"), None);
        assert_eq!(hint("select 1 /* pgsplit: */"), None);
        assert_eq!(hint("select 1 /* pgsplit is here */"), None);
    }

    #[test]
    fn a_shared_text_has_no_tags_and_its_places() {
        let stripped = |text: &str| String::from_utf8(around(text.as_bytes()).stripped()).unwrap();
        assert_eq!(stripped("select $1 /*traceparent='00-1'*/"), "select $1");
        assert_eq!(stripped("/*a='é'*/ select $1"), "          select $1");
        assert_eq!(stripped("/*+ SeqScan(t) */ select $1 /*a='b'*/"), "/*+ SeqScan(t) */ select $1");
        assert_eq!(stripped("select $1 /* by hand */"), "select $1 /* by hand */");
    }
}
