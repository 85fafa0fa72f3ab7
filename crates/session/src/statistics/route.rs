//! The route that an application has tagged a statement with.
//!
//! sqlcommenter's tags stand in the last comment of a text: `/*method='GET',route='%2Fapi%2Fprojects'*/`. Only texts that
//! end with a comment are looked at.

/// A longer route is cut.
const LONGEST: usize = 200;

/// Writes the route into `out`, behind its method if there is one: `GET /api/projects`. Nothing without one.
pub(crate) fn route(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let Some(body) = last_comment(text) else { return };
    let Some(path) = tag(body, b"route=") else { return };
    if let Some(method) = tag(body, b"method=") {
        decode(method, out);
        out.push(b' ');
    }
    decode(path, out);
    out.truncate(LONGEST);
}

/// The body of the comment that the text ends with.
fn last_comment(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_end();
    let text = text.strip_suffix(b";").map_or(text, <[u8]>::trim_ascii_end).strip_suffix(b"*/")?;
    let start = text.windows(2).rposition(|pair| pair == b"/*")?;
    text.get(start + 2..)
}

/// The value of a tag, encoded.
fn tag<'t>(body: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let mut rest = body.trim_ascii();
    loop {
        if let Some(value) = rest.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"'")) {
            return value.get(..value.iter().position(|byte| *byte == b'\'')?);
        }
        let comma = rest.iter().position(|byte| *byte == b',')?;
        rest = rest.get(comma + 1..)?.trim_ascii_start();
    }
}

fn decode(value: &[u8], out: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut rest = value;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%'
            && let (Some(high), Some(low)) = (digit(behind.first()), digit(behind.get(1)))
        {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            rest = behind.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let mut out = b"before".to_vec();
        route(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn routes_of_texts() {
        assert_eq!(of("SELECT 1"), "");
        assert_eq!(of("SELECT 1 /*route='%2Fapi%2Fprojects'*/"), "/api/projects");
        assert_eq!(of("SELECT 1 /*controller='x',method='GET',route='/a/:id'*/ ; "), "GET /a/:id");
        assert_eq!(of("SELECT '/*route=''x''*/' /* no tags */"), "");
        assert_eq!(of("/*route='%2Fa'*/ SELECT 1"), "", "not at the end");
        assert_eq!(of("SELECT 1 /*route='a%2"), "");
        assert_eq!(of("SELECT 1 /*route='a%2'*/"), "a%2");
        assert_eq!(of(&format!("SELECT 1 /*route='{}'*/", "x".repeat(999))).len(), LONGEST);
    }
}
