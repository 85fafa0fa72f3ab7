//! Durations ("500ms", "1h30m") and sizes ("64MiB") with their units.

use std::fmt;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserializer, de};

const DURATION_UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Longer ones are mistakes, and adding them to a clock's value could overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
const LARGEST: u64 = 1 << 40;

/// Reads a duration as the file has it: "500ms", "1h30m".
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    DURATION.parse(text).map(Duration::from_micros)
}

/// For `deserialize_with`: a duration; "0" is zero.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(UnitVisitor(&DURATION)).map(Duration::from_micros)
}

/// For `deserialize_with`: a duration; "0" is off, which is `None`.
pub(crate) fn duration_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(|value| (!value.is_zero()).then_some(value))
}

/// For `deserialize_with` of a key that may be absent: a duration that is not zero.
pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let value = duration(deserializer)?;
    if value.is_zero() { Err(de::Error::custom("must be above zero")) } else { Ok(Some(value)) }
}

/// For `deserialize_with`: a size in bytes.
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let bytes = deserializer.deserialize_any(UnitVisitor(&SIZE))?;
    usize::try_from(bytes).map_err(|_| de::Error::custom("is larger than this machine can address"))
}

/// A kind of quantity: what it is called in messages, its units, and the largest value in base units.
struct Quantity {
    noun: &'static str,
    example: &'static str,
    units: &'static [(&'static str, u64)],
    maximum: u64,
}

const DURATION: Quantity = Quantity {
    noun: "duration",
    example: "500ms",
    units: &DURATION_UNITS,
    maximum: LONGEST.as_secs() * 1_000_000,
};
const SIZE: Quantity = Quantity { noun: "size", example: "64MiB", units: &SIZE_UNITS, maximum: LARGEST };

impl Quantity {
    /// Reads "1h30m" as the sum of its parts; a bare "0" needs no unit.
    fn parse(&self, text: &str) -> Result<u64, String> {
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(0);
        }
        if rest.is_empty() {
            return Err(format!("an empty {}; expected one such as \"{}\"", self.noun, self.example));
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (number, after) = split_while(rest, |c| c.is_ascii_digit());
            let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
            let factor = self.factor(text, number, unit.trim())?;
            let number: u64 = number.parse().map_err(|_| self.too_large(text))?;
            let part = number.checked_mul(factor).ok_or_else(|| self.too_large(text))?;
            total = total.checked_add(part).ok_or_else(|| self.too_large(text))?;
            rest = after;
        }
        if total > self.maximum { Err(self.too_large(text)) } else { Ok(total) }
    }

    fn factor(&self, text: &str, number: &str, unit: &str) -> Result<u64, String> {
        let known = self.units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        match known {
            Some(factor) if !number.is_empty() => Ok(factor),
            _ => {
                let names: Vec<_> = self.units.iter().map(|(name, _)| *name).collect();
                let (noun, example, names) = (self.noun, self.example, names.join(", "));
                Err(format!("`{text}` is not a {noun}; expected one such as \"{example}\" (units: {names})"))
            }
        }
    }

    fn too_large(&self, text: &str) -> String {
        format!("`{text}` is too large for a {}", self.noun)
    }
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

struct UnitVisitor(&'static Quantity);

impl Visitor<'_> for UnitVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} such as \"{}\"", self.0.noun, self.0.example)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        self.0.parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        if number == 0 {
            return Ok(0);
        }
        let Quantity { noun, example, .. } = self.0;
        Err(E::custom(format!("`{number}` has no unit; a {noun} is a string such as \"{example}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_quantities() {
        for (text, micros) in [
            ("0", 0),
            ("0s", 0),
            ("250us", 250),
            ("500ms", 500_000),
            ("5s", 5_000_000),
            ("10m", 600_000_000),
            ("1h", 3_600_000_000),
            ("1h30m", 5_400_000_000),
            ("7d", 604_800_000_000),
            ("5 s", 5_000_000),
        ] {
            assert_eq!(DURATION.parse(text), Ok(micros), "{text}");
        }
        for (text, bytes) in
            [("0", 0), ("512B", 512), ("64KiB", 65_536), ("64MiB", 67_108_864), ("1GiB", 1 << 30)]
        {
            assert_eq!(SIZE.parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_quantities() {
        for (text, message) in [
            ("5", "`5` is not a duration; expected one such as \"500ms\" (units: us, ms, s, m, h, d)"),
            ("s", "`s` is not a duration; expected one such as \"500ms\" (units: us, ms, s, m, h, d)"),
            ("-5s", "`-5s` is not a duration; expected one such as \"500ms\" (units: us, ms, s, m, h, d)"),
            ("5sec", "`5sec` is not a duration; expected one such as \"500ms\" (units: us, ms, s, m, h, d)"),
            ("1.5s", "`1.5s` is not a duration; expected one such as \"500ms\" (units: us, ms, s, m, h, d)"),
            ("", "an empty duration; expected one such as \"500ms\""),
            ("99999999999999999999s", "`99999999999999999999s` is too large for a duration"),
            ("9999999999999999d", "`9999999999999999d` is too large for a duration"),
            ("4000d", "`4000d` is too large for a duration"),
        ] {
            assert_eq!(DURATION.parse(text), Err(message.to_owned()), "{text}");
        }
        let expected = "`64MB` is not a size; expected one such as \"64MiB\" (units: B, KiB, MiB, GiB)";
        assert_eq!(SIZE.parse("64MB"), Err(expected.to_owned()));
        assert_eq!(SIZE.parse("4096GiB"), Err("`4096GiB` is too large for a size".to_owned()));
    }
}
