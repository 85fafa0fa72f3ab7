//! What a text says by itself, without a catalog: its statements, their outlines and, for queries, their shapes.

use crate::builtin;
use crate::catalog::{self, Body};
use crate::command::{Command, CopyDirection, Cursor, parse};
use crate::facts::{NotRead, ObjectName, SettingCall};
use crate::outline::Outline;
use crate::query::{self, Shape};
use crate::scan::{self, Kind, Token};
use crate::settings;

/// The longest text that sqlparser gets to see, in bytes. Its time grows with the text.
const PARSE_BYTES: usize = 16 * 1024;
/// The longest text that is looked at beyond its first keyword, in bytes.
const SCAN_BYTES: usize = 1024 * 1024;
/// How deep parentheses may nest for sqlparser.
const PARSE_DEPTH: usize = 100;
/// How many links a syntax tree may have: a chain of so many operators is dropped recursively.
const PARSE_LINKS: usize = 1000;

/// One statement.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) command: Command,
    pub(crate) outline: Outline,
    /// What it names if it is a query as far as the text shows, or why it is none.
    pub(crate) shape: Result<Shape, NotRead>,
    /// Its calls of `set_config`; `None` when they are not all known.
    pub(crate) settings: Option<Vec<SettingCall>>,
    /// The table that a COPY fills.
    pub(crate) copied: Option<ObjectName>,
    /// The code that it runs or makes.
    pub(crate) body: Body,
}

/// The statements of a text; `None` when it is too long, or has a token without its end.
pub(crate) fn parts(text: &[u8]) -> Option<Vec<Part>> {
    if text.len() > SCAN_BYTES {
        return None;
    }
    let tokens = scan::tokens(text);
    if tokens.last().is_some_and(|last| last.kind == Kind::Broken) {
        return None;
    }
    let statements = scan::statements(text, &tokens);
    Some(
        statements
            .into_iter()
            .filter_map(|range| tokens.get(range))
            .map(|tokens| part(text, tokens))
            .collect(),
    )
}

fn part(text: &[u8], tokens: &[Token]) -> Part {
    let command = parse(text, tokens);
    let outline = Outline::new(text, tokens);
    let settings = if outline.has("set_config") {
        Some(()).filter(|_| command == Command::Query).and_then(|()| settings::calls(text, tokens))
    } else {
        Some(Vec::new())
    };
    let copied = match command {
        Command::Copy(CopyDirection::In | CopyDirection::Server) => {
            table_behind(text, tokens, &["copy", "binary"])
        }
        _ => None,
    };
    let shape = Proof { text, outline: &outline }.statement(&command, tokens);
    let statement = || text.get(tokens.first()?.start..tokens.last()?.end);
    let body = match command {
        Command::Do | Command::Ddl(_) => statement().map(catalog::body).unwrap_or_default(),
        _ => Body::None,
    };
    Part { command, outline, shape, settings, copied, body }
}

/// The dotted name behind some keywords, each of which may be missing.
fn table_behind(text: &[u8], tokens: &[Token], keywords: &[&str]) -> Option<ObjectName> {
    let mut cursor = Cursor::new(text, tokens);
    keywords.iter().for_each(|keyword| {
        cursor.eat(keyword);
    });
    dotted(&mut cursor)
}

fn dotted(cursor: &mut Cursor<'_>) -> Option<ObjectName> {
    let mut path = ObjectName { schema: None, name: cursor.name()? };
    while cursor.eat_mark(".") {
        path.schema = Some(std::mem::replace(&mut path.name, cursor.name()?));
    }
    Some(path)
}

/// The proof that a statement is a query, as far as the text goes.
struct Proof<'t> {
    text: &'t [u8],
    outline: &'t Outline,
}

