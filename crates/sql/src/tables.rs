//! Sets of tables as small numbers, computed once for each cached text, for marks and what must be seen of them.
//!
//! A table is known by its name alone: schemas are conflated, which only makes some reads wait, and no search_path can
//! fool it. The numbers are the same in every process and hold for any database.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

use crate::facts::Relations;

/// A set of tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// It may be any table.
    pub any: bool,
    /// A number for each table, without duplicates. Empty when it may be any.
    pub keys: Box<[u32]>,
    /// A bit for each table, several for one bit; all bits when it may be any.
    pub mask: u64,
}

impl Tables {
    /// A set that may hold any table.
    #[must_use]
    pub fn any() -> Self {
        Self { any: true, keys: Box::default(), mask: u64::MAX }
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any && self.keys.is_empty()
    }

    /// Makes the numbers of a set of names.
    pub(crate) fn of(relations: &Relations) -> Self {
        if relations.any {
            return Self::any();
        }
        Self::named(relations.names.iter().map(|object| &*object.name))
    }

    /// Makes the numbers of some names.
    pub(crate) fn named<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut keys: Vec<u32> = names.map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mask = keys.iter().fold(0, |mask, key| mask | bit(*key));
        Self { any: false, keys: keys.into(), mask }
    }
}

/// A number for a name of a table or a database.
#[must_use]
pub fn key(name: &str) -> u32 {
    let mut hasher = FixedState::with_seed(5).build_hasher();
    hasher.write(name.as_bytes());
    u32::try_from(hasher.finish() >> 32).unwrap_or(0)
}

/// The highest bits choose, the lowest choose the place of a mark.
fn bit(key: u32) -> u64 {
    1 << (key >> 26)
}
