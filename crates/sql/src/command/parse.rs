//! From the tokens of one statement to its command.

use super::cursor::Cursor;
use super::set;
use super::{Command, CopyDirection, Discard, Isolation, Name, TransactionModes};
use crate::scan::{Kind, Token};

/// The command of one statement, given its tokens without the semicolon.
pub fn parse(text: &[u8], tokens: &[Token]) -> Command {
    let mut cursor = Cursor::new(text, tokens);
    let keyword = match cursor.peek(0) {
        None => return Command::Empty,
        Some((Kind::Punct, b"(")) => return Command::Query,
        Some((Kind::Word, _)) => cursor.name().unwrap_or_default(),
        Some(_) => return Command::Unknown(Name::default()),
    };
    let command = match &*keyword {
        "with" => Some(with_main(cursor)),
        _ => plain(&keyword).or_else(|| owned(&keyword, &mut cursor)),
    };
    command.unwrap_or(Command::Unknown(keyword))
}

/// Commands whose first keyword says enough.
fn plain(keyword: &str) -> Option<Command> {
    Some(match keyword {
        "select" | "values" | "table" => Command::Query,
        "insert" => Command::Insert,
        "update" => Command::Update,
        "delete" => Command::Delete,
        "merge" => Command::Merge,
        "truncate" => Command::Truncate,
        "call" => Command::Call,
        "do" => Command::Do,
        "explain" => Command::Explain,
        "fetch" => Command::Fetch,
        "move" => Command::Move,
        "notify" => Command::Notify,
        "load" => Command::Load,
        "lock" => Command::Lock,
        "checkpoint" => Command::Checkpoint,
        "create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "security" | "refresh" | "import"
        | "reassign" => Command::Ddl(keyword.into()),
        "vacuum" | "analyze" | "analyse" | "cluster" | "reindex" | "repack" => {
            Command::Utility(keyword.into())
        }
        _ => return None,
    })
}

/// Commands that are read to their end; `None` when that fails.
fn owned(keyword: &str, cursor: &mut Cursor<'_>) -> Option<Command> {
    let command = match keyword {
        "begin" => {
            cursor.eat_any(&["work", "transaction"]);
            Command::Begin(modes(cursor)?)
        }
        "start" => {
            cursor.eat("transaction").then_some(())?;
            Command::Begin(modes(cursor)?)
        }
        "commit" | "rollback" if cursor.eat("prepared") => {
            cursor.string()?;
            if keyword == "commit" { Command::CommitPrepared } else { Command::RollbackPrepared }
        }
        "commit" | "end" => Command::Commit { chain: chain(cursor)? },
        "abort" => Command::Rollback { chain: chain(cursor)? },
        "rollback" => rollback(cursor)?,
        "savepoint" => Command::Savepoint(cursor.name()?),
        "release" => Command::Release(savepoint(cursor)?),
        "set" => return set::set(cursor),
        "reset" => set::reset(cursor)?,
        "show" => Command::Show(set::shown(cursor)?),
        "discard" => Command::Discard(discard(cursor)?),
        "prepare" => return prepare(cursor),
        "execute" => {
            let name = cursor.name()?;
            cursor.skip_parens().then_some(Command::Execute { name })?
        }
        "deallocate" => {
            if cursor.peek(1).is_some() {
                cursor.eat("prepare").then_some(())?;
            }
            Command::Deallocate(name_or_all(cursor)?)
        }
        "declare" => return declare(cursor),
        "close" => Command::CloseCursor(name_or_all(cursor)?),
        "listen" => Command::Listen(cursor.name()?),
        "unlisten" if cursor.eat_mark("*") => Command::Unlisten(None),
        "unlisten" => Command::Unlisten(Some(cursor.name()?)),
        "copy" => return copy(cursor),
        _ => return None,
    };
    cursor.done().then_some(command)
}

/// The command behind a WITH clause: a writing one stands directly behind the last closing parenthesis. A statement
/// that is not found to write here counts as a query, which is still to be proved a read.
fn with_main(mut cursor: Cursor<'_>) -> Command {
    let mut behind_parens = false;
    while let Some(token) = cursor.peek(0) {
        if behind_parens {
            for (keyword, command) in [
                ("insert", Command::Insert),
                ("update", Command::Update),
                ("delete", Command::Delete),
                ("merge", Command::Merge),
            ] {
                if cursor.is(0, keyword) {
                    return command;
                }
            }
        }
        behind_parens = token == (Kind::Punct, b"(".as_slice());
        if !behind_parens {
            cursor.skip();
        } else if !cursor.skip_parens() {
            break;
        }
    }
    Command::Query
}

