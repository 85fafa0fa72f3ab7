//! Patterns of names: `*` stands for anything, `?` for one character.

use std::fmt;
use std::net::IpAddr;

use pgsplit_sql::facts::ObjectName;

/// A pattern as it is written in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    wild: bool,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), wild: text.contains(['*', '?']) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one text only.
    pub(crate) fn is_plain(&self) -> bool {
        !self.wild
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        if self.wild { wild(self.text.as_bytes(), text.as_bytes()) } else { *self.text == *text }
    }
}

/// Goes back to the last `*` only: what it stood for before can only have been too short.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t += character(text, t);
            }
            Some(expected) if expected == byte => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((behind, from)) => {
                    *from += 1;
                    (p, t) = (*behind, *from);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// The bytes of the character at a place.
fn character(text: &[u8], at: usize) -> usize {
    let rest = text.get(at + 1..).unwrap_or_default();
    1 + rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A pattern of a table's or function's name, with or without a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    schema: Option<Pattern>,
    name: Pattern,
}

impl NamePattern {
    pub(crate) fn new(text: &str) -> Self {
        match text.split_once('.') {
            Some((schema, name)) => Self { schema: Some(Pattern::new(schema)), name: Pattern::new(name) },
            None => Self { schema: None, name: Pattern::new(text) },
        }
    }

    /// The schema and name, if they are no patterns.
    pub(crate) fn plain(&self) -> Option<(Option<&str>, &str)> {
        let schema = self.schema.as_ref();
        let plain = self.name.is_plain() && schema.is_none_or(Pattern::is_plain);
        plain.then(|| (schema.map(Pattern::text), self.name.text()))
    }

    pub(crate) fn names(&self, name: &str) -> bool {
        self.name.matches(name)
    }

    pub(crate) fn has_schema(&self) -> bool {
        self.schema.is_some()
    }

    pub(crate) fn in_schema(&self, schema: &str) -> bool {
        self.schema.as_ref().is_none_or(|pattern| pattern.matches(schema))
    }

    /// Whether it matches a name as it is written.
    pub(crate) fn matches(&self, object: &ObjectName) -> bool {
        self.names(&object.name) && object.schema.as_deref().is_none_or(|schema| self.in_schema(schema))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// A block of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    text: Box<str>,
    address: u128,
    mask: u128,
    four: bool,
}

impl Network {
    /// `None` when the text is no address and no block of them; the configuration's checks refuse such.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let free = width - bits.unwrap_or(width).min(width);
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let four = address.is_ipv4();
        Some(Self { text: text.into(), address: number(address) & mask, mask, four })
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.four && number(address) & self.mask == self.address
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => six.into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("Bid", "Bid", true),
            ("Bid", "bid", false),
            ("B*", "Bid", true),
            ("*d", "Bid", true),
            ("*i*", "Bid", true),
            ("*x*", "Bid", false),
            ("B?d", "Bid", true),
            ("B?d", "Bud1", false),
            ("?", "é", true),
            ("*", "", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn networks() {
        let has = |block: &str, address: &str| Network::new(block).unwrap().has(address.parse().unwrap());
        assert!(has("10.1.0.0/16", "10.1.2.3") && !has("10.1.0.0/16", "10.2.2.3"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("10.1.2.3/16", "10.1.9.9") && has("0.0.0.0/0", "1.2.3.4"));
        assert!(has("10.1.0.0/16", "::ffff:10.1.2.3"), "a socket for both families says so");
        assert!(has("fe80::/10", "fe80::1") && !has("0.0.0.0/0", "fe80::1") && !has("::/0", "1.2.3.4"));
        assert_eq!(Network::new("ten"), None);
    }
}
