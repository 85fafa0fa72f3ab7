//! Reading commands.

use std::time::Duration;

use pgsplit_sql::scan::{Kind, Token, statements, tokens};

use super::fault::Fault;

/// What SHOW shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained by the sentence that SHOW HELP has for it")]
pub(super) enum Show {
    Help,
    Nodes,
    Pools,
    Clients,
    Servers,
    Pins,
    Statements,
    Tables,
    Routes,
    Rules,
    Refusals,
    Metrics,
    Config,
    Version,
}

impl Show {
    /// All, with their names and what they show, in the order of SHOW HELP.
    pub(super) const ALL: [(Self, &'static str, &'static str); 14] = [
        (Self::Help, "HELP", "the commands"),
        (Self::Nodes, "NODES", "servers: role, state, lag, load"),
        (Self::Pools, "POOLS", "connections by user, database and node"),
        (Self::Clients, "CLIENTS", "client connections and what they do"),
        (Self::Servers, "SERVERS", "server connections and who has them"),
        (Self::Pins, "PINS", "sessions tied to one connection, by reason"),
        (Self::Statements, "STATEMENTS", "statements seen: calls, targets, times"),
        (Self::Tables, "TABLES", "reads and writes by table"),
        (Self::Routes, "ROUTES", "calls by the application's route"),
        (Self::Rules, "RULES", "the configured rules, in order"),
        (Self::Refusals, "REFUSALS", "what replicas refused, sent to the primary"),
        (Self::Metrics, "METRICS", "every counter, as in /metrics"),
        (Self::Config, "CONFIG", "settings in force; secrets hidden"),
        (Self::Version, "VERSION", "version, start and last reload"),
    ];
}

/// A command of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// A result set.
    Show(Show),
    /// Where a statement would go, in a database or in the one that most clients use.
    Explain {
        /// The database.
        database: Option<String>,
        /// The user, where that matters.
        user: Option<String>,
        /// The statement.
        sql: String,
    },
    /// Read the configuration again.
    Reload {
        /// Go back after this time unless confirmed.
        confirm: Option<Duration>,
    },
    /// Keep what was reloaded.
    Confirm,
    /// Which statements would go elsewhere with this configuration.
    Diff(String),
    /// Forget what replicas have refused.
    Forget,
    /// BEGIN, which drivers send by themselves.
    Begin,
    /// COMMIT and ROLLBACK, likewise.
    End(&'static str),
    /// What drivers send when they connect, and what means nothing here: the tag of the answer.
    Nothing(&'static str),
}

/// Each command of a text.
pub(super) fn commands(text: &str) -> Result<Vec<Command>, Fault> {
    let bytes = text.as_bytes();
    let tokens = tokens(bytes);
    let mut commands = Vec::new();
    let mut explained = false;
    for range in statements(bytes, &tokens) {
        let words = Words { text, tokens: tokens.get(range).unwrap_or_default() };
        let Some(first) = words.tokens.first() else { continue };
        if explained {
            break;
        }
        if words.is(0, "EXPLAIN") && words.is(1, "ROUTE") {
            // All that follows is the statement, semicolons included.
            commands.push(explain(&words, text.get(first.start..).unwrap_or_default())?);
            explained = true;
            continue;
        }
        commands.push(command(&words)?);
    }
    Ok(commands)
}

/// One command as its tokens.
struct Words<'t> {
    text: &'t str,
    tokens: &'t [Token],
}

impl<'t> Words<'t> {
    fn get(&self, at: usize) -> Option<&'t str> {
        let token = self.tokens.get(at)?;
        self.text.get(token.start..token.end)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.get(at).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The value of a string constant.
    fn string(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).filter(|token| token.kind == Kind::String)?;
        let text = self.text.get(token.start..token.end)?;
        if let Some(quoted) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            return Some(quoted.replace("''", "'"));
        }
        let (tag, rest) = text.strip_prefix('$')?.split_once('$')?;
        rest.strip_suffix('$')?.strip_suffix(tag)?.strip_suffix('$').map(str::to_owned)
    }
}

