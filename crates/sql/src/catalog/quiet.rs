//! Code that leaves nothing behind: what the source of a function shows of the session and of the catalog.
//!
//! Most functions and triggers only query and write rows. Where that is proved the server need not be asked what they
//! have left, nor the catalog be read again. The statements of a source are known by the words at their beginnings, the
//! functions by their names, a computed statement by its constant parts (see `dynamic`). What is not known counts as
//! doing everything; what is named is looked at by `reach`.

use super::dynamic::{View, Words, is_lasting, runs_text};
use crate::builtin;
use crate::command::Name;
use crate::effects::Effects;
use crate::outline::Outline;
use crate::scan::{Kind, Token};

/// What code may do, besides what it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Doings {
    /// It may leave something in the session.
    pub(super) leaves: bool,
    /// It may change the catalog.
    pub(super) alters: bool,
}

impl Doings {
    pub(super) const ALL: Self = Self { leaves: true, alters: true };
    const LEAVES: Self = Self { leaves: true, alters: false };

    pub(super) fn add(&mut self, other: Self) {
        self.leaves |= other.leaves;
        self.alters |= other.alters;
    }
}

/// Statements that touch rows only. Their targets' triggers are found by name.
const ROWS: [&str; 11] = [
    "delete", "insert", "lock", "merge", "notify", "select", "table", "truncate", "update", "values", "with",
];

/// Statements and other beginnings in PL/pgSQL. What EXECUTE runs is judged for itself.
const CONTROL: [&str; 30] = [
    "assert",
    "begin",
    "call",
    "case",
    "close",
    "commit",
    "continue",
    "declare",
    "else",
    "elseif",
    "elsif",
    "end",
    "exception",
    "execute",
    "exit",
    "fetch",
    "for",
    "foreach",
    "get",
    "if",
    "loop",
    "move",
    "null",
    "open",
    "perform",
    "raise",
    "return",
    "rollback",
    "when",
    "while",
];

/// Statements about the session that leave the catalog alone.
const SESSION: [&str; 8] = ["deallocate", "discard", "listen", "load", "reset", "set", "show", "unlisten"];

/// Statements with expressions in them: an END there is no sign that they are expressions themselves.
const OTHERS: [&str; 20] = [
    "alter",
    "analyze",
    "checkpoint",
    "cluster",
    "comment",
    "copy",
    "create",
    "do",
    "drop",
    "explain",
    "grant",
    "import",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "revoke",
    "savepoint",
    "security",
    "vacuum",
];

/// Words that stand before a parenthesis in PL/pgSQL without being called, besides those of SQL.
const NOT_CALLED: [&str; 11] =
    ["assert", "cursor", "elseif", "elsif", "if", "insert", "next", "perform", "query", "return", "while"];

/// Of functions in C that belong to extensions and are volatile: they touch nothing but rows.
pub(super) const QUIET_IN_C: [&str; 11] = [
    "autoinc",
    "check_foreign_key",
    "check_primary_key",
    "insert_username",
    "lo_manage",
    "moddatetime",
    "pgp_pub_encrypt",
    "pgp_pub_encrypt_bytea",
    "pgp_sym_encrypt",
    "pgp_sym_encrypt_bytea",
    "triggered_change_notification",
];

/// How a text is cut into statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Sql,
    PlPgSql,
}

