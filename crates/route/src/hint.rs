//! What a hint says: a comment `/* pgsplit: replica, strict, min_lsn=0/3000148 */` around a statement.

use pgsplit_config::ConsistencyLevel;

use crate::view::Lsn;

/// The words of a hint, each of which may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint<'t> {
    /// Where the statement is to go (primary, replica, a node's name), or the word of a rule.
    pub word: Option<&'t str>,
    /// What a read must see.
    pub level: Option<ConsistencyLevel>,
    /// The position that a read must see.
    pub position: Option<Lsn>,
}

impl<'t> Hint<'t> {
    /// Reads what is behind the colon. Words are separated by commas or blanks; of several of one kind the last counts.
    #[must_use]
    pub fn read(text: &'t str) -> Self {
        let mut hint = Self::default();
        let words = text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|word| !word.is_empty());
        for word in words {
            let position = word.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("min_lsn"));
            if let Some(level) = level(word) {
                hint.level = Some(level);
            } else if let Some(position) = position.and_then(|(_, value)| value.parse().ok()) {
                hint.position = Some(position);
            } else {
                hint.word = Some(word);
            }
        }
        hint
    }
}

fn level(word: &str) -> Option<ConsistencyLevel> {
    [
        ("eventual", ConsistencyLevel::Eventual),
        ("session", ConsistencyLevel::Session),
        ("causal", ConsistencyLevel::Causal),
        ("strict", ConsistencyLevel::Strict),
    ]
    .into_iter()
    .find_map(|(name, level)| word.eq_ignore_ascii_case(name).then_some(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let word = |word| Hint { word: Some(word), ..Hint::default() };
        assert_eq!(Hint::read("primary"), word("primary"));
        assert_eq!(Hint::read("10.0.0.1:5432"), word("10.0.0.1:5432"));
        assert_eq!(Hint::read("min_lsn=nonsense"), word("min_lsn=nonsense"));
        let all = Hint {
            word: Some("db2"),
            level: Some(ConsistencyLevel::Strict),
            position: Some(Lsn(0x0300_0148)),
        };
        assert_eq!(Hint::read("db2, Strict, MIN_LSN=0/3000148"), all);
        assert_eq!(Hint::read(" strict min_lsn=0/3000148 db2 "), all);
    }
}