fn explain(words: &Words<'_>, whole: &str) -> Result<Command, Fault> {
    let start = words.tokens.first().map_or(0, |token| token.start);
    let mut at = 2;
    // In either order, each once.
    let (mut database, mut user) = (None, None);
    while let Some(named) = [("DATABASE", &mut database), ("USER", &mut user)]
        .into_iter()
        .find_map(|(word, into)| (words.is(at, word) && into.is_none()).then_some(into))
    {
        *named = words.get(at + 1).map(unquoted);
        at += 2;
    }
    let from = words.tokens.get(at).map(|token| token.start);
    match from.and_then(|from| whole.get(from.checked_sub(start)?..)) {
        Some(sql) if !sql.trim().is_empty() => Ok(Command::Explain { database, user, sql: sql.to_owned() }),
        _ => Err(Fault::syntax("EXPLAIN ROUTE needs a statement")
            .hint("EXPLAIN ROUTE [DATABASE name] [USER name] SELECT ...")),
    }
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => name.replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

fn command(words: &Words<'_>) -> Result<Command, Fault> {
    let first = words.get(0).unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "SHOW" => show(words),
        "RELOAD" if words.len() == 1 => Ok(Command::Reload { confirm: None }),
        "RELOAD" if words.is(1, "CONFIRMED") && words.len() == 2 => Ok(Command::Confirm),
        "RELOAD" if words.is(1, "CONFIRM") && words.len() == 3 => {
            let text = words.string(2).ok_or_else(reload_usage)?;
            let confirm = pgsplit_config::duration(&text).map_err(|why| Fault::new("22023", why))?;
            Ok(Command::Reload { confirm: Some(confirm) })
        }
        "RELOAD" => Err(reload_usage()),
        "DIFF" if words.len() == 2 => match words.string(1) {
            Some(text) => Ok(Command::Diff(text)),
            None => Err(diff_usage()),
        },
        "DIFF" => Err(diff_usage()),
        "BEGIN" | "START" => Ok(Command::Begin),
        "COMMIT" | "END" => Ok(Command::End("COMMIT")),
        "ROLLBACK" | "ABORT" => Ok(Command::End("ROLLBACK")),
        "SET" => Ok(Command::Nothing("SET")),
        "RESET" if words.is(1, "REFUSALS") && words.len() == 2 => Ok(Command::Forget),
        "RESET" => Ok(Command::Nothing("RESET")),
        "DISCARD" => Ok(Command::Nothing("DISCARD ALL")),
        "DEALLOCATE" => Ok(Command::Nothing("DEALLOCATE")),
        _ => Err(unknown(&first)),
    }
}

fn show(words: &Words<'_>) -> Result<Command, Fault> {
    let Some(what) = words.get(1) else { return Ok(Command::Show(Show::Help)) };
    let known = Show::ALL.iter().find(|(_, name, _)| name.eq_ignore_ascii_case(what));
    match known {
        Some((show, _, _)) if words.len() == 2 => Ok(Command::Show(*show)),
        Some((_, name, _)) => Err(Fault::syntax(format!("SHOW {name} takes nothing behind it"))),
        None => {
            let near = pgsplit_config::nearest(what, Show::ALL.iter().map(|(_, name, _)| *name));
            let hint = match near {
                Some(near) => format!("Did you mean SHOW {near}? SHOW HELP lists the commands."),
                None => ALL_COMMANDS.to_owned(),
            };
            Err(Fault::syntax(format!("unknown command: SHOW {}", shortened(what))).hint(hint))
        }
    }
}

/// The commands that begin with another word than SHOW.
const FIRST_WORDS: [&str; 4] = ["SHOW", "EXPLAIN", "RELOAD", "DIFF"];

const ALL_COMMANDS: &str = "SHOW HELP lists the commands.";

fn unknown(word: &str) -> Fault {
    let all = FIRST_WORDS.into_iter().chain(Show::ALL.iter().map(|(_, name, _)| *name));
    if matches!(word, "SELECT" | "WITH" | "VALUES" | "TABLE" | "INSERT" | "UPDATE" | "DELETE" | "COPY") {
        return Fault::syntax(format!("the console has no tables, so it takes no {word}")).hint(ALL_COMMANDS);
    }
    let hint = match pgsplit_config::nearest(word, all) {
        Some("EXPLAIN") => "Did you mean EXPLAIN ROUTE SELECT ...? SHOW HELP lists the commands.".to_owned(),
        Some(near) if FIRST_WORDS.contains(&near) => {
            format!("Did you mean {near}? SHOW HELP lists the commands.")
        }
        Some(near) => format!("Did you mean SHOW {near}? SHOW HELP lists the commands."),
        None => ALL_COMMANDS.to_owned(),
    };
    Fault::syntax(format!("unknown command: {}", shortened(word))).hint(hint)
}

