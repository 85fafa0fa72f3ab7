//! A calendar day, as in `expires = 2027-06-30`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, de};

/// A day of the Gregorian calendar, in UTC; ordered by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year, four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The present day.
    pub fn today() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self::from_unix_days(seconds / 86_400)
    }

    /// The day that is `days` after 1970-01-01. A 400-year cycle, counted from a 1 March, has 146 097 days
    /// and puts the leap day last, which makes months and leap years plain arithmetic.
    fn from_unix_days(days: u64) -> Self {
        let shifted = days + 719_468;
        let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
        let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * year + year / 4 - year / 100);
        let march_based = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_based + 2) / 5 + 1;
        let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
        let year = cycle * 400 + year + u64::from(month <= 2);
        Self { year: year as u16, month: month as u8, day: day as u8 }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::value::Datetime::deserialize(deserializer)?;
        match (value.date, value.time, value.offset) {
            (Some(date), None, None) => Ok(Self { year: date.year, month: date.month, day: date.day }),
            _ => Err(de::Error::custom("expected a date without a time, such as 2027-06-30")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_1970() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_722, "2023-12-31"),
            (19_782, "2024-02-29"),
            (20_999, "2027-06-30"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::from_unix_days(days).to_string(), expected);
        }
        assert!(Date::today() > Date { year: 2026, month: 1, day: 1 });
    }
}
