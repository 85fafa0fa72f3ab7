//! What an explanation says, before it is text or JSON.

use std::sync::Arc;

use pgsplit_route::{Aim, Level, Node, Reason, Target};
use pgsplit_sql::{Command, Facts, NotRead};

use super::consider::{Considered, Ground, RuleTold};
use super::question::Question;

/// The whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) sql: String,
    /// A name of `Target::NAMES`.
    pub(super) target: &'static str,
    pub(super) reason: Reason,
    /// The nodes that it may go to; offline: none.
    pub(super) candidates: Vec<Arc<str>>,
    pub(super) facts: Arc<Facts>,
    /// What it must see if it is a read, and who says so.
    pub(super) level: Option<(Level, String)>,
    /// What the statement is cached under.
    pub(super) canonical: String,
    pub(super) hint: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    /// Each rule, in order.
    pub(super) rules: Vec<RuleTold>,
    pub(super) background: Background,
    pub(super) notes: Vec<String>,
}

impl Answer {
    /// From what was considered.
    pub(super) fn new(question: &Question, considered: &Considered, ground: &Ground) -> Self {
        let mut notes = Vec::new();
        if ground.shadow {
            notes.push(
                "routing.mode = \"shadow\": this is counted, and the statement goes to the primary."
                    .to_owned(),
            );
        }
        if considered.decision.reason == Reason::Read && ground.reads_on_primary {
            notes.push(
                "routing.reads keeps reads on the primary, but for those that a rule or a hint sends away."
                    .to_owned(),
            );
        }
        if considered.decision.reason == Reason::Read && ground.spilled {
            notes.push("The primary is busy: reads go to the replicas meanwhile (routing.reads).".to_owned());
        }
        if let Some(word) = considered.hint.as_deref().filter(|_| considered.aim.is_none()) {
            notes.push(format!("The hint `{word}` is no node and no word of a rule: it means nothing."));
        }
        Self {
            sql: question.sql.clone(),
            target: Self::target(considered, ground),
            reason: considered.decision.reason.clone(),
            candidates: candidates(considered, ground),
            facts: considered.facts.clone(),
            level: Some(considered.level.clone()).filter(|_| considered.facts.is_read()),
            canonical: considered.canonical.clone(),
            hint: considered.hint.clone(),
            tags: considered.tags.clone(),
            rules: considered.rules.clone(),
            background: Background::Offline { assumption: None },
            notes,
        }
    }

    /// Where it goes, as a name of [`Target::NAMES`].
    pub(super) fn target(considered: &Considered, ground: &Ground) -> &'static str {
        let [primary, replica] = Target::NAMES;
        match considered.decision.target {
            Target::Replica(_) if !ground.shadow => replica,
            _ => primary,
        }
    }
}

/// The nodes that a statement may go to.
fn candidates(considered: &Considered, ground: &Ground) -> Vec<Arc<str>> {
    let view = &ground.view;
    let to_replica = matches!(considered.decision.target, Target::Replica(_)) && !ground.shadow;
    let fits = |node: &&Node| match considered.aim {
        _ if !to_replica => view.primary == Some(node.id),
        Some(Aim::Nodes(nodes)) => nodes.has(node) && node.is_replica(),
        _ => node.takes_reads(),
    };
    view.listed().filter(fits).map(|node| node.name.clone()).collect()
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
    Live {
        database: String,
        /// Each with whether it has what the statement must see; `None` where that depends on the session, or is no
        /// question.
        nodes: Vec<(Node, Option<bool>)>,
    },
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
    match reason {
        Reason::Pinned(_) => "The session is tied to its connection, and everything it sends goes there.",
        Reason::Transaction => "A transaction is open, and everything in it goes where it began.",
        Reason::Hint => "A comment asks for it.",
        Reason::Rule(_) => "A rule of the configuration matches, and nothing forbids what it says.",
        Reason::NotRead(NotRead::Write) => "It writes, or may write.",
        Reason::NotRead(NotRead::Ddl) => "It changes the catalog.",
        Reason::NotRead(NotRead::Locking) => "It locks rows or tables.",
        Reason::NotRead(NotRead::Function(_)) => {
            "This function, operator or type is not known to be harmless on a replica."
        }
        Reason::NotRead(NotRead::Relation(_)) => {
            "This relation is not known, or a replica cannot read it or would answer differently."
        }
        Reason::NotRead(NotRead::Session) => {
            "It sets or uses the state of a session, or controls a transaction."
        }
        Reason::NotRead(NotRead::Mixed) => {
            "Some of its statements are proved reads and some are not; they stay together."
        }
        Reason::NotRead(NotRead::Unparsed) => {
            "It could not be parsed; PostgreSQL itself shall say what is wrong."
        }
        Reason::Serializable => "The session's transactions are SERIALIZABLE, which no replica offers.",
        Reason::Refused => {
            "It was proved to be a read, but a replica has refused it lately (SHOW REFUSALS): it writes after all."
        }
        Reason::Consistency => "It is a proved read, but no replica has seen yet what it must see.",
        Reason::NoReplica => "It is a proved read, but no replica can take it now.",
        Reason::ReadOnlyTransaction => "A transaction that was declared READ ONLY goes to a replica.",
        Reason::Read => "It is a proved read.",
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
    fn commands_in_words() {
        assert_eq!(command(&Command::SetTransactionSnapshot), "set transaction snapshot");
        assert_eq!(command(&Command::Commit { chain: true }), "commit");
        assert_eq!(command(&Command::Ddl("create".into())), "create");
        assert_eq!(command(&Command::Unknown("selec".into())), "unknown (selec)");
    }
}
