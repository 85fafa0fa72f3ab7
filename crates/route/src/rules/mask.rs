//! A set of rules.

use pgsplit_sql::facts::Noted;

/// The most rules that there can be.
pub const MOST_RULES: usize = 256;

/// A set of rules, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mask([u64; MOST_RULES / 64]);

impl Mask {
    /// No rule.
    pub const NONE: Self = Self([0; MOST_RULES / 64]);
    /// Every rule.
    pub const ALL: Self = Self([u64::MAX; MOST_RULES / 64]);

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether a rule is in it.
    #[must_use]
    pub fn has(self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    pub(crate) fn of(bits: [u64; MOST_RULES / 64]) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> [u64; MOST_RULES / 64] {
        self.0
    }

    pub(crate) fn add(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
    }

    /// Its members in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as usize;
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }
}

/// The rules whose conditions on the text hold.
pub(crate) fn hold(noted: &Noted) -> Mask {
    Mask::of(noted.hold)
}

/// Those of them for which the search_path decides.
pub(crate) fn depend(noted: &Noted) -> Mask {
    Mask::of(noted.depend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order() {
        let mut mask = Mask::NONE;
        for rule in [200, 3, 64, 0, 300] {
            mask.add(rule);
        }
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 3, 64, 200]);
        assert!(mask.has(64) && !mask.has(65) && !mask.has(300) && Mask::ALL.has(255));
        assert_eq!(mask.and(Mask::ALL), mask);
    }
}
