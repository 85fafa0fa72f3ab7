//! What the tokens of one statement show without a grammar: calls, operators, written tables, calls of `set_config`.
//!
//! It holds for every text, also where sqlparser gives up, and errs towards more: a name before a parenthesis counts as
//! a call unless it can be none. The effects rest on this; the proof that a text is a read rests on the syntax tree
//! as well.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use crate::command::{Cursor, Name, identifier, string_value};
use crate::facts::ObjectName;
use crate::scan::{Kind, Token};

/// Words that may stand before a parenthesis without being called. A user's function of such a name still counts.
static NOT_CALLED: LazyLock<HashSet<&str, foldhash::fast::RandomState>> = LazyLock::new(|| {
    "add all analyze and any array as between bit by case character char check collate columns \
    conflict constraint copy cross cube current dec decimal default distinct do double else except exclude execute \
    exists explain false fetch filter float following for foreign format from full generated group groups having ilike \
    in include inner int integer intersect interval into is join json_table key lateral like limit match materialized \
    natural nchar not null numeric of offset on only operator or order over partition passing preceding precision \
    primary range recursive references repeatable returning returns rollup row rows select set sets similar smallint \
    some sql table tablesample then time timestamp to trim true type unbounded union unique unnest update using values \
    varchar varying verbose when where window with within xmlelement xmlforest xmltable zone"
        .split_ascii_whitespace()
        .collect()
});

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// Functions that are called.
    pub(crate) calls: Vec<ObjectName>,
    /// Keywords and the like before a parenthesis.
    pub(crate) keyword_calls: Vec<Name>,
    /// Operators by their symbols.
    pub(crate) operators: BTreeSet<Box<str>>,
    /// All identifiers and keywords, folded.
    pub(crate) words: BTreeSet<Name>,
    /// Identifiers behind a dot, which may be fields, or functions of a row.
    pub(crate) members: BTreeSet<Name>,
    /// Relations that are written.
    pub(crate) targets: Vec<ObjectName>,
    /// Relations that are named, as far as the words before them show.
    pub(crate) mentioned: Vec<ObjectName>,
    /// The arguments of `current_setting`, as far as they are constants; `None` for one that is not.
    pub(crate) settings_read: Vec<Option<String>>,
    /// CREATE [OR REPLACE] [GLOBAL | LOCAL] {TEMP | TEMPORARY}.
    pub(crate) creates_temporary: bool,
    /// SELECT … INTO.
    pub(crate) selects_into: bool,
    /// A locking clause.
    pub(crate) locks: bool,
    /// Something that PostgreSQL and sqlparser may read differently, or that is no token at all.
    pub(crate) strange: bool,
    /// The deepest nesting of parentheses and brackets.
    pub(crate) depth: usize,
    /// How many links there are of the kinds that make a syntax tree deep.
    pub(crate) links: usize,
}

impl Outline {
    /// Whether a keyword or identifier occurs anywhere.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    /// The outline of one statement.
    pub(crate) fn new(text: &[u8], tokens: &[Token]) -> Outline {
        let mut outline = Outline::default();
        let view = View { text, tokens };
        let mut cursor = Cursor::new(text, tokens);
        outline.creates_temporary = cursor.eat("create") && {
            cursor.eat_all(&["or", "replace"]);
            cursor.eat_any(&["global", "local"]);
            cursor.eat_any(&["temp", "temporary"])
        };
        let mut depth = 0usize;
        for at in 0..tokens.len() {
            let (kind, bytes) = view.get(at);
            match kind {
                Kind::Word | Kind::Quoted => outline.name(&view, at),
                Kind::Operator => {
                    outline.links += 1;
                    outline.operators.insert(String::from_utf8_lossy(bytes).into());
                }
                Kind::Punct => match bytes {
                    b"(" | b"[" => {
                        depth += 1;
                        outline.depth = outline.depth.max(depth);
                        outline.links += usize::from(bytes == b"[");
                    }
                    b")" | b"]" => depth = depth.saturating_sub(1),
                    b"::" | b"." => outline.links += 1,
                    _ => (),
                },
                Kind::String => outline.strange |= bytes.starts_with(b"u&") || bytes.starts_with(b"U&"),
                Kind::UnicodeQuoted | Kind::Other | Kind::Broken => outline.strange = true,
                Kind::Number | Kind::Param => (),
            }
        }
        outline
    }

    fn name(&mut self, view: &View<'_>, at: usize) {
        let Some(name) = identifier(view.get(at)) else {
            self.strange = true;
            return;
        };
        if view.get(at).0 == Kind::Word {
            self.links += match &*name {
                // Parsed by a recursion of its own, which sqlparser's limit does not count.
                "join" => 10,
                name => usize::from(LINKS.contains(&name)),
            };
            self.target(view, at, &name);
            if matches!(&*name, "from" | "join" | "into" | "update" | "using" | "table" | "only") {
                self.mention(view, at + 1);
            }
            self.locks |=
                &*name == "for" && matches!(&*view.keyword(at + 1), "update" | "share" | "no" | "key");
        }
        if view.is_mark(at + 1, b"(") {
            self.call(view, at, &name);
        }
        if at > 0 && view.is_mark(at - 1, b".") {
            self.members.insert(name.clone());
        }
        self.words.insert(name);
    }

    fn call(&mut self, view: &View<'_>, at: usize, name: &str) {
        let (first, path) = view.path_to(at);
        let before = first.checked_sub(1).map_or(String::new(), |at| view.keyword(at));
        if matches!(&*before, "into" | "as" | "recursive" | "with") || view.is_cte_head(at) {
            return;
        }
        let plain = view.get(at).0 == Kind::Word && path.schema.is_none();
        if plain && NOT_CALLED.contains(name) {
            self.keyword_calls.push(name.into());
            return;
        }
        if name == "current_setting" {
            self.settings_read.push(match view.get(at + 2) {
                (Kind::String, constant) if view.ends_argument(at + 3) => string_value(constant),
                _ => None,
            });
        }
        self.calls.push(path);
    }

