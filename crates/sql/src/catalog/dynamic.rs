//! Code that makes SQL at run time: what the source of a function shows of it.
//!
//! Such code may set a custom setting whose name nobody can tell, and no server lists those. It is proved not to where
//! what EXECUTE runs is put together from constants, quoted names and quoted values only, and the constants begin with
//! statements that set nothing. The functions that the rest names are looked at by `reach`.

use std::collections::HashSet;

use super::quiet::{self, Doings, Language};
use crate::command::{Name, identifier, string_value};
use crate::scan::{self, Kind, Token};

pub(super) type Words = HashSet<Name, foldhash::fast::RandomState>;

/// What a source may do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// It may run any text, or set a name that it computes.
    pub(super) anything: bool,
    /// It may use a relation whose name it computes.
    pub(super) any_relation: bool,
    /// Every name in it, also inside of strings.
    pub(super) words: Words,
    /// It fills names or values into what it runs.
    pub(super) fills: bool,
    /// Names that it calls and that are no functions of the server.
    pub(super) calls: Words,
    /// What it does by itself.
    pub(super) doings: Doings,
}

/// Stands for a name, or for a value, that is filled in quoted.
const FILLED: [&str; 2] = ["pgsplit_filled_name", "pgsplit_filled_value"];

/// Statements that set nothing by themselves.
const PLAIN: [&str; 21] = [
    "alter", "analyze", "cluster", "comment", "create", "delete", "drop", "grant", "insert", "lock", "merge",
    "notify", "refresh", "reindex", "revoke", "select", "table", "truncate", "update", "vacuum", "with",
];

/// Statements of which all is known when nothing is filled in.
const CONSTANT: [&str; 7] = ["call", "explain", "listen", "prepare", "reset", "show", "unlisten"];

/// Words in a source that leave state behind of which no server can be asked, or take away what is not the session's.
const LASTING: [&str; 9] = [
    "dblink_connect",
    "dblink_connect_u",
    "deallocate",
    "discard",
    "pg_backup_start",
    "pg_replication_origin_session_setup",
    "pg_start_backup",
    "seed",
    "setseed",
];

/// Functions that run a text or whatever a text names.
const RUNNERS: [&str; 12] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstab_hash",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// Whether a function of this name runs a text that it is given.
pub(crate) fn runs_text(name: &str) -> bool {
    RUNNERS.contains(&name)
}

/// Whether a function of this name leaves something that no server can be asked for.
pub(super) fn is_lasting(name: &str) -> bool {
    LASTING.contains(&name)
}

/// Behind these a name before a parenthesis is a table's.
const BEFORE_TABLE: [&str; 6] = ["exists", "index", "into", "on", "references", "table"];

impl Source {
    /// Of a function in SQL or PL/pgSQL, or of a DO block's body.
    pub(super) fn of_sql(text: &str, language: Language) -> Self {
        let bytes = text.as_bytes();
        let tokens = scan::tokens(bytes);
        let mut source = Self::default();
        source.doings = quiet::doings(bytes, &tokens, language, &mut source.calls);
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                Kind::Word | Kind::Quoted => source.name(text, &tokens, at),
                Kind::String => source.words.extend(words_of(token.bytes(bytes))),
                Kind::UnicodeQuoted | Kind::Other | Kind::Broken => source.anything = true,
                Kind::Number | Kind::Param | Kind::Operator | Kind::Punct => (),
            }
        }
        source
    }

    /// Of a function in another language: nothing is known of what it runs, if it can run anything.
    pub(super) fn of_other(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let runs = ["plpy", "spi", "exec", "query", "prepare", "cursor", "eval", "_shared", "gd[", "sd["];
        let anything = runs.iter().any(|word| text.contains(word));
        Self { anything, doings: Doings::ALL, ..Self::default() }
    }

    fn name(&mut self, text: &str, tokens: &[Token], at: usize) {
        let view = View { text: text.as_bytes(), tokens };
        let Some(name) = view.name(at) else {
            self.anything = true;
            return;
        };
        match &*name {
            "set_config" => {
                let constant =
                    view.is(at + 1, "(") && view.kind(at + 2) == Some(Kind::String) && view.is(at + 3, ",");
                self.anything |= !constant;
            }
            "execute" if view.names_trigger_function(at + 1) => (),
            "execute" => match Template::read(&view, at + 1) {
                Some(template) if template.is_plain() => {
                    self.any_relation |= template.names > 0;
                    let (text, tokens) = (template.text.as_bytes(), scan::tokens(template.text.as_bytes()));
                    self.doings.add(quiet::doings(text, &tokens, Language::Sql, &mut self.calls));
                    self.doings.add(template.doings());
                    self.fills |= template.names + template.values > 0;
                    // As they are meant, not as they stand in the strings.
                    let view = View { text, tokens: &tokens };
                    self.words.extend(view.places().filter_map(|at| view.name(at)));
                }
                _ => (self.anything, self.doings) = (true, Doings::ALL),
            },
            "do" => {
                self.anything |=
                    view.kind(at + 1) == Some(Kind::String) || view.word_is(at + 1, &["language"])
            }
            "load" => self.anything |= view.kind(at + 1) == Some(Kind::String),
            word => self.anything |= runs_text(word) || LASTING.contains(&word),
        }
        self.words.insert(name);
    }
}

