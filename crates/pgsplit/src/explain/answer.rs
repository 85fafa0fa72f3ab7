//! What an explanation says, before it is text or JSON.

use std::sync::Arc;

use pgsplit_route::{Node, Reason};
use pgsplit_sql::{Command, Facts};

/// The whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sql: String,
    /// A name of `Target::NAMES`.
    pub(super) target: &'static str,
    pub(super) reason: Reason,
    /// The nodes that it may go to; offline: none.
    pub(super) candidates: Vec<Arc<str>>,
    pub(super) facts: Arc<Facts>,
    pub(super) background: Background,
    pub(super) notes: Vec<String>,
}

/// What the answer was made from.
#[derive(Debug)]
pub(super) enum Background {
    /// The text alone.
    Offline {
        /// The answer if these relations were ordinary tables.
        assumption: Option<Assumption>,
    },
    /// The servers.
    Live { database: String, nodes: Vec<Node> },
}

/// "If these were ordinary tables, then."
#[derive(Debug)]
pub(super) struct Assumption {
    pub(super) tables: Vec<String>,
    pub(super) target: &'static str,
    pub(super) reason: Reason,
}

/// What a reason means, for somebody who reads it for the first time.
pub(super) fn meaning(reason: &Reason) -> &'static str {
    match reason.label() {
        "write" => "It writes, or may write.",
        "ddl" => "It changes the catalog.",
        "locking" => "It locks rows or tables.",
        "function" => "This function, operator or type is not known to be harmless on a replica.",
        "relation" => "This relation is not known, or a replica cannot read it or would answer differently.",
        "session" => "It sets or uses the state of a session, or controls a transaction.",
        "mixed" => "Some of its statements are proved reads and some are not; they stay together.",
        "unparsed" => "It could not be parsed; PostgreSQL itself shall say what is wrong.",
        "no-replica" => "It is a proved read, but no replica can take it now.",
        "read" => "It is a proved read.",
        _ => "",
    }
}

/// A command in words: the keyword of those that share a kind, the kind of others.
pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Ddl(keyword) | Command::Utility(keyword) => keyword.to_string(),
        Command::Unknown(keyword) if keyword.is_empty() => "unknown".to_owned(),
        Command::Unknown(keyword) => format!("unknown ({keyword})"),
        other => {
            let debug = format!("{other:?}");
            let name = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let mut words = String::new();
            for c in name.chars() {
                if c.is_uppercase() && !words.is_empty() {
                    words.push(' ');
                }
                words.push(c.to_ascii_lowercase());
            }
            words
        }
    }
}

/// All commands of a text.
pub(super) fn commands(facts: &Facts) -> Vec<String> {
    facts.statements.iter().map(|statement| command(&statement.command)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_explain_gives_has_a_meaning() {
        use pgsplit_sql::NotRead::{Ddl, Function, Locking, Mixed, Relation, Session, Unparsed, Write};
        let name: Arc<str> = "x".into();
        let not_read =
            [Write, Ddl, Locking, Function(name.clone()), Relation(name), Session, Mixed, Unparsed];
        let reasons = not_read.map(Reason::NotRead).into_iter().chain([Reason::NoReplica, Reason::Read]);
        for reason in reasons {
            assert!(!meaning(&reason).is_empty(), "{reason}");
        }
    }

    #[test]
    fn commands_in_words() {
        assert_eq!(command(&Command::SetTransactionSnapshot), "set transaction snapshot");
        assert_eq!(command(&Command::Commit { chain: true }), "commit");
        assert_eq!(command(&Command::Ddl("create".into())), "create");
        assert_eq!(command(&Command::Unknown("selec".into())), "unknown (selec)");
    }
}