    /// Notes the relations in a list that begins at a place.
    fn mention(&mut self, view: &View<'_>, mut at: usize) {
        while let Some((relation, mut behind)) = view.path_from(at) {
            let keyword = view.get(at).0 == Kind::Word
                && matches!(&*relation.name, "select" | "only" | "lateral" | "values" | "with");
            if !keyword {
                self.mentioned.push(relation);
            }
            behind += usize::from(view.keyword(behind) == "as");
            behind += usize::from(identifier(view.get(behind)).is_some());
            if keyword || !view.is_mark(behind, b",") {
                return;
            }
            at = behind + 1;
        }
    }

    /// Notes what a writing keyword writes to.
    fn target(&mut self, view: &View<'_>, at: usize, keyword: &str) {
        let before = at.checked_sub(1).map_or(String::new(), |at| view.keyword(at));
        let name_at = match (keyword, &*before) {
            ("into", "insert" | "merge") | ("from", "delete") => at + 1,
            ("update", "for" | "key" | "do" | "then" | "on" | "no") => return,
            ("update" | "truncate", _) => at + 1,
            ("view", "materialized") if at == 2 => at + 1,
            ("into", _) => {
                self.selects_into = true;
                at + 1
            }
            _ => return,
        };
        let mut at = name_at;
        while matches!(
            &*view.keyword(at),
            "only" | "table" | "concurrently" | "temp" | "temporary" | "unlogged"
        ) {
            at += 1;
        }
        loop {
            let Some((target, behind)) = view.path_from(at) else { return };
            self.targets.push(target);
            at = behind + usize::from(view.is_mark(behind, b"*"));
            if keyword != "truncate" || !view.is_mark(at, b",") {
                return;
            }
            at += 1 + usize::from(view.keyword(at + 1) == "only");
        }
    }
}

/// Words that make a tree deeper when they are repeated, besides operators.
const LINKS: [&str; 21] = [
    "and",
    "at",
    "between",
    "case",
    "collate",
    "escape",
    "except",
    "ilike",
    "in",
    "intersect",
    "is",
    "isnull",
    "like",
    "not",
    "notnull",
    "or",
    "overlaps",
    "select",
    "similar",
    "union",
    "within",
];

/// The tokens of a statement with their bytes. Beyond its ends there is nothing, and asking is allowed.
struct View<'t> {
    text: &'t [u8],
    tokens: &'t [Token],
}

impl<'t> View<'t> {
    fn get(&self, at: usize) -> (Kind, &'t [u8]) {
        self.tokens.get(at).map_or((Kind::Other, &[]), |token| (token.kind, token.bytes(self.text)))
    }

    fn is_mark(&self, at: usize, mark: &[u8]) -> bool {
        matches!(self.get(at), (Kind::Punct | Kind::Operator, bytes) if bytes == mark)
    }

    /// Whether an argument that is a constant ends before this place.
    fn ends_argument(&self, at: usize) -> bool {
        [&b","[..], b")", b"::"].iter().any(|mark| self.is_mark(at, mark))
    }

    /// The word at a place in lower case, or nothing.
    fn keyword(&self, at: usize) -> String {
        match self.get(at) {
            (Kind::Word, word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// The dotted name that ends at a place, and where it begins.
    fn path_to(&self, at: usize) -> (usize, ObjectName) {
        let name = |at| identifier(self.get(at));
        let mut first = at;
        while first >= 2 && self.is_mark(first - 1, b".") && name(first - 2).is_some() {
            first -= 2;
        }
        let schema = (first < at).then(|| name(at - 2)).flatten();
        (first, ObjectName { schema, name: name(at).unwrap_or_default() })
    }

    /// The dotted name that begins at a place, and what comes behind it.
    fn path_from(&self, mut at: usize) -> Option<(ObjectName, usize)> {
        let mut path = ObjectName { schema: None, name: identifier(self.get(at))? };
        at += 1;
        while self.is_mark(at, b".") {
            let next = identifier(self.get(at + 1))?;
            path.schema = Some(std::mem::replace(&mut path.name, next));
            at += 2;
        }
        Some((path, at))
    }

    /// Whether a name begins `name (columns) AS [[NOT] MATERIALIZED] (query`. In FROM, `f(x) AS (column type)` is a call,
    /// and `f(x) AS materialized`.
    fn is_cte_head(&self, at: usize) -> bool {
        let before = at.checked_sub(1).map_or(String::new(), |at| self.keyword(at));
        let behind_one = at >= 2 && self.is_mark(at - 1, b",") && self.is_mark(at - 2, b")");
        if !behind_one && !matches!(&*before, "with" | "recursive") {
            return false;
        }
        let mut behind = at + 2;
        while matches!(self.get(behind).0, Kind::Word | Kind::Quoted) || self.is_mark(behind, b",") {
            behind += 1;
        }
        if !self.is_mark(behind, b")") || self.keyword(behind + 1) != "as" {
            return false;
        }
        behind += 2 + usize::from(self.keyword(behind + 2) == "not");
        behind += usize::from(self.keyword(behind) == "materialized");
        let (first, second) = (self.keyword(behind + 1), self.keyword(behind + 2));
        self.is_mark(behind, b"(")
            && match (&*first, &*second) {
                ("select" | "with" | "table", _) | ("insert" | "merge", "into") | ("delete", "from") => true,
                ("update", _) => true,
                ("values", _) => self.is_mark(behind + 2, b"("),
                _ => self.is_mark(behind + 1, b"("),
            }
    }
}
