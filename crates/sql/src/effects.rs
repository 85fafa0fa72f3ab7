//! What a statement may do to the session, to the catalog or to the conversation, as a small set of bits.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of effects. The union of the statements' effects is the text's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Effects(u32);

impl Effects {
    /// No effect.
    pub const NONE: Effects = Effects(0);
    /// A SET, RESET or `set_config` whose name and value are known and given with the statement.
    pub const SETTING: Effects = Effects(1);
    /// A setting changes in a way that the text does not show in full.
    pub const SETTING_OPAQUE: Effects = Effects(1 << 1);
    /// A temporary object is made.
    pub const TEMP_OBJECT: Effects = Effects(1 << 2);
    /// A cursor that outlives its transaction is made.
    pub const HOLD_CURSOR: Effects = Effects(1 << 3);
    /// A session-level advisory lock is taken (not the `_xact_` ones).
    pub const ADVISORY_LOCK: Effects = Effects(1 << 4);
    /// LISTEN.
    pub const LISTEN: Effects = Effects(1 << 5);
    /// LOAD.
    pub const LOAD: Effects = Effects(1 << 6);
    /// SQL-level PREPARE, EXECUTE or DEALLOCATE of a name.
    pub const SQL_PREPARED: Effects = Effects(1 << 7);
    /// `setseed` or SET SEED.
    pub const SEED: Effects = Effects(1 << 8);
    /// A sequence may be used, so that `currval` and `lastval` have something to tell afterwards.
    pub const SEQUENCE_USE: Effects = Effects(1 << 9);
    /// `currval` or `lastval`.
    pub const SEQUENCE_ASK: Effects = Effects(1 << 10);
    /// Code on the server runs that may leave session state the text does not show.
    pub const OPAQUE: Effects = Effects(1 << 11);
    /// Session state may end here: DISCARD, CLOSE, UNLISTEN, RESET, DEALLOCATE, DROP, `pg_advisory_unlock`.
    pub const MAY_END_STATE: Effects = Effects(1 << 12);
    /// The catalog changes: facts must be read again.
    pub const DDL: Effects = Effects(1 << 13);
    /// The catalog may change inside code that the text does not show.
    pub const MAYBE_DDL: Effects = Effects(1 << 14);
    /// A transaction begins or ends, or its modes or savepoints change.
    pub const TX_CONTROL: Effects = Effects(1 << 15);
    /// Rows or tables are locked explicitly.
    pub const LOCKING: Effects = Effects(1 << 16);
    /// COPY from the client.
    pub const COPY_IN: Effects = Effects(1 << 17);
    /// COPY to the client.
    pub const COPY_OUT: Effects = Effects(1 << 18);
    /// A large-object descriptor or another thing that lives inside the transaction only.
    pub const TX_STATE: Effects = Effects(1 << 19);
    /// State that ends with the connection only: a base backup, a temporary replication slot.
    pub const OTHER_STATE: Effects = Effects(1 << 20);

    /// Nobody else may be connected to a database that it names: [`crate::command::vacated`].
    pub const VACATES: Effects = Effects(1 << 21);

    /// PREPARE of a statement that sets nothing by calls that its text shows.
    pub const PREPARES_PLAIN: Effects = Effects(1 << 22);

    /// Code runs that may set a custom setting whose name no source shows.
    pub const SETS_ANYTHING: Effects = Effects(1 << 23);

    /// Code on the server runs of which the text shows nothing, whatever it may leave behind.
    pub const CODE: Effects = Effects(1 << 24);

    const NAMES: [(Effects, &'static str); 25] = [
        (Effects::SETTING, "setting"),
        (Effects::SETTING_OPAQUE, "setting-opaque"),
        (Effects::TEMP_OBJECT, "temp-object"),
        (Effects::HOLD_CURSOR, "hold-cursor"),
        (Effects::ADVISORY_LOCK, "advisory-lock"),
        (Effects::LISTEN, "listen"),
        (Effects::LOAD, "load"),
        (Effects::SQL_PREPARED, "sql-prepared"),
        (Effects::SEED, "seed"),
        (Effects::SEQUENCE_USE, "sequence-use"),
        (Effects::SEQUENCE_ASK, "sequence-ask"),
        (Effects::OPAQUE, "opaque"),
        (Effects::MAY_END_STATE, "may-end-state"),
        (Effects::DDL, "ddl"),
        (Effects::MAYBE_DDL, "maybe-ddl"),
        (Effects::TX_CONTROL, "tx-control"),
        (Effects::LOCKING, "locking"),
        (Effects::COPY_IN, "copy-in"),
        (Effects::COPY_OUT, "copy-out"),
        (Effects::TX_STATE, "tx-state"),
        (Effects::OTHER_STATE, "other-state"),
        (Effects::VACATES, "vacates"),
        (Effects::PREPARES_PLAIN, "prepares-plain"),
        (Effects::SETS_ANYTHING, "sets-anything"),
        (Effects::CODE, "code"),
    ];

    /// Whether all effects of `other` are in this set.
    pub const fn contains(self, other: Effects) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any effect of `other` is in this set.
    pub const fn intersects(self, other: Effects) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together, for constants.
    pub const fn union(self, other: Effects) -> Effects {
        Effects(self.0 | other.0)
    }

    /// This set without the effects of `other`.
    pub const fn without(self, other: Effects) -> Effects {
        Effects(self.0 & !other.0)
    }
}

impl BitOr for Effects {
    type Output = Effects;
    fn bitor(self, other: Effects) -> Effects {
        self.union(other)
    }
}

impl BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Effects) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (_, name) in Effects::NAMES.iter().filter(|(bit, _)| self.contains(*bit)) {
            if !first {
                f.write_str(", ")?;
            }
            first = false;
            f.write_str(name)?;
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Effects({self})")
    }
}