/// What a text does by itself; into `calls` the names that it calls and that are no functions of the server.
pub(super) fn doings(text: &[u8], tokens: &[Token], language: Language, calls: &mut Words) -> Doings {
    let view = View { text, tokens };
    let outline = Outline::new(text, tokens);
    // EXPLAIN ANALYZE also runs what makes tables, and need not stand at a beginning in PL/pgSQL.
    let makes_table = language == Language::Sql && outline.selects_into || outline.has("explain");
    // It empties tables, and fires triggers, that no name leads to.
    let cascades = outline.has("truncate") && outline.has("cascade");
    // A rule of pg_settings sets what is updated in it.
    if outline.strange
        || makes_table
        || cascades
        || outline.has("pg_settings")
        || writes_catalog(&view, &outline)
        || view.places().any(|at| ends_in_backslash(&view, at))
    {
        return Doings::ALL;
    }
    let mut found = Doings::default();
    let called = called(&view);
    for call in outline.calls.iter().filter(|call| called.contains(&call.name)) {
        match call.schema.as_deref() {
            None | Some("pg_catalog") => match of_builtin(&call.name) {
                Some(doings) => found.add(doings),
                None if call.schema.is_some() => return Doings::ALL,
                None => drop(calls.insert(call.name.clone())),
            },
            Some(_) => drop(calls.insert(call.name.clone())),
        }
    }
    found.add(match language {
        Language::Sql => of_statements(&view),
        Language::PlPgSql => of_block(&view),
    });
    found
}

/// Writing the catalogs is for superusers, and a change of them.
fn writes_catalog(view: &View<'_>, outline: &Outline) -> bool {
    let updated = |at: usize| {
        let mut at = at + 1 + usize::from(view.word_is(at + 1, &["only"]));
        while view.is(at + 1, ".") {
            at += 2;
        }
        view.name(at).is_some_and(|name| name.starts_with("pg_"))
    };
    outline.targets.iter().any(|target| target.name.starts_with("pg_"))
        || view.places().any(|at| view.word_is(at, &["update"]) && updated(at))
}

/// Whether a string ends elsewhere without `standard_conforming_strings`.
fn ends_in_backslash(view: &View<'_>, at: usize) -> bool {
    let string = view.bytes(at);
    view.kind(at) == Some(Kind::String)
        && string.starts_with(b"'")
        && string.windows(2).any(|pair| pair == b"\\'")
}

/// Names before a parenthesis that may be called: not words of PL/pgSQL, nor cursors, nor the names of columns behind
/// an alias, which follows a parenthesis.
fn called(view: &View<'_>) -> Words {
    let name = |at: &usize| view.is(*at + 1, "(") && !(*at > 0 && view.is(*at - 1, ")"));
    let places = view.places().filter(|at| name(at) && !view.word_is(*at, &NOT_CALLED));
    let cursors: Vec<Name> =
        view.places().filter(|at| is_cursor(view, *at)).filter_map(|at| view.name(at)).collect();
    let may = |name: &Name| !cursors.contains(name) || of_builtin(name).is_some();
    places.filter_map(|at| view.name(at)).filter(may).collect()
}

/// `name [[NO] SCROLL] CURSOR` in a DECLARE section.
fn is_cursor(view: &View<'_>, at: usize) -> bool {
    let mut behind = at + 1;
    while view.word_is(behind, &["no", "scroll"]) {
        behind += 1;
    }
    view.word_is(behind, &["cursor"])
        && at > 0
        && (view.is(at - 1, ";") || view.word_is(at - 1, &["declare"]))
}

/// What a function of the server does to the session; `None` where it is not known to be one.
pub(super) fn of_builtin(name: &str) -> Option<Doings> {
    if runs_text(name) {
        return Some(Doings::ALL);
    }
    if is_lasting(name) {
        return Some(Doings::LEAVES);
    }
    let passing = Effects::SEQUENCE_USE | Effects::SEQUENCE_ASK | Effects::LOCKING | Effects::TX_STATE;
    match builtin::function(name) {
        builtin::Function::Harmless | builtin::Function::Setting | builtin::Function::Age => {
            Some(Doings::default())
        }
        builtin::Function::Special(effects) if effects.intersects(Effects::OPAQUE | Effects::DDL) => {
            Some(Doings::ALL)
        }
        builtin::Function::Special(effects) => {
            Some(Doings { leaves: !effects.without(passing).is_empty(), alters: false })
        }
        builtin::Function::Unlisted => None,
    }
}

