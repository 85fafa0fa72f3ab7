//! Which errors of a replica are answered by running the read again elsewhere.

use pgsplit_wire::sqlstate::SqlState;

/// Where a read is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// The replica was the wrong node, or has not replayed a DDL: only the primary's answer counts.
    Primary,
    /// Something passing on that node: another replica first.
    AnotherReplica,
}

/// What an error from a replica means for a proved read of whose answer nothing was forwarded. `None`: it is the
/// statement's own error and goes to the client.
pub(crate) fn again(code: SqlState) -> Option<Again> {
    match &code {
        // Wrong node: read-only, not supported during recovery, no sequence value, no large object.
        b"25006" | b"0A000" | b"55000" => Some(Again::Primary),
        // Not replayed yet: unknown or changed objects, enum labels, roles, privileges, databases.
        b"22P02" | b"22023" | b"3F000" | b"3D000" | b"28000" | b"28P01" => Some(Again::Primary),
        // 42: unknown tables, columns, functions, types. A syntax error never gets here: it was parsed.
        [b'4', b'2', ..] => Some(Again::Primary),
        // XX000 in recovery: "cannot assign OIDs during recovery" and its kin.
        b"XX000" => Some(Again::Primary),
        // Conflict with recovery, deadlock with it, shutdown, crash, not accepting connections, idle time-outs.
        b"40001" | b"40P01" | b"57P01" | b"57P02" | b"57P03" | b"57P05" | b"25P03" => {
            Some(Again::AnotherReplica)
        }
        b"57P04" => Some(Again::Primary),
        // Out of resources, damaged files or data on that node.
        [b'5', b'3', ..] | b"58030" | b"58P01" | b"XX001" | b"XX002" => Some(Again::AnotherReplica),
        // The client's own fault.
        b"08P01" => None,
        [b'0', b'8', ..] => Some(Again::AnotherReplica),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_own_errors_are_final() {
        for code in [b"22012", b"57014", b"P0001", b"25P02", b"23505"] {
            assert_eq!(again(*code), None);
        }
        assert_eq!(again(*b"25006"), Some(Again::Primary));
        assert_eq!(again(*b"42P01"), Some(Again::Primary));
        assert_eq!(again(*b"40001"), Some(Again::AnotherReplica));
    }
}