/// Everything in a string that may be a name.
fn words_of(string: &[u8]) -> impl Iterator<Item = Name> {
    let text = String::from_utf8_lossy(string).to_lowercase();
    let parts: Vec<Name> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .filter(|part| !part.is_empty())
        .map(Into::into)
        .collect();
    parts.into_iter()
}

/// The tokens of a text with their bytes. Beyond its ends there is nothing, and asking is allowed.
pub(super) struct View<'t> {
    pub(super) text: &'t [u8],
    pub(super) tokens: &'t [Token],
}

impl View<'_> {
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.tokens.len()
    }

    /// `FUNCTION name(` or `PROCEDURE name(`, of CREATE TRIGGER.
    fn names_trigger_function(&self, at: usize) -> bool {
        let mut name = at + 1;
        while self.is(name + 1, ".") {
            name += 2;
        }
        self.word_is(at, &["function", "procedure"]) && self.name(name).is_some() && self.is(name + 1, "(")
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        self.tokens.get(at).map(|token| token.bytes(self.text)).unwrap_or_default()
    }

    pub(super) fn is(&self, at: usize, mark: &str) -> bool {
        matches!(self.kind(at), Some(Kind::Punct | Kind::Operator)) && self.bytes(at) == mark.as_bytes()
    }

    pub(super) fn name(&self, at: usize) -> Option<Name> {
        identifier((self.kind(at)?, self.bytes(at)))
    }

    pub(super) fn word_is(&self, at: usize, words: &[&str]) -> bool {
        self.kind(at) == Some(Kind::Word)
            && words.iter().any(|word| self.bytes(at).eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Behind the parenthesis that closes the one at `at`.
    fn behind(&self, at: usize) -> Option<usize> {
        let mut depth = 0usize;
        for next in at..self.tokens.len() {
            if self.is(next, "(") {
                depth += 1;
            } else if self.is(next, ")") {
                depth -= 1;
                if depth == 0 {
                    return Some(next + 1);
                }
            }
        }
        None
    }
}

/// What EXECUTE runs, with a word in the place of each name and each value that is filled in.
#[derive(Debug, Default)]
struct Template {
    text: String,
    names: usize,
    values: usize,
}

impl Template {
    /// `None` where it is not put together from constants and quoted parts only.
    fn read(view: &View<'_>, mut at: usize) -> Option<Self> {
        let mut template = Self::default();
        loop {
            at = template.piece(view, at)?;
            if view.is(at, "||") {
                at += 1;
                continue;
            }
            let ends =
                at >= view.tokens.len() || view.is(at, ";") || view.word_is(at, &["into", "using", "loop"]);
            return ends.then_some(template);
        }
    }

    /// One operand of a concatenation; what is behind it.
    fn piece(&mut self, view: &View<'_>, at: usize) -> Option<usize> {
        if view.kind(at) == Some(Kind::String) {
            self.text.push_str(&string_value(view.bytes(at))?);
            return Some(at + 1);
        }
        let at = if view.word_is(at, &["pg_catalog"]) && view.is(at + 1, ".") { at + 2 } else { at };
        let name = view.name(at).filter(|_| view.is(at + 1, "("))?;
        match &*name {
            "format"
                if view.kind(at + 2) == Some(Kind::String)
                    && (view.is(at + 3, ",") || view.is(at + 3, ")")) =>
            {
                self.format(&string_value(view.bytes(at + 2))?)?;
            }
            "quote_ident" => self.fill_name(),
            "quote_literal" | "quote_nullable" => self.fill_value(),
            _ => return None,
        }
        view.behind(at + 1)
    }

    fn fill_name(&mut self) {
        self.names += 1;
        self.text.push_str(FILLED[0]);
    }

    fn fill_value(&mut self) {
        self.values += 1;
        self.text.push('\'');
        self.text.push_str(FILLED[1]);
        self.text.push('\'');
    }

    /// `%I`, `%L`, `%%`, also with a position; `%s` and widths are not quoted, or not as it seems.
    fn format(&mut self, format: &str) -> Option<()> {
        let mut rest = format;
        while let Some((before, behind)) = rest.split_once('%') {
            self.text.push_str(before);
            let digits = behind.trim_start_matches(|c: char| c.is_ascii_digit());
            let spec = if digits.len() < behind.len() { digits.strip_prefix('$')? } else { behind };
            match spec.chars().next()? {
                'I' => self.fill_name(),
                'L' => self.fill_value(),
                '%' => self.text.push('%'),
                _ => return None,
            }
            rest = spec.get(1..)?;
        }
        self.text.push_str(rest);
        Some(())
    }

    /// Whether all that it can be are statements that set nothing, whatever is filled in, but for the functions that it
    /// names.
    fn is_plain(&self) -> bool {
        let tokens = scan::tokens(self.text.as_bytes());
        let view = View { text: self.text.as_bytes(), tokens: &tokens };
        let (mut names, mut values) = (0, 0);
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                Kind::Word | Kind::Quoted => {
                    let Some(name) = view.name(at) else { return false };
                    names += usize::from(*name == *FILLED[0] && token.kind == Kind::Word);
                    if !Self::word_is_plain(&view, at, &name) {
                        return false;
                    }
                }
                // A value that does not stand alone as a string was filled into something else.
                Kind::String => values += usize::from(token.bytes(view.text) == b"'pgsplit_filled_value'"),
                Kind::UnicodeQuoted | Kind::Other | Kind::Broken => return false,
                Kind::Number | Kind::Param | Kind::Operator | Kind::Punct => (),
            }
        }
        let statements = scan::statements(view.text, &tokens);
        let constant = self.names + self.values == 0;
        let begins = |range: &std::ops::Range<usize>| {
            view.word_is(range.start, &PLAIN)
                || constant && view.word_is(range.start, &CONSTANT)
                || view.word_is(range.start, &["set"]) && Self::sets_what_it_names(&view, range.start + 1)
        };
        names == self.names
            && values == self.values
            && !statements.is_empty()
            && statements.iter().all(begins)
    }

    /// An UPDATE of a computed table and computed columns may be one of pg_settings, which sets them.
    fn doings(&self) -> Doings {
        let tokens = scan::tokens(self.text.as_bytes());
        let view = View { text: self.text.as_bytes(), tokens: &tokens };
        let filled = |at: usize| view.word_is(at, &FILLED[..1]);
        let table = view.places().any(|at| {
            let only = usize::from(view.word_is(at + 1, &["only"]));
            view.word_is(at, &["update"]) && filled(at + 1 + only)
        });
        let column =
            view.places().any(|at| filled(at) && view.is(at + 1, "=") || view.word_is(at, &["setting"]));
        Doings { leaves: table && column, alters: false }
    }

    /// Whether the setting's name behind SET is there, so that whoever asks for settings finds it in the source.
    fn sets_what_it_names(view: &View<'_>, at: usize) -> bool {
        let mut at = if view.word_is(at, &["session", "local"]) { at + 1 } else { at };
        loop {
            let is_name = view.kind(at) == Some(Kind::Word) && !view.word_is(at, &FILLED);
            if !is_name || !view.is(at + 1, ".") {
                return is_name;
            }
            at += 2;
        }
    }

    fn word_is_plain(view: &View<'_>, at: usize, name: &str) -> bool {
        match name {
            "set_config" | "extension" => false,
            "execute" => view.names_trigger_function(at + 1),
            "do" => view.kind(at + 1) != Some(Kind::String) && !view.word_is(at + 1, &["language"]),
            _ if runs_text(name) || LASTING.contains(&name) => false,
            _ if name == FILLED[0] && view.is(at + 1, "(") => {
                let first = if at >= 2 && view.is(at - 1, ".") { at - 2 } else { at };
                first > 0 && view.word_is(first - 1, &BEFORE_TABLE)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proved(text: &str) -> bool {
        !Source::of_sql(text, Language::PlPgSql).anything
    }

    #[test]
    fn what_is_put_together_from_quoted_parts_is_proved() {
        for text in [
            "BEGIN EXECUTE format('INSERT INTO %I (a, b) VALUES ($1, $2)', name) USING 1, 2; END",
            "BEGIN EXECUTE format('INSERT INTO %I.%I VALUES (%L)', TG_TABLE_SCHEMA, TG_TABLE_NAME, x); END",
            "BEGIN EXECUTE 'UPDATE t SET a = ' || quote_literal(x) || ' WHERE id = $1' USING id; END",
            "BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF t FOR VALUES FROM (%L) TO (%L)', a, b, c); END",
            "BEGIN RETURN QUERY EXECUTE 'SELECT * FROM t WHERE a = $1' USING x; END",
            "BEGIN FOR r IN EXECUTE 'SELECT 1' LOOP NULL; END LOOP; END",
            "BEGIN EXECUTE 'INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING'; UPDATE t SET a = 1; END",
            "BEGIN PERFORM set_config('app.user', $1, false); END",
            "BEGIN EXECUTE 'CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION f()'; END",
            "BEGIN EXECUTE format('SET app.x = %L', x); END",
            "BEGIN EXECUTE 'SET LOCAL app.x TO ' || quote_literal(x); END",
            "BEGIN EXECUTE 'RESET ALL'; EXECUTE 'PREPARE p AS SELECT 1'; END",
        ] {
            assert!(proved(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for text in [
            "BEGIN EXECUTE sql; END",
            "BEGIN EXECUTE 'SELECT ' || sql; END",
            "BEGIN EXECUTE format('SELECT %s', x); END",
            "BEGIN EXECUTE format('SELECT %I()', x); END",
            "BEGIN EXECUTE format('SELECT * FROM %I(1)', x); END",
            "BEGIN EXECUTE format('SET %I = %L', name, x); END",
            "BEGIN EXECUTE format('SET LOCAL app.%I = %L', name, x); END",
            "BEGIN EXECUTE format('SET \"App\".x = %L', x); END",
            "BEGIN EXECUTE format('PREPARE p AS SELECT %L', x); END",
            "BEGIN EXECUTE 'EXPLAIN EXECUTE p'; END",
            "BEGIN EXECUTE format('SELECT ''%L''', x); END",
            "BEGIN EXECUTE format('SELECT ''%I''', x); END",
            "BEGIN EXECUTE 'SELECT ''' || quote_literal(x); END",
            "BEGIN EXECUTE 'SELECT set_config($1, $2, false)' USING a, b; END",
            "BEGIN EXECUTE 'DO $x$ BEGIN END $x$'; END",
            "BEGIN EXECUTE 'EXECUTE p'; END",
            "BEGIN EXECUTE format(template, x); END",
            "BEGIN EXECUTE (sql); END",
            "BEGIN PERFORM set_config(name, 'x', false); END",
            "BEGIN DEALLOCATE ALL; END",
            "BEGIN EXECUTE 'DEALLOCATE ALL'; END",
            "BEGIN PERFORM setseed(0.5); END",
            "BEGIN LOAD 'auto_explain'; END",
            "BEGIN PERFORM set_config('app.' || name, 'x', false); END",
            "BEGIN PERFORM query_to_xml(q, true, true, ''); END",
            "BEGIN EXECUTE 'CREATE EXTENSION x'; END",
            "BEGIN EXECUTE format('SELECT 1 %-10I', x); END",
            "BEGIN EXECUTE E'SELECT 1' || chr(59) || 'SET a.b = 1'; END",
        ] {
            assert!(!proved(text), "{text}");
        }
    }

    #[test]
    fn names_are_found_in_strings_too() {
        let source =
            Source::of_sql("BEGIN EXECUTE format('SELECT touch(%L) FROM %I', a, b); END", Language::PlPgSql);
        assert!(source.words.contains("touch") && source.any_relation);
    }
}