/// Transaction modes up to the end of the statement.
pub(super) fn modes(cursor: &mut Cursor<'_>) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    let mut wanted = false;
    while !cursor.done() {
        if cursor.eat_all(&["isolation", "level"]) {
            modes.isolation = Some(isolation(cursor)?);
        } else if cursor.eat_all(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if cursor.eat_all(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if cursor.eat("deferrable") {
            modes.deferrable = Some(true);
        } else if cursor.eat_all(&["not", "deferrable"]) {
            modes.deferrable = Some(false);
        } else {
            return None;
        }
        wanted = cursor.eat_mark(",");
    }
    (!wanted).then_some(modes)
}

fn isolation(cursor: &mut Cursor<'_>) -> Option<Isolation> {
    let levels = [
        (&["read", "uncommitted"][..], Isolation::ReadUncommitted),
        (&["read", "committed"], Isolation::ReadCommitted),
        (&["repeatable", "read"], Isolation::RepeatableRead),
        (&["serializable"], Isolation::Serializable),
    ];
    levels.into_iter().find(|(words, _)| cursor.eat_all(words)).map(|(_, level)| level)
}

/// `[WORK | TRANSACTION] [AND [NO] CHAIN]`.
fn chain(cursor: &mut Cursor<'_>) -> Option<bool> {
    cursor.eat_any(&["work", "transaction"]);
    if cursor.done() || cursor.eat_all(&["and", "no", "chain"]) {
        return Some(false);
    }
    cursor.eat_all(&["and", "chain"]).then_some(true)
}

fn rollback(cursor: &mut Cursor<'_>) -> Option<Command> {
    let mut ahead = *cursor;
    ahead.eat_any(&["work", "transaction"]);
    if ahead.eat("to") {
        *cursor = ahead;
        return Some(Command::RollbackTo(savepoint(cursor)?));
    }
    Some(Command::Rollback { chain: chain(cursor)? })
}

fn savepoint(cursor: &mut Cursor<'_>) -> Option<Name> {
    if cursor.peek(1).is_some() {
        cursor.eat("savepoint").then_some(())?;
    }
    cursor.name()
}

/// A name, or `None` inside for the unquoted word ALL.
fn name_or_all(cursor: &mut Cursor<'_>) -> Option<Option<Name>> {
    if cursor.eat("all") { Some(None) } else { cursor.name().map(Some) }
}

fn discard(cursor: &mut Cursor<'_>) -> Option<Discard> {
    let kinds = [
        ("all", Discard::All),
        ("plans", Discard::Plans),
        ("sequences", Discard::Sequences),
        ("temp", Discard::Temp),
        ("temporary", Discard::Temp),
    ];
    kinds.into_iter().find(|(word, _)| cursor.eat(word)).map(|(_, kind)| kind)
}

/// `name [(types)] AS statement`; the statement is not looked at here.
fn prepare(cursor: &mut Cursor<'_>) -> Option<Command> {
    if cursor.is(0, "transaction") && matches!(cursor.peek(1), Some((Kind::String, _))) {
        return cursor.peek(2).is_none().then_some(Command::PrepareTransaction);
    }
    let name = cursor.name()?;
    (cursor.skip_parens() && cursor.eat("as") && !cursor.done()).then_some(Command::Prepare { name })
}

fn declare(cursor: &mut Cursor<'_>) -> Option<Command> {
    let name = cursor.name()?;
    while cursor.eat_any(&["binary", "insensitive", "asensitive", "scroll"])
        || cursor.eat_all(&["no", "scroll"])
    {}
    cursor.eat("cursor").then_some(())?;
    let hold = cursor.eat_all(&["with", "hold"]);
    cursor.eat_all(&["without", "hold"]);
    (cursor.eat("for") && !cursor.done()).then_some(Command::Declare { name, hold })
}

fn copy(cursor: &mut Cursor<'_>) -> Option<Command> {
    cursor.eat("binary");
    if cursor.peek(0)?.1 != b"(" {
        cursor.name()?;
        while cursor.eat_mark(".") {
            cursor.name()?;
        }
    }
    cursor.skip_parens().then_some(())?;
    let from = cursor.eat("from");
    (from || cursor.eat("to")).then_some(())?;
    let client = cursor.eat_any(&["stdin", "stdout"]);
    Some(Command::Copy(match (client, from) {
        (true, true) => CopyDirection::In,
        (true, false) => CopyDirection::Out,
        (false, _) => CopyDirection::Server,
    }))
}