fn reload_usage() -> Fault {
    Fault::syntax("RELOAD cannot be read").hint("RELOAD, RELOAD CONFIRM '5m' or RELOAD CONFIRMED")
}

fn diff_usage() -> Fault {
    Fault::syntax("DIFF needs a configuration as a string").hint("`pgsplit diff NEW.toml` sends one.")
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Command {
        let mut all = commands(text).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    fn fault(text: &str) -> (String, String) {
        let fault = commands(text).unwrap_err();
        (fault.message, fault.hint.unwrap_or_default())
    }

    #[test]
    fn reads_commands() {
        assert_eq!(one("show nodes;"), Command::Show(Show::Nodes));
        assert_eq!(one(" /* a */ SHOW\tHELP"), Command::Show(Show::Help));
        assert_eq!(commands("SHOW NODES; SHOW POOLS;;").unwrap().len(), 2);
        assert_eq!(commands(" ; -- nothing").unwrap(), []);
        assert_eq!(one("reload"), Command::Reload { confirm: None });
        let confirm = Some(Duration::from_secs(300));
        assert_eq!(one("RELOAD CONFIRM '5m'"), Command::Reload { confirm });
        assert_eq!(one("RELOAD CONFIRMED"), Command::Confirm);
        assert_eq!(one("DIFF 'a = ''b'''"), Command::Diff("a = 'b'".into()));
        assert_eq!(one("DIFF $t$a = 'b'$t$"), Command::Diff("a = 'b'".into()));
        assert_eq!(one("RESET REFUSALS"), Command::Forget);
        assert_eq!(one("RESET ALL"), Command::Nothing("RESET"));
        assert_eq!(one("BEGIN"), Command::Begin);
        assert_eq!(one("SET extra_float_digits = 3"), Command::Nothing("SET"));
    }

    #[test]
    fn explain_takes_the_rest_as_it_stands() {
        let explain = |database: Option<&str>, sql: &str| Command::Explain {
            database: database.map(Into::into),
            user: None,
            sql: sql.into(),
        };
        assert_eq!(
            one("EXPLAIN ROUTE SELECT 1; SELECT 2 /* x */"),
            explain(None, "SELECT 1; SELECT 2 /* x */")
        );
        assert_eq!(one("explain route DATABASE \"My\" TABLE t"), explain(Some("My"), "TABLE t"));
        assert_eq!(commands("SHOW NODES; EXPLAIN ROUTE SELECT 1").unwrap()[1], explain(None, "SELECT 1"));
        let (database, user) = (Some("app".to_owned()), Some("Ann".to_owned()));
        let both = Command::Explain { database, user, sql: "SELECT 1".into() };
        assert_eq!(one("EXPLAIN ROUTE DATABASE app USER \"Ann\" SELECT 1"), both);
        assert_eq!(one("EXPLAIN ROUTE USER \"Ann\" DATABASE app SELECT 1"), both);
        assert!(commands("EXPLAIN ROUTE").is_err());
        assert!(commands("EXPLAIN ROUTE USER ann").is_err());
        assert!(commands("EXPLAIN ROUTE DATABASE app").is_err());
    }

    #[test]
    fn what_is_not_known_is_answered_with_what_is_near() {
        let (message, hint) = fault("SHOW NODE");
        assert_eq!(message, "unknown command: SHOW NODE");
        assert_eq!(hint, "Did you mean SHOW NODES? SHOW HELP lists the commands.");
        assert_eq!(fault("reloda").1, "Did you mean RELOAD? SHOW HELP lists the commands.");
        assert_eq!(fault("clients").1, "Did you mean SHOW CLIENTS? SHOW HELP lists the commands.");
        assert_eq!(fault("frobnicate").1, "SHOW HELP lists the commands.");
        assert_eq!(fault("SELECT 1").0, "the console has no tables, so it takes no SELECT");
        assert!(fault("RELOAD CONFIRM 5m").1.starts_with("RELOAD, RELOAD CONFIRM"));
        assert_eq!(fault("SHOW NODES x").0, "SHOW NODES takes nothing behind it");
        assert_eq!(fault(&"x".repeat(500)).0.len(), "unknown command: ".len() + 40);
    }
}
