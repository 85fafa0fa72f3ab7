//! The levels of consistency that a read may ask for.

use pgsplit_config::ConsistencyLevel;

/// What a read must see; each level includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Any state within `max_lag`.
    Eventual,
    /// The session's own writes, and never an older state than it has read.
    Session,
    /// Every write acknowledged through this proxy before the read began.
    Causal,
    /// Every write acknowledged by anyone before the read began.
    Strict,
}

impl From<ConsistencyLevel> for Level {
    fn from(level: ConsistencyLevel) -> Self {
        match level {
            ConsistencyLevel::Eventual => Self::Eventual,
            ConsistencyLevel::Session => Self::Session,
            ConsistencyLevel::Causal => Self::Causal,
            ConsistencyLevel::Strict => Self::Strict,
        }
    }
}

impl Level {
    /// Reads a level's name.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        [Self::Eventual, Self::Session, Self::Causal, Self::Strict]
            .into_iter()
            .find(|level| name.eq_ignore_ascii_case(level.name().as_bytes()))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eventual => "eventual",
            Self::Session => "session",
            Self::Causal => "causal",
            Self::Strict => "strict",
        }
    }
}
