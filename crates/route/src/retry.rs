//! Whether a read is run again: what an error says about the node that gave it, and how many repeats are allowed.
//!
//! Holds for a proved read outside a transaction of whose answer nothing was forwarded. Whether that is so is the
//! caller's to know; nothing that may have written ever gets here.

/// Where a read is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Only the primary's answer counts.
    Primary,
    /// Another replica first.
    AnotherReplica,
}

/// Why a read is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A replica cannot do this at all, and will not be able to.
    Refused,
    /// A replica cannot do this.
    WrongNode,
    /// The replica has not replayed a change of the catalog, or of rights, or so it seems.
    NotReplayed,
    /// Something passing on that node.
    Transient,
    /// The connection ended.
    Broken,
    /// The node does not answer its probe.
    Silent,
}

impl Cause {
    /// The names of all causes, for counters made in advance. [`Cause::index`] points into it.
    pub const NAMES: [&'static str; 6] =
        ["refused", "wrong-node", "not-replayed", "transient", "broken", "silent"];

    /// The cause's place in [`Cause::NAMES`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Refused => 0,
            Self::WrongNode => 1,
            Self::NotReplayed => 2,
            Self::Transient => 3,
            Self::Broken => 4,
            Self::Silent => 5,
        }
    }

    /// Where the next run is.
    #[must_use]
    pub fn again(self) -> Again {
        match self {
            Self::Refused | Self::WrongNode | Self::NotReplayed => Again::Primary,
            Self::Transient | Self::Broken | Self::Silent => Again::AnotherReplica,
        }
    }

    /// Whether it comes in swarms, when a node fails. The others belong to a statement, and without a repeat its client
    /// would be told what is not true.
    #[must_use]
    pub fn is_budgeted(self) -> bool {
        self.again() == Again::AnotherReplica
    }
}

/// What an error of a replica means. `None`: it is the statement's own, and final.
#[must_use]
pub fn on_replica(code: &[u8; 5]) -> Option<Cause> {
    Some(match code {
        // "cannot execute ... in a read-only transaction", "... during recovery".
        b"25006" => Cause::Refused,
        // Unlogged tables, SERIALIZABLE, "recovery is in progress", currval, a materialized view without content; also a
        // cached plan whose result type has changed. These may be the session's doing and are not remembered.
        b"0A000" | b"55000" => Cause::WrongNode,
        // "cannot assign OIDs during recovery" and its like come without a code of their own.
        b"XX000" => Cause::WrongNode,
        // A new enum label, SET ROLE, schema, role, password; class 42: tables, columns, functions, types, rights, large
        // objects. A syntax error never gets here: the text was parsed.
        b"22P02" | b"22023" | b"3F000" | b"3D000" | b"28000" | b"28P01" => Cause::NotReplayed,
        [b'4', b'2', ..] => Cause::NotReplayed,
        // The database was dropped; the primary knows.
        b"57P04" => Cause::NotReplayed,
        // A conflict with replay, a deadlock with it.
        b"40001" | b"40P01" => Cause::Transient,
        // Shutdown, crash, not accepting connections; time-outs of the connection.
        b"57P01" | b"57P02" | b"57P03" | b"57P05" | b"25P03" => Cause::Transient,
        // No memory, disk or connections there; files or data damaged there.
        [b'5', b'3', ..] | b"58030" | b"58P01" | b"XX001" | b"XX002" => Cause::Transient,
        // The client's own fault.
        b"08P01" => return None,
        [b'0', b'8', ..] => Cause::Broken,
        _ => return None,
    })
}

/// What an error of the primary means. It is final, unless the server itself ends.
#[must_use]
pub fn on_primary(code: &[u8; 5]) -> Option<Cause> {
    matches!(code, b"57P01" | b"57P02" | b"57P03").then_some(Cause::Broken)
}

/// How many repeats are allowed: a share of the reads, and a stock for the moment in which a node fails. Kept by each
/// thread for itself.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// In parts of a repeat.
    stock: u32,
}

/// Parts of a repeat.
const WHOLE: u32 = 1024;
/// The stock, in repeats: more than a thread has in flight on one node.
const STOCK: u32 = 1000;

impl Budget {
    /// A full stock.
    pub const FULL: Self = Self { stock: STOCK * WHOLE };

    /// What each read adds to the stock, when this share of them may be repeats.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and WHOLE")]
    pub fn earning(share: f64) -> u32 {
        (share.clamp(0.0, 1.0) * f64::from(WHOLE)).ceil() as u32
    }

    /// A read was run for the first time.
    pub fn earn(&mut self, earning: u32) {
        self.stock = (self.stock + earning).min(STOCK * WHOLE);
    }

    /// Takes a repeat, if one is left. Without any earning none is allowed.
    pub fn take(&mut self, earning: u32) -> bool {
        let allowed = earning > 0 && self.stock >= WHOLE;
        if allowed {
            self.stock -= WHOLE;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 3.1 of the reference, line by line.
    #[test]
    fn the_table() {
        use Cause::{Broken, NotReplayed, Refused, Transient, WrongNode};
        let table: [(Option<Cause>, &[&[u8; 5]]); 6] = [
            (Some(Refused), &[b"25006"]),
            (Some(WrongNode), &[b"0A000", b"55000", b"XX000"]),
            (
                Some(NotReplayed),
                &[
                    b"42P01", b"42703", b"42883", b"42704", b"42501", b"22P02", b"22023", b"3F000", b"3D000",
                    b"28000", b"28P01", b"57P04",
                ],
            ),
            (
                Some(Transient),
                &[
                    b"40001", b"40P01", b"57P01", b"57P02", b"57P03", b"57P05", b"25P03", b"53000", b"53100",
                    b"53200", b"53300", b"53400", b"58030", b"58P01", b"XX001", b"XX002",
                ],
            ),
            (Some(Broken), &[b"08000", b"08003", b"08006", b"08001"]),
            (
                None,
                &[b"57014", b"25P02", b"P0001", b"22012", b"23505", b"08P01", b"22003", b"21000", b"00000"],
            ),
        ];
        for (meaning, codes) in table {
            for code in codes {
                assert_eq!(on_replica(code), meaning, "{}", String::from_utf8_lossy(*code));
            }
        }
    }

    #[test]
    fn only_the_end_of_the_primary_is_not_final() {
        for code in [b"57P01", b"57P02", b"57P03"] {
            assert_eq!(on_primary(code), Some(Cause::Broken));
        }
        for code in [b"40001", b"25006", b"42P01", b"53300", b"57014", b"XX000"] {
            assert_eq!(on_primary(code), None);
        }
    }

    #[test]
    fn causes_have_names_and_places() {
        let all = [
            Cause::Refused,
            Cause::WrongNode,
            Cause::NotReplayed,
            Cause::Transient,
            Cause::Broken,
            Cause::Silent,
        ];
        for (at, cause) in all.into_iter().enumerate() {
            assert_eq!(cause.index(), at);
            assert_eq!(cause.is_budgeted(), at > 2);
        }
        assert_eq!(all.len(), Cause::NAMES.len());
    }

    #[test]
    fn repeats_are_a_share_of_the_reads_once_the_stock_is_used_up() {
        let (mut budget, earning) = (Budget::FULL, Budget::earning(0.1));
        while budget.take(earning) {}
        let mut repeats = 0;
        for _ in 0..10_000 {
            budget.earn(earning);
            repeats += u32::from(budget.take(earning));
        }
        assert!((1_000..=1_010).contains(&repeats), "{repeats}");
        let mut none = Budget::FULL;
        assert!(!none.take(Budget::earning(0.0)));
    }
}
