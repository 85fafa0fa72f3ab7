//! The words of `match.commands`.

use super::pattern::matches;
use crate::suggest::nearest;

/// What a command may be called: all that a statement can be, as `pgsplit_sql` names it.
pub const COMMANDS: [&str; 56] = [
    "ALTER",
    "ANALYSE",
    "ANALYZE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COMMIT PREPARED",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DISCARD",
    "DO",
    "DROP",
    "EMPTY",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "PREPARE TRANSACTION",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "REPACK",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "ROLLBACK PREPARED",
    "ROLLBACK TO",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SET CONSTRAINTS",
    "SET SESSION CHARACTERISTICS",
    "SET TRANSACTION",
    "SHOW",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "VACUUM",
];

/// Words that begin a statement which is called something else.
const OTHERWISE: [(&str, &str); 7] = [
    ("WITH", "SELECT"),
    ("VALUES", "SELECT"),
    ("TABLE", "SELECT"),
    ("START", "BEGIN"),
    ("START TRANSACTION", "BEGIN"),
    ("END", "COMMIT"),
    ("ABORT", "ROLLBACK"),
];

/// Whether any statement can be what is written, in upper case; or what is said instead.
pub(super) fn known(command: &str) -> Result<(), String> {
    if command.contains(['*', '?']) {
        let any = COMMANDS.iter().any(|known| matches(command, known));
        return if any { Ok(()) } else { Err(format!("`{command}` matches no command")) };
    }
    if COMMANDS.contains(&command) {
        return Ok(());
    }
    if let Some((_, meant)) = OTHERWISE.iter().find(|(other, _)| *other == command) {
        let also = if *meant == "SELECT" { ", as all queries are" } else { "" };
        return Err(format!("`{command}` is no command of its own; it is `{meant}`{also}"));
    }
    let first = command.split_whitespace().next().and_then(|first| nearest(first, COMMANDS));
    let longer = first.is_some_and(|first| command.starts_with(first));
    let near = nearest(command, COMMANDS).or(first);
    Err(match near {
        Some(near) if longer && !near.contains(' ') => {
            format!("`{command}` is no command: what follows `{near}` is not looked at; write `{near}`")
        }
        Some(near) => format!("`{command}` is no command; did you mean `{near}`?"),
        None => format!("`{command}` is no command"),
    })
}