impl Proof<'_> {
    fn statement(&self, command: &Command, tokens: &[Token]) -> Result<Shape, NotRead> {
        match command {
            Command::Empty => Ok(Shape::default()),
            Command::Query => self.query(tokens),
            Command::Explain => self.explained(tokens),
            Command::Copy(CopyDirection::Out) => self.copied_out(tokens),
            other => Err(reason(other)),
        }
    }

    fn query(&self, tokens: &[Token]) -> Result<Shape, NotRead> {
        if self.outline.locks {
            return Err(NotRead::Locking);
        }
        let Outline { strange, depth, links, .. } = *self.outline;
        if strange || depth > PARSE_DEPTH || links > PARSE_LINKS || self.text.len() > PARSE_BYTES {
            return Err(NotRead::Unparsed);
        }
        if let Some(relation) = self.table(tokens) {
            return Ok(Shape { relations: vec![relation], ..Shape::default() });
        }
        let canonical = scan::for_parser(self.text, &self.without_only(tokens));
        let canonical = String::from_utf8(canonical).map_err(|_| NotRead::Unparsed)?;
        query::shape(&canonical)
    }

    /// `TABLE t`, which sqlparser does not take as a statement.
    fn table(&self, tokens: &[Token]) -> Option<ObjectName> {
        let mut cursor = Cursor::new(self.text, tokens);
        cursor.eat("table").then_some(())?;
        cursor.eat("only");
        let name = dotted(&mut cursor)?;
        cursor.done().then_some(name)
    }

    /// The tokens without the word ONLY before a table, which sqlparser would take for the table's name.
    fn without_only(&self, tokens: &[Token]) -> Vec<Token> {
        let is = |token: Option<&Token>, words: &[&str]| {
            token.is_some_and(|t| {
                t.kind == Kind::Word
                    && words.iter().any(|w| t.bytes(self.text).eq_ignore_ascii_case(w.as_bytes()))
            })
        };
        let before = |at: usize| at.checked_sub(1).and_then(|at| tokens.get(at));
        let kept = |at: &usize| !is(tokens.get(*at), &["only"]) || is(before(*at), &["row", "rows"]);
        (0..tokens.len()).filter(kept).filter_map(|at| tokens.get(at)).copied().collect()
    }

    /// EXPLAIN is as good as what it explains: planning alone already runs IMMUTABLE functions.
    fn explained(&self, tokens: &[Token]) -> Result<Shape, NotRead> {
        let mut cursor = Cursor::new(self.text, tokens);
        cursor.eat("explain");
        let mut inside = cursor;
        let query = inside.eat_mark("(")
            && (["select", "values", "with", "table"].iter().any(|word| inside.is(0, word))
                || inside.eat_mark("("));
        if !query && !cursor.skip_parens() {
            return Err(NotRead::Unparsed);
        }
        while cursor.eat_any(&["analyze", "analyse", "verbose"]) {}
        let command = parse(self.text, cursor.rest());
        if command == Command::Explain {
            return Err(NotRead::Unparsed);
        }
        self.statement(&command, cursor.rest())
    }

    /// `COPY table [(columns)] TO STDOUT` or `COPY (query) TO STDOUT`.
    fn copied_out(&self, tokens: &[Token]) -> Result<Shape, NotRead> {
        let mut cursor = Cursor::new(self.text, tokens);
        cursor.eat("copy");
        cursor.eat("binary");
        if !cursor.eat_mark("(") {
            let relation = dotted(&mut cursor).ok_or(NotRead::Unparsed)?;
            return Ok(Shape { relations: vec![relation], ..Shape::default() });
        }
        let from = cursor.rest();
        let mut whole = Cursor::new(self.text, tokens);
        whole.eat("copy");
        if !whole.skip_parens() {
            return Err(NotRead::Unparsed);
        }
        let inner = from.len().checked_sub(whole.rest().len() + 1).and_then(|len| from.get(..len));
        let inner = inner.ok_or(NotRead::Unparsed)?;
        match parse(self.text, inner) {
            Command::Query => self.query(inner),
            other => Err(reason(&other)),
        }
    }
}

/// Why a command other than a query is not a read.
fn reason(command: &Command) -> NotRead {
    match command {
        Command::Insert | Command::Update | Command::Delete | Command::Merge | Command::Truncate => {
            NotRead::Write
        }
        Command::Call | Command::Do | Command::Copy(_) | Command::Checkpoint | Command::CommitPrepared => {
            NotRead::Write
        }
        Command::Ddl(_) | Command::Utility(_) => NotRead::Ddl,
        Command::Lock => NotRead::Locking,
        Command::Unknown(_) => NotRead::Unparsed,
        _ => NotRead::Session,
    }
}

/// The outline of a whole text, whatever its language; `None` when it is too long or has a token without its end.
pub(crate) fn outline(text: &[u8]) -> Option<Outline> {
    let tokens = if text.len() <= SCAN_BYTES { scan::tokens(text) } else { return None };
    let broken = tokens.last().is_some_and(|last| last.kind == Kind::Broken);
    (!broken).then(|| Outline::new(text, &tokens))
}

/// Whether every `current_setting` in a text asks for a setting that is the same on a replica.
pub(crate) fn settings_are_harmless(text: &str) -> bool {
    let tokens = scan::tokens(text.as_bytes());
    settings_read_are_harmless(&Outline::new(text.as_bytes(), &tokens))
}

fn settings_read_are_harmless(outline: &Outline) -> bool {
    let known = |name: &Option<String>| name.as_deref().is_some_and(builtin::setting);
    !outline.settings_read.is_empty() && outline.settings_read.iter().all(known)
}

/// Whether a call in a query is harmless as one of a built-in function; users' functions of that name are the
/// caller's to check.
pub(crate) fn builtin_is_harmless(call: &ObjectName, shape: &Shape, outline: &Outline) -> bool {
    if call.schema.as_deref().is_some_and(|schema| schema != "pg_catalog") {
        return false;
    }
    match builtin::function(&call.name) {
        builtin::Function::Harmless => true,
        builtin::Function::Setting => settings_read_are_harmless(outline),
        builtin::Function::Age => {
            let identifiers = ["xmin", "xmax", "xid", "backend_xid", "backend_xmin", "transactionid"];
            let system = |name: &ObjectName| {
                name.schema.as_deref() == Some("pg_catalog")
                    || name.schema.is_none() && name.name.starts_with("pg_")
            };
            !identifiers.iter().any(|word| outline.has(word)) && !shape.relations.iter().any(system)
        }
        builtin::Function::Special(_) | builtin::Function::Unlisted => false,
    }
}

/// Whether literals matter to the facts of these statements, so that texts which differ in them must not share facts.
pub(crate) fn literals_matter(parts: &[Part]) -> bool {
    parts.iter().any(|part| {
        matches!(part.command, Command::Set { .. } | Command::Unknown(_))
            || part.body != Body::None
            || part.outline.has("set_config")
            || part.outline.has("current_setting")
    })
}
