//! Conditions on the session: they are looked at when it begins, and again when its application_name changes.

use std::net::IpAddr;

use super::pattern::{Network, Pattern};

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionCondition {
    User(Vec<Pattern>),
    Database(Vec<Pattern>),
    ApplicationName(Vec<Pattern>),
    Client(Vec<Network>),
    /// Of 10,000 equal parts of all sessions, how many; and what keeps the parts of rules apart.
    Percent(u64, u64),
}

/// Who speaks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speaker<'a> {
    /// The user that has logged in.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The session's application_name, empty when it has none.
    pub application_name: &'a str,
    /// Where the client is; a client on a Unix socket is nowhere.
    pub client: Option<IpAddr>,
    /// Where it is among all sessions; `None` when it is not known, or nobody asks.
    pub share: Option<Share>,
}

/// A session's place among all sessions, for rules that take a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The session of this number. Numbers in a row are spread evenly: of any ten sessions that came one after the other,
    /// a rule with 10 % takes one.
    Session(u32),
    /// At this one of 10,000 parts, whichever rule asks.
    At(u64),
}

/// Parts of a whole.
pub(crate) const PARTS: u64 = 10_000;
/// 2^64 divided by the golden ratio: multiples of it fill the circle evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Share {
    /// In which of the parts it is. Sticky: with a higher share those that were in stay in.
    fn part(self, salt: u64) -> u64 {
        match self {
            Self::At(part) => part,
            Self::Session(number) => {
                let place = u64::from(number).wrapping_mul(GOLDEN).wrapping_add(salt);
                ((place >> 32) * PARTS) >> 32
            }
        }
    }
}

impl SessionCondition {
    pub(crate) fn check(&self, speaker: &Speaker<'_>) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        match self {
            Self::User(users) => any(users, speaker.user),
            Self::Database(databases) => any(databases, speaker.database),
            Self::ApplicationName(names) => any(names, speaker.application_name),
            Self::Client(networks) => {
                speaker.client.is_some_and(|client| networks.iter().any(|network| network.has(client)))
            }
            Self::Percent(parts, salt) => speaker.share.is_some_and(|share| share.part(*salt) < *parts),
        }
    }

    /// The key in the configuration.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::User(_) => "match.user",
            Self::Database(_) => "match.database",
            Self::ApplicationName(_) => "match.application_name",
            Self::Client(_) => "match.client",
            Self::Percent(..) => "percent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_in_a_row_are_spread_evenly_and_stay_in_when_the_share_grows() {
        for salt in [0, 1, u64::MAX, 0x1234_5678_9ABC_DEF0] {
            let takes = |percent: u64, number: u32| Share::Session(number).part(salt) < percent * 100;
            for (percent, least, most) in [(1, 0, 1), (10, 1, 3), (50, 9, 11), (90, 17, 19), (100, 20, 20)] {
                for first in [1, 7, 1000, u32::MAX - 40] {
                    let taken = (first..first + 20).filter(|number| takes(percent, *number)).count();
                    assert!((least..=most).contains(&taken), "{taken} of 20 at {percent} %");
                }
            }
            assert!((0..1000).all(|number| !takes(10, number) || takes(11, number)));
            let all = (0..100_000).filter(|number| takes(10, *number)).count();
            assert!((9_990..=10_010).contains(&all), "{all}");
        }
    }
}