/// By the words that statements of SQL begin with.
fn of_statements(view: &View<'_>) -> Doings {
    let mut found = Doings::default();
    for at in 0..view.len() {
        let begins = at == 0 || view.is(at - 1, ";");
        if begins && !view.is(at, ";") && !view.is(at, "(") {
            found.add(beginning(view, at, &[&ROWS]));
        }
    }
    found
}

/// By the words that statements of PL/pgSQL begin with.
fn of_block(view: &View<'_>) -> Doings {
    let mut found = Doings::default();
    let mut declares = false;
    let mut first = 0;
    // Options of the compiler, `#name value`.
    while view.is(first, "#") {
        first += 3;
    }
    for at in first..view.len() {
        let may_begin = if at == first { Begins::Surely } else { begins(view, at) };
        if may_begin == Begins::Not || view.is(at, ";") || view.is(at, "<<") {
            continue;
        }
        let surely = may_begin == Begins::Surely || is_statement(view, at);
        if view.word_is(at, &["declare"]) && surely {
            declares = true;
        } else if view.word_is(at, &["begin"]) {
            declares = false;
        } else if declares || assigns(view, at) {
            continue;
        } else if surely || view.word_is(at, &OTHERS) {
            found.add(beginning(view, at, &[&ROWS, &CONTROL]));
        }
    }
    if declares { Doings::ALL } else { found }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    Not,
    /// A statement, or the branch of a CASE expression.
    Perhaps,
    Surely,
}

/// Whether a statement of PL/pgSQL begins at a place.
fn begins(view: &View<'_>, at: usize) -> Begins {
    let Some(before) = at.checked_sub(1) else { return Begins::Surely };
    let label = before >= 2 && view.is(before, ">>") && view.is(before - 2, "<<");
    let loops = view.word_is(before, &["loop"]) && !ends_loop(view, before);
    if label || loops || view.is(before, ";") || view.word_is(before, &["begin", "declare"]) {
        Begins::Surely
    } else if view.word_is(before, &["then", "else"]) {
        Begins::Perhaps
    } else {
        Begins::Not
    }
}

/// `END LOOP;` or `END LOOP label;`, and not the END of a CASE before a LOOP.
fn ends_loop(view: &View<'_>, at: usize) -> bool {
    let label = view.name(at + 1).is_some() && view.is(at + 2, ";") && !view.word_is(at + 1, &OTHERS);
    at > 0 && view.word_is(at - 1, &["end"]) && (label || view.is(at + 1, ";"))
}

/// `name :=`, `name =`, `name.field`, `name[…]`.
fn assigns(view: &View<'_>, at: usize) -> bool {
    view.name(at).is_some() && [":=", "=", ".", "["].iter().any(|mark| view.is(at + 1, mark))
}

/// Whether a semicolon ends what begins at a place before a branch of CASE does.
fn is_statement(view: &View<'_>, at: usize) -> bool {
    let ends = |at: &usize| view.is(*at, ";") || view.word_is(*at, &["when", "else", "end"]);
    (at..view.len()).find(ends).is_none_or(|at| view.is(at, ";"))
}

