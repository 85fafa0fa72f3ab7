//! Answers as lines of text that can be compared and read. What cannot be equal on two databases is made equal: the
//! databases' names, the identifiers of objects that were made after the databases, process ids in notifications.

use pgsplit_testkit::peer::Message;

use crate::world::{DIRECT, PROXIED};

/// A message in one line. Identifiers of objects from `fresh` on are not shown.
pub(crate) fn line(message: &Message, fresh: u32) -> String {
    let body = match message.tag {
        b'T' => columns(&message.body, fresh).unwrap_or_else(|| bytes(&message.body)),
        b't' => parameters(&message.body, fresh).unwrap_or_else(|| bytes(&message.body)),
        b'D' => message.columns().map_or_else(|_| bytes(&message.body), |row| format!("{row:?}")),
        b'A' => bytes(message.body.get(4..).unwrap_or_default()),
        _ => bytes(&message.body),
    };
    format!("{} {}", char::from(message.tag), body.replace(PROXIED, DIRECT))
}

/// Text with its zeros as commas; other control characters escaped.
fn bytes(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let shown = |c: char| match c {
        '\0' => ",".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// RowDescription.
fn columns(body: &[u8], fresh: u32) -> Option<String> {
    let mut reader = Reader(body);
    let count = reader.short()?;
    let mut shown = Vec::new();
    for _ in 0..count {
        let name = reader.text()?;
        let table = identifier(reader.long()?, fresh);
        let number = reader.short()?;
        let kind = identifier(reader.long()?, fresh);
        let (length, modifier, format) = (reader.short()?, reader.long()?, reader.short()?);
        shown.push(format!("{name}({table}.{number} {kind} {length} {modifier} {format})"));
    }
    reader.0.is_empty().then(|| shown.join(" "))
}

/// ParameterDescription.
fn parameters(body: &[u8], fresh: u32) -> Option<String> {
    let mut reader = Reader(body);
    let count = reader.short()?;
    let all: Option<Vec<_>> = (0..count).map(|_| Some(identifier(reader.long()?, fresh))).collect();
    all.map(|all| all.join(" "))
}

fn identifier(oid: u32, fresh: u32) -> String {
    if oid < fresh { oid.to_string() } else { "new".to_owned() }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn short(&mut self) -> Option<u16> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u16::from_be_bytes(*head))
    }

    fn long(&mut self) -> Option<u32> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u32::from_be_bytes(*head))
    }

    fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, tail) = self.0.split_at(end);
        self.0 = tail.get(1..)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// The stretch in which two transcripts differ, with a line before it.
pub(crate) fn difference(direct: &[String], proxied: &[String]) -> Option<String> {
    if direct == proxied {
        return None;
    }
    let same = direct.iter().zip(proxied).take_while(|(a, b)| a == b).count();
    let (direct_rest, proxied_rest) = (&direct[same..], &proxied[same..]);
    let tail = direct_rest.iter().rev().zip(proxied_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let mut shown = vec!["  the answers differ:".to_owned()];
    shown.extend(same.checked_sub(1).map(|before| format!("          {}", direct[before])));
    shown.extend(direct_rest[..direct_rest.len() - tail].iter().map(|line| format!("  direct: {line}")));
    shown.extend(proxied_rest[..proxied_rest.len() - tail].iter().map(|line| format!("  proxy:  {line}")));
    Some(shown.join("\n"))
}