/// What a statement does that begins at a place; `known` are the words of those that touch rows only.
fn beginning(view: &View<'_>, at: usize, known: &[&[&str]]) -> Doings {
    if known.iter().any(|words| view.word_is(at, words)) {
        Doings::default()
    } else if view.word_is(at, &SESSION) {
        Doings::LEAVES
    } else {
        Doings::ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::dynamic::Source;

    const NOTHING: Doings = Doings { leaves: false, alters: false };

    fn each(language: Language, expected: Doings, texts: &[&str]) {
        for text in texts {
            assert_eq!(Source::of_sql(text, language).doings, expected, "{text}");
        }
    }

    #[test]
    fn what_touches_rows_only_is_quiet() {
        let texts = [
            "BEGIN NEW.updated_at := now(); RETURN NEW; END",
            "BEGIN NEW.updated_at = now(); RETURN NEW; END;",
            "BEGIN INSERT INTO audit (x, at) VALUES (NEW.x, now()); RETURN NEW; END",
            "DECLARE n int; total numeric(10, 2) := 0; c CURSOR FOR SELECT 1; BEGIN n := 1; RETURN n; END",
            "BEGIN UPDATE t SET a = 1, b = 2 WHERE id = NEW.id; RETURN NULL; END",
            "BEGIN UPDATE t AS x SET a = CASE WHEN b THEN listen ELSE c END; RETURN NULL; END",
            "BEGIN INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1; RETURN NULL; END",
            "<<outside>> BEGIN <<inside>> LOOP EXIT outside; END LOOP inside; END",
            "BEGIN FOR r IN SELECT * FROM t LOOP RETURN NEXT r; END LOOP; RETURN; END",
            "BEGIN WHILE n > 0 LOOP n := n - 1; END LOOP; END",
            "BEGIN IF TG_OP = 'DELETE' THEN DELETE FROM t; ELSIF a THEN b := 1; ELSE NULL; END IF; END",
            "BEGIN CASE x WHEN 1 THEN y := 2; WHEN 2 THEN RAISE NOTICE 'no'; END CASE; END",
            "BEGIN SELECT count(*) INTO STRICT n FROM t; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END",
            "BEGIN INSERT INTO t VALUES (1); EXCEPTION WHEN OTHERS THEN RETURN 1; END",
            "BEGIN PERFORM pg_notify('a', 'b'); PERFORM pg_advisory_xact_lock(1); NOTIFY x; RETURN 1; END",
            "BEGIN EXECUTE format('INSERT INTO %I VALUES ($1.*)', TG_TABLE_NAME) USING NEW; RETURN NEW; END",
            "BEGIN RETURN QUERY EXECUTE 'SELECT * FROM t WHERE a = $1' USING x; END",
            "BEGIN RETURN (x >> 2) + nextval('s'); END",
            "BEGIN a[1] := 2; r.x := 3; END",
            "DECLARE x int; BEGIN DECLARE y int; BEGIN y := x; END; END",
            "BEGIN IF (TG_OP = 'DELETE') THEN DELETE FROM t; ELSIF (a) THEN RETURN (SELECT 1); END IF; END",
            "BEGIN WHILE (a) LOOP RETURN NEXT (1); END LOOP; ASSERT (a); PERFORM (SELECT 1); RETURN QUERY (SELECT 1); END",
            "DECLARE c NO SCROLL CURSOR (k int) FOR SELECT k; BEGIN OPEN c(3); FOR r IN c(4) LOOP NULL; END LOOP; END",
            "BEGIN MERGE INTO t USING u ON true WHEN NOT MATCHED THEN INSERT (k, n) VALUES (1, 2); RETURN 1; END",
            "BEGIN RETURN QUERY SELECT x FROM unnest(a) u(x), (VALUES (1)) AS v(y); END",
            "#variable_conflict use_column\nDECLARE x int; BEGIN x := 1; END",
            "BEGIN RETURN regexp_replace(x, '\\s+', ' '); END",
        ];
        each(Language::PlPgSql, NOTHING, &texts);
        let texts = [
            "SELECT 1",
            "INSERT INTO t (a) VALUES (1); SELECT 1;",
            "WITH x AS (DELETE FROM t RETURNING a) SELECT count(*) FROM x",
            "(SELECT 1) UNION (SELECT 2)",
            "UPDATE t SET a = 1",
        ];
        each(Language::Sql, NOTHING, &texts);
    }

    #[test]
    fn what_is_about_the_session_leaves_something() {
        let texts = [
            "BEGIN SET work_mem = '5MB'; END",
            "BEGIN SET LOCAL work_mem = '5MB'; END",
            "BEGIN IF a THEN SET x.y = 1; END IF; END",
            "BEGIN IF a THEN b := 1; ELSE RESET ALL; END IF; END",
            "BEGIN LOOP LISTEN x; END LOOP; END",
            "BEGIN <<a>> SET x.y = 1; END",
            "DECLARE x int; BEGIN SET x.y = 1; END",
            "BEGIN PERFORM set_config('a.b', 'c', true); END",
            "DECLARE set_config CURSOR (k int) FOR SELECT k; BEGIN PERFORM set_config('a.b', 'c', true); END",
            "DECLARE x text := set_config('a.b', 'c', false); BEGIN END",
            "BEGIN x := pg_catalog.set_config('a.b', 'c', false); END",
            "BEGIN PERFORM pg_advisory_lock(1); END",
            "BEGIN PERFORM pg_advisory_unlock_all(); END",
            "BEGIN PERFORM setseed(0.5); END",
            "BEGIN EXECUTE format('SET app.x = %L', x); END",
            "BEGIN WHILE CASE WHEN n < 1 THEN true ELSE false END LOOP SET app.x = 'y'; n := 1; END LOOP; END",
            "BEGIN EXECUTE format('UPDATE %I SET %I = %L', a, b, c); END",
        ];
        each(Language::PlPgSql, Doings::LEAVES, &texts);
        each(
            Language::Sql,
            Doings::LEAVES,
            &["SET a.b = 1", "SELECT 1; SET a.b = 1", "SELECT set_config('a.b', 'c', false)"],
        );
    }

    #[test]
    fn what_is_not_understood_does_everything() {
        let texts = [
            "BEGIN CREATE TEMP TABLE x (a int); END",
            "BEGIN IF a THEN CREATE TABLE t AS SELECT CASE WHEN b THEN c END; END IF; END",
            "BEGIN IF a THEN frobnicate all; END IF; END",
            "BEGIN frobnicate all; END",
            "BEGIN EXECUTE command; END",
            "BEGIN EXECUTE format('DROP TABLE %I', x); END",
            "BEGIN EXECUTE 'CREATE TABLE t (a int)'; END",
            "BEGIN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'; END",
            "BEGIN UPDATE pg_settings SET setting = '5MB' WHERE name = 'work_mem'; END",
            "BEGIN UPDATE pg_catalog.pg_proc SET prosrc = ''; END",
            "BEGIN PERFORM query_to_xml('x', true, true, ''); END",
            "BEGIN PERFORM pg_catalog.no_such_function(1); END",
            "BEGIN COPY t TO '/tmp/x'; END",
            "BEGIN PERFORM U&\"set_config\"('a.b', 'c', false); END",
            "BEGIN \"select\" x; END",
            "BEGIN SELECT CASE WHEN true THEN declare ELSE 1 END INTO n FROM d; DROP TABLE x; END",
            "DECLARE SET app.x = 'y'; END",
            "BEGIN EXECUTE procedure; END",
            "BEGIN RETURN QUERY EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1; END",
            "BEGIN PERFORM * FROM set_config(n, v, false) AS materialized; CREATE TABLE x (a int); END",
            "BEGIN IF a THEN UPDATE ONLY pg_catalog.pg_trigger SET tgenabled = 'O'; END IF; END",
            "BEGIN x := '\\''; SET app.x = 'y'; --'; END",
            "BEGIN TRUNCATE t CASCADE; END",
        ];
        each(Language::PlPgSql, Doings::ALL, &texts);
        let texts = [
            "SELECT 1 INTO t",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "EXECUTE p",
            "begin",
            "CALL p()",
            "CREATE TABLE t (a int)",
        ];
        each(Language::Sql, Doings::ALL, &texts);
    }

    #[test]
    fn names_that_are_called_are_kept() {
        let calls = |text| Source::of_sql(text, Language::PlPgSql).calls;
        let found = calls(
            "BEGIN PERFORM f(1); x := s.g(now()); EXECUTE 'SELECT h(1)'; INSERT INTO t (a) VALUES (1); END",
        );
        let mut found: Vec<&str> = found.iter().map(|name| &**name).collect();
        found.sort_unstable();
        assert_eq!(found, ["f", "g", "h"]);
    }
}
